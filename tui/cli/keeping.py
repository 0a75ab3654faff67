"""`layerlab note`, `delete` and `restore`: what people do with runs once these are there."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from engine.errors import RequestError
from tui.cli.options import JsonOption, RunArgument, RunsOption, store_folder

PANEL = "Look and compare"


def register(app: typer.Typer) -> None:
    app.command(
        "note",
        rich_help_panel=PANEL,
        epilog='Examples: [bold]layerlab note cnn --tag good --text "first with momentum"[/], '
        "[bold]layerlab note cnn --name baseline --pin[/], [bold]layerlab note cnn[/]",
    )(note)
    app.command(
        "delete",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab delete cnn[/], [bold]layerlab delete k3f9 x2p4[/]",
    )(delete)
    app.command(
        "restore",
        rich_help_panel=PANEL,
        epilog="Examples: [bold]layerlab restore[/] (what is in the trash), [bold]layerlab restore k3f9[/]",
    )(restore)


def note(
    run: RunArgument,
    name: Annotated[str | None, typer.Option("--name", help="Another name for lists; empty takes it away.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="A note; empty takes it away.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a tag: one word.")] = None,
    untag: Annotated[list[str] | None, typer.Option("--untag", metavar="TAG", help="Take a tag away.")] = None,
    pin: Annotated[bool | None, typer.Option("--pin/--unpin", help="Keep it at the top of lists.")] = None,
    star: Annotated[bool | None, typer.Option("--star/--unstar", help="Mark it with a star.")] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name, tag, pin or star a run, or write a note to it; without options, show what is noted."""
    from engine.store.folder import find_run
    from engine.store.notes import change_notes, read_notes
    from tui.output import print_json, say, write
    from tui.record import notes_record

    path = find_run(store_folder(runs), run)
    changes: dict[str, Any] = {
        key: value
        for key, value in {
            "name": name, "text": text, "add_tags": tag, "remove_tags": untag, "pinned": pin, "starred": star,
        }.items()
        if value is not None and value != []
    }  # fmt: skip
    notes = change_notes(path, **changes) if changes else read_notes(path)
    if as_json:
        print_json({"run": path.name, **notes_record(notes)})
        return
    write(path.name, style="bold")
    for key, value in (
        ("name", notes.name),
        ("tags", " ".join(notes.tags)),
        ("pinned", "yes" if notes.pinned else ""),
        ("starred", "yes" if notes.starred else ""),
    ):
        if value:
            write(f"{key:10}{value}")
    if notes.text:
        write(notes.text)
    if notes.problem:
        say(f"warning: {notes.problem}", style="yellow")


def delete(
    names: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs: their ids, or enough of each.")],
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move runs to the trash of their store; `layerlab restore` brings them back.

    A live run has to be stopped first.
    """
    from engine.store.folder import find_run
    from engine.store.owner import SILENT_SECONDS
    from engine.store.trash import delete_run
    from tui.output import print_json, say

    store = store_folder(runs)
    # All of them are looked up first: a name that is wrong deletes nothing.
    found = list(dict.fromkeys(find_run(store, name).name for name in names))
    deleted = []
    try:
        for name in found:
            # Of a run on another machine only its beat tells whether it lives.
            deleted.append(delete_run(store, name, patience=SILENT_SECONDS + 5))
    finally:
        if not as_json:
            for path in deleted:
                say(f"deleted {path.name}; layerlab restore {path.name[-4:]} brings it back")
    if as_json:
        print_json({"deleted": [{"run": path.name, "path": str(path)} for path in deleted]})


def restore(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run in the trash; without it, all of them are listed.")
    ] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a deleted run back, or list what can be brought back."""
    from engine.store.trash import list_trash
    from engine.store.trash import restore as bring_back
    from tui.output import add_row, console, duration, print_json, say, table
    from tui.record import short_record

    store = store_folder(runs)
    if name is not None:
        if name == "latest":
            trashed = list_trash(store)
            if not trashed:
                raise RequestError(f"the trash of {store} is empty: there is nothing to restore")
            name = trashed[0].summary.run
        path = bring_back(store, name)
        if as_json:
            print_json({"restored": {"run": path.name, "path": str(path)}})
        else:
            say(f"restored {path.name}")
        return
    trashed = list_trash(store)
    if as_json:
        print_json({"trash": [short_record(item.summary) | {"deleted": item.deleted} for item in trashed]})
    elif not trashed:
        say(f"the trash of {store} is empty")
    else:
        drawn = table("run", "status", "name", "deleted", keep=["run"])
        for item in trashed:
            age = duration(max(time.time() - item.deleted, 0.0))
            add_row(drawn, item.summary.run, item.summary.status, item.summary.label, f"{age} ago")
        console().print(drawn)
