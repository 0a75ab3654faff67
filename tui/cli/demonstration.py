"""`layerlab demo`: three networks on real digits, in under a minute."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tui.cli.options import JsonOption, RunsOption, load, store_folder
from tui.cli.training import Launcher, say_how_it_ended, show_results, train_one

if TYPE_CHECKING:
    from engine.store.reader import RunView

NETWORKS = ("mlp", "batchnorm", "cnn")
# One recipe for all three, so that only the networks differ; enough steps for 1,437 images, whose number is small.
RECIPE = ("data.source=Digits()", "optimizer=SGD(lr=0.05)", "epochs=15")


def register(app: typer.Typer) -> None:
    app.command(
        "demo",
        rich_help_panel="Begin",
        epilog="Example: [bold]layerlab demo[/], then [bold]layerlab runs[/] and [bold]layerlab show cnn[/]",
    )(demo)


def demo(runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """Train MLP, BatchNorm and CNN on the embedded digits and compare them.

    It takes less than a minute, and downloads nothing.
    """
    from tui.output import print_json, say, write
    from tui.record import short_record

    store, temporary = demo_store(store_folder(runs))
    if temporary:
        say(f"{store_folder(runs)} cannot be written, so the runs go to {store}")
    say("three networks on 1,797 handwritten digits of 8 × 8 pixels; a fifth of them is held out")
    say(f"the same for each: {', '.join(RECIPE[1:])}")
    views, status = _train_all(store)
    if as_json:
        print_json({"runs": [short_record(view) for view in views]})
    else:
        show_results(views)
    for view in views:
        if view.status != "finished":
            say_how_it_ended(view)
    if status:
        raise typer.Exit(status)
    if not as_json:
        where = f" --runs {store}" if temporary or runs is not None else ""
        write("What next:")
        write(f"  layerlab compare {' '.join(view.run for view in views)}{where}")
        write("  layerlab new cnn -o cnn.toml    an experiment of your own to change")
        write("  layerlab train cnn.toml         train it")
        write("  layerlab                        the application")


def _train_all(store: Path) -> tuple[list[RunView], int]:
    """Train the networks one after another, until one does not finish; gives the runs and the exit status.

    On one thread: networks this small gain nothing from several, and on a busy machine lose seconds an epoch while the
    threads wait for each other.
    """
    import torch

    views: list[RunView] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in NETWORKS:
            view, status = train_one(load(name, list(RECIPE)), store, None, Launcher.thread, False, None)
            views.append(view)
            if status:
                return views, status
    finally:
        torch.set_num_threads(threads)
    return views, 0


def demo_store(store: Path) -> tuple[Path, bool]:
    """The store where it can be written, otherwise a new temporary folder; and whether it is that."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store):
            pass
    except OSError:
        return Path(tempfile.mkdtemp(prefix="layerlab-")), True
    return store, False
