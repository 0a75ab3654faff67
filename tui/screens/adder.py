"""Adding layers: a line of text, the layers that it may mean, and the shape that would come out of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Paste
from textual.geometry import Region
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from engine.errors import RequestError
from tui.layer_tree import read, written
from tui.output import shape
from tui.pretrained import models, read_models
from tui.safe import safe_lines
from tui.screens.dialogue import Dialogue
from tui.screens.picker import Found
from tui.screens.prompt import LineInput
from tui.suggestions import MOST, Incoming, Suggestion, catalogue, outcome, suggest, wrong_layers
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows

HINT = "enter adds what is selected, tab completes it; `conv 32 3`, `lin 64 relu` and `resnet18` are understood"
WIDTH = 90
HEIGHT = MOST + 5
SECONDS_BETWEEN_LOOKS = 0.3


class LayerInput(LineInput):
    """A line into which several lines can be pasted: calls, one on each, as they stand in code."""

    def on_paste(self, event: Paste) -> None:
        event.prevent_default()
        event.stop()
        try:
            text = written(read(event.text))
        except RequestError:
            text = " ".join(event.text.split())
        self.insert_text_at_cursor(text)


class Adder(Dialogue[str | None]):
    """Gives layers as text, or None. `given` says what comes into the first of them, where that is known by now."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [
        Binding("escape", "leave", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("up,ctrl+p", "move(-1)", show=False),
        Binding("tab", "complete", show=False, priority=True),
    ]

    class Shapes(Message):
        """What would come out of calls, as the question `number` asked."""

        def __init__(self, number: int, shapes: dict[str, str]) -> None:
            super().__init__()
            self.number = number
            self.shapes = shapes

    class ModelsRead(Message):
        """What can be a Backbone is known now."""

    def __init__(self, title: str, given: Callable[[], Incoming | None], at: Region) -> None:
        super().__init__()
        self._title = title
        self._given = given
        self._at = at
        self._found: list[Suggestion] | None = None
        self._shapes: dict[str, str] = {}
        self._number = 0

    def compose(self) -> ComposeResult:
        box = Vertical(LayerInput(""), Found(id="found"), Static(HINT, id="beneath", markup=False), id="adder")
        box.border_title = Content(self._title)
        yield box

    def on_mount(self) -> None:
        self._place()
        self.query_one(Found).styles.height = MOST
        self.query_one(Input).focus()
        self._look()
        self.call_after_refresh(self._draw)
        if not models():
            self.run_worker(self._read_models, thread=True, group="models", exit_on_error=False)
        if self._found is None or self._given() is None:
            self._waiting = self.set_interval(SECONDS_BETWEEN_LOOKS, self._look_again)

    def _read_models(self) -> None:
        """In a thread of its own, once the check has brought torch: two imports at once would only wait longer."""
        while catalogue() is None:
            if get_current_worker().is_cancelled:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
        read_models()
        self.post_message(self.ModelsRead())

    def on_adder_models_read(self) -> None:
        self._look()
        self._draw()

    def on_resize(self) -> None:
        self._place()
        self.call_after_refresh(self._draw)

    def _place(self) -> None:
        width, height = self.app.size
        box = self.query_one("#adder")
        size = min(WIDTH, width)
        box.styles.width = size
        box.styles.offset = (
            max(min(self._at.x - 1, width - size), 0),
            max(min(self._at.y + 1, height - HEIGHT), 0),
        )

    # ------------------------------------------------------------------ what is typed

    @property
    def _typed(self) -> str:
        return self.query_one(Input).value

    @property
    def _selected(self) -> Suggestion | None:
        return self._found[min(self.query_one(Found).cursor, len(self._found) - 1)] if self._found else None

    def on_input_changed(self) -> None:
        self.query_one(Found).cursor = 0
        self._look()
        self._draw()

    def _look_again(self) -> None:
        """The catalogue is being imported, or what comes in is being checked: look whether it is there."""
        given = self._given()
        if given is None and self._found is not None:
            return
        self._look()
        if self._found is not None:
            self._draw()
            if given is not None:
                self._waiting.stop()

    def _look(self) -> None:
        given = self._given()
        self._found = suggest(self._typed, given.shape if given is not None else None)
        self._number += 1
        calls = [
            item.call
            for item in self._found or ()
            if not item.incomplete and not item.refused and item.call not in self._shapes
        ]
        if given is not None and calls and self._typed.strip():
            number = self._number
            self.run_worker(
                lambda: self._work_out(number, calls, given), thread=True, exclusive=True, exit_on_error=False
            )

    def _work_out(self, number: int, calls: list[str], given: Incoming) -> None:
        """In a thread of its own."""
        worker = get_current_worker()
        for call in calls:
            if worker.is_cancelled:
                return
            found = outcome(call, given)
            self.post_message(self.Shapes(number, {call: shape(found) if found is not None else "does not fit"}))

    def on_adder_shapes(self, message: Shapes) -> None:
        # A call has the same shape whatever has been typed since: what is late is of use if it comes into view again.
        self._shapes |= message.shapes
        if message.number == self._number:
            self._draw()

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        found = self.query_one(Found)
        width = found.size.width
        if self._found is None:
            found.set_rows([line((" loading…", "dim"))])
        elif not self._found:
            found.set_rows([line((" no layer has this in its name", "dim"))])
        else:
            name = max(min(width * 2 // 5, 36), 12)
            found.set_rows([self._row(item, name, width) for item in self._found])
        self._say(self._remark())

    def _row(self, item: Suggestion, name: int, width: int) -> Line:
        # A block is known by its name; its layers stand beneath.
        text = item.call if self._typed.strip() and item.call.startswith(item.name) else item.name
        told = f"cannot be used: {item.refused}" if item.refused else item.line
        shown = self._shape(item)
        return line(
            (" " + fit(text, name - 1), "dim" if item.refused else "strong"),
            (" " + fit(shown, 17), "accent" if shown.startswith("→") else "dim"),
            (fit(told, max(width - name - 19, 0)).rstrip(), "dim"),
        )

    def _shape(self, item: Suggestion) -> str:
        known = self._shapes.get(item.call, "")
        return f"→ {known}" if known and known != "does not fit" else known

    def _remark(self) -> str:
        """What is wrong with what is typed, or what the selected layer takes."""
        typed = self._typed
        if "(" in typed or (typed.strip() and not self._found):
            wrong = wrong_layers(typed)
            if wrong:
                return f"✗ {wrong}"
        item = self._selected
        if item is None or not typed.strip():
            return HINT
        return f"✗ {item.name} cannot be used: {item.refused}" if item.refused else item.signature

    def _say(self, text: str) -> None:
        beneath = self.query_one("#beneath", Static)
        beneath.set_class(text.startswith("✗"), "-wrong")
        beneath.update(Content(safe_lines(text)))

    # ------------------------------------------------------------------ keys

    def action_move(self, step: int) -> None:
        self.query_one(Found).action_cursor(step)
        self._draw()

    def action_complete(self) -> None:
        """What is selected, with its parentheses; the cursor stands where an argument is missing."""
        item = self._selected
        if item is None or item.refused or "(" in self._typed:
            return
        field = self.query_one(Input)
        field.value = item.call
        field.cursor_position = len(item.call) - (1 if item.incomplete else 0)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.twice:
            self._take()

    def on_input_submitted(self) -> None:
        self._take()

    def _take(self) -> None:
        typed = self._typed.strip()
        if not typed:
            return
        item = self._selected
        text = typed if "(" in typed or ":" in typed or item is None else item.call
        wrong = wrong_layers(text)
        if not wrong:
            self.dismiss(text)
            return
        if self._found is None and "(" not in typed:
            wrong = "the names are being read: wait a moment, or write it in full, such as Conv2d(32, 3)"
        if text != typed and item is not None and item.incomplete:
            self.action_complete()
        self.call_after_refresh(self._say, f"✗ {wrong}")

    def action_leave(self) -> None:
        self.dismiss(None)
