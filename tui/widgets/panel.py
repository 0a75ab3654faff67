"""A frame with a title around one widget, or around one that holds a summary below it."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget


class Panel(Vertical):
    """`title` is our own text, never that of a file; it is shown as it stands."""

    def __init__(self, title: str, *children: Widget, id: str) -> None:
        super().__init__(*children, id=id)
        self.border_title = Content(title)

    @property
    def absent(self) -> bool:
        """Whether it is there only at times, and now is not."""
        return self.has_class("-absent")

    def focus_inside(self) -> None:
        """Give the focus to the first child that takes it."""
        for child in self.walk_children(Widget):
            if child.focusable:
                child.focus()
                return
