"""One line of text, asked for in place: what is wrong with it stands beneath while it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region
from textual.widgets import Input, Static

from tui.safe import safe, safe_lines
from tui.screens.dialogue import Dialogue


class LineInput(Input):
    """Textual's input without a blinking cursor: at rest nothing is written to the terminal. What cannot be seen is
    made visible, whether it is there from the beginning or pasted."""

    def __init__(self, value: str, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, id=id, select_on_focus=False, compact=True)
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        return safe(value.replace("\t", " "))

    def replace(self, text: str, start: int, end: int) -> None:
        # Beforehand, for the cursor goes to the end of it.
        super().replace(self.validate_value(text), start, end)


class Prompt(Dialogue[str | None]):
    """Gives the text, or None where the person left with escape.

    `wrong(text)` says what is wrong with it, or ""; it is asked while the text is typed, or with `late` once it is
    entered. `at` is the region of the screen that it stands over. With `replace` the first key typed replaces the text.
    """

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [Binding("escape", "leave", show=False)]

    def __init__(
        self,
        title: str,
        text: str,
        wrong: Callable[[str], str],
        at: Region | None = None,
        *,
        late: bool = False,
        replace: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._wrong = wrong
        self._at = at
        self._late = late
        self._replace = replace

    def compose(self) -> ComposeResult:
        box = Vertical(
            LineInput(self._text),
            Static(Content("enter keeps it, esc leaves it as it was"), id="beneath", markup=False),
            id="prompt",
        )
        box.border_title = Content(self._title)
        yield box

    def on_mount(self) -> None:
        self._place()
        line = self.query_one(Input)
        line.focus()
        if self._replace:
            line.select_all()
        if self._text and not self._late:
            self._say(self._wrong(self._text))

    def on_resize(self) -> None:
        self._place()

    def _place(self) -> None:
        box = self.query_one("#prompt")
        width, height = self.app.size
        if self._at is None:
            size = min(60, width - 4)
            box.styles.width = size
            box.styles.offset = ((width - size) // 2, max(height // 3 - 2, 0))
            return
        size = max(min(self._at.width + 2, width), min(50, width))
        box.styles.width = size
        box.styles.offset = (max(min(self._at.x - 1, width - size), 0), max(min(self._at.y - 1, height - 7), 0))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._say(self._wrong(event.value) if event.value.strip() and not self._late else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        problem = self._wrong(event.value)
        if problem:
            self._say(problem)
        else:
            self.dismiss(event.value.strip())

    def _say(self, problem: str) -> None:
        beneath = self.query_one("#beneath", Static)
        beneath.set_class(bool(problem), "-wrong")
        text = f"✗ {safe_lines(problem)}" if problem else "enter keeps it, esc leaves it as it was"
        beneath.update(Content(text))

    def action_leave(self) -> None:
        self.dismiss(None)
