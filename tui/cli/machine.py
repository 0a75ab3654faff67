"""`layerlab doctor` and `layerlab version`: this machine and this installation."""

from __future__ import annotations

import sys

import typer

from tui.cli.options import DataOption, JsonOption, RunsOption, data_folder, store_folder

PANEL = "Machine"


def register(app: typer.Typer) -> None:
    app.command("doctor", rich_help_panel=PANEL, epilog="Example: [bold]layerlab doctor --json[/]")(doctor)
    app.command("version", rich_help_panel=PANEL, epilog="Example: [bold]layerlab version[/]")(show_version)


def show_version(as_json: JsonOption = False) -> None:
    """Show the versions of layerlab, Python and torch."""
    from tui.output import print_json

    if as_json:
        print_json({"layerlab": installed("layerlab"), "python": sys.version.split()[0], "torch": installed("torch")})
    else:
        print_version()


def print_version() -> None:
    from tui.output import write

    write(f"layerlab {installed('layerlab')}, Python {sys.version.split()[0]}, torch {installed('torch')}")


def installed(package: str) -> str:
    """The version of an installed package, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def doctor(runs: RunsOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Look at machine, device, terminal and store.

    Says what works, what would not, and what to do about it.
    """
    from tui.doctor import FAILS, examine
    from tui.output import console, print_json

    findings = examine(store_folder(runs), data_folder(data))
    if as_json:
        print_json({"ok": all(one.state != FAILS for one in findings), "findings": [one.to_json() for one in findings]})
    else:
        from rich.text import Text

        from tui.safe import safe

        out = console()
        for one in findings:
            style = {"✓": "green", "!": "yellow", "✗": "red"}[one.state]
            out.print(Text.assemble((one.state, style), f" {one.topic:10} {safe(one.found)}"), soft_wrap=True)
            if one.advice:
                out.print(Text(f"             {safe(one.advice)}", style="dim"), soft_wrap=True)
    if any(one.state == FAILS for one in findings):
        raise typer.Exit(1)
