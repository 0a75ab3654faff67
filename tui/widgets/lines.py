"""Drawing by the line: spans of plain text with a named style, the one way by which text reaches the screen.

Text comes from files, exceptions and people; here every span passes `safe` and is never read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.safe import safe
from tui.settings import Settings

Span = tuple[str, str]
Line = tuple[Span, ...]

SERIES = tuple(f"series-{number}" for number in range(6))
STYLES = ("dim", "accent", "strong", "good", "bad", "second", *SERIES)
COMPONENTS = {f"lines--{name}" for name in STYLES} | {"lines--cursor", "lines--cursor-dim"}


def line(*spans: Span | str) -> Line:
    """A line of spans; a bare text is a span without style."""
    return tuple((span, "") if isinstance(span, str) else span for span in spans)


def width_of(spans: Line) -> int:
    """How many cells the line takes."""
    return sum(cell_len(text) for text, _ in spans)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis."""
    text = safe(text)
    missing = width - cell_len(text)
    if missing >= 0:
        return " " * missing + text if right else text + " " * missing
    if width <= 0:
        return ""
    kept = ""
    used = 0
    for character in text:
        size = cell_len(character)
        if used + size > width - 1:
            break
        kept += character
        used += size
    return kept + "…" + " " * (width - 1 - used)


def split(left: Line, right: Line, width: int) -> Line:
    """One line with `left` at its beginning and `right` at its end; where both do not fit, `left` is cut."""
    gap = width - width_of(left) - width_of(right)
    if gap >= 1 or not right:
        return (*left, (" " * max(gap, 0), ""), *right)
    room = width - width_of(right) - 1
    kept: list[Span] = []
    for text, style in left:
        size = cell_len(text)
        if size > room:
            kept.append((fit(text, room), style))
            break
        kept.append((text, style))
        room -= size
    return (*kept, (" ", ""), *right)


class StyledLines:
    """What a widget needs to draw spans: the rich style of each named style, looked up once."""

    _line_styles: dict[str, Style] | None = None

    def line_style(self: Widget, name: str) -> Style:  # type: ignore[misc]
        styles = self._line_styles  # type: ignore[attr-defined]
        if styles is None:
            styles = {style: self.get_component_rich_style(f"lines--{style}") for style in STYLES}
            styles[""] = self.rich_style
            for cursor in ("cursor", "cursor-dim"):
                # Laid over the styles of a row, whose colours stay.
                styles[cursor] = self.get_component_rich_style(f"lines--{cursor}", partial=True)
            self._line_styles = styles  # type: ignore[attr-defined]
        found: Style = styles.get(name, styles[""])
        return found

    def forget_line_styles(self) -> None:
        self._line_styles = None

    def with_keys(self: Widget, text: str) -> str:  # type: ignore[misc]
        """A text of this program's own with its `{compose.add}` replaced by the keys that the person's settings say."""
        settings = getattr(self.app, "settings", None)
        return (settings or Settings()).with_keys(text)

    def strip(self, spans: Line, width: int, over: Style | None = None) -> Strip:
        """The line as Textual draws it, in exactly `width` cells; `over` is laid over every span."""
        base = self.line_style("")  # type: ignore[misc]
        segments = []
        for text, name in spans:
            style = base + self.line_style(name) if name else base  # type: ignore[misc]
            segments.append(Segment(safe(text), style + over if over else style))
        return Strip(segments).adjust_cell_length(width, base + over if over else base)


class Lines(StyledLines, Widget):
    """A few lines that do not scroll: headers, footers, meters. Draws only those that changed."""

    COMPONENT_CLASSES = COMPONENTS

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines: tuple[Line, ...] = ()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_line_styles()

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines; nothing is drawn where they are the same as before."""
        new = tuple(lines)
        if new == self.lines:
            return
        old, self.lines = self.lines, new
        from textual.geometry import Region

        changed = [
            Region(0, y, self.size.width, 1) for y in range(max(len(old), len(new))) if old[y : y + 1] != new[y : y + 1]
        ]
        self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        return self.strip(self.lines[y] if y < len(self.lines) else (), self.size.width)
