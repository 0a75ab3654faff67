"""`layerlab runs`, `show` and `compare`: what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import RequestError, did_you_mean
from tui.cli.options import JsonOption, RunArgument, RunsOption, store_folder

if TYPE_CHECKING:
    from rich.table import Table

    from engine.store.listing import Summary
    from engine.store.reader import RunView

PANEL = "Look and compare"
SORTED_BY = ("started", "ended", "seconds", "name", "status", "parameters", "epoch", "epochs", "tag", "device")


def register(app: typer.Typer) -> None:
    app.command(
        "runs",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab runs[/], [bold]layerlab runs cnn finished --sort val/accuracy --limit 10[/], "
        "[bold]layerlab runs optimizer:adam 'val/accuracy>97%' not tag:old[/]",
    )(list_all)
    app.command(
        "show",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab show cnn[/], [bold]layerlab show 20260115 --json[/]",
    )(show)
    app.command(
        "compare",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab compare mlp cnn[/], [bold]layerlab compare mlp batchnorm cnn --markdown[/]",
    )(compare)


def list_all(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILTER]...",
            help="Words in name, id, status, tags or notes; field:text; 'metric>0.9'; not, or, brackets.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="KEY",
            help="started, seconds, name, status, parameters, a field, a metric: the best first.",
        ),
    ] = "started",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="How many to show.")] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the runs of the store, the newest first, pinned ones before all others."""
    from engine.store.listing import list_runs
    from tui.filtering import known_names, parse_filter
    from tui.output import console, fits, print_json, say
    from tui.record import listed_record

    store = store_folder(runs)
    wanted = parse_filter(" ".join(words or []))
    # The listing is in the order of making, which also tells runs of the same second apart.
    everything = list_runs(store)[::-1]
    found = _sorted(wanted.select(everything), sort, reverse)
    left_out = len(found) - limit if limit is not None and limit < len(found) else 0
    found = found[:limit]
    if as_json:
        print_json({"runs": [listed_record(run) for run in found]})
        return
    if not found:
        for line in wanted.unknown(known_names(everything)) if everything else ():
            say(line, style="yellow")
        say(
            f"no run in {store} matches {' '.join(words)}"
            if words
            else f"there are no runs in {store} yet; layerlab demo trains three"
        )
        return
    columns = ["run", "status", "epochs", "best", "best epoch", "a training epoch", "name"]
    if any(run.notes.tags for run in found):
        columns.append("tags")
    drawn = _listing(found, sort, columns)
    console().print(drawn if fits(drawn) else _listing(found, sort, columns[:4]))
    if left_out:
        say(f"and {left_out} more")


def _listing(found: Sequence[Summary], sort: str, columns: Sequence[str]) -> Table:
    """One row a run, with the first of these columns. The id is what people copy, so it is never folded."""
    from tui.compare import main_metric
    from tui.output import MISSING, add_row, duration, metric, table

    numbers = {"epochs", "best epoch", "a training epoch"}
    drawn = table(*columns, numbers=numbers, keep=["run", "status", "best"])
    for run in found:
        metrics = (run.best or {}).get("metrics", {})
        name = sort if sort in metrics else main_metric(metrics)
        cells = [
            run.run,
            run.status,
            f"{run.epoch}/{run.epochs}",
            f"{name} {metric(name, metrics[name])}" if name else MISSING,
            run.best["epoch"] if run.best else MISSING,
            duration(run.seconds_per_epoch),
            run.label,
            " ".join(run.notes.tags),
        ]
        add_row(drawn, *cells[: len(columns)])
    return drawn


def _sorted(found: Sequence[Summary], key: str, reverse: bool) -> list[Summary]:
    """Sorted by anything that a run has; RequestError for a name that none has."""
    from tui.filtering import best_first, column_value, known_names, sort_runs

    if found and key not in SORTED_BY and all(column_value(run, key) is None for run in found):
        known = known_names(found)
        metrics = sorted(name for name in known if "/" in name)
        there = f"the metrics are {', '.join(metrics)}" if metrics else "no run has a metric yet"
        raise RequestError(f"runs cannot be sorted by `{key}`; {did_you_mean(key, known) or there}")
    return sort_runs(found, key, best_first(key) is not reverse)


