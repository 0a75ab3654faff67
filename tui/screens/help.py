"""All keys on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content

from tui.commands import COMMANDS, COMPOSE, EVERYWHERE, PANELS, TRAIN
from tui.screens.dialogue import Dialogue
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows

TITLES = ((COMPOSE, "Compose"), (TRAIN, "Train"), (PANELS, "Panels"), (EVERYWHERE, "Everywhere"))


class Help(Dialogue[None]):
    """The commands as they are declared, by the screen on which they hold."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [Binding("escape,q,question_mark,enter,f1", "leave", show=False)]

    def compose(self) -> ComposeResult:
        box = Vertical(Rows(id="keys"), id="help")
        box.border_title = Content("Keys")
        box.border_subtitle = Content("esc closes")
        yield box

    def on_mount(self) -> None:
        keys = self.query_one(Rows)
        keys.set_rows(lines())
        keys.focus()

    def action_leave(self) -> None:
        self.dismiss(None)


def lines() -> list[Line]:
    """The page: a title for each screen, a line for each of its commands."""
    page: list[Line] = []
    for where, title in TITLES:
        page.append(line((f" {title}", "strong")))
        for command in COMMANDS:
            if command.where == where:
                page.append(line((f"   {fit(command.shown, 10)} ", "accent"), command.line))
        page.append(line())
    page.append(line((" Lists: arrows, page up and down, home, end. esc leaves every dialogue.", "dim")))
    return page
