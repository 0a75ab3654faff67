"""The application on ten thousand runs: to the first of them, to all of them, and while a filter is typed."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bars import Bar
from tests.benchmarks.opened import opened
from tests.benchmarks.store import COUNT, make_store

TYPED = "optimizer:adam val/a"
SILENCE = 0.15


def measure() -> list[Bar]:
    """Seconds, in a pty: from the key that shows Runs, and from each letter of a filter to the last that it draws."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "runs"
        store.mkdir()
        make_store(store)
        with opened(folder, store=store) as terminal:
            # At once, and not only when the check has looked at the store: this is what the key takes at worst.
            terminal.wait_for("BatchNorm1d", timeout=60)
            began = time.perf_counter()
            terminal.send("3")
            terminal.wait_for("2026-", "finished", timeout=60)
            first = time.perf_counter() - began
            terminal.wait_for(f"{COUNT:,}", str(COUNT), timeout=60)
            everything = time.perf_counter() - began
            terminal.settle(10.0)
            terminal.whole_answer("/", SILENCE)
            seconds = [terminal.whole_answer(letter, SILENCE) for letter in TYPED]
    print(" ".join(f"{letter}{one * 1000:.0f}" for letter, one in zip(TYPED, seconds, strict=True)))
    return [
        Bar("10,000 runs: first rows painted after the key, seconds", first, at_most=0.5),
        Bar("10,000 runs: all of them known, seconds", everything, at_most=3.0),
        Bar("10,000 runs: a letter of a filter answered, median, seconds", statistics.median(seconds), at_most=0.1),
        Bar("the same, slowest of twenty", max(seconds), at_most=0.1),
    ]


if __name__ == "__main__":
    print(*measure(), sep="\n")
