"""The typer application, and the one place where errors become words and exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from engine.errors import LayerlabError
from tui.cli import application, demonstration, experiments, keeping, live, machine, names, results, training
from tui.cli.options import DataOption, RunsOption

SUCCESS, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

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
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        application.open_application(None, runs, data)
    # `layerlab --runs DIR train ...` means what `layerlab train --runs DIR ...` means: commands look there too.
    for variable, folder in (("LAYERLAB_RUNS", runs), ("LAYERLAB_DATA", data)):
        if folder is not None:
            context.with_resource(_environment(variable, str(folder)))


# The order here is the order of `layerlab --help`.
for group in (demonstration, experiments, application, training, live, results, keeping, names, machine):
    group.register(app)


def main() -> None:
    """The entry point of `layerlab`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carry out one command line; gives the exit status, and never lets an exception out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 must not end a command
    try:
        status = app(args=arguments, prog_name="layerlab", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else SUCCESS
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as left:
        # Typer and rich answer a broken pipe with an exit of their own.
        if isinstance(left.__context__, BrokenPipeError):
            return _reader_left()
        return left.code if isinstance(left.code, int) else SUCCESS
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.TyperException as error:
        return _usage_error(error, arguments)
    except LayerlabError as error:
        return _refuse(error, "--json" in arguments)
    except Exception as error:
        return _bug(error, "--json" in arguments)


def _usage_error(error: typer.TyperException, arguments: list[str]) -> int:
    """A wrong option or command; typer's own words, made safe."""
    message = error.format_message()
    file = next((argument for argument in arguments if argument.endswith(".toml")), None)
    if file is not None and message.startswith("No such command"):
        message += f" Did you mean `layerlab open {file}`, or `layerlab train {file}`?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "layerlab"
    _tell({"message": message, "hint": f"see {path} --help"}, f"{message}\nTry `{path} --help`.", "--json" in arguments)
    return WRONG


def _refuse(error: LayerlabError, as_json: bool) -> int:
    known = {name: getattr(error, name, None) or None for name in ("field", "file", "line", "hint")}
    _tell({"message": getattr(error, "message", None) or str(error)} | known, str(error), as_json)
    return error.exit_code


def _bug(error: Exception, as_json: bool) -> int:
    """Something that layerlab did not foresee: one line for the person, the traceback in a file."""
    from tui.cli.options import cache_folder

    told = f"{type(error).__name__}: {error}"[:500]
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "last-error.txt"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        where = f"the details are in {path}"
    except (OSError, LayerlabError) as problem:
        where = f"the details could not be written: {problem}"
    _tell({"message": told, "hint": where}, f"this is a bug in layerlab: {told}\n{where}", as_json)
    return FAILED


def _tell(error: dict[str, Any], words: str, as_json: bool) -> None:
    from tui.output import print_json, say

    try:
        if as_json:
            print_json(
                {"ok": False, "error": {"message": "", "field": None, "file": None, "line": None, "hint": None} | error}
            )
        say(f"error: {words}", style="red")
    except BrokenPipeError:
        _reader_left()


def _reader_left() -> int:
    """Whoever read our output has gone (`layerlab runs | head`): leave without a word, also while Python shuts down."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(null, stream.fileno())
    return SUCCESS
