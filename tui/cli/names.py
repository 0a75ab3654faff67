"""`layerlab catalogue`: what an experiment can name."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import RequestError, did_you_mean
from tui.cli.options import JsonOption

if TYPE_CHECKING:
    from engine.catalogue import Entry, Parameter

KINDS = (
    "layers",
    "losses",
    "optimizers",
    "schedulers",
    "initialisers",
    "sources",
    "augmentations",
    "validations",
    "tasks",
)


def register(app: typer.Typer) -> None:
    app.command(
        "catalogue",
        rich_help_panel="Look and compare",
        epilog="Examples: [bold]layerlab catalogue[/], [bold]layerlab catalogue layers --all[/], "
        "[bold]layerlab catalogue layers Conv2d[/], [bold]layerlab catalogue AdamW[/]",
    )(catalogue)


def catalogue(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"{', '.join(KINDS)}; or a name of any kind.",
            autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of that kind, in full.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With what cannot be used in an experiment, and why.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what an experiment can name, with signatures.

    Layers, losses, optimizers, schedulers and initialisers are read from the installed torch.
    """
    from engine.catalogue import entries, find
    from tui.output import add_row, console, print_json, table

    if kind is None:
        counts = {known: len(entries(known)) for known in KINDS}
        if as_json:
            print_json({"kinds": [{"kind": known, "entries": counts[known]} for known in KINDS]})
            return
        drawn = table("kind", "entries", "such as", numbers=["entries"], keep=["kind"])
        for known in KINDS:
            add_row(drawn, known, counts[known], ", ".join(list(entries(known))[:6]))
        console().print(drawn)
        return
    if kind not in KINDS:
        if name is not None:
            raise RequestError(
                f"`{kind}` is not a kind; {did_you_mean(kind, KINDS) or 'there are ' + ', '.join(KINDS)}"
            )
        kind, name = _kind_of(kind), kind
    if name is not None:
        refused = entries(kind, refused=True).get(name)
        entry = refused if refused is not None else find(kind, name)
        if as_json:
            print_json(entry_record(entry) | {"doc": entry.doc})
        else:
            _show(entry)
        return
    listed = entries(kind, refused=everything)
    if as_json:
        print_json({"kind": kind, "entries": [entry_record(entry) for entry in listed.values()]})
        return
    drawn = table("name", "arguments", "what it does", keep=["name"])
    for entry in listed.values():
        about = f"not usable: {entry.refused}" if entry.refused else entry.line
        add_row(drawn, entry.name, arguments(entry), about, style="dim" if entry.refused else "")
    console().print(drawn)


def _kind_of(name: str) -> str:
    """The kind that has an entry of this name; RequestError where none has."""
    from engine.catalogue import entries

    tables = {kind: entries(kind, refused=True) for kind in KINDS}
    for kind, table in tables.items():
        if name in table:
            return kind
    known = [*KINDS, *(entry for table in tables.values() for entry in table)]
    question = did_you_mean(name, known)
    raise RequestError(
        f"`{name}` is neither a kind nor a name in the catalogue; {question or 'the kinds are ' + ', '.join(KINDS)}"
    )


def arguments(entry: Entry) -> str:
    """The arguments as a person types them; those that are inferred are left out."""
    return entry.signature[len(entry.name) + 1 : -1]


def entry_record(entry: Entry) -> dict[str, Any]:
    """An entry as scripts get it; a parameter without "default" has to be given, where it is not "variadic"."""
    from engine.catalogue import REQUIRED

    return {
        "kind": entry.kind,
        "name": entry.name,
        "signature": entry.signature,
        "line": entry.line,
        "parameters": [
            {
                "name": parameter.name,
                "type": parameter.type,
                "choices": list(parameter.choices),
                "variadic": parameter.variadic,
                "doc": parameter.doc,
            }
            | ({} if parameter.default is REQUIRED else {"default": _json_default(parameter)})
            for parameter in entry.parameters
        ],
        "inferred": list(entry.inferred),
        "adapted": entry.adapted,
        "refused": entry.refused,
    }


def _json_default(parameter: Parameter) -> object:
    value = parameter.default
    plain = value is None or isinstance(value, (bool, int, float, str, tuple, list))
    return value if plain else parameter.default_text


def _show(entry: Entry) -> None:
    """One entry in full."""
    from engine.entry import plain_doc
    from tui.output import add_row, console, table, write

    write(entry.signature, style="bold")
    write(entry.line)
    if entry.refused:
        write(f"not usable in an experiment: {entry.refused}", style="yellow")
    if entry.adapted:
        write(f"in a chain: {entry.adapted}")
    if entry.inferred:
        write(f"inferred, and so left out: {', '.join(entry.inferred)}")
    if entry.parameters:
        drawn = table("argument", "type", "default", "what it is", keep=["argument"])
        for parameter in entry.parameters:
            if parameter.name in entry.inferred:
                default = "inferred"
            elif parameter.variadic:
                default = "any number"
            else:
                default = "required" if parameter.required else parameter.default_text
            about = parameter.doc
            if parameter.choices and not all(
                repr(choice) in about or repr(choice) in parameter.type for choice in parameter.choices
            ):
                about = " or ".join(map(repr, parameter.choices)) + (f": {about}" if about else "")
            add_row(drawn, parameter.name, parameter.type, default, about)
        console().print(drawn)
    if entry.doc:
        write(plain_doc(entry.doc))
    if entry.name == "Backbone":
        from engine.backbones import backbone_names

        names = textwrap.fill(", ".join(backbone_names()), 110, break_on_hyphens=False)
        write(f"\nModels of the installed torchvision:\n{names}")
