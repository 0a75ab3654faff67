"""What it costs to draw four curves of a run anew: `python -m tests.benchmarks.curves`.

Prints the processor time of one drawing (reading the run, computing, painting the lines that changed) at 120x40, and
the bytes that Textual sends for it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from textual.geometry import Region

from tests.tui.fake_training import application
from tui.run_curves import RunCurves, RunCurvesReader
from tui.widgets.curve import Curve, Series

DRAWINGS = 60


def growing(points: int) -> Any:
    """A run whose loss falls noisily."""
    noise = np.random.default_rng(0)
    curve = [(step, step / 400, 2 / (1 + step / 300) + 0.1 * noise.random()) for step in range(points)]
    history = [row(epoch) for epoch in range(1, points // 400 + 1)]
    return SimpleNamespace(
        curve=curve, history=history, epochs=20, epoch=len(history) + 1, batch=0, batches=400, step=points,
        elapsed=points / 400, started={"train": 48_000}, run="run", status="running",
    )  # fmt: skip


def row(epoch: int) -> Any:
    metrics = {"train/loss": 2 / epoch, "val/loss": 2.1 / epoch, "train/accuracy": 1 - 0.5 / epoch}
    metrics |= {"val/accuracy": 1 - 0.6 / epoch, "lr": 0.1}
    return SimpleNamespace(epoch=epoch, step=400 * epoch, metrics=metrics, seconds={"train": 1.0, "evaluate": 0.1})


async def measure() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app, _ = application(Path(folder))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("2")
            await pilot.pause()
            screen: Any = app.screen
            view = growing(3_000)
            reader = RunCurvesReader(view)
            spent, cells = [], []
            for drawing in range(DRAWINGS):
                at = 3_000 + drawing * 15
                view.curve += [(step, step / 400, 2 / (1 + step / 300)) for step in range(at, at + 15)]
                if drawing % 20 == 19:
                    view.history.append(row(len(view.history) + 1))
                began = time.process_time()
                run = reader.read()
                for place, name in (("#loss", "loss"), ("#score", "accuracy")):
                    chart = screen.query_one(place, Curve)
                    dirty: list[Region] = []
                    refresh = chart.refresh
                    chart.refresh = lambda *regions, to=dirty: to.extend(regions)  # type: ignore[method-assign]
                    chart.draw(curves_of(run, name), 20, name, reach=at / 400)
                    chart.refresh = refresh  # type: ignore[method-assign]
                    cells.append(sum(region.area for region in dirty))
                    chart.refresh(*dirty)
                await pilot.pause()
                spent.append(time.process_time() - began)
    usual = float(np.median(spent))
    print(f"one drawing: {1000 * usual:.1f} ms of the processor; one a second is {100 * usual:.2f} % of a core")
    print(f"cells sent by a drawing: {2 * float(np.mean(cells)):.0f} of {2 * 49 * 12}")


def curves_of(run: RunCurves, name: str) -> list[Series]:
    found = []
    for part, dashed in (("train/", 0), ("val/", 1)):
        x, y = run.points(part + name, "epoch")
        found.append(Series(part, x, y, "accent", dashed))
    return found


if __name__ == "__main__":
    asyncio.run(measure())
