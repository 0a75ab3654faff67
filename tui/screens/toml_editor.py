"""The whole experiment as text: what is wrong stands beneath, with its line, and what is right can be taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from engine.errors import SpecError
from engine.spec import Experiment, parse_experiment
from tui.safe import safe_lines
from tui.screens.choice import Choice
from tui.screens.dialogue import Dialogue
from tui.suggestions import catalogue
from tui.widgets.visible_text import VisibleText

if TYPE_CHECKING:
    from tui.app import LayerlabApp

# Between the last key and the look at what is there: reading takes some milliseconds.
PAUSE = 0.15
KEYS = "ctrl+s takes it over, esc leaves, ctrl+z and ctrl+y undo and redo here"


class TomlText(VisibleText):
    """The editor with the line that is wrong marked."""

    wrong_line: int | None = None

    def __init__(self, text: str) -> None:
        # Escapes mean the same in a TOML text as what they stand for.
        super().__init__(
            text, soft_wrap=False, show_line_numbers=True, tab_behavior="indent", highlight_cursor_line=True
        )

    def get_line(self, line_index: int) -> Text:
        text = super().get_line(line_index)
        if line_index == self.wrong_line:
            text.stylize(self.app.theme_variables.get("error", "red") + " underline")
        return text

    def mark(self, line: int | None) -> None:
        """Mark a line, counted from 0, as wrong; None marks none."""
        if line != self.wrong_line:
            self.wrong_line = line
            self._line_cache.clear()
            self.refresh()


class TomlEditor(Dialogue[Experiment | None]):
    """Gives the experiment that the text says, or None where it was left as it was."""

    app: LayerlabApp
    CSS_PATH = "code.tcss"
    BINDINGS: ClassVar = [
        Binding("escape", "leave", show=False, priority=True),
        Binding("ctrl+s,f10", "take", show=False, priority=True),
    ]

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._before = safe_lines(experiment.to_toml())
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        box = Vertical(
            TomlText(self._before), Static(Content(KEYS), id="beneath", markup=False), id="toml", classes="code"
        )
        box.border_title = Content("The experiment as TOML")
        yield box

    def on_mount(self) -> None:
        self._text.focus()

    @property
    def _text(self) -> TomlText:
        return self.query_one(TomlText)

    def on_text_area_changed(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
        self._waiting = self.set_timer(PAUSE, self._look)

    def _look(self) -> Experiment | None:
        """Read the text and say what is wrong with it."""
        try:
            experiment = read(self._text.text)
        except SpecError as error:
            self._say(error)
            return None
        self._say(None)
        return experiment

    def _say(self, error: SpecError | None) -> None:
        self._text.mark(None if error is None or error.line is None else error.line - 1)
        beneath = self.query_one("#beneath", Static)
        beneath.set_class(error is not None, "-wrong")
        beneath.update(Content(KEYS if error is None else f"✗ {safe_lines(told(error), 300)}"))

    def action_take(self) -> None:
        experiment = self._look()
        if experiment is None:
            line = self._text.wrong_line
            if line is not None:
                self._text.move_cursor((line, 0))
        else:
            self.dismiss(experiment)

    def action_leave(self) -> None:
        if self._text.text == self._before:
            self.dismiss(None)
            return
        answers = (("t", "take the changes over", "take"), ("l", "leave them behind", "leave"), ("g", "go on", ""))

        def answered(answer: str | None) -> None:
            if answer == "take":
                self.action_take()
            elif answer == "leave":
                self.dismiss(None)

        self.app.push_screen(Choice("The text was changed", "What shall become of the changes?", answers), answered)


def told(error: SpecError) -> str:
    """What is wrong, with its line and its field first."""
    place = "" if error.line is None else f"line {error.line}"
    text = ": ".join(part for part in (place, error.field, error.message) if part)
    return f"{text}; {error.hint}" if error.hint else text


def read(text: str) -> Experiment:
    """The experiment of a text, its names and arguments checked where the catalogue is there. Raises SpecError with
    the line."""
    experiment = parse_experiment(text)
    known: Any = catalogue()
    if known is not None:
        known.validate(experiment)
    # Where it was written is of no use once the text is gone.
    return experiment.with_origins({})
