"""How long a person waits: for help, for the first comparison."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bars import LAYERLAB, Bar, layerlab

ROUNDS = 7
HELD_OUT = {"mlp": 0.93, "batchnorm": 0.95, "cnn": 0.96}


def measure() -> list[Bar]:
    """Seconds for `layerlab --help` (median) and `layerlab demo`, and what the demo's networks reach."""
    helps = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([str(LAYERLAB), "--help"], capture_output=True, check=True)
        helps.append(time.perf_counter() - began)
    bars = [Bar("layerlab --help, seconds", statistics.median(helps), at_most=0.4)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        shown = layerlab("demo", store=Path(folder) / "runs")
        bars.append(Bar("layerlab demo, seconds", time.perf_counter() - began, at_most=40.0))
    for run in shown["runs"]:
        name = run["name"]
        bars.append(Bar(f"demo: {name} on held-out digits", run["best"]["metrics"]["val/accuracy"], HELD_OUT[name]))
    return bars
