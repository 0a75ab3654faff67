"""What a chart shows: which of its points are in view, the cells they fill, the marks beside them. No drawing here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tui.smoothing import smooth
from tui.widgets import axes, braille
from tui.widgets.look import Look, Series

# Who drew a cell: the number of the series, or one of these.
NOBODY = -1
RAW = -2


@dataclass(frozen=True)
class Plot:
    """`cells` (rows, columns) holds the dots, `owners` who drew them; `y_marks` are labels by row, `x_marks` labels by
    column. `left_out` counts the values in view that a logarithmic axis cannot show."""

    cells: NDArray[np.uint8]
    owners: NDArray[np.int8]
    y_marks: dict[int, str]
    x_marks: dict[int, str]
    left_out: int


# Values near the ends of what floating point can hold are drawn at the edge, without a warning.
@np.errstate(all="ignore")
def plot(
    series: Sequence[Series],
    look: Look,
    columns: int,
    rows: int,
    x_range: tuple[float, float],
    metric: str = "",
    unit: str = "epoch",
) -> Plot | None:
    """The series as this many cells; None where nothing of them can be shown, or there is no room.

    Later series lie over earlier ones. With smoothing the values themselves stand behind the smooth line.
    """
    if columns < 1 or rows < 1:
        return None
    smoothed = [smooth(item.x, item.y, look.weight) for item in series]
    in_view = [braille.seen(item.x, _shown(item.y, look.log), x_range) for item in series]
    lines = [braille.seen(item.x, _shown(y, look.log), x_range) for item, y in zip(series, smoothed, strict=True)]
    # The values are exponents already where the axis is logarithmic.
    scale = axes.scale_of([y for _, y in (*in_view, *lines)], False)
    if scale is None:
        return None
    bounds = scale.low, scale.high
    scale = axes.Scale(*bounds, look.log)
    cells = np.zeros((rows, columns), dtype=np.uint8)
    owners = np.full((rows, columns), NOBODY, dtype=np.int8)
    if look.weight:
        for x, y in in_view:
            drawn = braille.trace(x, y, columns, rows, x_range, bounds)
            cells |= drawn
            owners[drawn > 0] = RAW
    for index, (item, (x, y)) in enumerate(zip(series, lines, strict=True)):
        drawn = braille.trace(x, y, columns, rows, x_range, bounds, int(item.dashed))
        # A line would not be seen in the dots of raw values.
        cells[(drawn > 0) & (owners == RAW)] = 0
        cells |= drawn
        owners[drawn > 0] = index
    left_out = sum(_left_out(item, x_range) for item in series) if look.log else 0
    return Plot(cells, owners, y_marks(scale, rows, metric), x_marks(x_range, columns, unit), left_out)


def _shown(y: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    return axes.logarithm(y) if log else y


def _left_out(item: Series, x_range: tuple[float, float]) -> int:
    return int((np.isfinite(item.y) & (item.y <= 0) & (item.x >= x_range[0]) & (item.x <= x_range[1])).sum())


def y_marks(scale: axes.Scale, rows: int, metric: str) -> dict[int, str]:
    """Labels of the y axis, by row from the top; at least two of them where there is room."""
    # Round numbers are where they are: of fewer than wanted there may be more a little closer together.
    wanted = 3 if rows >= 7 else 2
    finer = (scale.marks(most) for most in range(max(rows // 3, 1), rows))
    marks = next((marks for marks in finer if len(marks) >= wanted), [])
    if len(marks) < 2:
        marks = [(end, 10.0 ** min(max(end, -307), 308) if scale.log else end) for end in (scale.low, scale.high)]
    apart = min((abs(b[1] - a[1]) for a, b in pairwise(marks)), default=0.0)
    found: dict[int, str] = {}
    for place, value in marks:
        share = (scale.high / 2 - place / 2) / (scale.high / 2 - scale.low / 2 or 1.0)
        if not math.isfinite(share):
            # An axis that ends beyond every float has no place for it.
            continue
        row = min(max(int(share * (4 * rows - 1) + 0.5) // 4, 0), rows - 1)
        # A logarithmic axis has its values ever closer: each is written by itself.
        found.setdefault(row, axes.y_label(value, metric, value if scale.log else apart))
    return found


def x_marks(x_range: tuple[float, float], columns: int, unit: str) -> dict[int, str]:
    """Labels of the x axis, by column."""
    low, high = x_range
    most = max(columns // 10, 1)
    marks = axes.time_ticks(low, high, most) if unit == "time" else axes.ticks(low, high, most)
    if unit in ("step", "samples") or high - low >= most:
        marks = [mark for mark in marks if unit == "time" or mark == int(mark)]
    apart = marks[1] - marks[0] if len(marks) > 1 else high - low
    return {column_of(mark, x_range, columns): axes.x_label(mark, unit, apart) for mark in marks}


def column_of(x: float, x_range: tuple[float, float], columns: int) -> int:
    """The cell in which a place on the x axis lies."""
    share = (x / 2 - x_range[0] / 2) / (x_range[1] / 2 - x_range[0] / 2 or 1.0)
    return min(max(int(share * (2 * columns - 1) + 0.5) // 2, 0), columns - 1)


def nearest(item: Series, x: float, room: float = math.inf) -> int | None:
    """The index of the finite point of a series that is nearest to `x`, the earlier of two.

    None where it has no point, or where `x` lies before its first or after its last one by more than `room` and than
    its points are apart (the median).
    """
    good = np.flatnonzero(np.isfinite(item.x) & np.isfinite(item.y))
    if not len(good):
        return None
    places = item.x[good]
    room = max(room, float(np.median(np.diff(places))) if len(places) > 1 else 0.0)
    if x < places[0] - room or x > places[-1] + room:
        return None
    return int(good[np.argmin(np.abs(item.x[good] / 2 - x / 2))])


def beside(series: Sequence[Series], x: float, step: int, least: float) -> float:
    """Where a cursor at `x` goes: to the point of any of these that is nearest to `least` away in the direction of
    `step`, and beyond `x` in any case; it stays where there is none."""
    places = [item.x[np.isfinite(item.x) & np.isfinite(item.y)] for item in series]
    points = np.unique(np.concatenate([place for place in places if len(place)] or [np.empty(0)]))
    points = points[points > x] if step > 0 else points[points < x]
    if not len(points):
        return x
    return float(points[np.argmin(np.abs(points / 2 - (x + step * least) / 2))])
