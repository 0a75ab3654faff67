"""What the run has said and what was printed meanwhile: when, how serious, what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len, chop_cells
from textual.binding import Binding
from textual.content import Content

from tui.safe import safe
from tui.widgets.lines import Line, line
from tui.widgets.panel import Panel
from tui.widgets.rows import Rows

KEPT = 500
ROWS_A_MESSAGE = 40
MARKS = {"error": ("✗ ", "bad"), "warning": ("⚠ ", "accent"), "printed": ("│ ", "dim")}
EMPTY = "what the run says, and what is printed, comes here"
# What the key shows in turn, and what is said about it.
KINDS = (
    ("", ()),
    ("warnings alone", ("warning", "error")),
    ("without what was printed", ("info", "warning", "error")),
    ("what was printed alone", ("printed",)),
)


class Log(Rows):
    """The last messages of a run, the newest in view until the person scrolls back; long ones go on beneath."""

    HELP = """What the run has said (⚠ warnings, ✗ errors), what was asked of it, and behind a │ what Python or native
    code printed: it is in the run's console.log. The newest stays in view; scroll back with ↑ and page up, return with
    end."""
    BINDINGS: ClassVar = [
        Binding("e", "kind", "Show warnings alone, leave out prints, prints alone, all", show=False),
        Binding("f", "find", "Show only what has a certain text in it; none shows all again", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._messages: Sequence[Any] = ()
        self._drawn: tuple[Any, ...] = ()
        self._wrapped: dict[int, tuple[Any, list[Line]]] = {}
        self._owners: list[Any] = []
        self._kind = 0
        self._wanted = ""
        self._seen: Any = None
        self.hint = ""

    def show(self, messages: Sequence[Any]) -> None:
        """Draw messages, oldest first: objects with `level`, `text` and, where it is known, `time` in unix seconds."""
        self._messages = messages
        drawn = (self.size.width, len(messages), messages[-1] if messages else None, self._kind, self._wanted)
        if drawn == self._drawn:
            return
        if self._drawn[:1] != drawn[:1]:
            self._wrapped = {}
        self._drawn = drawn
        top = self.scroll_offset.y
        at = self._owners[top] if not self.follows and top < len(self._owners) else None
        within = top - next((row for row, owner in enumerate(self._owners) if owner is at), top)
        rows: list[Line] = []
        self._owners = []
        wrapped: dict[int, tuple[Any, list[Line]]] = {}
        for message in self._chosen():
            known = self._wrapped.get(id(message))
            pieces = known[1] if known is not None and known[0] is message else self._rows(message)
            wrapped[id(message)] = (message, pieces)
            rows += pieces
            self._owners += [message] * len(pieces)
        self._wrapped = wrapped
        if not rows:
            told = f"nothing of this kind yet; e shows {KINDS[(self._kind + 1) % len(KINDS)][0] or 'all'}"
            told = f"nothing has `{safe(self._wanted)}` in it yet; f changes that" if self._wanted else told
            rows = [line((f" {told if messages else EMPTY}", "dim"))]
        self.set_rows(rows, ())
        if self.follows:
            self.show_last()
        elif at is not None:
            # What was dropped at the beginning must not move what the person reads.
            row = next((row for row, owner in enumerate(self._owners) if owner is at), 0) + within
            if row != top:
                self.scroll_to(y=row, animate=False, force=True)
        self._hint()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(self._messages)

    def _chosen(self) -> list[Any]:
        levels = KINDS[self._kind][1]
        wanted = self._wanted.casefold()
        kept = list(self._messages[-KEPT:])
        if wanted:
            kept = [message for message in kept if wanted in str(message.text).casefold()]
        return [message for message in kept if getattr(message, "level", "info") in levels] if levels else kept

    def action_kind(self) -> None:
        self._choose((self._kind + 1) % len(KINDS), self._wanted)

    def action_find(self) -> None:
        # Here, for widgets are imported before dialogues.
        from tui.screens.prompt import Prompt

        def typed(text: str | None) -> None:
            if text is not None:
                self._choose(self._kind, text.strip())

        title = "show what has this in it; nothing shows all"
        self.app.push_screen(Prompt(title, self._wanted, lambda _: "", replace=True), typed)

    def _choose(self, kind: int, wanted: str) -> None:
        self._kind, self._wanted = kind, wanted
        self._owners = []
        self.follows = True
        self.show(self._messages)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._hint()

    # ------------------------------------------------------------------ what is drawn

    def _hint(self) -> None:
        """On the panel's frame: what is left out, and how to get back to the newest."""
        if not isinstance(self.parent, Panel):
            return
        told = [KINDS[self._kind][0]] if self._kind else []
        told += [f"with `{safe(self._wanted, 20)}`"] if self._wanted else []
        if self.follows:
            self._seen = self._messages[-1] if self._messages else None
        elif self._messages:
            chosen = self._chosen()
            newer = next((at for at, message in enumerate(reversed(chosen)) if message is self._seen), len(chosen))
            told.append(f"end: back to the newest, {newer} more" if newer else "end: back to the newest")
        hint = "   ".join(told)
        if hint != self.hint:
            self.hint = hint
            self.parent.border_subtitle = Content.styled(hint, "$accent") if hint else ""

    def _rows(self, message: Any) -> list[Line]:
        clock, level = _clock(getattr(message, "time", None)), getattr(message, "level", "")
        mark, style = MARKS.get(level, ("", ""))
        printed = level == "printed"
        width = max(self.size.width - 11 - len(mark), 10)
        pieces: list[str] = []
        for text in str(message.text).splitlines() or [""]:
            for piece in wrap(safe(text.expandtabs(4)), width, printed):
                # The bar of what was printed goes on, the mark of a message stands once.
                pieces.append((mark if printed or not pieces else " " * len(mark)) + piece)
        if len(pieces) > ROWS_A_MESSAGE:
            left_out = len(pieces) - ROWS_A_MESSAGE + 1
            pieces[ROWS_A_MESSAGE - 1 :] = [" " * len(mark) + f"… {left_out} lines more"]
        text_style = "" if printed else style
        return [
            line(
                (f" {' ' * 8 if at else clock} ", "dim"), (piece[: len(mark)], style), (piece[len(mark) :], text_style)
            )
            for at, piece in enumerate(pieces)
        ]


def wrap(text: str, width: int, exact: bool) -> list[str]:
    """The text in pieces of at most `width` cells: between words, or where `exact`, with all its spaces anywhere."""
    if cell_len(text) <= width:
        return [text]
    if exact:
        return chop_cells(text, width)
    pieces: list[str] = []
    kept = ""
    for word in text.split():
        if kept and cell_len(kept) + 1 + cell_len(word) > width:
            pieces.append(kept)
            kept = ""
        kept = f"{kept} {word}" if kept else word
        if cell_len(kept) > width:
            *full, kept = chop_cells(kept, width)
            pieces += full
    return [*pieces, kept]


def _clock(when: Any) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(when)) if when else " " * 8
    except (OverflowError, ValueError, OSError, TypeError):
        # Whatever a file says.
        return " " * 8
