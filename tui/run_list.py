"""Which runs the list shows and in what order: sorted when runs or order change, narrowed down by each key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.errors import RequestError
from tui.compare import higher_is_better
from tui.filtering import known_names, parse_filter, sort_runs
from tui.run_columns import BEST, FIXED, Column, main

if TYPE_CHECKING:
    from engine.store.listing import Summary


class RunList:
    """`found` are the runs that the filter lets through, in order. `problem` says what is wrong with the filter as it
    is typed; the last good one stays in force."""

    def __init__(self) -> None:
        self.found: list[Summary] = []
        self.total = 0
        self.problem = ""
        self.text = ""
        self._sorted: list[Summary] = []
        self._filter = parse_filter("")
        self._names: frozenset[str] | None = None

    @property
    def filtered(self) -> bool:
        return bool(self.text.strip())

    def take(self, runs: Iterable[Summary], column: Column, descending: bool) -> None:
        """Sort these runs, and filter them. The newest come first among equals."""
        newest = sorted(runs, key=lambda run: run.run, reverse=True)
        by_main = column.id == BEST
        self._sorted = by_main_metric(newest, descending) if by_main else sort_runs(newest, column.sort, descending)
        self.total = len(self._sorted)
        self._names = None
        self._find()

    def filter_by(self, text: str, typing: bool = True) -> None:
        """Narrow down to what fits the text. While it is typed, a last word that no run has but that begins the name of
        a field asks for nothing yet: it is on the way to `val/accuracy>0.9`."""
        self.text = text
        self.problem = ""
        try:
            wanted = parse_filter(text)
            found = wanted.select(self._sorted)
            word = text.rpartition(" ")[2]
            name = self._begun(word) if typing and not found else ""
            if name:
                self.problem = f"`{name}` is a field: behind it : > < or ="
                wanted = parse_filter(text.removesuffix(word))
                found = wanted.select(self._sorted)
        except RequestError as error:
            self.problem = self.problem or str(error)
        else:
            self._filter, self.found = wanted, found

    def hint(self) -> tuple[str, ...]:
        """What the filter asks for that no run has, in words."""
        return self._filter.unknown(known_names(self._sorted))

    def _begun(self, word: str) -> str:
        """The field whose name the word is, or begins; "" where there is none."""
        word = word.lstrip("-!(").casefold()
        if not word:
            return ""
        if self._names is None:
            self._names = field_names(self._sorted)
        return min((n for n in self._names if n.casefold().startswith(word)), key=lambda n: (len(n), n), default="")

    def _find(self) -> None:
        self.found = self._filter.select(self._sorted)


def field_names(runs: Iterable[Summary]) -> frozenset[str]:
    """The names that can stand before a colon or a comparison: facts, metrics, fields in full and their last parts."""
    found = {*FIXED, "seconds", "started", "ended", "age", "tag", "source"}
    for names in {tuple(run.fields) for run in runs}:
        found.update(names, (name.rpartition(".")[2] for name in names))
    for names in {tuple(entry["metrics"]) for run in runs for entry in (run.best, run.last) if entry}:
        found.update(names)
    return frozenset(found)


def by_main_metric(runs: Sequence[Summary], best_first: bool) -> list[Summary]:
    """Sorted by the metric that sums each run up. Values of different metrics are not compared: the runs of the one
    that most have come first. Pinned runs come before all others, those without a metric after them."""
    groups: dict[str, list[tuple[float, Summary]]] = {}
    missing: list[Summary] = []
    for run in runs:
        name, value = main(run)
        if name is None or value is None or value != value:
            missing.append(run)
        else:
            groups.setdefault(name, []).append((value if higher_is_better(name) else -value, run))
    ordered: list[Summary] = []
    for group in sorted(groups.values(), key=len, reverse=True):
        ordered += [run for _, run in sorted(group, key=lambda pair: pair[0], reverse=best_first)]
    ordered += missing
    return [run for run in ordered if run.notes.pinned] + [run for run in ordered if not run.notes.pinned]
