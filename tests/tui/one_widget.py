"""An application with a single widget over all of the screen."""

from __future__ import annotations

from typing import Any

from textual.app import App, ComposeResult
from textual.widget import Widget


class OneWidget(App[None]):
    """Shows nothing but the widget it is given."""

    # Nothing scrolls sideways, as in the application: a bar for that would take the last row.
    CSS = "#it { width: 100%; height: 100%; overflow-x: hidden; }"

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def text_of(widget: Any) -> list[str]:
    """What a widget on the line API shows, a line each."""
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]
