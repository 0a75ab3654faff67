"""Curves over epochs, steps, time or samples, drawn in braille on Textual's line API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.output import MISSING
from tui.output import metric as metric_text
from tui.widgets.lines import COMPONENTS, Line, StyledLines, fit, width_of
from tui.widgets.look import Look, Series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Curve", "Look", "Series"]

AXIS = 8
BLANK = 0x2800
LEGEND_LINES = 3
NAME = 24
# The column of the cursor, beside the owners of cells.
CURSOR = 64


class Curve(StyledLines, Widget, can_focus=True):
    """Several series in one frame, with an axis on the left, one below, and the names above.

    `draw` is called when there is something new, and at most once a second; until then nothing is computed, and of
    what was computed only the cells that differ go to the terminal. `look` says what is in view and how.
    """

    COMPONENT_CLASSES = COMPONENTS
    HELP = """
    Each point of a curve is drawn, however many share a cell: no peak is lost. With smoothing (an exponential moving
    average) the values themselves stand dim behind the line.

    The cursor reads the recorded values nearest to it, of all curves; behind ~ stands the smoothed one. A part at the
    right edge of the axis follows the run; once moved away from there it stays where it is.
    """

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self._empty = empty
        self._series: tuple[Series, ...] = ()
        self._reach = self._span = 1.0
        self._metric = ""
        self._unit = "epoch"
        self._look = Look()
        self._cursor: float | None = None
        self._drawn: _Drawn | None = None
        self._strips: list[Strip] | None = None
        self.left_out = 0

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_line_styles()
        self._drawn = self._strips = None

    def on_resize(self) -> None:
        self._drawn = self._strips = None

    # ------------------------------------------------------------------ what is shown

    def draw(
        self,
        series: Sequence[Series],
        span: float,
        metric: str = "",
        *,
        unit: str = "epoch",
        reach: float | None = None,
        empty: str = "",
    ) -> None:
        """Show these series over 0 to `span` of the unit (epoch, step, time, samples); shares are labelled in per cent.

        `reach` is how far the series go, which a part of the axis at its right edge follows; `empty` is said where none
        of them has a point.
        """
        self._series = tuple(item for item in series if len(item.x))
        self._span = max(span, 1e-9)
        self._reach = min(self._span if reach is None else max(reach, 0.0), self._span)
        self._metric, self._unit = metric, unit
        self._empty = empty or self._empty
        self._renew()

    @property
    def look(self) -> Look:
        return self._look

    @look.setter
    def look(self, look: Look) -> None:
        if look != self._look:
            self._look = look
            self._renew()

    @property
    def x_range(self) -> tuple[float, float]:
        """What of the x axis is in view."""
        return self._look.window.bounds(self._reach, self._span)

    def zoom(self, factor: float) -> None:
        """Have `factor` times as much in view, around the cursor where there is one."""
        window = self._look.window.zoomed(factor, self._cursor, self._reach, self._span)
        self.look = replace(self._look, window=window)

    def pan(self, share: float) -> None:
        """Move what is in view by this share of its width."""
        self.look = replace(self._look, window=self._look.window.panned(share, self._reach, self._span))

    @property
    def notes(self) -> list[str]:
        """What the person has to know to read it: smoothing, scale, part, values that cannot be shown."""
        gone = f"{self.left_out:,} of 0 or less left out"
        return self._look.notes + ([gone] if self.left_out and self._look.log else [])

    # ------------------------------------------------------------------ the cursor

    @property
    def cursor(self) -> float | None:
        """Where values are read, on the x axis."""
        return self._cursor

    def point_at(self, x: float | None) -> None:
        """Put the cursor there, and have it in view; None takes it away."""
        self._cursor = x
        if x is not None:
            window = self._look.window.holding(x, self._reach, self._span)
            self._look = replace(self._look, window=window)
        self._renew()

    def next_point(self, step: int) -> float | None:
        """Where the cursor goes by this many cells, always onto a point; without a cursor the newest one in view."""
        from tui.widgets.plot import beside

        if not self._series:
            return None
        low, high = self.x_range
        if self._cursor is None:
            return beside(self._series, high + (high - low) * 1e-9, -1, 0.0)
        return beside(self._series, self._cursor, step, abs(step) * (high - low) / max(self.size.width - AXIS - 1, 1))

    def values(self, x: float) -> list[tuple[Series, float, float]]:
        """The point of each series that is nearest to `x`: (series, its x, its y), as recorded. A series that has ended
        before, or begins after it, has none there."""
        from tui.widgets.plot import nearest

        low, high = self.x_range
        cell = (high - low) / max(self.size.width - AXIS - 1, 1)
        found = [(item, nearest(item, x, cell)) for item in self._series]
        return [(item, float(item.x[at]), float(item.y[at])) for item, at in found if at is not None]

    # ------------------------------------------------------------------ drawing

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._renew(told=True)
        strips = self._strips or []
        return strips[y] if y < len(strips) else self.strip((), self.size.width)

    def _renew(self, told: bool = False) -> None:
        """Compute what it looks like now; where the terminal has an older picture, send what differs."""
        width, height = self.size
        if not width or not height or not self.is_mounted:
            self._drawn = self._strips = None
            return
        old, new = self._drawn, self._compute(width, height)
        if old is not None and self._strips is not None and old.same(new):
            return
        self._drawn, self._strips = new, self._painted(new, width)
        if told:
            return
        if old is None or old.codes is None or new.codes is None or old.shape != new.shape:
            self.refresh()
            return
        regions = [Region(0, y, width, 1) for y in range(height) if old.lines.get(y) != new.lines.get(y)]
        top = new.top
        for row, changed in enumerate(old.codes != new.codes):
            if changed.any() and Region(0, top + row, width, 1) not in regions:
                places = changed.nonzero()[0]
                first, last = int(places[0]), int(places[-1])
                regions.append(Region(AXIS + 1 + first, top + row, last - first + 1, 1))
        self.refresh(*regions)

    def _compute(self, width: int, height: int) -> _Drawn:
        self.left_out = 0
        if not self._series:
            return _Drawn({0: ((f" {self._empty}", "dim"),)}, None, 0)
        # numpy: it comes with the first curve.
        from tui.widgets.plot import column_of, plot

        legend = self._legend(width, min(LEGEND_LINES, max(height - 6, 1)))
        columns, rows = width - AXIS - 1, height - 2 - len(legend)
        if columns < 4 or rows < 2:
            told = self.with_keys(" no room here: {panels.maximise} gives it the whole screen")
            return _Drawn({0: ((told, "dim"),)}, None, 0)
        picture = plot(self._series, self._look, columns, rows, self.x_range, self._metric, self._unit)
        if picture is None:
            return _Drawn({0: ((f" {self._nothing()}", "dim"),)}, None, 0)
        self.left_out = picture.left_out
        lines = dict(enumerate(legend))
        top = len(legend)
        for row in range(rows):
            label = fit(picture.y_marks.get(row, ""), AXIS, right=True)
            lines[top + row] = ((label + ("┤" if row in picture.y_marks else "│"), "dim"),)
        lines[top + rows], lines[top + rows + 1] = self._below(picture.x_marks, columns)
        import numpy as np

        owners = picture.owners.astype(np.int32)
        codes = picture.cells.astype(np.int32) | (owners + 8) << 8
        if self._cursor is not None and self.x_range[0] <= self._cursor <= self.x_range[1]:
            codes[:, column_of(self._cursor, self.x_range, columns)] += CURSOR << 8
        return _Drawn(lines, codes, top)

    def _nothing(self) -> str:
        if self._look.log:
            return self._with_key("no value above 0 here: {} goes back to a linear axis", "logarithm")
        return self._with_key("nothing of the curve lies here: {} shows all of it", "reset_charts")

    def _with_key(self, text: str, command: str) -> str:
        """A text with the key of a command of charts, which each screen that has some declares for itself."""
        return text.format(self.with_keys(f"{{{getattr(self.screen, 'where', 'train')}.{command}}}"))

    def _painted(self, drawn: _Drawn, width: int) -> list[Strip]:
        if drawn.codes is None:
            return [self.strip(line, width) for _, line in sorted(drawn.lines.items())]
        rows = len(drawn.codes)
        strips = []
        for y in range(drawn.top + rows + 2):
            if drawn.top <= y < drawn.top + rows:
                strips.append(self._row(drawn.lines[y], drawn.codes[y - drawn.top], width))
            else:
                strips.append(self.strip(drawn.lines[y], width))
        return strips

    def _row(self, axis: Line, codes: NDArray[np.int32], width: int) -> Strip:
        import numpy as np

        base = self.line_style("")
        dots, owners = codes & 0xFF, (codes >> 8) - 8
        lit = owners >= CURSOR - 8
        owners = np.where(lit, owners - CURSOR, owners)
        # What is blank has no colour: it goes on with the one before, for less to be said to the terminal.
        drawn = np.where(dots > 0, np.arange(len(dots)), 0)
        styles = owners[np.maximum.accumulate(drawn)]
        letters = np.where(dots > 0, dots + BLANK, np.where(lit, ord("│"), ord(" "))).astype("<u2")
        text = letters.tobytes().decode("utf-16-le")
        starts = [0, *(np.flatnonzero((np.diff(styles) != 0) | (np.diff(lit) != 0)) + 1).tolist(), len(text)]
        segments = [Segment(axis[0][0], base + self.line_style("dim"))]
        for start, end in pairwise(starts):
            owner = int(styles[start])
            style = base + self.line_style(self._series[owner].style if owner >= 0 else "dim") if owner != -1 else base
            segments.append(Segment(text[start:end], style + self.line_style("cursor") if lit[start] else style))
        return Strip(segments).adjust_cell_length(width, base)

    def _legend(self, width: int, most: int) -> list[Line]:
        """The names of the series, and at the cursor their values, in as many lines as they need."""
        said = {id(item): (x, y) for item, x, y in self.values(self._cursor)} if self._cursor is not None else {}
        entries: list[Line] = []
        if self._cursor is not None:
            from tui.widgets.axes import x_label

            low, high = self.x_range
            at = x_label(self._cursor, self._unit, (high - low) / 1000)
            entries.append(((f"{self._unit} {at}", "strong"), ("  ", "")))
        for item in sorted(self._series, key=lambda item: int(item.dashed)):
            entry: list[tuple[str, str]] = [(fit(item.name, NAME).rstrip() + " ", "dim")]
            entry.append((_sample(int(item.dashed)), item.style))
            if id(item) in said:
                entry.append((f" {metric_text(self._metric, said[id(item)][1])}", "strong"))
                entry += self._smoothed(item, said[id(item)][0])
            elif self._cursor is not None:
                entry.append((f" {MISSING}", "dim"))
            entries.append((*entry, ("  ", "")))
        lines: list[Line] = [()]
        for index, spans in enumerate(entries):
            if width_of((*lines[-1], *spans)) > width and lines[-1]:
                if len(lines) == most:
                    lines[-1] = _cut(lines[-1], f"+{len(entries) - index}", width)
                    break
                lines.append(())
            lines[-1] = (*lines[-1], *spans)
        return [((" " * max(width - width_of(line), 0), ""), *line) for line in lines]

    def _smoothed(self, item: Series, x: float) -> Line:
        if not self._look.weight:
            return ()
        import numpy as np

        from tui.smoothing import smooth

        value = float(smooth(item.x, item.y, self._look.weight)[int(np.searchsorted(item.x, x))])
        return ((f" ~{metric_text(self._metric, value)}", "dim"),)

    def _below(self, marks: dict[int, str], columns: int) -> tuple[Line, Line]:
        axis = ["─"] * columns
        text = [" "] * columns
        free = 0
        for at, label in sorted(marks.items()):
            axis[at] = "┬"
            start = min(max(at - len(label) // 2, 0), columns - len(label))
            if start >= free:
                text[start : start + len(label)] = label
                free = start + len(label) + 1
        corner = " " * AXIS + "└"
        return ((corner + "".join(axis), "dim"),), ((fit(self._unit, AXIS, right=True) + " " + "".join(text), "dim"),)


class _Drawn:
    """What was computed for one picture: whole lines by row, and of the rows that hold curves the cells."""

    def __init__(self, lines: dict[int, Line], codes: NDArray[np.int32] | None, top: int) -> None:
        self.lines = lines
        self.codes = codes
        self.top = top

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.top, *(self.codes.shape if self.codes is not None else ()))

    def same(self, other: _Drawn) -> bool:
        """Whether both look alike."""
        if self.lines != other.lines or self.shape != other.shape:
            return False
        return self.codes is None or other.codes is None or bool((self.codes == other.codes).all())


def _cut(line: Line, text: str, width: int) -> Line:
    """The line with `text` at its end, without the entries for which there is no room then."""
    spans = list(line)
    while spans and width_of(tuple(spans)) + len(text) + 1 > width:
        spans.pop()
    return (*spans, (f"{text} ", "dim"))


def _sample(dash: int) -> str:
    """A short piece of a line as it is drawn."""
    if dash < 2:
        return "╌╌" if dash else "──"
    from tui.widgets.braille import DASHES

    pattern = DASHES[dash % len(DASHES)]
    dots = [pattern[at % len(pattern)] for at in range(8)]
    cells = [0x02 * left | 0x10 * right for left, right in zip(dots[::2], dots[1::2], strict=True)]
    return "".join(chr(BLANK | cell) if cell else " " for cell in cells)
