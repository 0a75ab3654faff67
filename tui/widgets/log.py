"""What the run has said: when, how serious, what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tui.widgets.lines import Line, line
from tui.widgets.rows import Rows

KEPT = 500
MARKS = {"error": ("✗ ", "bad"), "warning": ("⚠ ", "accent")}


class Log(Rows):
    """The last messages of a run, the newest in view; long ones go on in the next line."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._messages: Sequence[Any] = ()
        self._drawn: tuple[int, int, Any] | None = None

    def show(self, messages: Sequence[Any]) -> None:
        """Draw messages: objects with `level`, `text` and, where it is known, `time` in unix seconds."""
        self._messages = messages
        drawn = (self.size.width, len(messages), messages[-1] if messages else None)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        rows = [row for message in messages[-KEPT:] for row in self._rows(message)]
        if not rows:
            rows = [line((" what the run has to say stands here", "dim"))]
        follows = self.scroll_offset.y >= self.max_scroll_y
        self.set_rows(rows, ())
        if follows:
            self.scroll_to(y=max(len(rows) - self.room, 0), animate=False, force=True)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(self._messages)

    def _rows(self, message: Any) -> list[Line]:
        import textwrap

        when = getattr(message, "time", None)
        clock = time.strftime("%H:%M:%S", time.localtime(when)) if when else " " * 8
        mark, style = MARKS.get(getattr(message, "level", ""), ("", ""))
        width = max(self.size.width - 11, 20)
        pieces = textwrap.wrap(mark + str(message.text), width) or [""]
        rows = [line((f" {clock} ", "dim"), (pieces[0], style))]
        rows += [line(" " * 10, (piece, style)) for piece in pieces[1:8]]
        return rows
