"""A comparison of runs as tables: on the terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tui.compare import best_column, differences, is_layers, layer_differences, metric_names, value_of
from tui.output import MISSING, add_row, console, count, difference, duration, metric, table, write
from tui.safe import safe

if TYPE_CHECKING:
    from engine.store.reader import RunView

Rows = list[list[str]]
# Emphasis, code, links, HTML, columns, and what pages turn into references: #12, @name, https://
_MARKDOWN_ACTIVE = set("\\`*_[]<>|~$&#@:")


def settings_rows(differs: Mapping[str, Sequence[str | None]]) -> Rows:
    """One row a field that differs, without the layers, which are told apart one by one."""
    rows = [[field, *(MISSING if value is None else value for value in values)] for field, values in differs.items()]
    return [row for row in rows if not is_layers(row[0])]


def layer_rows(views: Sequence[RunView]) -> dict[str, Rows]:
    """For each network whose layers differ: the first run's layers, and for each other run what is taken and added."""
    found: dict[str, Rows] = {}
    for name, columns in layer_differences([view.experiment for view in views]).items():
        texts = [
            [MISSING] if lines is None else [f"{mark} {text}" if index else text for mark, text in lines]
            for index, lines in enumerate(columns)
        ]
        length = max(len(text) for text in texts)
        found[name] = [[text[i] if i < len(text) else "" for text in texts] for i in range(length)]
    return found


def metric_rows(views: Sequence[RunView]) -> Rows:
    """One row a metric of the best epoch: the value, in brackets how far it is from the first run's; * is the best."""
    columns = [dict((view.best or view.last or {}).get("metrics", {})) for view in views]
    rows: Rows = []
    for name in metric_names(columns):
        best = best_column(name, columns) if name != "lr" else None
        away = differences(name, columns)
        cells = []
        for index, metrics in enumerate(columns):
            cell = metric(name, value_of({"metrics": metrics}, name))
            if away[index] is not None:
                cell += f" ({difference(name, away[index])})"
            cells.append(cell + (" *" if index == best else ""))
        rows.append([name, *cells])
    bests = [view.best or view.last for view in views]
    rows.append(["best epoch", *(str(best["epoch"]) if best else MISSING for best in bests)])
    rows.append(["parameters", *(count(view.started.get("parameters")) for view in views)])
    rows.append(["a training epoch", *(duration(view.seconds_per_epoch) for view in views)])
    epochs = [sum(sum(row.seconds.values()) for row in view.history) if view.history else None for view in views]
    rows.append(["time", *(duration(seconds) for seconds in epochs)])
    if any(view.features for view in views):
        # All that they ran, with what was prepared before the epochs.
        rows.append(["with preparation", *(duration(view.seconds or None) for view in views)])
    return rows


def headings(views: Sequence[RunView]) -> list[str]:
    """A column's heading for each run: its name, or its id where two have the same name."""
    names = [view.name for view in views]
    return [view.run if names.count(view.name) > 1 else view.name for view in views]


def show_comparison(views: Sequence[RunView], differs: Mapping[str, Sequence[str | None]]) -> None:
    """The tables on standard output."""
    titles = headings(views)

    def draw(first: str, rows: Rows, numbers: Iterable[str] = ()) -> None:
        drawn = table(first, *titles, numbers=numbers)
        for row in rows:
            add_row(drawn, *row)
        console().print(drawn)

    settings, layers = settings_rows(differs), layer_rows(views)
    if settings:
        draw("setting", settings)
    for name, rows in layers.items():
        drawn = table(*titles, title="layers" if name == "model" else f"layers of {name}")
        for row in rows:
            add_row(drawn, *row)
        console().print(drawn)
    if not settings and not layers:
        write("The experiments are the same.")
    draw("metric", metric_rows(views), numbers=titles)


def as_markdown(views: Sequence[RunView], differs: Mapping[str, Sequence[str | None]]) -> None:
    """The same tables in Markdown; what could be markup in a name or a value is escaped."""
    titles = headings(views)
    settings = settings_rows(differs)
    if settings:
        write(markdown_table(["setting", *titles], settings))
    for rows in layer_rows(views).values():
        write(markdown_table(titles, rows))
    write(markdown_table(["metric", *titles], metric_rows(views)))


def markdown_table(heads: Sequence[str], rows: Rows) -> str:
    """A table in Markdown, each cell escaped."""
    lines = ["| " + " | ".join(_escaped(head) for head in heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in _MARKDOWN_ACTIVE else character for character in safe(text))
