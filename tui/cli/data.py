"""`layerlab data`: a folder of pictures sorted into parts, and a look at what a source holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import RequestError
from tui.cli.options import DataOption, DownloadOption, JsonOption, data_folder, load

if TYPE_CHECKING:
    from engine.calls import Call
    from engine.data.info import Place, Progress
    from engine.data.samples import Samples
    from engine.data.split_plan import Plan
    from engine.data.survey import Survey

# Classes that are told one by one.
MOST_CLASSES = 20
# Cells of a picture.
ACROSS = 16


def register(app: typer.Typer) -> None:
    commands = typer.Typer(help="Look at data, and sort pictures into parts.", no_args_is_help=True)
    commands.command(
        "show",
        epilog="Examples: [bold]layerlab data show MNIST[/], "
        "[bold]layerlab data show 'LabelledFiles(\"cats-dogs\", size=64)'[/], [bold]layerlab data show pets[/], "
        "[bold]layerlab data show mine.toml[/]",
    )(show)
    commands.command(
        "split",
        epilog="Examples: [bold]layerlab data split all sorted --validation 0.2[/], "
        "[bold]layerlab data split all sorted --by link[/], [bold]layerlab data split --undo sorted[/]",
    )(split)
    app.add_typer(commands, name="data", rich_help_panel="Begin")


def split(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="The folder with all pictures; with --undo the one to take back.")
    ],
    destination: Annotated[
        Path | None, typer.Argument(metavar="DST", help="Where training/cat, validation/cat, ... are made.")
    ] = None,
    validation: Annotated[float, typer.Option(help="The share of each class to validate on.")] = 0.2,
    test: Annotated[float, typer.Option(help="The share of each class to test on.")] = 0.0,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="How the files of a flat folder are called; {id} is any text, begun by a digit where one is.",
            show_default="{label}.{id}.jpg",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(metavar="copy|link|move", help="Copy files, make absolute symbolic links to them, or move them."),
    ] = "copy",
    seed: Annotated[int, typer.Option(help="Another seed, other files held out.")] = 0,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back what an earlier call sorted into this folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Sort a folder of pictures into training, validation and test folders.

    SRC is flat, with the class in the names of its files, or has a folder a class. Nothing is ever overwritten. A call
    that was stopped goes on when it is made again, and --undo takes it back.
    """
    if undo:
        if destination is not None:
            raise RequestError(f"--undo takes one folder, the one that was sorted into; what is {destination}?")
        _undo(source, as_json)
        return
    if destination is None:
        raise RequestError(f"where to? layerlab data split {source} DST makes DST/training, DST/validation")
    from engine.data.sorting import carry_out, plan_split
    from engine.data.split_plan import PATTERN, Asked
    from tui.output import print_json, say

    # What is sorted need not be data yet, so that it is not looked for there; but people who see it there try it.
    elsewhere = data_folder(None) / source
    if not os.path.lexists(source.expanduser()) and os.path.isdir(elsewhere):
        raise RequestError(f"there is no folder {source} here; did you mean {elsewhere}?")
    # The request is checked where it is understood; an unknown way is refused there in words.
    where, named = os.path.abspath(source.expanduser()), PATTERN if pattern is None else pattern
    asked = Asked(where, validation, test, named, by, seed)  # type: ignore[arg-type]
    folder = destination.expanduser()
    with _stoppable("the same command goes on, and --undo takes it back", as_json) as told:
        plan = plan_split(folder, asked, by_name=pattern is not None)
        new = carry_out(folder, plan, lambda done, total: told(_DOING[asked.by], done, total))
    if as_json:
        print_json(_plan_json(folder, plan, new))
        return
    _show_counts(plan.counts())
    there = len(plan.files) - new
    before = f", {there:,} were there already" if there else ""
    say(f"{_DONE[asked.by]} {new:,} files into {folder}{before}; layerlab data split --undo {folder} takes it back")
    if plan.left_out:
        say(f"left out: {_several(plan.left_out)}", style="yellow")
    for note in plan.notes:
        say(f"note: {note}", style="yellow")


_DOING = {"copy": "copying", "link": "linking", "move": "moving"}
_DONE = {"copy": "copied", "link": "linked", "move": "moved"}


def _plan_json(folder: Path, plan: Plan, new: int) -> dict[str, Any]:
    return {
        "destination": str(folder),
        "source": plan.asked.source,
        "by": plan.asked.by,
        "seed": plan.asked.seed,
        "files": len(plan.files),
        "new": new,
        "parts": plan.counts(),
        "left_out": plan.left_out,
        "notes": plan.notes,
    }


def _undo(folder: Path, as_json: bool) -> None:
    from engine.data.sorting import undo
    from tui.output import print_json, say

    with _stoppable("the same command goes on", as_json) as told:
        undone = undo(folder.expanduser(), lambda done, total: told("taking back", done, total))
    if as_json:
        left = [{"file": name, "reason": reason} for name, reason in undone.left]
        print_json({"destination": str(folder), "taken_back": undone.taken_back, "left": left})
        return
    say(f"took back {undone.taken_back:,} files")
    if undone.left:
        for name, reason in undone.left[:MOST_CLASSES]:
            say(f"left {name}: {reason}", style="yellow")
        more = len(undone.left) - MOST_CLASSES
        say(f"{f'and {more:,} more; ' if more > 0 else ''}what was left can be tried again with --undo")


