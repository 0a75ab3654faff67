"""The metrics of each epoch. Rows are made when they come into view: ten thousand epochs cost what ten do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tui.output import metric
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows
from tui.widgets.status import rate

COLUMN = 9
# What a person looks for first; the rest follows in the order in which it is recorded.
FIRST = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
EMPTY = "no epoch yet"


class MetricsTable(Rows):
    """A row an epoch, the newest in view until the person scrolls back; ★ marks the best."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history: Sequence[Any] = ()
        self._columns: tuple[str, ...] = ()
        self._shown = 0
        self._best: int | None = None

    def show(self, history: Sequence[Any], best: int | None) -> None:
        """Draw `history` (epoch, metrics; oldest first); `best` is the epoch that is marked."""
        follows = self.scroll_offset.y >= self.max_scroll_y
        old, new = self._shown, len(history)
        changed = range(old, new)
        if best != self._best or new < old:
            changed = range(self.scroll_offset.y, self.scroll_offset.y + self.room)
        # The reader's own list: it grows, and a copy of ten thousand rows three times a second would cost.
        self._history, self._shown, self._best = history, new, best
        if not history:
            self.set_rows([line((f" {EMPTY}", "dim"))], ())
            return
        columns = self._choose(history[-1].metrics)
        if columns != self._columns:
            self._columns = columns
            self.refresh()
        self.set_source(new, self._line, [self._head()], changed)
        if follows and new != old:
            self.scroll_to(y=max(new - self.room, 0), animate=False, force=True)

    def _choose(self, metrics: dict[str, float]) -> tuple[str, ...]:
        names = [name for name in FIRST if name in metrics]
        names += [name for name in metrics if name not in FIRST and name != "lr"]
        tail = ("lr",) if "lr" in metrics else ()
        room = self.size.width - self._digits() - 4 - len(tail) * COLUMN
        chosen: list[str] = []
        for name in names:
            room -= _width(name)
            if room < 0 and chosen:
                break
            chosen.append(name)
        return (*chosen, *tail)

    def _digits(self) -> int:
        return max(len(str(self._history[-1].epoch)), 5)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        if self._history:
            self._columns = self._choose(self._history[-1].metrics)
            self.header = (self._head(),)
            self.refresh()

    def _head(self) -> Line:
        return line(
            (fit("epoch", self._digits() + 3, right=True), "dim"),
            *((fit(_short(name), _width(name), right=True), "dim") for name in self._columns),
        )

    def _line(self, index: int) -> Line:
        row = self._history[index]
        best = row.epoch == self._best
        style = "good" if best else ""
        cells = []
        for name in self._columns:
            value = row.metrics.get(name)
            text = rate(value) if name == "lr" else _decimals(name, value)
            cells.append((fit(text, _width(name), right=True), "dim" if name == "lr" else style))
        return line(
            (" ★ " if best else "   ", "good"), (fit(str(row.epoch), self._digits(), right=True), style), *cells
        )


def _short(name: str) -> str:
    return name.replace("accuracy", "acc")


def _width(name: str) -> int:
    return max(len(_short(name)) + 1, COLUMN)


def _decimals(name: str, value: float | None) -> str:
    """As `metric`, with the same number of decimals in every row, so that digits stand below digits."""
    if value is None or name.endswith(("accuracy",)) or not 1e-3 <= abs(value) < 1e4:
        return metric(name, value)
    return metric(name, value) if "top" in name else f"{value:.4f}"
