"""`layerlab train`, `resume` and `demo`: runs trained from the command line."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import LayerlabError, RequestError, RunError
from tui.cli.experiments import check_experiment
from tui.cli.options import (
    AllowOption,
    DataOption,
    DownloadOption,
    JsonOption,
    RunArgument,
    RunsOption,
    SetOption,
    allowed,
    data_folder,
    load,
    store_folder,
)

if TYPE_CHECKING:
    from engine.spec import Experiment
    from engine.store.reader import RunView

PANEL = "Train"


class Launcher(enum.StrEnum):
    thread = "thread"
    process = "process"


LauncherOption = Annotated[
    Launcher, typer.Option("--launcher", help="Train in a thread of this process, or in a process of its own.")
]


def register(app: typer.Typer) -> None:
    app.command(
        "train",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab train cnn.toml[/], [bold]layerlab train mlp cnn --set epochs=5[/], "
        "[bold]layerlab train cnn.toml --set data.source=MNIST() --download[/], "
        "[bold]layerlab train cnn.toml --detach[/]. "
        "Ctrl+c stops with a checkpoint; [bold]layerlab resume RUN[/] goes on.",
    )(train)
    app.command(
        "resume",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab resume cnn[/] goes on where the last checkpoint was written, "
        "[bold]layerlab resume cnn --add-epochs 5[/] also after the end.",
    )(resume)


def train(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Experiments, or names of presets.")],
    settings: SetOption = None,
    launcher: LauncherOption = Launcher.thread,
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
    allow: AllowOption = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Begin and leave: each trains in a process of its own, side by side, that no terminal ends.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train experiments, one after another, and keep each as a run."""
    from tui.output import print_json, say, write
    from tui.record import record

    # All are checked before the first is trained: a slip in the last file should not show up in an hour.
    experiments = [load(file, settings) for file in files]
    for experiment in experiments:
        refuse_what_fails(experiment, data, download, allow)
    if detach:
        from tui.cli.detach import tell, train_detached

        begun = train_detached(experiments, store_folder(runs), data_folder(data), download, allowed(allow))
        if as_json:
            documents = [one.to_json() for one in begun]
            print_json(documents[0] if len(files) == 1 else documents)
        else:
            for one in begun:
                write(one.view.run)
        tell(begun)
        return
    views: list[RunView] = []
    status = 0
    for experiment in experiments:
        view, ended = train_one(experiment, store_folder(runs), data, launcher, download, allow)
        views.append(view)
        status = ended or status
        if ended in (130, 143):
            break
    if as_json:
        records = [record(view) for view in views]
        print_json(records[0] if len(files) == 1 else records)
    else:
        show_results(views)
    for view in views:
        say_how_it_ended(view)
    if len(views) < len(files):
        say(f"{len(files) - len(views)} of {len(files)} experiments were not begun")
    if status:
        raise typer.Exit(status)


