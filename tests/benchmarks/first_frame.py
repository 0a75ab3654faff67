"""How soon the application is there: the first frame beside that of a bare Textual application, and the first keys.

All of it from the command to the bytes in a pty, as a person has it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bars import LAYERLAB, Bar
from tests.benchmarks.opened import environment, opened
from tests.benchmarks.screen import Terminal

ROUNDS = 9
TYPED = "conv 32 3"
BARE = [sys.executable, "-m", "tests.benchmarks.bare_application"]


def measure() -> list[Bar]:
    """Seconds to the first frames, medians over rounds in which both have their turn; then to shapes and to letters."""
    frames: dict[str, list[float]] = {"bare": [], "compose": []}
    shapes: list[float] = []
    letters: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Neither is to pay for what the disk has not read yet, or what was not compiled.
        _seconds_to(BARE, "Linear(100)", folder)
        _seconds_to([str(LAYERLAB)], "BatchNorm1d", folder)
        for _ in range(ROUNDS):
            frames["bare"].append(_seconds_to(BARE, "Linear(100)", folder))
            began, shaped = _compose(folder)
            frames["compose"].append(began)
            shapes.append(shaped)
            letters += _typing(folder)
    bare, compose = statistics.median(frames["bare"]), statistics.median(frames["compose"])
    print(f"first frame: bare {bare:.3f} s, Compose {compose:.3f} s; shapes after {statistics.median(shapes):.3f} s")
    return [
        Bar("first frame of Compose, seconds after that of a bare application", compose - bare, at_most=0.25),
        Bar("shapes painted, seconds after the command", statistics.median(shapes)),
        Bar("a letter typed while torch is imported, median, seconds", statistics.median(letters), at_most=0.3),
        Bar("the same, slowest", max(letters), at_most=0.3),
    ]


def _seconds_to(command: list[str], text: str, folder: Path) -> float:
    began = time.perf_counter()
    with Terminal(command, 120, 40, environment(folder)) as terminal:
        terminal.wait_for(text, timeout=60)
        return time.perf_counter() - began


def _compose(folder: Path) -> tuple[float, float]:
    """Seconds to the first frame, and to the shapes."""
    began = time.perf_counter()
    with opened(folder) as terminal:
        terminal.wait_for("BatchNorm1d", timeout=60)
        first = time.perf_counter() - began
        terminal.wait_for("fits", timeout=60)
        return first, time.perf_counter() - began


def _typing(folder: Path) -> list[float]:
    """Seconds from each letter to its echo, typed at once after the first frame into the line that adds a layer."""
    with opened(folder) as terminal:
        terminal.wait_for("BatchNorm1d", timeout=60)
        terminal.answer("a", timeout=20)
        return [_echo(terminal, letter) for letter in TYPED if letter != " "]


def _echo(terminal: Terminal, letter: str) -> float:
    """Seconds until the letter itself comes back."""
    while not terminal.quiet(0.02):
        pass
    written = len(terminal.text)
    began = time.perf_counter()
    terminal.send(letter)
    terminal.wait_until(lambda: letter in terminal.text[written:] or None, timeout=20)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(*measure(), sep="\n")
