"""Runs in columns, what differs in rows: the baseline first, each difference beside its value."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.message import Message

from tui.compared import COST, METRICS, MORE_METRICS
from tui.safe import safe
from tui.widgets.lines import Line, Span, fit, line, width_of
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.status import MARKS

if TYPE_CHECKING:
    from tui.compared import Compared, Row

NAME = 20
VALUE = 11
AWAY = 9
LEAST = VALUE + 2 + AWAY + 2
MOST = 43
# Of one value.
MOST_LINES = 8


class CompareTable(Rows):
    """`column` is the run under the cursor, counted from 0; where not all columns fit, those around it are in view."""

    HELP = """
    The first column is the baseline: what stands beside a value is how far it is from the baseline's, in percentage
    points for shares, as a ratio for times, memory and MACs. ★ marks the best of all.

    Of the experiments only what differs is shown. In the layers, + is added, ~ takes the place of the baseline's, and
    - is left out.
    """
    BINDINGS: ClassVar = [
        *VIM_KEYS,
        Binding("left,h", "column(-1)", "the run to the left", key_display="← h"),
        Binding("right", "column(1)", "the run to the right", key_display="→"),
    ]

    class ColumnChanged(Message):
        """Another run is under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.column = 0
        self._first = 0
        self._runs: Sequence[Compared] = ()
        self._table: Sequence[Row] = ()
        self._styles: Sequence[str] = ()
        self._empty: Sequence[str] = ()

    def show(
        self, runs: Sequence[Compared], table: Sequence[Row], styles: Sequence[str], empty: Sequence[str] = ()
    ) -> None:
        """Draw these runs, each heading in its style; `empty` is said where there are none."""
        self._runs, self._table, self._styles, self._empty = runs, table, styles, empty
        self.column = max(0, min(self.column, len(runs) - 1))
        self._draw()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self._draw()

    def on_focus(self) -> None:
        super().on_focus()
        self._draw()

    def on_blur(self) -> None:
        super().on_blur()
        self._draw()

    def action_column(self, step: int) -> None:
        target = self.column + step
        if 0 <= target < len(self._runs):
            self.column = target
            self._draw()
            self.post_message(self.ColumnChanged())

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        if not self.size.width:
            return
        if not self._runs:
            self.set_rows([line((f" {text}", "dim")) for text in self._empty], ())
            return
        shown, width = self._in_view()
        rows: list[Line] = []
        section = ""
        for row in self._table:
            if row.section != section:
                if section:
                    rows.append(())
                section = row.section
                rows.append(line((f" {section}", "strong")))
            rows += self._lines(row, shown, width)
        self.set_rows(rows, self._heads(shown, width))

    def _in_view(self) -> tuple[range, int]:
        """The columns that are in view, and how wide each is."""
        room = self.size.width - NAME - 2
        fitting = max(min(room // LEAST, len(self._runs)), 1)
        if self.column < self._first:
            self._first = self.column
        elif self.column >= self._first + fitting:
            self._first = self.column - fitting + 1
        self._first = max(0, min(self._first, len(self._runs) - fitting))
        return range(self._first, self._first + fitting), min(room // fitting, MOST)

    def _heads(self, shown: range, width: int) -> list[Line]:
        names: list[Span] = [(" " * (NAME + 2), "")]
        below: list[Span] = [(fit(self._out_of_view(shown), NAME + 2), "dim")]
        for at in shown:
            run = self._runs[at]
            mark, style = MARKS.get(run.status, ("?", ""))
            selected = at == self.column and self.has_focus
            names += [(f"{mark} ", style), (fit(run.label, width - 3), self._styles[at]), (" ", "")]
            said = ("▸ " if selected else "  ") + ("baseline" if at == 0 else "")
            below.append((fit(said, width), "accent" if selected else "dim"))
        return [tuple(names), tuple(below)]

    def _out_of_view(self, shown: range) -> str:
        left, right = shown.start, len(self._runs) - shown.stop
        told = [f"← {left}"] if left else []
        return " " + "   ".join([*told, f"{right} more →"] if right else told)

    def _lines(self, row: Row, shown: range, width: int) -> list[Line]:
        """A row of numbers is a line; texts go on in the lines below, for what differs may be their end."""
        if row.note:
            return [line((" " * (NAME + 2) + row.note, "dim"))]
        name: Span = (f"  {fit(row.name, NAME - 1)} ", "dim")
        if row.section in (METRICS, MORE_METRICS, COST):
            spans: list[Span] = [name]
            for at in shown:
                cell = row.cells[at]
                spans.append((fit(cell.text, VALUE, right=True), "good" if cell.best else cell.style))
                spans.append((" ★" if cell.best else "  ", "good"))
                spans.append((fit(fit(cell.away, AWAY, right=True), width - VALUE - 2), "dim"))
            return [tuple(spans)]
        texts = [_wrapped(row.cells[at].text, width - 1) for at in shown]
        rows: list[Line] = []
        for below in range(max(len(text) for text in texts)):
            parts = [text[below] if below < len(text) else "" for text in texts]
            cells = [(fit(part, width - 1) + " ", row.cells[at].style) for at, part in zip(shown, parts, strict=True)]
            rows.append((name if below == 0 else (" " * (NAME + 2), ""), *cells))
        return rows


def _wrapped(text: str, width: int) -> list[str]:
    """A value over several lines, those below the first one cell further right; one at least."""
    if width_of(line(text)) <= width:
        return [text]
    # Narrower than this, `fit` cuts.
    return textwrap.wrap(
        safe(text),
        max(width, VALUE),
        subsequent_indent=" ",
        break_on_hyphens=False,
        max_lines=MOST_LINES,
        placeholder=" …",
    )
