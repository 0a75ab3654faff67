"""Layers by a few letters of their name, and what would come out of them; the catalogue is there once torch is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.calls import parse_call
from engine.errors import RequestError
from tui.draft import wrong_call
from tui.matching import score

if TYPE_CHECKING:
    from engine.check import Report

MOST = 8


@dataclass(frozen=True)
class Suggestion:
    """A call that may be meant, what its layer does, and whether it lacks arguments that it cannot do without."""

    call: str
    name: str
    line: str
    signature: str
    incomplete: bool = False


@dataclass(frozen=True)
class Incoming:
    """What comes into the layer that is added."""

    shape: tuple[int, ...]
    dtype: str
    symbols: dict[str, int]


def catalogue() -> Any:
    """The catalogue, once the check has imported it; None before. Asking imports nothing."""
    module = sys.modules.get("engine.check")
    spec = getattr(module, "__spec__", None)
    if spec is None or getattr(spec, "_initializing", False):
        return None
    return sys.modules.get("engine.catalogue")


def suggest(typed: str, rank: int = 3) -> list[Suggestion] | None:
    """The layers that may be meant, the likeliest first; None where the catalogue is not there yet.

    The words behind the name are arguments. Of layers for several ranks, those for `rank` dimensions come first.
    """
    known = catalogue()
    if known is None:
        return None
    head, arguments = parts(typed)
    entries = known.entries("layers")
    if "(" in typed:
        found = [entry for entry in (entries.get(head),) if entry is not None]
        return [Suggestion(typed.strip(), entry.name, entry.line, entry.signature) for entry in found]
    from engine.rules import RANKS

    ranked = []
    for name, entry in entries.items():
        at = score(head, name, entry.line)
        if at is not None:
            fits = rank in RANKS[name][0] if name in RANKS else not name.endswith(("1d", "2d", "3d"))
            fits = fits or (name not in RANKS and name.endswith(f"{rank - 1}d"))
            ranked.append((at, not fits, len(name), name, entry))
    ranked.sort(key=lambda item: item[:4])
    return [
        Suggestion(f"{name}({', '.join(arguments)})", name, entry.line, entry.signature, lacks(entry, arguments))
        for _, _, _, name, entry in ranked[:MOST]
    ]


def parts(typed: str) -> tuple[str, list[str]]:
    """The name that is typed, and the words behind it as arguments: `conv 32 3` is `conv` with 32 and 3."""
    if "(" in typed:
        return typed.split("(", 1)[0].strip().rsplit(".", 1)[-1], []
    head, *words = typed.replace(",", " ").split() or [""]
    return head, words


def lacks(entry: Any, arguments: list[str]) -> bool:
    """Whether arguments that the layer needs are not there."""
    named = {word.split("=", 1)[0] for word in arguments if "=" in word}
    placed = len([word for word in arguments if "=" not in word])
    return any(
        parameter.required and not parameter.variadic and parameter.name not in named
        for parameter in entry.short[placed:]
    )


def wrong_layer(text: str) -> str:
    """What is wrong with a layer as it is typed: its form, and its name and arguments once the catalogue is there."""
    wrong = wrong_call(text)
    known = catalogue()
    if wrong or known is None:
        return wrong
    call = parse_call(text)
    if ":" in call.name:
        return ""
    try:
        known.check_call("layers", call)
    except RequestError as error:
        return str(error)
    return ""


def incoming(report: Report | None, before: int, epochs: int) -> Incoming | None:
    """What comes out of layer `before` (-1: the data), as the check found it; None where that is not known."""
    if report is None:
        return None
    info = report.info
    row = next((row for row in report.rows if row.path == str(before)), None)
    if row is None and before >= 0:
        return None
    sizes = tuple(info.input_shape)
    product = 1
    for length in sizes:
        product *= length
    symbols = {"classes": info.outputs, "channels": sizes[0], "features": product, "epochs": epochs}
    return Incoming(row.output_shape if row else sizes, "float32" if row else info.input_dtype, symbols)


def outcome(call: str, given: Incoming) -> tuple[int, ...] | None:
    """The shape that the layer makes of what comes in; None where it cannot. Takes a while: not for the main thread."""
    import torch

    from engine.shapes import propagate

    try:
        found = propagate((parse_call(call),), given.shape, dtype=getattr(torch, given.dtype), symbols=given.symbols)
    except RequestError:
        return None
    return found.output_shape