def show(name: RunArgument, runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """Show one run: what was asked, where it ran, every epoch."""
    from engine.store.folder import find_run
    from tui.output import print_json
    from tui.record import full_record

    view = read_run(find_run(store_folder(runs), name))
    if as_json:
        print_json(full_record(view))
        return
    show_run(view)


def read_run(path: Path) -> RunView:
    """A run as its folder tells of it now."""
    from engine.store.reader import RunReader

    reader = RunReader(path)
    reader.poll()
    return reader.view


def show_run(view: RunView) -> None:
    """Everything about a run that a person wants to see, on standard output."""
    from tui.cli.layers import LayerRow, print_layers
    from tui.compare import is_main, metric_names
    from tui.follow import best_text, message_text
    from tui.output import console, count, duration, fits, say, shape, write
    from tui.record import features_text, started

    write(f"{view.name}  {view.status}" + (f"  ({view.reason})" if view.reason else ""), style="bold")
    facts = [
        ("run", view.run),
        ("path", view.path),
        ("started", started(view)),
        ("epochs", f"{view.done} of {view.epochs}"),
        ("best", best_text(view).removeprefix("best ")),
        ("a training epoch", duration(view.seconds_per_epoch) if view.history else None),
        ("cached features", features_text(view.features)),
    ]
    facts += [
        (key, value) for key, value in view.environment.items() if isinstance(value, (str, int)) and key != "version"
    ]
    for key, value in facts:
        if value not in (None, ""):
            write(f"{key:18}{value}")
    if view.problem:
        say(f"warning: {view.problem}", style="yellow")
    if view.skipped_lines:
        say(f"warning: {view.skipped_lines} lines of its events could not be read", style="yellow")
    if view.modules:
        rows = []
        for module in view.modules:
            sizes, parameters = module.get("output_shape"), module.get("parameters")
            output = shape(sizes) if isinstance(sizes, (list, tuple)) else ""
            behind = (output, count(parameters) if parameters else "")
            rows.append(LayerRow(int(module.get("depth", 0)), str(module.get("call", "")), (), behind))
        print_layers([], ["output", "parameters"], rows, numbers=["parameters"])
    if view.experiment is not None:
        write(view.experiment.to_toml().rstrip("\n"))
    if view.history:
        names = metric_names([row.metrics for row in view.history])
        drawn = _history(view, names)
        if not fits(drawn):
            drawn = _history(view, [name for name in names if is_main(name)])
        console().print(drawn)
    _show_checkpoints(view.path)
    for message in view.messages[-20:]:
        write(message_text(message))


def _show_checkpoints(path: Path) -> None:
    """The checkpoints that the run has, and which of them a person pinned."""
    from engine.store.retention import kept
    from tui.output import MISSING, add_row, console, size, table

    found = kept(path / "checkpoints")
    if not found:
        return
    drawn = table("checkpoint", "step", "epochs", "size", "", numbers=["step", "epochs", "size"], keep=["checkpoint"])
    for one in found:
        marks = [*(["pinned"] if one.pinned else []), *([] if one.whole else ["damaged"])]
        epochs = MISSING if one.epoch is None else one.epoch
        add_row(drawn, one.path.name, f"{one.step:,}", epochs, size(one.bytes), " ".join(marks))
    console().print(drawn)


def _history(view: RunView, names: Sequence[str]) -> Table:
    """One row an epoch, with these metrics."""
    from tui.output import add_row, duration, metric, table

    drawn = table("epoch", *names, "train", "evaluate", "", numbers=["epoch", *names, "train", "evaluate"])
    for row in view.history:
        add_row(
            drawn,
            row.epoch,
            *(metric(name, row.metrics.get(name)) for name in names),
            duration(row.seconds.get("train")),
            duration(row.seconds.get("evaluate")),
            "best" if row.best else "",
        )
    return drawn


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Two runs or more; the first is the measure.")
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables, for notes and pages.")] = False,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put runs side by side.

    Shows what differs in the experiments, and the metrics with their difference to the first run.
    """
    from engine.spec import flatten
    from engine.store.folder import find_run
    from tui.compare import differing
    from tui.comparison import as_markdown, show_comparison
    from tui.output import print_json
    from tui.record import short_record

    if len(names) < 2:
        raise RequestError("compare needs two runs or more; layerlab runs lists them")
    views = [read_run(find_run(store_folder(runs), name)) for name in names]
    differs = differing([None if view.experiment is None else flatten(view.experiment) for view in views])
    if as_json:
        print_json({"runs": [short_record(view) for view in views], "differs": differs})
    elif markdown:
        as_markdown(views, differs)
    else:
        show_comparison(views, differs)
