"""The line above the list of runs: the filter that is typed, what is wrong with it, how many runs it finds."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message

from tui.screens.prompt import LineInput
from tui.widgets.lines import Lines, fit, line, split, width_of

PLACEHOLDER = "such as optimizer:adam val/accuracy>0.97 not tag:old"


class FilterInput(LineInput):
    """Where the filter is typed."""

    HELP = """Words are looked for in name, tags, data, status and notes; all have to be there.

    optimizer:adam, tag:old, layers:Conv2d look into one field; val/accuracy>0.97, epochs>=20, parameters<50K,
    seconds<2m compare; `not`, `or` and parentheses join them. enter goes to the list, esc shows all runs again."""
    BINDINGS: ClassVar = [
        Binding("escape", "leave(True)", "shows all runs again", show=False),
        Binding("enter,down", "leave(False)", "goes to the list", show=False),
    ]

    class Left(Message):
        """The person is done with the filter, or wants none."""

        def __init__(self, clear: bool) -> None:
            super().__init__()
            self.clear = clear

    def action_leave(self, clear: bool) -> None:
        self.post_message(self.Left(clear))


class FilterLine(Horizontal):
    """The input, and right of it what came of it."""

    def __init__(self, text: str, *, id: str) -> None:
        super().__init__(id=id)
        self._text = text

    def compose(self) -> ComposeResult:
        slash = Lines(id="slash")
        slash.lines = (line((" /", "accent")),)
        yield slash
        yield FilterInput(self._text, placeholder=PLACEHOLDER, id="filter")
        yield Lines(id="found")

    def show(self, found: int, total: int, order: str, problem: str) -> None:
        """Say how many runs of all there are, how they are sorted, and what is wrong with the filter."""
        counted = f"{found:,} of {total:,}" if found != total else f"{total:,} {'run' if total == 1 else 'runs'}"
        spans = line((counted, ""), (f"   sorted by {order}", "dim"), " ")
        told = self.query_one("#found", Lines)
        room = max(self.size.width // 2, 30)
        if problem:
            spans = line((fit(problem, max(room - len(counted) - 4, 12)).rstrip(), "dim"), f"   {counted} ")
        # In steps: for another width all of the screen is arranged anew.
        width = min(-(-width_of(spans) // 8) * 8, room)
        if told.styles.width is None or told.styles.width.value != width:
            told.styles.width = width
        told.set_lines([split((), spans, width)])