def resume(
    name: RunArgument,
    launcher: LauncherOption = Launcher.thread,
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
    allow: AllowOption = None,
    add_epochs: Annotated[int, typer.Option("--add-epochs", metavar="N", help="Train so many epochs more.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was stopped or interrupted, or train a finished one further.

    On the CPU it comes to the same bits as if it had never stopped.
    """
    from engine.control import MAX_ADDED_EPOCHS
    from engine.store.folder import find_run
    from engine.store.reader import RunReader
    from tui.output import print_json
    from tui.record import record

    path = find_run(store_folder(runs), name)
    if add_epochs and not 0 < add_epochs <= MAX_ADDED_EPOCHS:
        raise RequestError(f"--add-epochs {add_epochs}: from 1 to {MAX_ADDED_EPOCHS:,} epochs can be added")
    reader = RunReader(path)
    reader.poll()
    if reader.view.status == "finished" and not add_epochs:
        raise RequestError(
            f"{path.name} is finished ({reader.view.done} of {reader.view.epochs} epochs); "
            f"layerlab resume {path.name} --add-epochs 10 trains it further"
        )
    view, status = run_to_the_end(path, data, launcher, download, allow, resume=True, add_epochs=add_epochs)
    if as_json:
        print_json(record(view))
    else:
        show_results([view])
    say_how_it_ended(view)
    if status:
        raise typer.Exit(status)


def refuse_what_fails(experiment: Experiment, data: Path | None, download: bool, allow: list[str] | None) -> None:
    """Raise what a check finds, and RequestError where data or weights are neither there nor to be fetched."""
    check_experiment(experiment, data, download, allow).require()


def train_one(
    experiment: Experiment,
    store: Path,
    data: Path | None,
    launcher: Launcher,
    download: bool,
    allow: list[str] | None,
) -> tuple[RunView, int]:
    """Check an experiment, make its run and train it to the end; gives the run as read back, and the exit status."""
    from engine.launch import prepare_run

    path = prepare_run(experiment, store, data_folder(data), download=download, allow=allowed(allow))
    return run_to_the_end(path, data, launcher, download, allow)


def run_to_the_end(
    path: Path,
    data: Path | None,
    launcher: Launcher,
    download: bool,
    allow: list[str] | None,
    resume: bool = False,
    add_epochs: int = 0,
) -> tuple[RunView, int]:
    """Train a run folder, showing its progress; ctrl+c and SIGTERM stop it with a checkpoint."""
    from engine.control import Request
    from engine.launch import start
    from engine.store.reader import RunReader
    from tui.follow import follow
    from tui.interruptions import Interruptions

    reader = RunReader(path)
    if resume:
        reader.poll()
    segment = reader.view.segment
    with Interruptions() as signals:
        handle = start(
            path,
            launcher=launcher.value,
            data_folder=data_folder(data),
            download=download,
            resume=resume,
            add_epochs=add_epochs,
            allow=allowed(allow),
        )
        view = follow(
            reader,
            alive=lambda: handle.alive,
            each_look=lambda: signals.forward(lambda: handle.request(Request("stop", by="command line"))),
        )
        handle.join(timeout=30)
    if view.segment <= segment:
        raise RunError(f"the session of {path.name} ended before it began; {path / 'console.log'} may say why")
    return view, signals.exit_status if signals.exit_status is not None else exit_status(view)


def exit_status(view: RunView) -> int:
    """0 for a run that is finished, 130 for one that a person stopped, 1 for all else."""
    return {"finished": 0, "stopped": 130}.get(view.status, LayerlabError.exit_code)


def say_how_it_ended(view: RunView) -> None:
    from tui.output import say

    if view.status == "failed":
        say(f"error: {view.name} failed: {view.reason or 'no reason was recorded'}", style="red")
    elif view.status in ("stopped", "interrupted"):
        why = f" ({view.reason})" if view.reason not in ("", view.status) else ""
        say(f"{view.name} is {view.status}{why}; layerlab resume {view.run} goes on with it")
    elif view.status != "finished":
        say(
            f"error: {view.name} is {view.status}: {view.problem or view.reason or 'it stopped reporting'}", style="red"
        )


def show_results(views: Sequence[RunView]) -> None:
    """The runs side by side: best metrics, size, time."""
    from tui.compare import is_main, metric_names, value_of
    from tui.output import add_row, console, count, duration, metric, table, write
    from tui.record import features_text

    names = metric_names([(view.best or view.last or {}).get("metrics", {}) for view in views])
    # What is not a main metric, and the training part, are for `show`: here a line should fit the terminal.
    names = [name for name in names if is_main(name) and not name.startswith("train/")] or names
    columns = ["run", "status", "best epoch", *names, "parameters", "a training epoch", "in all"]
    drawn = table(*columns, numbers=set(columns) - {"run", "status"}, keep=["status"])
    for view in views:
        best = view.best or view.last
        add_row(
            drawn,
            view.name,
            view.status,
            best["epoch"] if best else "–",
            *(metric(name, value_of(best, name)) for name in names),
            count(view.started.get("parameters")),
            duration(view.seconds_per_epoch),
            duration(sum(sum(row.seconds.values()) for row in view.history) if view.history else None),
        )
    console().print(drawn)
    for view in views:
        write(f"{view.name}: {view.path}")
        if view.features is not None:
            # The time above is that of the epochs.
            write(f"cached features: {features_text(view.features)}")
