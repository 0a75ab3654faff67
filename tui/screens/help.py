"""What can be done here: a page on what has the focus, then all keys as they are declared."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from tui.commands import COMMANDS, EVERYWHERE, PANELS, SCREENS
from tui.screens.dialogue import Dialogue
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import VIM_KEYS, Rows

if TYPE_CHECKING:
    from tui.settings import Settings

KEY = 13
WIDTH = 88


class Keys(Rows):
    """What the page says, line by line."""

    BINDINGS: ClassVar = list(VIM_KEYS)


class Help(Dialogue[None]):
    """The commands of the screen `where` first; `focused` is the widget that had the focus."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [Binding("escape,q,question_mark,enter,f1", "leave", show=False)]

    def __init__(self, where: str, focused: Widget | None) -> None:
        super().__init__()
        self._where = where
        self._focused = focused

    def compose(self) -> ComposeResult:
        box = Vertical(Keys(id="keys"), id="help")
        box.border_title = Content("Keys")
        box.border_subtitle = Content("↑ ↓ scroll   esc closes")
        yield box

    def on_mount(self) -> None:
        self._draw()
        self.query_one(Rows).focus()

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        width = min(WIDTH, self.app.size.width) - 4
        settings: Settings = self.app.settings  # type: ignore[attr-defined]
        self.query_one(Rows).set_rows([*about(self._focused, settings, width), *lines(self._where, settings, width)])

    def action_leave(self) -> None:
        self.dismiss(None)


def about(focused: Widget | None, settings: Settings, width: int) -> list[Line]:
    """What the widget with the focus says of itself (its HELP), and the keys that are its own."""
    if focused is None:
        return []
    panel = next((each for each in focused.ancestors if getattr(each, "border_title", None)), None)
    title = str(panel.border_title) if isinstance(panel, Widget) else type(focused).__name__
    page = [line((f" {title}", "strong"), ("  has the focus", "dim"))]
    text = settings.with_keys(inspect.cleandoc(getattr(focused, "HELP", None) or ""))
    for paragraph in text.split("\n\n"):
        page += [line(f"   {row}") for row in textwrap.wrap(paragraph, width - 3)]
    seen = set()
    for bound in focused._bindings.key_to_bindings.values():
        for binding in bound:
            if binding.description and binding.action not in seen:
                seen.add(binding.action)
                shown = binding.key_display or binding.key
                page += entry(shown, binding.description, width)
    return [*page, line()]


def entry(key: str, text: str, width: int) -> list[Line]:
    """A key and what it does, in as many lines as that takes."""
    first, *more = textwrap.wrap(text, max(width - KEY - 5, 20)) or [""]
    indent = " " * (KEY + 4)
    return [line((f"   {fit(key, KEY)} ", "accent"), first), *(line(indent + row) for row in more)]


def lines(where: str, settings: Settings, width: int) -> list[Line]:
    """The page: a title for each screen, a line for each of its commands."""
    others = [screen for screen in SCREENS if screen != where]
    page: list[Line] = []
    for scope in (where, PANELS, EVERYWHERE, *others):
        commands = [command for command in COMMANDS if command.where == scope]
        if not commands:
            continue
        page.append(line((f" {scope.capitalize()}", "strong")))
        for command in commands:
            key = settings.shown_key(command) or "palette"
            page += entry(key, command.line, width)
        page.append(line())
    page.append(line((" Lists: arrows or j and k, page up and down, home, end. esc leaves every dialogue.", "dim")))
    return page
