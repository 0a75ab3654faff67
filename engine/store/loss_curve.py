"""The loss of a run over its steps, in a bounded number of points."""

from __future__ import annotations

import math

MAX_CURVE = 4_000


class Curve:
    """The loss over the steps, in at most 4,000 points: where they get too many, each two become their mean."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float, float]] = []
        self._stride = 1
        self._waiting: list[tuple[int, float, float]] = []

    def add(self, step: int, epoch: float, loss: float) -> None:
        self._waiting.append((step, epoch, loss))
        if len(self._waiting) >= self._stride:
            self.points.append(_mean(self._waiting))
            self._waiting.clear()
            if len(self.points) >= MAX_CURVE:
                # In place: a reader draws from this list.
                self.points[:] = [_mean(self.points[i : i + 2]) for i in range(0, len(self.points), 2)]
                self._stride *= 2

    def forget_after(self, step: int) -> None:
        self.points[:] = [point for point in self.points if point[0] <= step]
        self._waiting = [point for point in self._waiting if point[0] <= step]


def _mean(points: list[tuple[int, float, float]]) -> tuple[int, float, float]:
    """The last step and epoch of some points, and their mean loss."""
    step, epoch, _ = points[-1]
    losses = [loss for _, _, loss in points]
    # A mean would hide the infinite ones, or raise for two of opposite sign.
    strange = [loss for loss in losses if not math.isfinite(loss)]
    return step, epoch, strange[0] if strange else sum(losses) / len(losses)
