"""Curves as braille: each cell holds two dots across and four down (Unicode block 2800)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tui.widgets.axes import limits, round_up, ticks

__all__ = ["DASHES", "limits", "round_up", "seen", "ticks", "trace"]

BLANK = 0x2800
# The bit of the dot at [row, column] of a cell.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
# How lines are told apart without colour: which columns of dots are drawn, over and over.
DASHES: tuple[tuple[bool, ...], ...] = (
    (True,),
    (True, True, False, False),
    (True, False, False, False),
    (True, True, True, True, True, True, False, False),
    (True, True, True, True, False, False, True, False, False),
    (True, False),
    (True, True, True, True, True, True, False, False, True, False, True, False),
    (True, True, False, False, False, False, False, False),
)
# A dash leaves out what is as low as this many dots: steeper pieces, and so all peaks, are drawn whole.
FLAT = 2


def seen(
    x: NDArray[np.float64], y: NDArray[np.float64], x_range: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The finite points of a curve from x_range[0] to x_range[1], and where it crosses these two.

    `x` ascends. Gives two arrays of the same length, empty where nothing of the curve is in view.
    """
    kept = np.isfinite(x) & np.isfinite(y)
    if not kept.all():
        x, y = x[kept], y[kept]
    if len(x) > 1 and (x[1:] < x[:-1]).any():
        # Of a damaged run the epochs may stand in any order.
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    low, high = x_range
    start, end = int(np.searchsorted(x, low, "left")), int(np.searchsorted(x, high, "right"))
    inside_x, inside_y = x[start:end], y[start:end]
    if start > 0 and start < len(x) and (start == end or x[start] > low):
        inside_x, inside_y = np.r_[low, inside_x], np.r_[_between(x, y, start, low), inside_y]
    if 0 < end < len(x) and (start == end or x[end - 1] < high):
        inside_x, inside_y = np.r_[inside_x, high], np.r_[inside_y, _between(x, y, end, high)]
    return inside_x, inside_y


def _between(x: NDArray[np.float64], y: NDArray[np.float64], index: int, at: float) -> float:
    """The height at `at` of the line from the point before `index` to the one at it."""
    share = float((at / 2 - x[index - 1] / 2) / _half((float(x[index - 1]), float(x[index]))))
    return float(y[index - 1] * (1 - share) + y[index] * share)


def trace(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    dashed: int = 0,
) -> NDArray[np.uint8]:
    """The cells (height, width) of a line through the points, 0 where nothing is drawn.

    `x` ascends. Where several points share a column of dots all of their range is drawn, so no peak is lost; where
    points are further apart they are joined. `dashed` is the number of a pattern of DASHES. What is not finite is left
    out, and so is what lies beside `x_range`; what lies above or below `y_range` is drawn at its edge.
    """
    cells = np.zeros((height, width), dtype=np.uint8)
    x, y = seen(x, y, x_range)
    if not len(x) or width < 1 or height < 1:
        return cells
    across, down = 2 * width, 4 * height
    # Halves: the difference of two large numbers may not be a number.
    column = np.clip(np.rint((x / 2 - x_range[0] / 2) / _half(x_range) * (across - 1)), 0, across - 1).astype(np.int64)
    row = np.clip(np.rint((y_range[1] / 2 - y / 2) / _half(y_range) * (down - 1)), 0, down - 1)
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
    top, bottom = np.rint(top), np.rint(bottom)
    drawn = (rows >= top) & (rows <= bottom)
    pattern = np.array(DASHES[dashed % len(DASHES)])
    # A lone point is no line: it has no gaps.
    if len(every) > 1:
        whole = pattern[every % len(pattern)] | (bottom - top >= FLAT)
        # What rises slowly over a gap and ends in it would lose its end: the highest and the lowest place are drawn.
        if top[whole].min(initial=np.inf) > top.min() + FLAT:
            whole[top.argmin()] = True
        if bottom[whole].max(initial=-np.inf) < bottom.max() - FLAT:
            whole[bottom.argmax()] = True
        drawn &= whole
    dots[:, every] = drawn
    cells[:] = (dots.reshape(height, 4, width, 2) * _BITS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint8)
    return cells


def _half(bounds: tuple[float, float]) -> float:
    return bounds[1] / 2 - bounds[0] / 2 or 1.0