def show(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A source as in an experiment, an experiment, or a folder of pictures."),
    ],
    data: DataOption = None,
    download: DownloadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a source holds: parts, classes, sizes, channel statistics, samples.

    Photographs are decoded once for it; training takes them from the cache then.
    """
    from engine.data.info import Place
    from engine.data.samples import read_samples
    from engine.data.survey import survey
    from tui.output import print_json

    with progress() as told:
        place = Place(data_folder(data), download, told)
        call = source_of(source, place)
        found = survey(call, place)
    if as_json:
        print_json(_survey_json(found))
        return
    _show_survey(found)
    with contextlib.suppress(RequestError):  # a set too large to be read for a look
        _show_samples(read_samples(call.replace(on_error="skip") if found.sizes else call, place))


def source_of(text: str, place: Place) -> Call:
    """The source that is meant: a call or a name of the catalogue, an experiment's, or that of a folder or file.

    Raises RequestError where it is none of these.
    """
    from engine.calls import parse_call
    from engine.catalogue import entries
    from engine.data.survey import guessed_source
    from engine.errors import did_you_mean
    from engine.presets import PRESETS

    if "(" in text and not os.path.lexists(text):
        return parse_call(text)
    if text in entries("sources"):
        return parse_call(f"{text}()")
    if text.endswith(".toml") or (text in PRESETS and not os.path.lexists(text)):
        return load(text).data.source
    try:
        return guessed_source(text, place)
    except RequestError as error:
        question = did_you_mean(text, entries("sources")) if "no folder" in str(error) else ""
        raise RequestError(f"{error}; {question}" if question else str(error)) from None


def _survey_json(found: Survey) -> dict[str, Any]:
    sizes = found.sizes
    return {
        "source": str(found.source),
        "kind": found.info.kind,
        "input_shape": found.info.input_shape,
        "outputs": found.info.outputs,
        "parts": found.parts,
        "classes": found.classes,
        "sizes": sizes and {"smallest": sizes.smallest, "median": sizes.median, "largest": sizes.largest},
        "mean": found.mean,
        "std": found.std,
        "notes": found.notes,
    }


def _show_survey(found: Survey) -> None:
    from tui.output import MISSING, number, say, shape, write

    info = found.info
    write(f"{'source':12}{found.source}")
    write(f"{'samples':12}{', '.join(f'{count:,} {part}' for part, count in found.parts.items())}")
    write(f"{'input':12}{shape(info.input_shape)}")
    if found.sizes is not None:
        named = (("smallest", found.sizes.smallest), ("median", found.sizes.median), ("largest", found.sizes.largest))
        sizes = ", ".join(f"{name} {width:,} × {height:,}" for name, (width, height) in named)
        write(f"{'pictures':12}{sizes} (width × height)")
    of = "channel" if info.image else "column"
    for name, values in (("mean", found.mean), ("deviation", found.std)):
        shown = MISSING if values is None else "  ".join(number(value) for value in values[:12])
        more = f"  … {len(values):,} {of}s" if values is not None and len(values) > 12 else ""
        write(f"{name:12}{shown}{more}")
    if found.classes:
        _show_counts(found.classes)
    else:
        write(f"{'target':12}{info.outputs} {'number' if info.outputs == 1 else 'numbers'} to predict")
    for note in found.notes:
        say(f"note: {note}", style="yellow")


def _show_counts(parts: dict[str, dict[str, int]]) -> None:
    """A row a class, a column a part."""
    from tui.output import add_row, console, table, write

    classes = sorted({label for counts in parts.values() for label in counts})
    ordered = next(iter(parts.values())) if len(classes) == len(next(iter(parts.values()))) else classes
    drawn = table("class", *parts, numbers=parts, keep=["class"])
    for label in list(ordered)[:MOST_CLASSES]:
        add_row(drawn, label, *(f"{counts.get(label, 0):,}" for counts in parts.values()))
    if len(classes) > 1:
        add_row(drawn, "all", *(f"{sum(counts.values()):,}" for counts in parts.values()), style="dim")
    console().print(drawn)
    if len(classes) > MOST_CLASSES:
        write(f"and {len(classes) - MOST_CLASSES:,} more classes; --json names them all")


def _show_samples(samples: Samples) -> None:
    from rich.text import Text

    from tui.output import console
    from tui.safe import safe
    from tui.widgets.samples import strip

    out = console()
    colours = out.color_system if out.is_terminal and not out.no_color else None
    for spans in strip(samples, min(out.width, 120), colours=colours, across=ACROSS):
        out.print(Text.assemble(*((safe(text), style) for text, style in spans)), soft_wrap=True)


def _several(names: tuple[str, ...]) -> str:
    return "; ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


@contextlib.contextmanager
def _stoppable(hint: str, as_json: bool) -> Iterator[Progress]:
    """`progress` for what ctrl+c may stop between two files: where it stands then is told, and what can be done."""
    from tui.cli.endings import tell

    at: list[int] = []
    try:
        with progress() as told:

            def counted(text: str, done: int, total: int | None) -> None:
                at[:] = done, total or 0
                told(text, done, total)

            yield counted
    except KeyboardInterrupt:
        words = f"stopped after {at[0]:,} of {at[1]:,} files" if at else "stopped before any file was touched"
        tell({"message": words, "hint": hint if at else None}, f"{words}; {hint}" if at else words, as_json)
        raise


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """What is told of long work, as a bar on standard error where that is a terminal; else nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from tui.output import error_console
    from tui.safe import safe

    out = error_console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=out, disable=not out.is_terminal, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def told(text: str, done: int, total: int | None) -> None:
            if text not in tasks:
                for task in tasks.values():
                    bars.remove_task(task)
                tasks.clear()
                tasks[text] = bars.add_task(safe(text), total=total)
            bars.update(tasks[text], completed=done, total=total)

        yield told
