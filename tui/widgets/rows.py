"""A list of lines that scrolls, with a cursor where it is wanted; drawn on demand, whatever its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.widgets.lines import COMPONENTS, Line, StyledLines
from tui.widgets.panel import Panel

# For rows with a cursor where `k` is no command of the screen.
VIM_KEYS = (Binding("k", "cursor(-1)", show=False), Binding("j", "cursor(1)", show=False))


class Rows(StyledLines, ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under an optional header. What a row says comes from a list, or from a function of its index.

    A cursor (`with_cursor`) moves over rows that `selectable` allows; without one the arrow keys scroll.
    """

    COMPONENT_CLASSES = COMPONENTS
    BINDINGS: ClassVar = [
        Binding("up", "cursor(-1)", show=False),
        Binding("down", "cursor(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(-1)", show=False),
        Binding("end,G", "edge(1)", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    with_cursor = False
    # What the frame says while the keys go here.
    frame_hint = ""

    class Chosen(Message):
        """The person pressed the mouse twice on a row, or moved the cursor: `index` counts rows."""

        def __init__(self, rows: Rows, index: int, twice: bool) -> None:
            super().__init__()
            self.rows = rows
            self.index = index
            self.twice = twice

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.header: tuple[Line, ...] = ()
        self.count = 0
        self.selectable: Callable[[int], bool] = lambda index: True
        self._row: Callable[[int], Line] = lambda index: ()
        self._listed: tuple[Line, ...] = ()
        # Whether the last row is to stay in view as rows are added: until the person scrolls back.
        self.follows = True

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_line_styles()

    # ------------------------------------------------------------------ contents

    def set_rows(self, rows: Sequence[Line], header: Sequence[Line] | None = None) -> None:
        """Show these rows; only lines that differ from before are drawn again."""
        new = tuple(rows)
        old = self._listed
        changed = [
            index for index in range(max(len(old), len(new))) if old[index : index + 1] != new[index : index + 1]
        ]
        self._listed = new
        self._row = new.__getitem__
        self._resized(len(new), header, changed)

    def set_source(
        self, count: int, row: Callable[[int], Line], header: Sequence[Line], changed: Sequence[int]
    ) -> None:
        """Show `count` rows that `row` makes when they come into view; `changed` are those that look different now."""
        self._row = row
        self._resized(count, header, changed)

    def _resized(self, count: int, header: Sequence[Line] | None, changed: Sequence[int]) -> None:
        head = self.header if header is None else tuple(header)
        if head != self.header:
            self.header = head
            self.refresh()
        if count != self.count:
            self.count = count
            self.virtual_size = Size(self.size.width, count + len(self.header))
            self.cursor = max(0, min(self.cursor, count - 1))
        for index in changed:
            self._refresh_row(index)

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y + len(self.header)
        if len(self.header) <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self, event: Resize) -> None:
        self.virtual_size = Size(self.size.width, self.count + len(self.header))

    # ------------------------------------------------------------------ drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y < len(self.header):
            return self.strip(self.header[y], width)
        index = y - len(self.header) + self.scroll_offset.y
        if index >= self.count:
            return self.strip((), width)
        over = None
        if self.with_cursor and index == self.cursor:
            over = self.line_style("cursor" if self.cursor_lit else "cursor-dim")
        return self.strip(self._row(index), width, over)

    @property
    def cursor_lit(self) -> bool:
        """Whether the cursor is where keys go."""
        return self.has_focus

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)
        # `has_focus` is set behind this.
        self.show_frame_hint(True)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)
        self.show_frame_hint(False)

    def show_frame_hint(self, focused: bool) -> None:
        """Say `frame_hint` on the panel's frame while the focus is here, where the widget has one."""
        if not self.frame_hint or not isinstance(self.parent, Panel):
            return
        hint = Content(self.with_keys(self.frame_hint) if focused else "")
        if self.parent.border_subtitle != hint:
            self.parent.border_subtitle = hint

    # ------------------------------------------------------------------ moving

    @property
    def room(self) -> int:
        """How many rows are in view."""
        return max(self.size.height - len(self.header), 1)

    def watch_cursor(self, old: int, new: int) -> None:
        self._refresh_row(old)
        self._refresh_row(new)
        self.show_row(new)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y:
            self.follows = True
        elif new_value < old_value:
            self.follows = False

    def show_last(self) -> None:
        """Scroll so that the last row is in view."""
        self.scroll_to(y=max(self.count - self.room, 0), animate=False, force=True)

    def show_row(self, index: int) -> None:
        """Scroll so that a row is in view."""
        top = self.scroll_offset.y
        if index < top:
            self.scroll_to(y=index, animate=False, force=True)
        elif index >= top + self.room:
            self.scroll_to(y=index - self.room + 1, animate=False, force=True)

    def move_to(self, index: int, step: int = 1) -> None:
        """Put the cursor on the row, or on the next one in the direction of `step` that can be selected."""
        while 0 <= index < self.count and not self.selectable(index):
            index += step
        if 0 <= index < self.count:
            self.cursor = index
            self.post_message(self.Chosen(self, index, twice=False))

    def action_cursor(self, step: int) -> None:
        if self.with_cursor:
            self.move_to(self.cursor + step, step)
        else:
            self.scroll_to(y=self.scroll_offset.y + step, animate=False, force=True)

    def action_page(self, step: int) -> None:
        if self.with_cursor:
            self.move_to(max(0, min(self.count - 1, self.cursor + step * self.room)), -step)
        else:
            self.scroll_to(y=self.scroll_offset.y + step * self.room, animate=False, force=True)

    def action_edge(self, step: int) -> None:
        if self.with_cursor:
            self.move_to(0 if step < 0 else self.count - 1, -step)
        else:
            self.scroll_to(y=0 if step < 0 else self.max_scroll_y, animate=False, force=True)

    def on_click(self, event: Click) -> None:
        index = event.y - len(self.header) + self.scroll_offset.y
        if self.with_cursor and 0 <= index < self.count and self.selectable(index):
            self.cursor = index
            self.post_message(self.Chosen(self, index, twice=event.chain > 1))

    def row_region(self, index: int) -> Region:
        """Where a row stands on the screen."""
        content = self.content_region
        y = content.y + len(self.header) + index - self.scroll_offset.y
        return Region(content.x, y, content.width, 1)
