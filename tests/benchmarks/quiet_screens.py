"""What the application writes to its terminal: while a network is trained, and where nothing happens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.benchmarks.bars import Bar
from tests.benchmarks.opened import opened, training
from tests.benchmarks.screen import Terminal
from tests.benchmarks.store import make_store

WATCHED = 20.0
IDLE = 5.0
RUNS = 50
# The same sizes of letters, but other colours: dark, light, the terminal's sixteen, and none.
THEMES = {"dark": {}, "light": {"COLORFGBG": "0;15"}, "16 colours": {"TERM": "xterm"}, "none": {"NO_COLOR": "1"}}


def measure() -> list[Bar]:
    """KiB a second on Train, and bytes in five seconds on screens where nothing happens."""
    with tempfile.TemporaryDirectory() as folder, training(Path(folder)) as terminal:
        terminal.settle(2.0)
        before = len(terminal.output)
        terminal.settle(WATCHED)
        rate = (len(terminal.output) - before) / WATCHED / 1024
    bars = [Bar("Train while training, KiB a second to the terminal", rate, at_most=25)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "runs"
        store.mkdir()
        make_store(store, RUNS)
        for theme, environment in THEMES.items():
            bars += _still(folder, store, theme, environment)
            shutil.rmtree(folder / "xdg_state_home", ignore_errors=True)
    return bars


def _still(folder: Path, store: Path, theme: str, environment: dict[str, str]) -> list[Bar]:
    """Every screen in one of the colours: what it writes once it has been drawn."""
    found: dict[str, int] = {}
    with opened(folder, store=store, more=environment) as terminal:
        terminal.wait_for("BatchNorm1d", timeout=60)
        terminal.settle(8.0)  # torch is there, the check has answered
        found["Compose"] = _bytes(terminal)
        found["help"] = _bytes(terminal, "?")
        terminal.send("\x1b")
        terminal.settle(0.5)
        found["Runs"] = _bytes(terminal, "3")
        for key in (" ", "\x1b[B", " ", "\x1b[B", " "):
            terminal.send(key)
            terminal.settle(0.3)
        found["Compare with three runs"] = _bytes(terminal, "4")
        terminal.send("3")
        terminal.settle(1.0)
        found["Train with a finished run"] = _bytes(terminal, "\r")
    return [Bar(f"{screen}, {theme}: bytes in {IDLE:g} s", count, at_most=0) for screen, count in found.items()]


def _bytes(terminal: Terminal, key: str = "") -> int:
    """Bytes written in a while, once what the key brings has been drawn."""
    if key:
        terminal.send(key)
    terminal.settle(4.0)
    before = len(terminal.output)
    terminal.settle(IDLE)
    return len(terminal.output) - before


if __name__ == "__main__":
    print(*measure(), sep="\n")
