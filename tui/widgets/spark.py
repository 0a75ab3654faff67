"""A number over time as bars of eighths of a cell: one line of them, or several above each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

SPARKS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None]) -> str:
    """One line of bars, from 0 to the largest value; a gap where there is none."""
    return bars(values)[0]


def bars(values: Sequence[float | None], height: int = 1, top: float | None = None) -> tuple[str, ...]:
    """`height` lines of len(values) cells, the uppermost first; `top` is the value that fills them, by default the
    largest. What is not finite is left out; everything else shows at least the lowest bar."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    full = top or max(known, default=0.0)
    full = full if full > 0 else 1.0
    rows = [[" "] * len(values) for _ in range(height)]
    for column, value in enumerate(values):
        if value is None or not math.isfinite(value):
            continue
        eighths = int(max(0.0, min(value / full, 1.0)) * (8 * height - 0.001)) + 1
        for row in range(height):
            part = min(eighths - 8 * (height - 1 - row), 8)
            if part > 0:
                rows[row][column] = SPARKS[part - 1]
    return tuple("".join(row) for row in rows)


def over_time(points: Sequence[tuple[float, float]], columns: int) -> list[float | None]:
    """Readings (time, value), oldest first, in `columns` equal spans of time: the largest of each, so that no peak is
    lost; where a span has none, what was read last."""
    if not points or columns < 1:
        return []
    first, last = points[0][0], points[-1][0]
    span = (last - first) or 1.0
    cells: list[float | None] = [None] * columns
    for when, value in points:
        # A clock that was set back must not throw.
        at = max(0, min(int((when - first) / span * columns), columns - 1))
        cell = cells[at]
        cells[at] = value if cell is None else max(cell, value)
    kept: float | None = None
    for at, cell in enumerate(cells):
        kept = kept if cell is None else cell
        cells[at] = kept
    return cells
