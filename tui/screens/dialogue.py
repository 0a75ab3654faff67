"""What dialogues share: on a terminal that is too small they are out of sight, and no key reaches them."""

from __future__ import annotations

from typing import TypeVar

from textual.events import Key
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from tui.screens.workspace import Workspace, too_small

Result = TypeVar("Result")


class Dialogue(ModalScreen[Result]):
    """Stands over a workspace. What had the focus has it again when the terminal has grown."""

    _had_focus: Widget | None = None

    _early = ""

    def on_mount(self) -> None:
        self._fit()
        field = next(iter(self.query(Input)), None)
        if field is not None and self._early:
            field.replace(self._early, *sorted(field.selection))

    def type_early(self, event: Key) -> None:
        """A key that was on its way to the screen below when this opened: what is typed goes into the line here."""
        if self.hidden or not event.is_printable or not event.character:
            return
        if not self.is_mounted:
            self._early += event.character
            return
        field = next(iter(self.query(Input)), None)
        if field is not None:
            event.stop()
            event.prevent_default()
            field.replace(event.character, *sorted(field.selection))

    def on_resize(self) -> None:
        self._fit()
        # Textual sends this event to the screen on top alone.
        for screen in self.app.screen_stack:
            if isinstance(screen, Workspace):
                screen.fit(self.app.size)

    def _fit(self) -> None:
        small = too_small(self.app.size)
        if small and not self.hidden:
            self._had_focus = self.focused
            self.set_focus(None)
        elif self.hidden and not small and self._had_focus is not None:
            self.call_after_refresh(self.set_focus, self._had_focus)
        self.set_class(small, "-too-small")

    @property
    def hidden(self) -> bool:
        """Whether the terminal is too small for it."""
        return self.has_class("-too-small")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.hidden
