"""Curves as braille: each cell holds two dots across and four down (Unicode block 2800)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# The bit of the dot at [row, column] of a cell.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)


def trace(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    dashed: bool = False,
) -> NDArray[np.uint8]:
    """The cells (height, width) of a line through the points, 0 where nothing is drawn.

    `x` ascends. Where several points share a column of dots all of their range is drawn, so no peak is lost; where
    points are further apart they are joined. `dashed` leaves out every other pair of columns. What is not finite is
    left out.
    """
    cells = np.zeros((height, width), dtype=np.uint8)
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if not len(x) or width < 1 or height < 1:
        return cells
    across, down = 2 * width, 4 * height
    column = np.clip(np.rint((x - x_range[0]) / _span(x_range) * (across - 1)), 0, across - 1).astype(np.int64)
    row = np.clip(np.rint((y_range[1] - y) / _span(y_range) * (down - 1)), 0, down - 1)
    starts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    columns = column[starts]
    last = np.r_[starts[1:], len(column)] - 1
    # Between columns that hold points the line is straight; each column then spans from its own dot to its neighbour's.
    every = np.arange(columns[0], columns[-1] + 1)
    enters = np.interp(every, columns, row[starts])
    leaves = np.interp(every, columns, row[last])
    top = np.minimum(enters, leaves)
    bottom = np.maximum(enters, leaves)
    own = columns - columns[0]
    top[own] = np.minimum.reduceat(row, starts)
    bottom[own] = np.maximum.reduceat(row, starts)
    if len(every) > 1:
        # Steep pieces: halfway to the neighbour on the left and on the right.
        middle = (leaves[:-1] + enters[1:]) / 2
        top[:-1] = np.minimum(top[:-1], middle)
        bottom[:-1] = np.maximum(bottom[:-1], middle)
        top[1:] = np.minimum(top[1:], middle)
        bottom[1:] = np.maximum(bottom[1:], middle)
    dots = np.zeros((down, across), dtype=bool)
    rows = np.arange(down)[:, None]
    dots[:, every] = (rows >= np.rint(top)) & (rows <= np.rint(bottom))
    if dashed:
        dots[:, np.arange(across) % 4 >= 2] = False
    cells[:] = (dots.reshape(height, 4, width, 2) * _BITS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint8)
    return cells


def _span(bounds: tuple[float, float]) -> float:
    return bounds[1] - bounds[0] or 1.0


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
        return low - room, high + room
    return low, high


def round_up(value: float) -> float:
    """The next number from here on that is 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten; a whole one, at least 1."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10))
    return next((step for step in steps if step >= value and step == int(step)), 10 * power)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    if most < 1 or not high > low:
        return []
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
