"""What a run in a list can be filtered and sorted by: its own facts, metrics, fields of the experiment, arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tui.compare import higher_is_better

if TYPE_CHECKING:
    from engine.store.listing import Summary

PARTS = ("val", "test", "train")
ALIASES = {
    "duration": "seconds",
    "time": "seconds",
    "params": "parameters",
    "id": "run",
    "tags": "tag",
    "data": "source",
    "notes": "note",
    "text": "note",
    "label": "name",
    "done": "epoch",
}
NUMBERS: dict[str, Callable[[Summary], float | None]] = {
    "epochs": lambda run: run.epochs,
    "epoch": lambda run: run.epoch,
    "seconds": lambda run: run.seconds,
    "seconds_per_epoch": lambda run: run.seconds_per_epoch,
    "parameters": lambda run: run.parameters,
}
TIMES: dict[str, Callable[[Summary], str | None]] = {
    "started": lambda run: run.started or _stamp(run.run),
    "ended": lambda run: run.ended,
}
# Each gives the texts of which one has to fit.
TEXTS: dict[str, Callable[[Summary], tuple[str, ...]]] = {
    "name": lambda run: (run.label, run.name),
    "run": lambda run: (run.run,),
    "status": lambda run: (run.status,),
    "reason": lambda run: (run.reason,),
    "source": lambda run: (run.source, run.fields.get("data.source", "")),
    "device": lambda run: (run.device, run.fields.get("device", "")),
    "tag": lambda run: run.notes.tags,
    "note": lambda run: (run.notes.text,),
}
_NAME_IN_CALL = re.compile(r"([^\W\d]\w*)[=(]")
_KEPT_AT_MOST = 200_000
_KEPT_NAMES = 1_000


class Layout:
    """The dotted names that an experiment's fields have: the same for thousands of runs, so what is meant by a name is
    looked for once."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._found: dict[str, tuple[str, ...]] = {}

    def named(self, name: str) -> tuple[str, ...]:
        """Those that are meant by `name` (small letters): it in full, its end, else its beginning."""
        found = self._found.get(name)
        if found is None:
            lowered = [(full, full.casefold()) for full in self.names]
            ends = tuple(full for full, low in lowered if low == name or low.endswith(f".{name}"))
            found = ends or tuple(full for full, low in lowered if low.startswith(f"{name}."))
            if len(self._found) > _KEPT_NAMES:
                self._found.clear()
            self._found[name] = found
        return found


@lru_cache(maxsize=1024)
def _layout(names: tuple[str, ...]) -> Layout:
    return Layout(names)


class Prepared:
    """A run with its texts in small letters, worked out once: a filter goes through thousands of them at every key."""

    __slots__ = ("_calls", "_layout", "run", "words")

    def __init__(self, run: Summary) -> None:
        notes = run.notes
        self.run = run
        self.words = "\n".join(
            (run.label, run.name, run.run, run.status, run.source, *notes.tags, notes.text)
        ).casefold()  # fmt: skip
        self._layout: Layout | None = None
        self._calls: str | None = None

    @property
    def layout(self) -> Layout:
        """The names of its experiment's fields."""
        if self._layout is None:
            self._layout = _layout(tuple(self.run.fields))
        return self._layout

    def texts(self, name: str) -> list[str]:
        """The texts of the fields that are meant by `name` (small letters)."""
        fields = self.run.fields
        return [fields[full] for full in self.layout.named(name)]

    @property
    def calls(self) -> str:
        """All fields that hold calls, such as `SGD(lr=0.1)`, as one text in small letters."""
        if self._calls is None:
            self._calls = "\n".join(text for text in self.run.fields.values() if "(" in text).casefold()
        return self._calls


_kept: dict[str, Prepared] = {}


def prepare(run: Summary) -> Prepared:
    """What a filter looks at of this run; made once for each Summary, by whoever asks first, in any thread."""
    kept = _kept.get(run.run)
    if kept is not None and kept.run is run:
        return kept
    if len(_kept) > _KEPT_AT_MOST:
        _kept.clear()
    prepared = _kept[run.run] = Prepared(run)
    return prepared


@lru_cache(maxsize=256)
def _argument_pattern(name: str) -> re.Pattern[str]:
    # Begins with the name itself, which is ten times as fast as a look behind at every letter.
    return re.compile(re.escape(name) + r"(?:=([^,()\n]+)|\(([^,()=\n]+))")


@lru_cache(maxsize=16_384)
def _written(text: str, name: str) -> tuple[str, ...]:
    """The values in a text of calls (small letters) of an argument, or what comes first in the calls of that name."""
    if name not in text:
        return ()
    return tuple(
        (found[1] or found[2]).strip()
        for found in _argument_pattern(name).finditer(text)
        if not (begin := found.start()) or not (text[begin - 1].isalnum() or text[begin - 1] in "_.")
    )


