"""How soon a key is answered while a network is trained in the same process, from its bytes to the answer's first."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bars import Bar
from tests.benchmarks.opened import training
from tests.benchmarks.screen import Terminal

KEYS = 500
UP, DOWN, BACK = "\x1b[A", "\x1b[B", "\x7f"
# Each changes something on the screen that it is typed on.
ROUND = (
    *("1", DOWN, DOWN, DOWN, UP, UP, UP, "\t", DOWN, DOWN, UP, UP, "\t"),
    *("2", "z", "z", "Z", "Z", "w", "w", "w", "w", "y", "y", "\t", "\t", "\t", "\t", "\t"),
    # Not escape: Textual waits a tenth of a second for what might follow it.
    *("3", "/", "m", "l", "p", BACK, BACK, BACK, "\r"),
)
SILENCE = 0.02


def measure() -> list[Bar]:
    """Seconds over 500 keys on Compose, Train and Runs, `activation` trained on MNIST all the while."""
    with tempfile.TemporaryDirectory() as folder, training(Path(folder)) as terminal:
        for key in ("1", "3", "2"):  # screens are made as they are first shown
            terminal.answer(key)
            terminal.settle(1.0)
        taken = [(seconds, key) for key, seconds in _answers(terminal)]
    seconds = sorted(one for one, _ in taken)
    slowest = ", ".join(f"{key!r} {one:.3f}" for one, key in sorted(taken, reverse=True)[:8])
    print(f"{len(seconds)} keys: median {statistics.median(seconds):.3f} s; the slowest: {slowest}")
    return [
        Bar("a key while training, 95th percentile, seconds", seconds[int(0.95 * KEYS)], at_most=0.08),
        Bar("a key while training, 99th percentile, seconds", seconds[int(0.99 * KEYS)], at_most=0.15),
    ]


def _answers(terminal: Terminal) -> Iterator[tuple[str, float]]:
    for key in itertools.islice(itertools.cycle(ROUND), KEYS):
        # What the run has to say is not to be taken for the answer.
        while not terminal.quiet(SILENCE):
            pass
        yield key, terminal.answer(key)


if __name__ == "__main__":
    print(*measure(), sep="\n")
