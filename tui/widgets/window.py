"""The part of an x axis that is in view: all of it, the newest part of it, or a part that stays where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

# No closer than this share of what there is: below it there is nothing between the points of a curve.
CLOSEST = 1 / 10_000
# The newest part moves on in steps of this share of its width, so that not every point moves the whole curve.
STEPS = 20


@dataclass(frozen=True)
class Window:
    """`part` is the share of the axis in view, at its right edge and following it, or where `low` is given, from there
    to `high`, which stay where they are whatever is added."""

    part: float = 1.0
    low: float | None = None
    high: float | None = None

    @property
    def whole(self) -> bool:
        return self.low is None and self.part >= 1

    def bounds(self, reach: float, span: float) -> tuple[float, float]:
        """What is in view of an axis from 0 to `span` whose newest point is at `reach`; low < high."""
        if self.low is not None and self.high is not None:
            return (self.low, self.high) if self.high > self.low else (0.0, span)
        if self.part >= 1 or not reach > 0:
            return 0.0, span
        width = self.part * reach
        step = width / STEPS
        high = min(-(-reach // step) * step, span)
        high = max(high, reach)
        return (high - width, high) if high - width < high else (0.0, span)

    def zoomed(self, factor: float, about: float | None, reach: float, span: float) -> Window:
        """With `factor` times as much in view, around `about`; without it around the right edge where the window is
        there, else around its middle."""
        low, high = self.bounds(reach, span)
        if about is None:
            about = high if self.low is None else (low + high) / 2
        width = max((high - low) * factor, reach * CLOSEST)
        low = about - (about - low) * width / (high - low)
        return self._placed(low, width, reach, span)

    def panned(self, share: float, reach: float, span: float) -> Window:
        """Moved by this share of its width; at the right edge it follows again."""
        if self.whole:
            return self
        low, high = self.bounds(reach, span)
        return self._placed(low + share * (high - low), high - low, reach, span)

    def holding(self, x: float, reach: float, span: float) -> Window:
        """Moved as little as is needed for `x` to be in view."""
        low, high = self.bounds(reach, span)
        if low <= x <= high:
            return self
        width = high - low
        start = min(max(x if x < low else x - width, 0.0), span - width)
        placed = self._placed(start, width, reach, span)
        low, high = placed.bounds(reach, span)
        # The newest part goes on in steps, which may leave x behind.
        return placed if low <= x <= high else Window(1.0, start, start + width)

    def _placed(self, low: float, width: float, reach: float, span: float) -> Window:
        if not width < span:
            return Window()
        low = min(max(low, 0.0), span - width)
        if reach > 0 and low + width >= reach * (1 - 1e-9):
            return replace(Window(), part=min(width / reach, 1.0)) if width < reach else Window()
        return Window(1.0, low, low + width) if low + width > low else self