def arguments(prepared: Prepared, name: str) -> Sequence[str]:
    """The values of the argument `name` (`lr`, `optimizer.lr`, `dropout` for what Dropout gets first) in the calls of
    an experiment, as they are written but in small letters."""
    head, dot, last = name.casefold().rpartition(".")
    if not dot:
        return _written(prepared.calls, last)
    return [value for text in prepared.texts(head) for value in _written(text.casefold(), last)]


def number(text: str) -> float | None:
    """A number as it stands in an experiment; None for any other text."""
    try:
        return float(text)
    except ValueError:
        return None


def metric_value(run: Summary, name: str) -> float | None:
    """A metric of the best epoch, or with `last.` before its name of the last one; `accuracy` is that of the validation
    part, else of test, else of training."""
    entry = run.best
    if name.startswith("last."):
        entry, name = run.last, name[5:]
    elif name.startswith("best."):
        name = name[5:]
    metrics: dict[str, Any] = entry["metrics"] if entry else {}
    value = metrics.get(name)
    if value is None and "/" not in name:
        value = next((metrics[key] for part in PARTS if (key := f"{part}/{name}") in metrics), None)
    return float(value) if isinstance(value, int | float) else None


@lru_cache(maxsize=32_768)
def unix_time(text: str | None) -> float | None:
    """A time in ISO 8601 as unix seconds."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        return None


def _stamp(run: str) -> str | None:
    """The time in a run's id."""
    return run[:16] if len(run) > 16 and run[8] == "T" and run[15] == "Z" and run[:8].isdigit() else None


def column_value(run: Summary, column: str) -> float | str | None:
    """What stands in a column of the list: a number (times in unix seconds), a text, or None where the run has none."""
    column = ALIASES.get(column, column)
    if column in NUMBERS:
        return NUMBERS[column](run)
    if column in TIMES:
        return unix_time(TIMES[column](run))
    if column == "tag":
        return " ".join(run.notes.tags) or None
    if column in TEXTS:
        return next((text for text in TEXTS[column](run) if text), None)
    if "/" in column or column.startswith(("last.", "best.")):
        return metric_value(run, column)
    prepared = prepare(run)
    for text in prepared.texts(column.casefold()):
        value = number(text)
        return value if value is not None else None if text == "none" else text
    written = arguments(prepared, column)
    if written:
        value = number(written[0])
        return written[0] if value is None else value
    return metric_value(run, column)


def best_first(column: str) -> bool:
    """Whether a column is looked at from its largest value down, where nobody says how."""
    column = ALIASES.get(column, column)
    return column in TIMES or column in NUMBERS or higher_is_better(column)


def sort_runs(runs: Iterable[Summary], column: str, descending: bool | None = None) -> list[Summary]:
    """Sorted by a column; as given where that is equal. Without `descending` the best, the newest or the first letter
    comes first. Pinned runs come before all others, those without a value after all others, both ways."""
    down = best_first(column) if descending is None else descending
    numbers: list[tuple[float, Summary]] = []
    texts: list[tuple[str, Summary]] = []
    missing: list[Summary] = []
    for run in runs:
        value = column_value(run, column)
        if isinstance(value, str):
            texts.append((value.casefold(), run))
        elif value is None or math.isnan(value):
            missing.append(run)
        else:
            numbers.append((value, run))
    numbers.sort(key=lambda pair: pair[0], reverse=down)
    texts.sort(key=lambda pair: pair[0], reverse=down)
    ordered = [run for _, run in numbers] + [run for _, run in texts] + missing
    return [run for run in ordered if run.notes.pinned] + [run for run in ordered if not run.notes.pinned]


def known_names(runs: Sequence[Summary]) -> frozenset[str]:
    """Every name that a filter on these runs can use: facts, fields (and their last parts), arguments, metrics."""
    fields: set[tuple[str, ...]] = set()
    metrics: set[tuple[str, ...]] = set()
    calls: set[str] = set()
    for run in runs:
        prepared = prepare(run)
        fields.add(prepared.layout.names)
        calls.add(prepared.calls)
        metrics.update(tuple(entry["metrics"]) for entry in (run.best, run.last) if entry)
    found = {*ALIASES, *NUMBERS, *TIMES, *TEXTS, "age", "is"}
    for names in fields:
        for full in names:
            found |= {full, full.rpartition(".")[2]}
    for names in metrics:
        for name in names:
            found |= {name, name.rpartition("/")[2]}
    for text in calls:
        found.update(_NAME_IN_CALL.findall(text))
    return frozenset(found)
