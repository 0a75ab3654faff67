"""A list to pick one entry from: what is typed narrows it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui.matching import score
from tui.screens.dialogue import Dialogue
from tui.screens.prompt import LineInput
from tui.widgets.lines import fit, line
from tui.widgets.rows import Rows

ROWS = 14


@dataclass(frozen=True)
class Entry:
    """A name, the key that does the same, what it is; `why_not` says why it cannot be taken now."""

    name: str
    key: str
    line: str
    why_not: str = ""


class Found(Rows):
    """What is left of the list; the focus stays in the input."""

    with_cursor = True
    can_focus = False

    @property
    def cursor_lit(self) -> bool:
        return True


class Picker(Dialogue[str | None]):
    """Gives the name of an entry, or None."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [
        Binding("escape", "leave", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False),
    ]

    def __init__(self, title: str, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._title = title
        self._entries = entries
        self._left: Sequence[Entry] = entries

    def compose(self) -> ComposeResult:
        box = Vertical(LineInput("", placeholder="type to narrow down"), Found(id="found"), id="picker")
        box.border_title = Content(self._title)
        yield box

    def on_mount(self) -> None:
        self.query_one(Found).styles.height = min(len(self._entries), ROWS)
        self.query_one(Input).focus()
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def on_input_changed(self) -> None:
        self._narrow()
        self.query_one(Found).cursor = 0
        self._show()

    def _narrow(self) -> None:
        typed = self.query_one(Input).value
        found_at = [(score(typed, entry.name, entry.line), entry) for entry in self._entries]
        kept = [(rank, bool(entry.why_not), entry) for rank, entry in found_at if rank is not None]
        self._left = [entry for _, _, entry in sorted(kept, key=lambda item: item[:2])]

    def _show(self) -> None:
        widest = max((len(entry.name) for entry in self._entries), default=0) + 3
        keys = max((len(entry.key) for entry in self._entries), default=0)
        found = self.query_one(Found)
        room = max(found.size.width - widest - (keys + 2 if keys else 0) - 2, 8)
        rows = [
            line(
                (" " + fit(entry.name, widest), "dim" if entry.why_not else "strong"),
                (fit(entry.key, keys + 2) if keys else "", "dim" if entry.why_not else "accent"),
                (fit(entry.why_not or entry.line, room).rstrip(), "dim"),
            )
            for entry in self._left
        ]
        found.set_rows(rows or [line((" nothing has this in its name", "dim"))])

    def action_move(self, step: int) -> None:
        self.query_one(Found).action_cursor(step)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.twice:
            self._take()

    def on_input_submitted(self) -> None:
        self._take()

    def _take(self) -> None:
        if self._left:
            entry = self._left[min(self.query_one(Found).cursor, len(self._left) - 1)]
            if not entry.why_not:
                self.dismiss(entry.name)

    def action_leave(self) -> None:
        self.dismiss(None)
