"""What the list of runs can say of a run, a column each: how it is headed, how wide it is, what stands in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tui.compare import higher_is_better, main_metric, metric_names
from tui.output import MISSING, count, duration, metric
from tui.widgets.lines import Span
from tui.widgets.status import MARKS

if TYPE_CHECKING:
    from engine.store.listing import Summary

NAME = "name"
BEST = "best"
DEFAULT = (NAME, "data", BEST, "epochs", "time", "when")
DEFAULT_SORT = ("when", True)
METRIC_WIDTH = 11
SHORT = {"accuracy": "acc", "balanced_accuracy": "bal acc", "top5": "top 5"}

# The last part of the path that a source begins with.
_PATH = re.compile(r"""[A-Za-z]+[(](?:path=)?(['"])(?:[^'"]*/)?([^'"/]+)/?\1""")


@dataclass(frozen=True)
class Column:
    """`cell(run, now)` gives text and style; `sort` is what `filtering.sort_runs` knows it by, `descending` how it is
    sorted at first; `width` is 0 for the column that takes what is left."""

    id: str
    title: str
    line: str
    width: int
    cell: Callable[[Summary, float], Span]
    sort: str
    right: bool = True
    descending: bool = True


def main(run: Summary) -> tuple[str | None, float | None]:
    """The metric that sums a run up, and its value in the best epoch, or in the last where none is best."""
    metrics = (run.best or run.last or {}).get("metrics", {})
    monitor = run.fields.get("monitor")
    name = main_metric(metrics, monitor if monitor != "none" else None)
    return name, metrics.get(name) if name is not None else None


def moment(text: str | None) -> float | None:
    """ISO 8601 as unix seconds."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def age(then: float | None, now: float) -> str:
    """How long ago: now, 3 m, 5 h, 2 d; from four weeks on the date. It changes at most once a minute."""
    if then is None:
        return MISSING
    seconds = now - then
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} m"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h"
    if seconds < 28 * 86400:
        return f"{seconds // 86400:.0f} d"
    return time.strftime("%b %y" if seconds > 300 * 86400 else "%d %b", time.localtime(then)).lstrip("0")


def called(run: Summary) -> str:
    """What a run is called where there are others of its experiment: the name that a person gave it, else the
    experiment's with the letters that tell runs apart."""
    return run.notes.name or (f"{run.name}-{run.run.rsplit('-', 1)[-1]}" if "-" in run.run else run.name)


def _name(run: Summary, now: float) -> Span:
    notes = run.notes
    signs = ("⇡" if notes.pinned else "") + ("★" if notes.starred else "")
    return (f"{signs} {called(run)}" if signs else called(run), "")


def _data(run: Summary, now: float) -> Span:
    # Of a folder or file its name: the source would be cut before it.
    path = _PATH.match(run.source)
    return (path[2] if path else run.source.removesuffix("()") or MISSING, "dim")


def _best(run: Summary, now: float) -> Span:
    name, value = main(run)
    return (metric(name, value) if name is not None else MISSING, "" if name is not None else "dim")


def _epochs(run: Summary, now: float) -> Span:
    if run.epoch == run.epochs:
        return (str(run.epochs), "")
    return (f"{run.epoch}/{run.epochs}" if run.epochs else MISSING, "")


def _status(run: Summary, now: float) -> Span:
    return (run.status, MARKS.get(run.status, ("", ""))[1])


def _parameters(run: Summary, now: float) -> Span:
    return (count(run.parameters), "")


def _tags(run: Summary, now: float) -> Span:
    return (" ".join(run.notes.tags), "accent")


def _time(run: Summary, now: float) -> Span:
    # Nothing is known of a run that has just begun.
    return (duration(run.seconds) if run.seconds else MISSING, "")


def _device(run: Summary, now: float) -> Span:
    return (run.device, "dim")


def _note(run: Summary, now: float) -> Span:
    return (run.notes.text, "dim")


FIXED = {
    column.id: column
    for column in (
        Column(NAME, "name", "The name it was given", 0, _name, "name", False, False),
        Column("data", "data", "The data it is trained on", 9, _data, "data", False, False),
        Column(BEST, "best", "Its main metric in the best epoch", METRIC_WIDTH, _best, "best"),
        Column("epochs", "epochs", "Epochs that ended, of those asked for", 7, _epochs, "epoch"),
        Column("time", "time", "How long it has trained", 8, _time, "seconds"),
        Column("when", "when", "When it began", 6, lambda run, now: (age(moment(run.started), now), "dim"), "started"),
        Column("status", "status", "How it stands", 11, _status, "status", False, False),
        Column("parameters", "parameters", "How many numbers are trained", 10, _parameters, "parameters"),
        Column("tags", "tags", "Its tags", 16, _tags, "tag", False, False),
        Column(
            "device", "device", "Where it is trained", 8, lambda run, now: (run.device, "dim"), "device", False, False
        ),
        Column("id", "id", "Its folder in the store", 36, lambda run, now: (run.run, "dim"), "run", False, False),
        Column(
            "note", "note", "The beginning of its note", 24, lambda run, now: (run.notes.text, "dim"), "note", False
        ),
    )
}


def column(id: str) -> Column | None:
    """The column of this id: a fixed one, `best.METRIC`, `last.METRIC`, or the dotted field of an experiment."""
    if id in FIXED:
        return FIXED[id]
    which, _, name = id.partition(".")
    if which in ("best", "last") and "/" in name:
        title = f"{'★ ' if which == 'best' else ''}{short(name)}"
        line = f"{name} in the {which} epoch"

        def value(run: Summary, now: float) -> Span:
            entry: dict[str, Any] = (run.best if which == "best" else run.last) or {}
            found = entry.get("metrics", {}).get(name)
            return (metric(name, found) if found is not None else MISSING, "" if found is not None else "dim")

        return Column(id, title, line, max(METRIC_WIDTH, len(title)), value, id, True, higher_is_better(name))
    if not id or any(character.isspace() for character in id):
        return None

    def field(run: Summary, now: float) -> Span:
        return (run.fields.get(id, MISSING), "dim")

    title = id.rsplit(".", 1)[-1]
    wide = 22 if title in ("optimizer", "scheduler", "layers", "task", "loss", "augment") else 12
    return Column(id, title, f"{id} of its experiment", max(wide, len(title)), field, id, False, False)


def short(name: str) -> str:
    """val/acc for val/accuracy."""
    part, _, rest = name.partition("/")
    return f"{part}/{SHORT.get(rest, rest)}" if rest else name


def best_title(runs: Iterable[Summary]) -> str:
    """How the column of main metrics is headed: by the metric's name where all of these runs have the same."""
    names = {name for name, _ in map(main, runs) if name is not None}
    return f"★ {short(names.pop())}" if len(names) == 1 else "★ best"


def known(runs: Iterable[Summary]) -> list[str]:
    """The ids of all columns that these runs have something for."""
    metrics: dict[str, float] = {}
    last: dict[str, float] = {}
    fields: dict[str, None] = {}
    for run in runs:
        metrics.update((run.best or {}).get("metrics", {}))
        last.update((run.last or {}).get("metrics", {}))
        fields.update(dict.fromkeys(run.fields))
    both = [f"best.{name}" for name in metric_names([metrics]) if "/" in name]
    both += [f"last.{name}" for name in metric_names([last]) if "/" in name]
    return [*FIXED, *both, *(name for name in fields if name != "name" and column(name) is not None)]
