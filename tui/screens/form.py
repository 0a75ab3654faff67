"""A call in a form made from its signature: a row an argument, changed in place, what is wrong beneath."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Input, Static

from engine.calls import Call
from engine.errors import RequestError
from tui.arguments import EXTRA_DOCS, Argument, CallDraft
from tui.safe import safe, safe_lines
from tui.screens.call_picker import CallPicker, begun
from tui.screens.dialogue import Dialogue
from tui.screens.prompt import Prompt
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import VIM_KEYS, Rows

WIDTH = 84
# What the rows leave free: frame, documentation, keys.
AROUND = 10
# How the value of a row changes: on the row, and in words for the one under the cursor.
KEYS = {"flag": "space", "choice": "← →", "number": "+ -", "text": "=", "call": "space"}
TOLD = {
    "flag": "space toggles",
    "choice": "← → and space go round",
    "number": "+ and - step, a digit or = types",
    "text": "= types",
    "call": "space picks, = types",
}
BEGINS_TYPING = frozenset("0123456789.\"'([")


class Arguments(Rows):
    """The arguments of a call, under a cursor."""

    with_cursor = True
    BINDINGS: ClassVar = [*VIM_KEYS]


class CallForm(Dialogue[Call | None]):
    """Gives the call as it was changed, or None where the person left with escape.

    `kind` is one of the catalogue's, which has to be there. Raises RequestError for a call that the catalogue does not
    know, or whose arguments stand for no parameter; `CallForm.wrong` says so beforehand. `note` is said beneath.
    """

    CSS_PATH = "form.tcss"
    BINDINGS: ClassVar = [
        Binding("escape,q", "leave", show=False),
        Binding("enter", "accept", show=False),
        Binding("space", "cycle(1)", show=False),
        Binding("right,l", "cycle(1)", show=False),
        Binding("left,h", "cycle(-1)", show=False),
        Binding("plus", "step(1)", show=False),
        Binding("minus", "step(-1)", show=False),
        Binding("equals_sign,e,f2", "type", show=False),
        Binding("delete,backspace,x", "reset", show=False),
    ]

    def __init__(self, kind: str, call: Call, *, note: str = "") -> None:
        super().__init__()
        self._draft = CallDraft(kind, call)
        self._note = note
        self._complaint = ""

    @staticmethod
    def wrong(kind: str, call: Call) -> str:
        """Why there is no form for this call, "" where there is one."""
        try:
            CallDraft(kind, call)
        except RequestError as error:
            return str(error)
        return ""

    def compose(self) -> ComposeResult:
        yield Vertical(Arguments(id="arguments"), Static("", id="doc", markup=False), id="form")

    def on_mount(self) -> None:
        self.query_one(Arguments).focus()
        missing = next(
            (i for i, argument in enumerate(self._draft.arguments) if argument.required and not argument.given), None
        )
        first = next((i for i, argument in enumerate(self._draft.arguments) if not argument.inferred), 0)
        self._place()
        self.call_after_refresh(self._begin, missing if missing is not None else first)

    def _begin(self, index: int) -> None:
        self._show()
        self._rows.move_to(index)

    def on_resize(self) -> None:
        self._place()
        self.call_after_refresh(self._show)

    def _place(self) -> None:
        box = self.query_one("#form")
        box.styles.width = min(WIDTH, self.app.size.width - 2)
        self._rows.styles.height = max(min(len(self._draft.arguments), self.app.size.height - AROUND), 1)

    @property
    def _rows(self) -> Arguments:
        return self.query_one(Arguments)

    @property
    def _index(self) -> int:
        return min(self._rows.cursor, len(self._draft.arguments) - 1)

    @property
    def _argument(self) -> Argument | None:
        return self._draft.arguments[self._index] if self._draft.arguments else None

    # ------------------------------------------------------------------ drawing

    def _show(self) -> None:
        width = self._rows.size.width
        names = max((len(argument.name) for argument in self._draft.arguments), default=0) + 2
        self._rows.set_rows(
            [row(argument, names, width) for argument in self._draft.arguments]
            or [line((" takes no arguments", "dim"))]
        )
        box = self.query_one("#form")
        room = max(self.app.size.width - 10, 20)
        box.border_title = Content(safe(str(self._draft.call()), min(room, WIDTH - 6)))
        box.border_subtitle = Content("enter takes it, esc leaves it as it was")
        self._say()

    def _say(self) -> None:
        beneath = self.query_one("#doc", Static)
        wrong = self._complaint or self._draft.wrong()
        argument = self._argument
        told = documentation(argument) if argument is not None else self._draft.entry.line
        parts = [Content.styled(safe_lines(told, 400), "$text-muted")]
        if argument is not None:
            parts.append(Content.styled(f"{TOLD[argument.form]}, del: default", "$accent"))
        if self._note:
            parts.append(Content.styled(safe_lines(self._note), "$text-muted"))
        if wrong:
            parts.append(Content.styled("✗ " + safe_lines(wrong, 300), "$error"))
        beneath.update(Content("\n").join(parts))

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        event.stop()
        self._complaint = ""
        self._say()
        if event.twice:
            self.action_type()

    # ------------------------------------------------------------------ changing

    def _changed(self) -> None:
        self._complaint = ""
        self._show()

    def action_cycle(self, step: int) -> None:
        argument = self._argument
        if argument is None:
            return
        if argument.form == "call" and step > 0:
            self._pick()
        elif self._draft.cycle(self._index, step):
            self._changed()
        else:
            self.action_step(step)

    def action_step(self, step: int) -> None:
        argument = self._argument
        if argument is None:
            return
        if self._draft.step(self._index, step):
            self._changed()
            return
        if not argument.given and argument.default in ("", "None"):
            why = "has no number to step from: = types one"
        elif argument.form == "number":
            why = f"goes no {'higher' if step > 0 else 'lower'}"
        else:
            why = "has no steps: = types it"
        self._complaint = f"{argument.name} {why}"
        self._say()

    def action_reset(self) -> None:
        if self._argument is not None:
            self._draft.reset(self._index)
            self._changed()

    def action_type(self, begun: str | None = None) -> None:
        """Edit the value as text, from `begun` where a key began it."""
        argument, index = self._argument, self._index
        if argument is None:
            return

        def typed(text: str | None) -> None:
            if text is not None:
                self._draft.put_text(index, text)
                self._changed()

        prompt = Prompt(
            argument.name,
            # What stands for nothing would be in the way of what is typed.
            begun if begun is not None else "" if argument.text == "None" else argument.text,
            lambda text: self._draft.wrong_text(index, text),
            self._rows.row_region(self._rows.cursor),
        )
        self.app.push_screen(prompt, typed)
        if begun is not None:
            self.call_after_refresh(lambda: setattr(prompt.query_one(Input), "cursor_position", len(begun)))

    def on_key(self, event: Key) -> None:
        if not self.hidden and event.character is not None and event.character in BEGINS_TYPING:
            event.stop()
            self.action_type(event.character)

    def _pick(self) -> None:
        """Pick the call that an argument is: an initialiser, or a layer."""
        argument, index = self._argument, self._index
        if argument is None:
            return
        kind = "initialisers" if argument.name in EXTRA_DOCS else self._draft.kind

        def picked(text: str | None) -> None:
            if text is None:
                return
            if text == "none":
                self.action_reset()
                return
            self.app.push_screen(CallForm(kind, begun(text, argument.text)), taken)

        def taken(call: Call | None) -> None:
            if call is not None:
                self._draft.put(index, call)
                self._changed()

        self.app.push_screen(CallPicker(kind, argument.text, none=True, title=argument.name), picked)

    def action_accept(self) -> None:
        wrong = self._draft.wrong()
        if wrong:
            self._complaint = wrong
            self._say()
        else:
            self.dismiss(self._draft.call())

    def action_leave(self) -> None:
        self.dismiss(None)


def row(argument: Argument, names: int, width: int) -> Line:
    """One argument: its name, its value (dim where it is the default) and the keys that change it."""
    keys = KEYS[argument.form]
    room = max(width - names - len(keys) - 4, 8)
    if argument.given:
        value, style = argument.text, ""
    elif argument.inferred:
        value, style = "from above", "dim"
    elif argument.required:
        value, style = "missing", "bad"
    else:
        value, style = argument.text or ("none" if not argument.variadic else "nothing"), "dim"
    return line(
        (" " + fit(argument.name, names), "strong" if argument.given else ""),
        (fit(value, room), style),
        (f"  {keys}", "dim"),
    )


def documentation(argument: Argument) -> str:
    """What is said of an argument: its type, and its line from the documentation."""
    if argument.inferred:
        return f"{argument.name} follows from what comes in; a number typed here is checked against it."
    kind = {"flag": "True or False", "choice": " | ".join(map(str, argument.choices))}.get(argument.form, argument.type)
    # PyTorch's own lines mostly end in the default.
    known = not argument.default or "default" in argument.doc.lower()
    default = "" if known else f", {argument.default} unless given"
    told = f"{kind}{default}. {argument.doc}" if argument.doc else f"{kind}{default}."
    return told if kind else argument.doc or argument.name
