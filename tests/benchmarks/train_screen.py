"""What looking costs: training with the Train screen open in a pty, beside the same training without a screen."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.bars import Bar, layerlab
from tests.benchmarks.opened import ACTIVATION
from tests.benchmarks.speed import with_screen

ROUNDS = 5
EPOCHS = 4


def measure() -> list[Bar]:
    """Speed with the screen over speed without, medians of seconds per epoch, one after the other in every round."""
    settings = [*ACTIVATION, f"epochs={EPOCHS}"]
    given = [argument for setting in settings for argument in ("--set", setting)]
    seconds: dict[str, list[float]] = {"headless": [], "screen": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(ROUNDS):
            shown = layerlab("train", "activation", *given, store=folder / "runs")
            seconds["headless"].append(shown["seconds_per_epoch"])
            seconds["screen"].append(with_screen(folder / "activation.toml", folder / f"screen-{number}", settings))
            print(f"round {number + 1}", {name: f"{values[-1]:.3f} s" for name, values in seconds.items()}, flush=True)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return [Bar("speed with Train open in a pty : headless", middle["headless"] / middle["screen"], at_least=0.95)]


if __name__ == "__main__":
    print(*measure(), sep="\n")
