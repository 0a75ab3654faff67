"""`layerlab watch`, `stop` and `control`: runs that are trained now, here or elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import RequestError, RunError
from tui.cli.options import JsonOption, RunArgument, RunsOption, store_folder

if TYPE_CHECKING:
    from engine.control import Request

PANEL = "Train"
_WAIT = 30.0
_INTERVAL = 0.2


def register(app: typer.Typer) -> None:
    app.command(
        "watch",
        rich_help_panel=PANEL,
        epilog="Example: [bold]layerlab watch cnn[/]. Ctrl+c ends the watching, not the run.",
    )(watch)
    app.command(
        "stop",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab stop cnn[/], [bold]layerlab stop cnn --after-epoch[/]",
    )(stop)
    app.command(
        "control",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab control cnn pause[/], [bold]layerlab control cnn resume[/], "
        "[bold]layerlab control cnn set_lr 0.001[/], [bold]layerlab control cnn add_epochs 5[/], "
        "[bold]layerlab control cnn checkpoint --pin[/]",
    )(control)


def watch(name: RunArgument, runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """Follow a run until it is over; the run does not notice."""
    from engine.store.folder import find_run
    from engine.store.reader import RunReader
    from tui.cli.training import show_results
    from tui.follow import follow
    from tui.output import print_json
    from tui.record import record

    view = follow(RunReader(find_run(store_folder(runs), name)))
    if as_json:
        print_json(record(view))
    else:
        show_results([view])


def stop(
    name: RunArgument,
    after_epoch: Annotated[
        bool, typer.Option("--after-epoch", help="Let it finish the epoch that is under way.")
    ] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Do not save a checkpoint.")] = False,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the run.")] = _WAIT,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a live run.

    At once and with a checkpoint, unless told otherwise; then layerlab resume goes on with it.
    """
    if after_epoch and discard:
        raise RequestError("--after-epoch and --discard exclude each other: one saves a checkpoint, the other does not")
    request = "stop_epoch" if after_epoch else "discard" if discard else "stop"
    _ask(name, _request(request, None), wait, runs, as_json)


def control(
    name: RunArgument,
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST",
            help="pause, resume, stop, stop_epoch, discard, checkpoint, set_lr or add_epochs.",
        ),
    ],
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="The learning rate, or the number of epochs.")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="With checkpoint: keep it for good.")] = False,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the run.")] = _WAIT,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask something of a live run; it acts within one step."""
    request = request.replace("-", "_")
    if pin and request not in ("checkpoint", "pin_checkpoint"):
        raise RequestError(f"--pin keeps a checkpoint; it does not go with {request}")
    request = "pin_checkpoint" if pin else request
    _ask(name, _request(request, value), wait, runs, as_json)


def _request(name: str, value: str | None) -> Request:
    """The request, signed by this process so that its answer can be told from another's; RequestError where wrong."""
    from engine.control import Request

    return Request(name, _number(name, value), by=f"command line, process {os.getpid()}")


def _number(request: str, value: str | None) -> float | int | None:
    """The value of a request, as the number that it has to be; what it may be is for the request to say."""
    if value is None:
        return None
    try:
        return int(value) if request == "add_epochs" else float(value)
    except ValueError:
        wanted = "a whole number of epochs" if request == "add_epochs" else "a number, such as 0.001"
        raise RequestError(f"`{value}` is not what {request} takes: {wanted}") from None


def _ask(name: str, request: Request, wait: float, runs: Path | None, as_json: bool) -> None:
    """Send a request and wait until the run has acted on it; RunError where it does not in time.

    A run that was asked to stop is waited for until it has stopped, with its checkpoint written.
    """
    from engine.store.folder import find_run
    from engine.store.reader import RunReader
    from engine.store.requests import send
    from tui.follow import OVER
    from tui.output import print_json, say
    from tui.record import record

    path = find_run(store_folder(runs), name)
    send(path, request)
    reader = RunReader(path)
    deadline = time.monotonic() + wait
    ends = request.name in ("stop", "discard")
    while True:
        reader.poll()
        over = reader.view.status in OVER
        acted = any(event.request == request.name and event.by == request.by for event in reader.view.controls)
        if over or (acted and not ends) or time.monotonic() > deadline:
            break
        time.sleep(_INTERVAL)
    if not acted and not over:
        raise RunError(f"{path.name} did not act on {request.name} within {wait:g} s; it may still do so later")
    if as_json:
        print_json(record(reader.view) | {"request": request.name, "value": request.value, "acted": acted})
    if acted:
        value = "" if request.value is None else f" {request.value:g}"
        say(f"{path.name} acted on {request.name}{value}; it is {reader.view.status}")
    else:
        say(f"{path.name} was {reader.view.status} before it could act on {request.name}")
