"""A figure beside the bar that it has to clear, and the commands that give figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LAYERLAB_DATA", ROOT.parent / "shared" / "data"))
YARDSTICKS = Path(os.environ.get("LAYERLAB_YARDSTICKS", ROOT.parent / "shared" / "yardsticks"))
LAYERLAB = Path(sys.executable).parent / "layerlab"


@dataclass(frozen=True)
class Bar:
    """A figure, and the least and the most that it may be."""

    name: str
    found: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def cleared(self) -> bool:
        low = self.at_least is None or self.found >= self.at_least
        return low and (self.at_most is None or self.found <= self.at_most)

    def __str__(self) -> str:
        limits = (("at least", self.at_least), ("at most", self.at_most))
        wanted = [f"{word} {limit:g}" for word, limit in limits if limit is not None]
        mark = "ok    " if self.cleared else "MISSED"
        return f"{mark}  {self.name:<66} {self.found:8.4f}   {' and '.join(wanted)}"


def report(bars: list[Bar]) -> int:
    """Print all bars; 1 where one was missed."""
    print()
    for bar in bars:
        print(bar)
    return 0 if all(bar.cleared for bar in bars) else 1


def layerlab(*arguments: str, store: Path) -> Any:
    """What a command of layerlab prints with --json."""
    command = [str(LAYERLAB), *arguments, "--json"]
    environment = os.environ | {"LAYERLAB_RUNS": str(store), "LAYERLAB_DATA": str(DATA)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} left with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def yardstick(loop: str, model: str, epochs: int) -> dict[str, Any]:
    """What a loop that a user would otherwise write takes; needs MNIST and the yardstick script."""
    script = YARDSTICKS / "mnist_loops.py"
    if not script.is_file():
        raise SystemExit(f"no yardsticks in {YARDSTICKS}: set LAYERLAB_YARDSTICKS to the folder of mnist_loops.py")
    command = [sys.executable, str(script), str(DATA), loop, "--model", model, "--epochs", str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
