"""The bytes that a real terminal gets: which colours are in them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.benchmarks.screen import Terminal

SGR = re.compile(rb"\x1b\[([0-9;:]*)m")
COLOUR = re.compile(r"(?:^|;)(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])(?=;|$)")


def sequences(tmp_path: Path, environment: dict[str, str], settings: str = "") -> set[str]:
    """What `layerlab` sets its letters to, over three screens, a dialogue and a change of theme."""
    (tmp_path / "settings.toml").write_text(settings)
    own = {"LAYERLAB_RUNS": str(tmp_path / "runs"), "LAYERLAB_CONFIG": str(tmp_path / "settings.toml")}
    with Terminal([sys.executable, "-m", "tui.cli"], 100, 30, own | environment) as terminal:
        terminal.wait_for("Network", timeout=60)
        for key in ("2", "1", "?", "\x1b", "\x1bOQ"):
            terminal.send(key)
            terminal.settle(0.7)
        return {match.decode() for match in SGR.findall(terminal.output)}


def test_no_color_means_none(tmp_path: Path) -> None:
    found = sequences(tmp_path, {"NO_COLOR": "1"}, 'theme = "light"')
    assert {sequence for sequence in found if COLOUR.search(sequence)} == set()
    # The cursor, what is beside the point, what has the focus.
    assert any(7 in parts(sequence) for sequence in found)
    assert any(2 in parts(sequence) for sequence in found)
    assert any(1 in parts(sequence) for sequence in found)


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "COLORTERM": ""}, {"TERM": "linux", "COLORTERM": ""}])
def test_a_terminal_with_sixteen_colours_gets_no_others(tmp_path: Path, environment: dict[str, str]) -> None:
    found = sequences(tmp_path, environment)
    assert any(COLOUR.search(sequence) for sequence in found)
    assert not any({38, 48} & set(parts(sequence)) for sequence in found)


def test_ssh_without_colorterm_gets_256(tmp_path: Path) -> None:
    found = sequences(tmp_path, {"TERM": "xterm-256color", "COLORTERM": ""}, 'theme = "light"')
    assert any("38;5;" in sequence for sequence in found)
    assert not any("8;2;" in sequence for sequence in found)


def parts(sequence: str) -> list[int]:
    return [int(part) for part in re.split("[;:]", sequence) if part]
