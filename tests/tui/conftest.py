"""Fixtures of the tests of terminal and command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

from tests.tui.cli import CommandLine
from tests.tui.pictured import Screens, fixed_world
from tests.tui.pictures import Pictures


@pytest.fixture(autouse=True, scope="session")
def style_sheets_are_parsed_once() -> Iterator[None]:
    """Textual keeps what it parsed for as long as an application lives; tests begin hundreds with the same sheets."""
    parse, parsed = Stylesheet._parse_rules, dict[Any, list[RuleSet]]()

    def rules(self: Stylesheet, *sheet: Any, **more: Any) -> list[RuleSet]:
        key = (sheet, tuple(sorted(more.items())), tuple(sorted(self._variables.items())))
        if key not in parsed:
            parsed[key] = parse(self, *sheet, **more)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", rules)
        yield


@pytest.fixture(autouse=True)
def known_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same colours and no settings, wherever the tests are run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("NO_COLOR", "COLORFGBG", "LAYERLAB_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny networks train faster on one thread than on several that wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def layerlab(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> CommandLine:
    """The command line, run in this process in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("LAYERLAB_RUNS", "LAYERLAB_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known_terminal: None) -> Iterator[Screens]:
    """Applications that look the same on every machine."""
    yield from fixed_world(tmp_path, monkeypatch)


@pytest.fixture
def pictures(snapshot: SnapshotAssertion, tmp_path: Path) -> Pictures:
    """Compares the screen with pictures taken before."""
    return Pictures(snapshot, tmp_path)
