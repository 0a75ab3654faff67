"""A question with a few answers, each with its key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Static

from tui.safe import safe_lines
from tui.screens.dialogue import Dialogue
from tui.widgets.lines import line
from tui.widgets.rows import VIM_KEYS, Rows


class Answers(Rows):
    """The answers of a question, under a cursor."""

    with_cursor = True
    BINDINGS: ClassVar = list(VIM_KEYS)


class Choice(Dialogue[str | None]):
    """Gives the name of the answer, or None where the person left with escape.

    `answers` are (key, what it does, name).
    """

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [Binding("escape,q", "leave", show=False), Binding("enter", "take", show=False)]

    def __init__(self, title: str, text: str, answers: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._answers = answers

    def compose(self) -> ComposeResult:
        box = Vertical(
            Static(Content(safe_lines(self._text)), id="question", markup=False), Answers(id="answers"), id="choice"
        )
        box.border_title = Content(self._title)
        yield box

    def on_mount(self) -> None:
        self._place()
        answers = self.query_one(Answers)
        answers.styles.height = len(self._answers)
        answers.set_rows([line((f" {key:<3}", "accent"), text) for key, text, _ in self._answers])
        answers.focus()

    def on_resize(self) -> None:
        self._place()

    def _place(self) -> None:
        widest = max(len(text) for _, text, _ in self._answers) + 8
        self.query_one("#choice").styles.width = min(max(64, widest), self.app.size.width)

    def on_key(self, event: Key) -> None:
        if self.hidden:
            return
        for key, _, name in self._answers:
            if event.character == key:
                event.stop()
                self.dismiss(name)
                return

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.twice:
            self.action_take()

    def action_take(self) -> None:
        self.dismiss(self._answers[self.query_one(Answers).cursor][2])

    def action_leave(self) -> None:
        self.dismiss(None)
