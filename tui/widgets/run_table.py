"""The list of runs: a row a run, made when it comes into view, and drawn again only where it says something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.events import Click

from tui.output import middle
from tui.run_columns import BEST, NAME, Column, best_title
from tui.widgets.lines import SERIES, Line, fit, line
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.status import MARKS

if TYPE_CHECKING:
    from engine.store.listing import Summary

NARROWEST_NAME = 16
LEAD = 5
# Of how many runs the common metric is looked for, to head the column.
HEADED_BY = 200


class RunTable(Rows):
    """Runs under a cursor. The cursor stays on its run, wherever that goes; `mark(run)` gives the number of its colour,
    or None where it is not marked."""

    HELP = """Signs: ● live, ‖ paused, ✓ finished, ■ stopped, ✗ failed or damaged, ◌ interrupted; ◆ marked, ⇡ pinned,
    ★ starred. What is best is that of the epoch with the best value of the metric that the run monitors.

    Tags, pins, stars and deletions hold for the run under the cursor; where that is one of several marked runs, the
    application asks which are meant."""
    BINDINGS: ClassVar = list(VIM_KEYS)
    with_cursor = True

    def __init__(self, mark: Callable[[str], int | None], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._mark = mark
        self._runs: Sequence[Summary] = ()
        self._columns: Sequence[Column] = ()
        self._sorted = ""
        self._descending = True
        self._empty: Sequence[Line] = ()
        self._now = 0.0
        self._drawn: dict[int, Line] = {}
        self._fitting: list[tuple[Column, int]] = []
        # The run that the person has put the cursor on; it may be out of view, or of the filter.
        self.wanted = ""
        self._placing = False

    @property
    def selected(self) -> Summary | None:
        """The run under the cursor."""
        return self._runs[self.cursor] if 0 <= self.cursor < len(self._runs) else None

    def show(
        self,
        runs: Sequence[Summary],
        columns: Sequence[Column],
        order: tuple[str, bool],
        now: float,
        empty: Sequence[Line],
        *,
        narrowed: bool = False,
    ) -> None:
        """Draw these runs, sorted as `order` (id of a column, descending) says; `empty` where there is none. With
        `narrowed` the cursor goes to the first where its run is not among them, else it stays where it is."""
        before, top = self.cursor, self.scroll_offset.y
        at_top = top == 0 and before < self.room
        self._runs, self._columns, self._empty, self._now = runs, columns, empty, now
        self._sorted, self._descending = order
        index = next((at for at, run in enumerate(runs) if run.run == self.wanted), None)
        if index is None:
            index = 0 if narrowed else max(min(before, len(runs) - 1), 0)
        self.with_cursor = bool(runs)
        self._placing = True
        self._fill()
        self.cursor = index
        self._placing = False
        if at_top and index < self.room:
            self.scroll_to(y=0, animate=False, force=True)
        elif index != before and runs:
            # What is in view stays there when rows come and go above it.
            self.scroll_to(y=max(top + index - before, 0), animate=False, force=True)
        self.show_row(index)
        if not self.wanted and self.selected is not None:
            self.wanted = self.selected.run

    def at(self, now: float) -> None:
        """Draw again what says something else at this time."""
        self._now = now
        self._fill()

    def _fill(self) -> None:
        self._fitting = self._fit_columns()
        count = len(self._runs) or len(self._empty)
        drawn, self._drawn = self._drawn, {}
        top = self.scroll_offset.y
        seen = range(top, min(top + self.room, count))
        changed = [index for index in seen if self._line(index) != drawn.get(index)]
        gone = [index for index in drawn if index >= count]
        self.set_source(count, self._line, (self._header(),), changed + gone)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self._fill()
        self.show_row(self.cursor)
        self.refresh()

    # ------------------------------------------------------------------ the cursor

    def watch_cursor(self, old: int, new: int) -> None:
        if self._placing:
            self._refresh_row(old)
            self._refresh_row(new)
        else:
            super().watch_cursor(old, new)

    def move_to(self, index: int, step: int = 1) -> None:
        super().move_to(index, step)
        self.stay()

    def on_click(self, event: Click) -> None:
        super().on_click(event)
        self.stay()

    def stay(self) -> None:
        """From now on the cursor belongs to the run that it is on."""
        if self.selected is not None:
            self.wanted = self.selected.run

    # ------------------------------------------------------------------ lines

    def _fit_columns(self) -> list[tuple[Column, int]]:
        """The columns that have room, in order, with their widths; those at the end go first. The name stays."""
        # The last cell is where the scrollbar comes.
        room = self.size.width - LEAD - 1
        kept: list[Column] = []
        used = NARROWEST_NAME + 1 if any(column.id == NAME for column in self._columns) else 0
        for column in self._columns:
            if column.width and used + column.width + 2 > room:
                continue
            kept.append(column)
            used += column.width + 2 if column.width else 0
        left = room - sum(column.width + 2 for column in kept if column.width) - 1
        return [(column, column.width or left) for column in kept]

    def _header(self) -> Line:
        spans: list[tuple[str, str]] = [(" " * LEAD, "")]
        for column, width in self._fitting:
            title = best_title(self._runs[:HEADED_BY]) if column.id == BEST else column.title
            if column.id == self._sorted:
                arrow = "▼" if self._descending else "▲"
                cut = min(len(title), max(width - 2, 0))
                title = f"{title[:cut]} {arrow}"
            spans.append((self._cell(title, column, width), "strong" if column.id == self._sorted else "dim"))
        return tuple(spans)

    def _cell(self, text: str, column: Column, width: int) -> str:
        if not column.width:
            # Its end stays too, by which it differs from others of the same name.
            return fit(middle(text, width), width) + " "
        return "  " + fit(text, width, right=True) if column.right else " " + fit(text, width) + " "

    def _line(self, index: int) -> Line:
        found = self._drawn.get(index)
        if found is None:
            found = self._drawn[index] = self._make(index)
        return found

    def _make(self, index: int) -> Line:
        if not self._runs:
            return self._empty[index] if index < len(self._empty) else ()
        if index >= len(self._runs):
            return ()
        run = self._runs[index]
        colour = self._mark(run.run)
        sign, style = MARKS.get(run.status, ("?", ""))
        spans = [("◆ " if colour is not None else "  ", "" if colour is None else SERIES[colour % len(SERIES)])]
        spans.append((f"{sign} ", style))
        left = self.size.width - LEAD - 1
        for column, width in self._fitting:
            text, cell_style = column.cell(run, self._now)
            piece = self._cell(text, column, width)
            if column.id != NAME and run.status == "damaged" and run.problem:
                # Nothing else is known of it.
                spans.append((" " + fit(run.problem, max(left - 2, 0)), "bad"))
                break
            left -= len(piece) if column.width else width + 1
            spans.append((piece, cell_style))
        return line((" ", ""), *spans)
