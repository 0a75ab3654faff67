"""The metrics of each epoch. Rows are made when they come into view: ten thousand epochs cost what ten do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import Binding

from tui.output import metric
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows
from tui.widgets.status import rate

COLUMN = 9
EDGE = 1
# What a person looks for first; the rest follows in the order in which it is recorded.
FIRST = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
EMPTY = "no epoch yet"


class MetricsTable(Rows):
    """A row an epoch, the newest in view until the person scrolls back; ★ marks the best, and by which metric it is."""

    HELP = """A row an epoch. ★ marks the best epoch, and the metric by which it is the best. The newest stays in view
    until you scroll back; end returns to it. ‹ and › tell that there are more metrics on that side."""
    BINDINGS: ClassVar = [
        Binding("left", "columns(-1)", "Metrics further left", key_display="←", show=False),
        Binding("right", "columns(1)", "Metrics further right", key_display="→", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history: Sequence[Any] = ()
        self._columns: tuple[str, ...] = ()
        self._first = 0
        self._more = False
        self._monitored = ""
        self._shown = 0
        self._best: int | None = None

    def show(self, history: Sequence[Any], best: int | None, monitored: str = "") -> None:
        """Draw `history` (epoch, metrics; oldest first); `best` is the epoch that is marked, `monitored` the metric by
        which it is the best."""
        old, new = self._shown, len(history)
        changed = range(old, new)
        if best != self._best or new < old:
            changed = range(self.scroll_offset.y, self.scroll_offset.y + self.room)
        # The reader's own list: it grows, and a copy of ten thousand rows three times a second would cost.
        self._history, self._shown, self._best, self._monitored = history, new, best, monitored
        if not history:
            self.set_rows([line((f" {EMPTY}", "dim"))], ())
            return
        self._arrange()
        self.set_source(new, self._line, [self._head()], changed)
        if self.follows and new != old:
            self.show_last()

    def _arrange(self) -> None:
        """Choose the columns that fit, from the first one that was scrolled to; the learning rate stays in view."""
        metrics = self._history[-1].metrics
        names = [name for name in FIRST if name in metrics]
        names += [name for name in metrics if name not in FIRST and name != "lr"]
        tail = ("lr",) if "lr" in metrics else ()
        widths = [_width(name) for name in names]
        room = self.size.width - self._digits() - 3 - EDGE - len(tail) * COLUMN
        # Not further than until the last one is in view.
        furthest = len(names)
        while furthest > 0 and sum(widths[furthest - 1 :]) <= room:
            furthest -= 1
        self._first = min(self._first, furthest, max(len(names) - 1, 0))
        fitting = 0
        while self._first + fitting < len(names) and sum(widths[self._first : self._first + fitting + 1]) <= room:
            fitting += 1
        chosen = names[self._first : self._first + max(fitting, 1)]
        more = self._first + len(chosen) < len(names)
        if (columns := (*chosen, *tail)) != self._columns or more != self._more:
            self._columns, self._more = columns, more
            self.refresh()

    def action_columns(self, step: int) -> None:
        if self._history:
            self._first = max(self._first + step, 0)
            self._arrange()
            self.header = (self._head(),)

    def _digits(self) -> int:
        return max(len(str(self._history[-1].epoch)), 5)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        if self._history:
            self._arrange()
            self.header = (self._head(),)
            self.refresh()
            if self.follows:
                self.show_last()

    def _head(self) -> Line:
        mark = "‹ epoch" if self._first else "epoch"
        cells = []
        for name in self._columns:
            best = name == self._monitored
            # The mark takes the space before the name where there is no other room.
            cells.append((fit(f"★{_short(name)}" if best else _short(name), _width(name), right=True), "dim"))
        return line((fit(mark, self._digits() + 3, right=True), "dim"), *cells, ("›" if self._more else "", "accent"))

    def _line(self, index: int) -> Line:
        row = self._history[index]
        best = row.epoch == self._best
        style = "good" if best else ""
        cells = []
        for name in self._columns:
            value = row.metrics.get(name)
            text = _rate(value) if name == "lr" else _decimals(name, value)
            cells.append((fit(text, _width(name), right=True), "dim" if name == "lr" else style))
        return line(
            (" ★ " if best else "   ", "good"), (fit(str(row.epoch), self._digits(), right=True), style), *cells
        )


def _short(name: str) -> str:
    return name.replace("accuracy", "acc")


def _width(name: str) -> int:
    return max(len(_short(name)) + 1, COLUMN)


def _rate(value: float | None) -> str:
    """A learning rate with a space before it: four digits where there is room, else three."""
    text = rate(value)
    return text if value is None or len(text) < COLUMN else f"{value:.3g}"


def _decimals(name: str, value: float | None) -> str:
    """As `metric`, with the same number of decimals in every row, so that digits stand below digits."""
    if value is None or name.endswith(("accuracy",)) or not 1e-3 <= abs(value) < 1e4:
        return metric(name, value)
    return metric(name, value) if "top" in name else f"{value:.4f}"
