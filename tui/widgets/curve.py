"""Curves over epochs, drawn in braille on Textual's line API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tui.output import is_share, number
from tui.widgets.lines import COMPONENTS, StyledLines, fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AXIS = 8
BLANK = 0x2800


@dataclass(frozen=True)
class Series:
    """One curve: `style` names a style of lines.py; `dashed` tells it from the others where there is no colour."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    style: str
    dashed: bool = False


class Curve(StyledLines, Widget, can_focus=True):
    """Several series in one frame, with an axis on the left, epochs below and the names above.

    `draw` is called when there is something new, and at most once a second; until then nothing is computed.
    """

    COMPONENT_CLASSES = COMPONENTS

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self._empty = empty
        self._series: tuple[Series, ...] = ()
        self._epochs = 1.0
        self._share = False
        self._strips: list[Strip] | None = None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_line_styles()
        self._strips = None

    def on_resize(self) -> None:
        self._strips = None

    def draw(self, series: Sequence[Series], epochs: float, metric: str = "") -> None:
        """Show these series over 0 to `epochs`; shares are labelled in per cent."""
        self._series = tuple(item for item in series if len(item.x))
        self._epochs = max(epochs, 1e-9)
        self._share = is_share(metric)
        self._strips = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._draw(self.size.width, self.size.height)
        return self._strips[y] if y < len(self._strips) else self.strip((), self.size.width)

    def _draw(self, width: int, height: int) -> list[Strip]:
        from tui.widgets import braille

        bounds = braille.limits(*(item.y for item in self._series))
        columns, rows = width - AXIS - 1, height - 3
        if bounds is None or columns < 4 or rows < 2:
            return [self.strip(((f" {self._empty}", "dim"),), width)] if bounds is None else []
        dim = self.line_style("") + self.line_style("dim")
        base = self.line_style("")
        owner: list[list[int]] = [[-1] * columns for _ in range(rows)]
        cells = [[0] * columns for _ in range(rows)]
        for index, item in enumerate(self._series):
            drawn = braille.trace(item.x, item.y, columns, rows, (0.0, self._epochs), bounds, item.dashed)
            for row, column in zip(*drawn.nonzero(), strict=True):
                cells[row][column] |= int(drawn[row, column])
                owner[row][column] = index
        labels = {0: self._label(bounds[1]), rows - 1: self._label(bounds[0])}
        if rows >= 7:
            labels[(rows - 1) // 2] = self._label(bounds[1] - (bounds[1] - bounds[0]) * ((rows - 1) // 2) / (rows - 1))
        strips = [self._legend(width)]
        for row in range(rows):
            tick = "┤" if row in labels else "│"
            segments = [Segment(fit(labels.get(row, ""), AXIS, right=True) + tick, dim)]
            start = 0
            while start < columns:
                end = start + 1
                while end < columns and owner[row][end] == owner[row][start]:
                    end += 1
                index = owner[row][start]
                text = "".join(chr(BLANK + value) if value else " " for value in cells[row][start:end])
                style = base if index < 0 else base + self.line_style(self._series[index].style)
                segments.append(Segment(text, style))
                start = end
            strips.append(Strip(segments).adjust_cell_length(width, base))
        strips += self._below(columns, width)
        return strips

    def _legend(self, width: int) -> Strip:
        spans = []
        for item in self._series:
            spans += [(f"{item.name} ", "dim"), ("╌╌" if item.dashed else "──", item.style), ("  ", "")]
        used = sum(len(text) for text, _ in spans)
        return self.strip(((" " * max(width - used, 0), ""), *spans), width)

    def _below(self, columns: int, width: int) -> list[Strip]:
        from tui.widgets import braille

        axis = ["─"] * columns
        text = [" "] * columns
        marks = [mark for mark in braille.ticks(0, self._epochs, max(columns // 10, 2)) if mark == int(mark)]
        free = 0
        for mark in marks:
            at = round(mark / self._epochs * (columns - 1))
            label = f"{int(mark)}"
            axis[at] = "┬"
            start = min(max(at - len(label) // 2, 0), columns - len(label))
            if start >= free:
                text[start : start + len(label)] = label
                free = start + len(label) + 1
        name = " epoch"
        if columns - len(name) >= free:
            text[columns - len(name) :] = name
        pad = " " * AXIS
        return [
            self.strip(((pad + "└" + "".join(axis), "dim"),), width),
            self.strip(((pad + " " + "".join(text), "dim"),), width),
        ]

    def _label(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self._share else number(value)
