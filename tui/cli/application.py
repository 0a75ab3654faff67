"""`layerlab open FILE`: the full-screen application."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.cli.opening import open_application
from tui.cli.options import DataOption, DownloadOption, RunsOption

PANEL = "Begin"


def register(app: typer.Typer) -> None:
    app.command("open", rich_help_panel=PANEL, epilog="Example: [bold]layerlab open cnn.toml[/]")(open_file)


def open_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An experiment.")],
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
) -> None:
    """Open an experiment in the application."""
    raise typer.Exit(open_application(file, runs, data, download))
