"""All of what is told above the keys, and of what the check found: on a small terminal there is not room for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content

from tui.screens.dialogue import Dialogue
from tui.widgets.lines import line
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.wrapped import wrapped

if TYPE_CHECKING:
    from tui.app import LayerlabApp

WIDTH = 100


class Page(Rows):
    """Texts, line by line."""

    BINDINGS: ClassVar = list(VIM_KEYS)


class Told(Dialogue[None]):
    """Shows these texts as they are, in lines as wide as there is room."""

    CSS_PATH = "modals.tcss"
    app: LayerlabApp
    BINDINGS: ClassVar = [
        Binding("escape,q,enter,f3", "leave", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._texts = tuple(texts)

    def compose(self) -> ComposeResult:
        box = Vertical(Page(id="page"), id="told")
        box.border_title = Content("In full")
        box.border_subtitle = Content("↑ ↓ scroll   y copies   esc closes")
        yield box

    def on_mount(self) -> None:
        super().on_mount()
        self._draw()
        self.query_one(Page).focus()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        width, height = min(WIDTH, self.app.size.width - 2), self.app.size.height
        rows = [line(f" {text}") for each in self._texts for text in (*wrapped(each, width - 4), "")][:-1]
        self.query_one("#told").styles.width = width
        self.query_one(Page).styles.height = max(min(len(rows), height - 6), 1)
        self.query_one(Page).set_rows(rows)

    def action_copy(self) -> None:
        self.dismiss(None)
        self.app.copy("\n\n".join(self._texts))

    def action_leave(self) -> None:
        self.dismiss(None)
