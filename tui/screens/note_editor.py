"""A note on a run: as many lines as it takes."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import TextArea

from tui.safe import safe
from tui.screens.dialogue import Dialogue
from tui.widgets.visible_text import VisibleText


class NoteEditor(Dialogue[str | None]):
    """Gives the text, or None where the person left without keeping it."""

    CSS_PATH: ClassVar = ["modals.tcss", "run_dialogues.tcss"]
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "keep", show=False, priority=True),
        Binding("escape", "leave", show=False, priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        # What stands in the note may be anything; what is edited is what can be seen.
        area = VisibleText(self._text, id="note-text", tab_behavior="focus", soft_wrap=True)
        box = Vertical(area, id="note")
        box.border_title = Content(safe(f"Note on {self._title}", 60))
        box.border_subtitle = Content("^s keeps it   esc leaves it as it was")
        yield box

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        area.focus()

    def action_keep(self) -> None:
        self.dismiss(self.query_one(TextArea).text.rstrip())

    def action_leave(self) -> None:
        self.dismiss(None)
