"""Measures layerlab against its yardsticks: `make bench`, or `python -m tests.benchmarks speed accuracy`.

Every figure is printed beside its bar. These machines are noisy: what is compared runs interleaved in one go, and
medians count.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import (
    accuracy,
    augmenting,
    batches,
    checks,
    features,
    first_frame,
    key_presses,
    many_runs,
    photographs,
    quiet_screens,
    speed,
    startup,
    store,
    train_screen,
)
from tests.benchmarks.bars import Bar, report

GROUPS = {
    "batches": batches.measure,
    "augmenting": augmenting.measure,
    "checks": checks.measure,
    "features": features.measure,
    "speed": speed.measure,
    "startup": startup.measure,
    "store": store.measure,
    "frame": first_frame.measure,
    "watching": train_screen.measure,
    "keys": key_presses.measure,
    "quiet": quiet_screens.measure,
    "runs": many_runs.measure,
    "photographs": photographs.measure,
    "accuracy": accuracy.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="all, where none is named")
    given = parser.parse_args()
    bars: list[Bar] = []
    for name in given.groups or GROUPS:
        bars += GROUPS[name]()
    return report(bars)


if __name__ == "__main__":
    sys.exit(main())
