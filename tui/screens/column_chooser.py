"""Which columns the list of runs has, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content

from tui.run_columns import NAME, column
from tui.screens.dialogue import Dialogue
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import VIM_KEYS, Rows

ROWS = 16


class Columns(Rows):
    """The columns that are shown, in order, then those that could be."""

    BINDINGS: ClassVar = list(VIM_KEYS)
    with_cursor = True


class ColumnChooser(Dialogue[list[str] | None]):
    """Gives the ids of the columns in order, or None where nothing is to change."""

    CSS_PATH: ClassVar = ["modals.tcss", "run_dialogues.tcss"]
    BINDINGS: ClassVar = [
        Binding("escape,q", "leave", show=False),
        Binding("enter", "take", show=False),
        Binding("space", "switch", show=False),
        Binding("K", "move(-1)", show=False),
        Binding("J", "move(1)", show=False),
    ]

    def __init__(self, shown: Sequence[str], known: Sequence[str]) -> None:
        super().__init__()
        self._shown = list(shown)
        self._order = [*shown, *(id for id in known if id not in set(shown))]

    def compose(self) -> ComposeResult:
        box = Vertical(Columns(id="columns"), id="column-chooser")
        box.border_title = Content("Columns")
        box.border_subtitle = Content("space shows or hides   K J move   enter keeps   esc leaves")
        yield box

    def on_mount(self) -> None:
        rows = self.query_one(Columns)
        rows.styles.height = min(len(self._order), ROWS)
        rows.focus()
        self._show()

    def _show(self) -> None:
        self.query_one(Columns).set_rows([self._line(id) for id in self._order])

    def _line(self, id: str) -> Line:
        found = column(id)
        there = id in self._shown
        title = found.title if found is not None else id
        told = found.line if found is not None else ""
        return line(
            (" ✓ " if there else "   ", "accent"), (fit(title, 20), "strong" if there else ""), " ", (told, "dim")
        )

    def action_switch(self) -> None:
        id = self._order[self.query_one(Columns).cursor]
        if id == NAME:
            return  # A list of runs without their names is of no use.
        if id in self._shown:
            self._shown.remove(id)
        else:
            self._shown.append(id)
        self._show()

    def action_move(self, step: int) -> None:
        rows = self.query_one(Columns)
        here, there = rows.cursor, rows.cursor + step
        if 0 <= there < len(self._order):
            self._order.insert(there, self._order.pop(here))
            self._show()
            rows.move_to(there)

    def action_take(self) -> None:
        self.dismiss([id for id in self._order if id in self._shown])

    def action_leave(self) -> None:
        self.dismiss(None)
