"""The typer application: all commands, and what is wrong with how one was called."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from engine.errors import RequestError
from tui.cli import application, demonstration, experiments, keeping, live, machine, names, results, training
from tui.cli import data as data_commands
from tui.cli.endings import SUCCESS, WRONG, carry_out, leave, tell
from tui.cli.opening import open_application
from tui.cli.options import DataOption, DownloadOption, RunsOption

app = typer.Typer(
    name="layerlab",
    help="Compose PyTorch networks layer by layer, train them, watch them and compare them.",
    epilog="Begin with [bold]layerlab demo[/], or [bold]layerlab new cnn -o cnn.toml[/] and "
    "[bold]layerlab train cnn.toml[/]. [bold]layerlab COMMAND --help[/] shows examples.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        machine.print_version()
        raise typer.Exit(SUCCESS)


@contextlib.contextmanager
def _environment(variable: str, value: str) -> Iterator[None]:
    """The variable set for as long as a command takes."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise typer.Exit(open_application(None, runs, data, download))
    if download:
        command = context.invoked_subcommand
        raise RequestError(f"--download belongs behind the command: `layerlab {command} ... --download`")
    # `layerlab --runs DIR train ...` means what `layerlab train --runs DIR ...` means: commands look there too.
    for variable, folder in (("LAYERLAB_RUNS", runs), ("LAYERLAB_DATA", data)):
        if folder is not None:
            context.with_resource(_environment(variable, str(folder)))


# The order here is the order of `layerlab --help`.
for group in (demonstration, experiments, data_commands, application, training, live, results, keeping, names, machine):
    group.register(app)


def main() -> None:
    """Carry out the command line of this process."""
    leave(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carry out one command line; gives the exit status, and never lets an exception out."""
    return carry_out(lambda: _command(arguments), "--json" in arguments)


def _command(arguments: list[str]) -> int:
    try:
        status = app(args=arguments, prog_name="layerlab", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        return _usage_error(error, arguments)
    return status if isinstance(status, int) else SUCCESS


def _usage_error(error: typer.TyperException, arguments: list[str]) -> int:
    """A wrong option or command; typer's own words, made safe."""
    message = error.format_message()
    file = next((argument for argument in arguments if argument.endswith(".toml")), None)
    if file is not None and message.startswith("No such command"):
        message += f" Did you mean `layerlab open {file}`, or `layerlab train {file}`?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "layerlab"
    tell({"message": message, "hint": f"see {path} --help"}, f"{message}\nTry `{path} --help`.", "--json" in arguments)
    return WRONG
