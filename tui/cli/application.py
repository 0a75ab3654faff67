"""`layerlab` and `layerlab open FILE`: the full-screen application."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import RequestError
from tui.cli.options import DataOption, DownloadOption, RunsOption, data_folder, store_folder

PANEL = "Begin"

_WITHOUT = """layerlab opens a full-screen application, and for that it needs a terminal; {missing} is none.
Without one:
  layerlab demo                       train MLP, BatchNorm and CNN on the embedded digits and compare them
  layerlab new cnn -o cnn.toml        write an experiment to start from
  layerlab train cnn.toml             train it
  layerlab runs                       list what was trained
  layerlab --help                     all commands"""


def register(app: typer.Typer) -> None:
    app.command("open", rich_help_panel=PANEL, epilog="Example: [bold]layerlab open cnn.toml[/]")(open_file)


def open_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An experiment.")],
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
) -> None:
    """Open an experiment in the application."""
    open_application(file, runs, data, download)


def open_application(
    file: str | None, runs: Path | None = None, data: Path | None = None, download: bool = False
) -> None:
    """Open the application; raises RequestError with what to do instead where there is no terminal."""
    missing = [name for name, stream in (("the input", sys.stdin), ("the output", sys.stdout)) if not stream.isatty()]
    if missing:
        raise RequestError(_WITHOUT.format(missing=missing[0]))
    from tui.app import run

    path = Path(file) if file is not None else None
    raise typer.Exit(run(path, store=store_folder(runs), data_folder=data_folder(data), download=download))
