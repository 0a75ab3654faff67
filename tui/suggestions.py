"""Layers by a few letters, and what would come out of them; the catalogue is there once torch is.

`conv 32 3` is read as words: a name by some of its letters, then its arguments. Another name begins another layer:
`lin 64 relu` are two, and what stands behind a container goes into it, as in `res conv 32 3`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.calls import SYMBOLS, Call, format_value, parse_value
from engine.errors import RequestError
from tui.blocks import blocks
from tui.draft import wrong_calls
from tui.frozen_modules import BACKBONE
from tui.layer_tree import CONTAINERS, chains, read
from tui.matching import score
from tui.pretrained import find_models

if TYPE_CHECKING:
    from engine.check import Report
    from engine.entry import Entry

MOST = 8
# Of names that suit as well as each other, those that people use most come first.
COMMON = (
    "Linear", "Conv2d", "Conv1d", "ReLU", "BatchNorm2d", "BatchNorm1d", "MaxPool2d", "MaxPool1d", "Dropout", "Flatten",
    "GELU", "LayerNorm", "AdaptiveAvgPool2d", "Residual", "Sequential", "Repeat", "Parallel", "Sigmoid", "Tanh",
    "AvgPool2d", "Softmax", "LSTM", "GRU", "Embedding", "Reshape",
)  # fmt: skip
_VALUES = frozenset({*SYMBOLS, "True", "False", "None", "true", "false", "none"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9.]*")
_KEYWORD = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)=(.+)")


@dataclass(frozen=True)
class Suggestion:
    """Layers that may be meant, as text; what they do, and whether arguments are lacking that they cannot do without.
    `refused` says why a layer cannot be used."""

    call: str
    name: str
    line: str
    signature: str
    incomplete: bool = False
    refused: str = ""


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


def suggest(typed: str, shape: tuple[int, ...] | None = None) -> list[Suggestion] | None:
    """The layers that may be meant, the likeliest first; None where the catalogue is not there yet.

    Of layers for several ranks, those for a sample of this `shape` come first; without one, those for pictures. A name
    that cannot be used comes with the reason where it is typed in full.
    """
    known = catalogue()
    if known is None:
        return None
    entries: Mapping[str, Entry] = known.entries("layers", refused=True)
    if "(" in typed:
        head = typed.split("(", 1)[0].strip().rsplit(".", 1)[-1]
        entry = entries.get(head)
        return [] if entry is None else [_as_typed(typed.strip(), entry)]
    words = typed.replace(",", " ").split()
    names, rest = _heads(words, entries)
    rank = 3 if shape is None else len(shape)
    found: list[tuple[tuple[object, ...], Suggestion]] = []
    ranked = _ranked(names, entries, rank)
    if any(_is_name(word) for word in rest):
        # With more layers behind it, a name is not looked for in what is said of layers.
        ranked = [item for item in ranked if item[0][0] <= 3] or ranked
    for at, entry in ranked:
        found.append((at, _suggestion(entry, rest, entries, rank)))
    if not rest:
        for level, fits, block, text in blocks(" ".join(names), shape) if names else ():
            suggestion = Suggestion(text, block.name, block.line, text)
            found.append(((level + 1, not fits, len(COMMON), len(block.name), block.name), suggestion))
    if words and BACKBONE in entries:
        pictures = shape is None or len(shape) == 3
        for level, model in find_models(" ".join(words)):
            suggestion = Suggestion(model.call, model.call, model.line, entries[BACKBONE].signature)
            # Behind a layer that is called so, the smallest model first.
            found.append(((level + 1, not pictures, len(COMMON), model.parameters, model.name), suggestion))
    found.sort(key=lambda item: item[0])
    likely = [suggestion for _, suggestion in found[: 2 * MOST]]
    # More arguments than a layer takes: another one is meant, where there is one.
    right = [one for one in likely if one.incomplete or one.refused or not rest or not wrong_layers(one.call)]
    return (right or likely)[:MOST]


def _as_typed(text: str, entry: Entry) -> Suggestion:
    return Suggestion(text, entry.name, entry.line, entry.signature, refused=entry.refused or "")


def _heads(words: list[str], entries: Mapping[str, Entry]) -> tuple[list[str], list[str]]:
    """The words of the first name, and those behind it: as many as belong to one name (`batch norm`), else one."""
    count = 0
    while count < len(words) and _is_name(words[count]):
        count += 1
    while count > 1:
        joined = " ".join(words[:count])
        if any((score(joined, name) or 0) <= 3 and score(joined, name) is not None for name in entries):
            break
        if any(True for _ in blocks(joined, None)):
            break
        count -= 1
    return words[: max(count, 1)], words[max(count, 1) :]


def _is_name(word: str) -> bool:
    return bool(_WORD.fullmatch(word)) and word not in _VALUES


def _ranked(
    names: list[str], entries: Mapping[str, Entry], rank: int
) -> list[tuple[tuple[int, bool, int, int, str], Entry]]:
    """The entries that a name may mean with their order: how well they suit it, whether they take what comes in, how
    common they are."""
    from engine.rules import RANKS

    typed = " ".join(names)
    found = []
    for name, entry in entries.items():
        if entry.refused is not None and typed.lower() != name.lower():
            continue
        at = score(typed, name, entry.line)
        if len(typed) > 1 and _initials(name) == typed.lower():
            at = min(at if at is not None else 2, 2)
        if at is None:
            continue
        fits = rank in RANKS[name][0] if name in RANKS else not name.endswith(("1d", "2d", "3d"))
        fits = fits or (name not in RANKS and name.endswith(f"{rank - 1}d"))
        common = COMMON.index(name) if name in COMMON else len(COMMON)
        # Of the beginnings of a name, what people use most is meant first: `lin` is Linear.
        order = (at, not fits, common if at != 0 or not typed else -1, len(name), name)
        found.append((order, entry))
    return sorted(found, key=lambda item: item[0])


def _initials(name: str) -> str:
    """The capitals of a name: "bn" of BatchNorm2d."""
    return "".join(character for character in name if character.isupper()).lower()


def _suggestion(entry: Entry, rest: list[str], entries: Mapping[str, Entry], rank: int) -> Suggestion:
    """The entry with the words behind its name: arguments of its own, then layers in it or behind it."""
    own = 0
    while own < len(rest) and not _is_name(rest[own]):
        own += 1
    arguments = [_argument(word, entry) for word in rest[:own]]
    container = entry.name in CONTAINERS
    behind = rank if container else _rank_after(entry.name, own, rank)
    others = _layers(rest[own:], entries, behind) if own < len(rest) else []
    if container:
        arguments += [_keeping_shape(text) if entry.name == "Residual" else text for text in others]
    # What has a name stands behind what has none.
    arguments.sort(key=lambda text: _KEYWORD.fullmatch(text) is not None)
    text = f"{entry.name}({', '.join(arguments)})"
    if others and not container:
        text = ", ".join([text, *others])
    lacking = lacks(entry, arguments)
    return Suggestion(text, entry.name, entry.line, entry.signature, lacking, entry.refused or "")


def _layers(words: list[str], entries: Mapping[str, Entry], rank: int) -> list[str]:
    """The layers that words mean, each name read as the likeliest one."""
    found = []
    while words:
        names, rest = _heads(words, entries)
        own = 0
        while own < len(rest) and not _is_name(rest[own]):
            own += 1
        ranked = [entry for _, entry in _ranked(names, entries, rank) if entry.refused is None]
        name = ranked[0].name if ranked else " ".join(names)
        arguments = [_argument(word, ranked[0]) if ranked else word for word in rest[:own]]
        found.append(f"{name}({', '.join(arguments)})")
        words = rest[own:]
        rank = _rank_after(name, len(arguments), rank)
    return found


def _rank_after(name: str, arguments: int, rank: int) -> int:
    """How many dimensions a sample has behind a layer, of those that change them."""
    return 1 if name == "Flatten" and not arguments else arguments if name == "Reshape" else rank


def _argument(word: str, entry: Entry) -> str:
    """A word as an argument: `.5` is 0.5, `3x3` is (3, 3), `p=1` the first parameter that begins with p."""
    keyword = _KEYWORD.fullmatch(word)
    name, value = (keyword[1], keyword[2]) if keyword else ("", word)
    if name and entry.parameter(name) is None and name not in ("init", "frozen"):
        name = next((one.name for one in entry.short if one.name.startswith(name)), name)
    sizes = re.fullmatch(r"\d+(x\d+)+", value)
    if sizes:
        value = f"({value.replace('x', ', ')})"
    value = {"true": "True", "false": "False", "none": "None"}.get(value, value)
    with contextlib.suppress(RequestError):
        value = format_value(parse_value(value))
    # A choice is a text: `padding=same`.
    parameter = entry.parameter(name) if name else None
    if parameter is not None and value.endswith("()") and word.isascii() and "(" not in word:
        value = repr(value.removesuffix("()"))
    return f"{name}={value}" if name else value


def _keeping_shape(text: str) -> str:
    """A convolution with the padding that keeps the shape, which is what a Residual needs; all else as it is."""
    try:
        call = read(text)[0]
    except RequestError:
        return text
    kernel = call.args[1] if len(call.args) == 2 else None
    convolution = call.name in ("Conv1d", "Conv2d", "Conv3d") and not call.kwargs
    if convolution and isinstance(kernel, int) and kernel > 1 and kernel % 2 == 1:
        return str(call.replace(padding=kernel // 2))
    return text


def lacks(entry: Any, arguments: list[str]) -> bool:
    """Whether arguments that the layer needs are not there."""
    named = {word.split("=", 1)[0] for word in arguments if _KEYWORD.fullmatch(word)}
    placed = len(arguments) - len(named)
    return any(
        parameter.required and not parameter.variadic and parameter.name not in named
        for parameter in entry.short[placed:]
    )


def wrong_layers(text: str) -> str:
    """What is wrong with layers as they are typed: their form, and names and arguments once the catalogue is there."""
    wrong = wrong_calls(text)
    known = catalogue()
    if wrong or known is None:
        return wrong
    try:
        for call in read(text):
            _check(known, call)
    except RequestError as error:
        return str(error)
    return ""


def _check(known: Any, call: Call) -> None:
    if ":" not in call.name:
        known.check_call("layers", call)
    for _, inside in chains(call):
        for layer in inside:
            _check(known, layer)


def incoming(report: Report | None, source: str, epochs: int) -> Incoming | None:
    """What comes out of the layer at `source` ("": the data), as the check found it; None where that is not known."""
    if report is None:
        return None
    info = report.info
    row = next((row for row in report.rows if row.path == source), None)
    if row is None and source:
        return None
    sizes = tuple(info.input_shape)
    product = 1
    for length in sizes:
        product *= length
    symbols = {"classes": info.outputs, "channels": sizes[0], "features": product, "epochs": epochs}
    return Incoming(row.output_shape if row else sizes, "float32" if row else info.input_dtype, symbols)


def outcome(text: str, given: Incoming) -> tuple[int, ...] | None:
    """The shape that layers make of what comes in; None where they cannot. Takes a while: not for the main thread."""
    import torch

    from engine.shapes import propagate

    try:
        found = propagate(read(text), given.shape, dtype=getattr(torch, given.dtype), symbols=given.symbols)
    except RequestError:
        return None
    return found.output_shape
