"""`layerlab new` and `layerlab check`: experiments before they are trained."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import RequestError, did_you_mean
from tui.cli.options import (
    AllowOption,
    DataOption,
    DownloadOption,
    JsonOption,
    RunsOption,
    SetOption,
    allowed,
    data_folder,
    load,
    store_folder,
)

if TYPE_CHECKING:
    from engine.check import Report
    from engine.spec import Experiment

PANEL = "Begin"


def register(app: typer.Typer) -> None:
    app.command(
        "new",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab new cnn[/] prints it; [bold]layerlab new cnn -o cnn.toml[/] writes a file.",
    )(new)
    app.command(
        "check",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab check cnn.toml[/], "
        "[bold]layerlab check cnn.toml --set data.source=MNIST() --json[/]",
    )(check_file)


def complete_preset(incomplete: str) -> list[tuple[str, str]]:
    """The presets that begin with what was typed, for the shell's completion."""
    from engine.presets import PRESETS

    return [(name, PRESETS[name].line) for name in PRESETS if name.startswith(incomplete)]


def new(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[PRESET]", help="What to start from; none lists them.", autocompletion=complete_preset),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write; otherwise it is printed.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write an experiment to start from."""
    from engine.presets import PRESETS
    from tui.output import add_row, console, print_json, say, table, write

    if name is None:
        if as_json:
            print_json({"presets": [{"name": key, "line": PRESETS[key].line} for key in PRESETS]})
            return
        drawn = table("preset", "what it is", keep=["preset"])
        for key in PRESETS:
            add_row(drawn, key, PRESETS[key].line)
        console().print(drawn)
        say("layerlab new PRESET -o FILE writes one")
        return
    if name not in PRESETS:
        question = did_you_mean(name, PRESETS)
        raise RequestError(f"`{name}` is not a preset; {question or 'there are ' + ', '.join(PRESETS)}")
    toml = PRESETS[name].toml
    if output is not None:
        _write_new(output, toml, force)
    if as_json:
        print_json({"preset": name, "path": None if output is None else str(output), "toml": toml})
    elif output is None:
        write(toml.rstrip("\n"))
    if output is not None:
        say(f"wrote {output}; next: layerlab check {output}, layerlab train {output}")


def _write_new(path: Path, text: str, force: bool) -> None:
    """Write a file whole or not at all; an existing one only where it was asked for."""
    if not force and os.path.lexists(path):
        raise RequestError(f"{path} exists already; --force overwrites it, -o names another file")
    beside = path.with_name(f".{path.name[:200]}.{os.getpid()}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            beside.unlink()
        raise RequestError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def check_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An experiment, or the name of a preset.")],
    settings: SetOption = None,
    runs: RunsOption = None,
    data: DataOption = None,
    download: DownloadOption = False,
    allow: AllowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show shapes, parameters, MACs and memory before training.

    Where a layer does not fit it is named, with what would help, and the exit status is 2. Data and weights need not
    be here: what a run would have to fetch is named.
    """
    from tui.output import print_json, say

    try:
        report = check_experiment(load(file, settings), data, download, allow, store_folder(runs))
    except RequestError as error:
        if not as_json:
            raise
        print_json(_refused(error))
        say(f"error: {error}", style="red")
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report)
    if not report.ok:
        raise typer.Exit(RequestError.exit_code)


def _refused(error: RequestError) -> dict[str, Any]:
    """What `Report.to_json` gives, of an experiment that comes to no report: `path` is the field that is wrong."""
    told = {name: getattr(error, name, None) or None for name in ("file", "line")}
    path, fix = getattr(error, "field", ""), getattr(error, "hint", "") or None
    message = getattr(error, "message", "") or str(error)
    wrong = {"path": path, **told, "call": "", "message": message, "fix": fix, "edit": None}
    empty: dict[str, Any] = {"rows": [], "parameters": 0, "macs": 0, "memory": {}}
    return {"ok": False, **empty, "error": wrong, "warnings": [], "missing": []}


def check_experiment(
    experiment: Experiment, data: Path | None, download: bool, allow: list[str] | None, store: Path | None = None
) -> Report:
    """Look every name up and every shape through; raises RequestError where a name or an argument is wrong.

    Without a store, runs whose weights are asked for are not looked for: they may be trained before.
    """
    from engine import catalogue
    from engine.check import check
    from engine.data.info import Place

    for module in allowed(allow):
        catalogue.allow(module)
    return check(experiment, Place(data_folder(data), download), store)


def show_report(report: Report) -> None:
    """The layer table, the totals and what is wrong, on standard output and standard error."""
    from tui.cli.layers import LayerRow, print_layers
    from tui.output import count, say, shape

    rows = []
    for row in report.rows:
        parameters, macs = count(row.parameters) if row.parameters else "", count(row.macs) if row.macs else ""
        rows.append(LayerRow(row.depth, row.call, (row.path,), (shape(row.output_shape), parameters, macs)))
    if rows:
        print_layers(["path"], ["output", "parameters", "MACs"], rows, numbers=["parameters", "MACs"])
        _totals(report)
    for warning in report.warnings:
        say(f"warning: {warning}", style="yellow")
    for missing in report.missing:
        say(f"to fetch: {missing.message}", style="yellow")
    if report.refusal is not None:
        say(f"error: {report.refusal}", style="red")


def _totals(report: Report) -> None:
    from tui.output import count, size, write

    trained = sum(row.trainable for row in report.rows if row.depth == 0)
    frozen = "" if trained == report.parameters else f", of which {trained:,} are trained"
    write(f"parameters  {count(report.parameters)} ({report.parameters:,}{frozen})")
    write(f"MACs        {count(report.macs)} a sample")
    for index, (name, value) in enumerate(report.memory.items()):
        write(f"{'memory' if index == 0 else '':10}  {size(value):>10}  {name}")
