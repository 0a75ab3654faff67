"""A list to pick one entry from: what is typed narrows it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.screens.prompt import LineInput
from tui.widgets.lines import fit, line
from tui.widgets.rows import Rows

ROWS = 14


class Found(Rows):
    """What is left of the list; the focus stays in the input."""

    with_cursor = True
    can_focus = False

    @property
    def cursor_lit(self) -> bool:
        return True


class Picker(ModalScreen[str | None]):
    """Gives the name of an entry, or None. `entries` are (name, key or "", what it is)."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [
        Binding("escape", "leave", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False),
    ]

    def __init__(self, title: str, entries: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title = title
        self._entries = entries
        self._left: Sequence[tuple[str, str, str]] = entries

    def compose(self) -> ComposeResult:
        box = Vertical(LineInput("", placeholder="type to narrow down"), Found(id="found"), id="picker")
        box.border_title = Content(self._title)
        yield box

    def on_mount(self) -> None:
        self.query_one(Found).styles.height = min(len(self._entries), ROWS)
        self.query_one(Input).focus()
        self.call_after_refresh(self._show)

    def on_input_changed(self, event: Input.Changed) -> None:
        text = event.value.strip()
        if text:
            matcher = Matcher(text)
            scored = [
                (max(matcher.match(name) * 2, matcher.match(what)), (name, key, what))
                for name, key, what in self._entries
            ]
            self._left = [entry for score, entry in sorted(scored, key=lambda pair: -pair[0]) if score > 0]
        else:
            self._left = self._entries
        found = self.query_one(Found)
        found.cursor = 0
        self._show()

    def _show(self) -> None:
        widest = max((len(name) for name, _, _ in self._entries), default=0) + 3
        keys = max((len(key) for _, key, _ in self._entries), default=0)
        found = self.query_one(Found)
        room = max(found.size.width - widest - (keys + 2 if keys else 0) - 2, 8)
        rows = [
            line(
                (" " + fit(name, widest), "strong"),
                (fit(key, keys + 2) if keys else "", "accent"),
                (fit(what, room).rstrip(), "dim"),
            )
            for name, key, what in self._left
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
            self.dismiss(self._left[min(self.query_one(Found).cursor, len(self._left) - 1)][0])

    def action_leave(self) -> None:
        self.dismiss(None)
