"""What the curves of a run are drawn from: its metrics as arrays, over epochs, steps, time and samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tui.widgets.axes import round_up

Array = NDArray[np.float64]
NONE = np.empty(0)


@dataclass(frozen=True)
class RunCurves:
    """One run at one moment; no array of it is ever changed.

    `metrics` gives (epochs so far, values), each (N,), by the metric's name; `clocks` gives, by unit, (epochs, steps or
    seconds of training or samples) between which it runs straight. `asked` is how many epochs were asked for.
    """

    metrics: Mapping[str, tuple[Array, Array]]
    clocks: Mapping[str, tuple[Array, Array]]
    asked: float = 0.0

    def points(self, name: str, unit: str) -> tuple[Array, Array]:
        """The metric over this unit; two empty arrays where the run has none of it."""
        x, y = self.metrics.get(name, (NONE, NONE))
        return self.at(x, unit), y

    def at(self, epochs: Array, unit: str) -> Array:
        """Epochs as steps, seconds or samples."""
        if unit == "epoch":
            return epochs
        known, values = self.clocks.get(unit, (NONE, NONE))
        return np.interp(epochs, known, values) if len(known) else np.full(len(epochs), np.nan)

    def total(self, unit: str) -> float:
        """How much was asked for; 0.0 where that is not known, as it is not of time."""
        if unit == "epoch":
            return self.asked
        known, values = self.clocks.get(unit, (NONE, NONE))
        return self.asked * float(values[-1] / known[-1]) if unit != "time" and len(known) and known[-1] > 0 else 0.0

    def reach(self, unit: str, names: Sequence[str]) -> float:
        """How far these metrics go, 0.0 where there is nothing of them."""
        ends = [float(self.metrics[name][0][-1]) for name in names if name in self.metrics]
        reach = float(self.at(np.array([max(ends)]), unit)[0]) if ends else 0.0
        return reach if math.isfinite(reach) else 0.0


def span_of(reach: float, total: float) -> float:
    """How far an axis goes: what has been reached, rounded up, but no more than the `total` that was asked for."""
    return max(min(round_up(reach), total or math.inf), reach)


def names_of(runs: Sequence[RunCurves]) -> list[str]:
    """What a chart can show of these runs: losses and scores without their part ("loss" is train/loss and val/loss),
    the loss first, then accuracy, the learning rate last."""
    found = {
        name.split("/", 1)[1] if name.startswith(("train/", "val/")) else name for run in runs for name in run.metrics
    }
    first = {"loss": 0, "accuracy": 1, "lr": 3}
    return sorted(found, key=lambda name: (first.get(name, 2), name))


class RunCurvesReader:
    """Reads a RunView again and again, and each time only what has been added to it."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self._points: _Table = _Table(2)
        self._epochs: dict[str, _Table] = {}
        self._clock = _Table(3)
        self._rows = 0
        self._last: Any = None
        self._point: Any = None

    def read(self) -> RunCurves:
        """The curves as they are now."""
        view = self.view
        self._read_history(list(view.history))
        points = list(view.curve)
        if (
            not self._points.count
            or len(points) < self._points.count
            or points[self._points.count - 1] is not self._point
        ):
            # Older points were merged, or forgotten by a resume.
            self._points = _Table(2)
        self._points.add([(epoch, loss) for _, epoch, loss in points[self._points.count :]])
        self._point = points[-1] if points else None
        metrics = {name: (table.columns[0], table.columns[1]) for name, table in self._epochs.items()}
        metrics["train/loss"] = _with_means(self._points.columns, metrics.get("train/loss", (NONE, NONE)))
        if not len(metrics["train/loss"][0]):
            del metrics["train/loss"]
        return RunCurves(metrics, self._clocks(), float(view.epochs or 0))

    def _read_history(self, rows: list[Any]) -> None:
        if self._rows > len(rows) or (self._rows and rows[self._rows - 1] is not self._last):
            self._rows, self._epochs, self._clock = 0, {}, _Table(3)
        new = rows[self._rows :]
        if not new:
            return
        added: dict[str, list[tuple[float, ...]]] = {}
        seconds = float(self._clock.columns[2][-1]) if self._clock.count else 0.0
        clock: list[tuple[float, ...]] = []
        for row in new:
            for name, value in row.metrics.items():
                added.setdefault(name, []).append((row.epoch, value))
            spent = row.seconds.get("train", 0.0)
            seconds += spent if math.isfinite(spent) and spent > 0 else 0.0
            clock.append((row.epoch, row.step, seconds))
        for name, points in added.items():
            self._epochs.setdefault(name, _Table(2)).add(points)
        self._clock.add(clock)
        self._rows, self._last = len(rows), rows[-1]

    def _clocks(self) -> dict[str, tuple[Array, Array]]:
        view = self.view
        epochs, steps, seconds = (np.r_[0.0, column] for column in self._clock.columns)
        under_way = view.epoch - 1 + view.batch / view.batches if view.batches > 0 else 0.0
        if under_way > epochs[-1]:
            epochs = np.r_[epochs, under_way]
            steps = np.r_[steps, max(float(view.step), steps[-1])]
            elapsed = view.elapsed if math.isfinite(view.elapsed) else 0.0
            seconds = np.r_[seconds, max(elapsed, seconds[-1])]
        clocks = {"step": (epochs, steps), "time": (epochs, seconds)}
        train = view.started.get("train")
        if isinstance(train, int) and train > 0:
            # Every sample is seen once an epoch.
            clocks["samples"] = (epochs, epochs * train)
        return clocks


class _Table:
    """Rows of numbers that are added at the end, as columns."""

    def __init__(self, width: int) -> None:
        self.columns: tuple[Array, ...] = (NONE,) * width
        self.count = 0

    def add(self, rows: Sequence[tuple[float, ...]]) -> None:
        if rows:
            new = np.array(rows, dtype=np.float64)
            self.columns = tuple(np.r_[old, new[:, at]] for at, old in enumerate(self.columns))
            self.count += len(rows)


def _with_means(told: tuple[Array, ...], means: tuple[Array, ...]) -> tuple[Array, Array]:
    """The training loss as it was told within epochs; of an epoch too short for that, its mean, at its end."""
    if not len(means[0]):
        return told[0], told[1]
    missing = ~np.isin(means[0], np.ceil(told[0]))
    if not missing.any():
        return told[0], told[1]
    x, y = np.r_[told[0], means[0][missing]], np.r_[told[1], means[1][missing]]
    order = np.argsort(x, kind="stable")
    return x[order], y[order]
