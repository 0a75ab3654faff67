"""Choosing the runs whose curves are laid over those of the run that is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content

from tui.output import metric
from tui.screens.picker import ROWS, Entry, Found, Picker
from tui.widgets.lines import line
from tui.widgets.status import MARKS

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from tui.app import LayerlabApp

MARK = "◆"
MOST = 200
NAME = 40


class CompareWith(Picker):
    """Marks and unmarks runs of the store, for as long as the person wants to. Gives nothing."""

    app: LayerlabApp
    BINDINGS: ClassVar = [Binding("tab", "mark", show=False)]

    def __init__(self, shown: str) -> None:
        super().__init__("Compare with", [])
        self._shown = shown
        self._runs: dict[str, str] = {}

    def on_mount(self) -> None:
        self.query_one("#picker", Vertical).border_subtitle = Content("enter marks and unmarks   esc closes")
        # Picker's own comes after this one.
        self.call_after_refresh(self.renew)

    def renew(self) -> None:
        """Show the runs as they are known now."""
        rows, marks = self.app.stored.rows, self.app.marks.runs
        self._runs = {
            name: run for run, name in sorted(names_of_runs(rows).items(), reverse=True) if run != self._shown
        }
        self._entries = [
            Entry(name, MARK if run in marks else " ", told(rows[run])) for name, run in self._runs.items()
        ]
        self._narrow()
        self.query_one(Found).styles.height = max(min(len(self._entries), ROWS), 1)
        self._show()

    def _show(self) -> None:
        if not self._entries:
            reading = "the store is being read…" if not self.app.stored.complete else "the store has no other run yet"
            self.query_one(Found).set_rows([line((f" {reading}", "dim"))])
            return
        # Nobody scrolls through thousands: typing finds the others.
        self._left = self._left[:MOST]
        super()._show()

    def _take(self) -> None:
        self.action_mark()

    def action_mark(self) -> None:
        found = self.query_one(Found)
        if self._left:
            entry = self._left[min(found.cursor, len(self._left) - 1)]
            self.app.marks.toggle(self._runs[entry.name])
            self.app.marks_changed()
            self.renew()


def told(row: Summary) -> str:
    """A run in a few words: state, best metric, data."""
    mark, _ = MARKS.get(row.status, ("?", ""))
    metrics = row.best["metrics"] if row.best else {}
    name = next((name for name in ("val/accuracy", "val/mae", "val/loss", "train/loss") if name in metrics), "")
    best = f"★ {metric(name, metrics[name])} {name}" if name else ""
    return "  ".join(part for part in (f"{mark} {row.status}", best, row.source) if part)


def cut(name: str) -> str:
    """A name in little room."""
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def names_of_runs(rows: Mapping[str, Summary]) -> dict[str, str]:
    """What to call each run in little room, no two alike: the name a person gave it, else its id without the time."""
    short = {run: cut(row.notes.name or run.split("-", 1)[-1]) for run, row in rows.items()}
    often = Counter(short.values())
    return {run: name if often[name] == 1 else run for run, name in short.items()}
