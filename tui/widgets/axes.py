"""Axes: which values lie in view, where the marks stand, and what is written at them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui.output import count, is_share, number

# A grid as fine as this: limits move seldom while a run goes on, and waste no more than this share of the height.
GRID = 20
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
NARROW_LOG = 2


@dataclass(frozen=True)
class Scale:
    """A y axis from `low` to `high`; with `log` both are exponents of ten, as is what `place` gives."""

    low: float
    high: float
    log: bool = False

    def place(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values stand on the axis; NaN for those that a logarithmic one cannot show."""
        return logarithm(y) if self.log else y

    def marks(self, most: int) -> list[tuple[float, float]]:
        """At most `most` + 1 round numbers, as (place on the axis, value)."""
        if not self.log:
            return [(mark, mark) for mark in ticks(self.low, self.high, most)]
        if self.high - self.low < NARROW_LOG:
            values = (10.0**power * factor for power in _powers(self.low, self.high) for factor in (1, 2, 5))
            found = [(math.log10(value), value) for value in values if value > 0 and math.isfinite(value)]
            found = [mark for mark in found if self.low <= mark[0] <= self.high]
            if len(found) <= most + 1 and len(found) > 1:
                return found
            if len(found) < 2 and self.low > -300 and self.high < 300:
                inside = ticks(10.0**self.low, 10.0**self.high, most)
                return [(math.log10(value), value) for value in inside if value > 0]
        powers = ticks(self.low, self.high, max(min(most, int(self.high - self.low) or 1), 1))
        return [(power, 10.0**power) for power in powers if power == int(power) and -308 <= power <= 308]


def logarithm(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponents of ten; NaN where there is none."""
    out = np.full(len(y), np.nan)
    positive = np.isfinite(y) & (y > 0)
    out[positive] = np.log10(y[positive])
    return out


def _powers(low: float, high: float) -> range:
    return range(max(math.floor(low), -307), min(math.ceil(high), 308) + 1)


def scale_of(values: Iterable[NDArray[np.float64]], log: bool) -> Scale | None:
    """The axis that shows all of these values (those above 0 with `log`); None where there is none to show."""
    placed = [logarithm(y) if log else y for y in values]
    bounds = limits(*placed)
    return None if bounds is None else Scale(*_on_grid(*bounds), log)


def limits(*series: NDArray[np.float64]) -> tuple[float, float] | None:
    """The smallest and largest finite value, a little apart where they are equal; None where there is none."""
    finite = [values[np.isfinite(values)] for values in series]
    finite = [values for values in finite if len(values)]
    if not finite:
        return None
    low = float(min(values.min() for values in finite))
    high = float(max(values.max() for values in finite))
    if low == high:
        room = abs(low) * 0.05 or 0.5
        return (low - room, high + room) if math.isfinite(low - room) and math.isfinite(high + room) else (low, high)
    return low, high


def _on_grid(low: float, high: float) -> tuple[float, float]:
    """The limits moved apart to a grid of round numbers, as far as floating point allows."""
    span = high - low
    if not math.isfinite(span) or span < 1e-300:
        return low, high
    step = 10.0 ** math.floor(math.log10(span)) / GRID
    if not step or abs(low / step) > 1e12 or abs(high / step) > 1e12:
        return low, high
    wide = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    # Rounding may end a hair inside of what has to be seen.
    return min(low, wide[0]), max(high, wide[1])


def round_up(value: float) -> float:
    """The next number from here on that is 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten; a whole one, at least 1.
    `value` is finite."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10))
    rounded = next((step for step in steps if step >= value and step.is_integer()), 10 * power)
    # Near the end of what a float holds there is no rounder one.
    return rounded if math.isfinite(rounded) else value


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    if most < 1 or not high > low:
        return []
    rough = (high - low) / most
    if not 1e-300 < rough < 1e300:
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), 10 * power)
    return _multiples(low, high, step, most)


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """The same for seconds: whole minutes and hours rather than powers of ten."""
    if most < 1 or not high > low:
        return []
    rough = (high - low) / most
    step = next((float(step) for step in SECONDS if step >= rough), None)
    return ticks(low, high, most) if rough < 1 or step is None else _multiples(low, high, step, most)


def _multiples(low: float, high: float, step: float, most: int) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    last = min(math.floor(high / step + 1e-9), first + most)
    return [number * step for number in range(first, last + 1)]


def y_label(value: float, metric: str, apart: float) -> str:
    """A value on the y axis, with as many digits as tell it from its neighbour, `apart` from it; shares in per cent."""
    share = is_share(metric)
    value, apart = (100 * value, 100 * apart) if share else (value, apart)
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3g}" + (" %" if share else "")
    digits = min(max(-math.floor(math.log10(apart) + 1e-9), 0), 5) if 0 < apart < math.inf else 0
    return f"{value:.{digits}f}" + (" %" if share else "")


def x_label(value: float, unit: str, apart: float = 1.0) -> str:
    """A place on the x axis: 0:40 or 1:02:00 for time, else a number."""
    if unit == "time" and apart >= 1:
        whole = round(value)
        hours, rest = divmod(whole, 3600)
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    if unit == "time":
        return f"{value:.3g} s"
    if abs(value) >= 10_000:
        return count(value) if apart >= 100 else f"{value:,.0f}"
    if value == int(value):
        return str(int(value))
    digits = min(max(-math.floor(math.log10(apart) + 1e-9), 1), 6) if 0 < apart < math.inf else 2
    return f"{value:.{digits}f}" if abs(value) >= 1e-4 else number(value)
