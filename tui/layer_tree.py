"""Layers within layers: where each stands, and edits of the nested calls; pure functions, without torch.

A layer is known by its path, the name that its module has in the built network: "3", "3.body.0" in a Residual,
"3.shortcut.0", "3.0" in a Sequential or a Parallel, "3.0.1" in a Repeat (copy 0 stands for all of them). The path
without its last number is the chain that the layer stands in: "" is the network itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.calls import Call, CallError, parse_call, parse_value
from engine.errors import RequestError
from tui.frozen_modules import is_frozen, with_frozen

Layers = tuple[Call, ...]
CONTAINERS = ("Sequential", "Residual", "Repeat", "Parallel")


@dataclass(frozen=True)
class Span:
    """Neighbours in one chain: the layers `first` to `last` of `chain`. `first` is -1 for what comes before a chain."""

    chain: str = ""
    first: int = -1
    last: int = -1

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(joined(self.chain, index) for index in range(max(self.first, 0), self.last + 1))

    @property
    def path(self) -> str:
        """The first of them; "" where there is none."""
        return self.paths[0] if self.last >= 0 else ""


INPUT = Span()


@dataclass(frozen=True)
class Edit:
    """The layers after an edit, and those of them that are selected then."""

    layers: Layers
    span: Span


@dataclass(frozen=True)
class Listed:
    """A layer as it is listed: `held` says whether its layers are listed beneath it."""

    path: str
    call: Call
    depth: int
    held: bool


def joined(chain: str, index: int) -> str:
    """The path of a layer of a chain."""
    return f"{chain}.{index}" if chain else str(index)


def span_of(path: str) -> Span:
    """One layer, as a selection."""
    chain, _, index = path.rpartition(".")
    return Span(chain, int(index), int(index)) if path else INPUT


def chains(call: Call) -> tuple[tuple[str, Layers], ...]:
    """What a container holds, by the names that stand in paths; nothing where a call is none, or is written wrongly."""
    args = call.args
    if call.name == "Repeat" and args and not isinstance(args[0], Call):
        args = args[1:]
    elif call.name not in CONTAINERS or call.name == "Repeat":
        return ()
    layers = tuple(value for value in args if isinstance(value, Call))
    if len(layers) != len(args):
        return ()
    if call.name == "Repeat":
        return (("0", layers),)
    if call.name != "Residual":
        return (("", layers),)
    shortcut = call.get("shortcut")
    return (("body", layers), *((("shortcut", (shortcut,)),) if isinstance(shortcut, Call) else ()))


def listed(layers: Sequence[Call], chain: str = "", depth: int = 0) -> Iterator[Listed]:
    """All layers from the first to the last, each before those that it holds."""
    for index, call in enumerate(layers):
        path = joined(chain, index)
        held = chains(call)
        yield Listed(path, call, depth, bool(held))
        for name, inside in held:
            yield from listed(inside, f"{path}.{name}" if name else path, depth + 1)


def chain_at(layers: Sequence[Call], chain: str) -> Layers:
    """The layers of a chain. Raises RequestError where there is none of that name."""
    parts = chain.split(".") if chain else []
    found = tuple(layers)
    try:
        while parts:
            _, found, parts = _entered(found, parts)
    except (IndexError, ValueError, KeyError):
        raise RequestError(f"there are no layers at {chain}") from None
    return found


def at(layers: Sequence[Call], path: str) -> Call:
    """The layer of a path. Raises RequestError where there is none."""
    chain, _, index = path.rpartition(".")
    found = chain_at(layers, chain)
    if not index.isdigit() or int(index) >= len(found):
        raise RequestError(f"there is no layer {path}")
    return found[int(index)]


def with_chain(layers: Sequence[Call], chain: str, new: Layers) -> Layers:
    """The layers with another content of one chain. A shortcut of several layers becomes a Sequential."""
    if not chain:
        return new
    parts = chain.split(".")
    index = int(parts[0])
    call = layers[index]
    name, inside, rest = _entered(tuple(layers), parts)
    inside = with_chain(inside, ".".join(rest), new) if rest else new
    return (*layers[:index], _filled(call, name, inside), *layers[index + 1 :])


def _entered(layers: Layers, parts: Sequence[str]) -> tuple[str, Layers, list[str]]:
    """The chain of the first layer of a path, and what is left of the path. Every copy of a Repeat is its first."""
    call = layers[int(parts[0])]
    held = dict(chains(call))
    if call.name == "Repeat":
        int(parts[1])
        return "0", held["0"], list(parts[2:])
    name = parts[1] if call.name == "Residual" else ""
    return name, held[name], list(parts[2 if name else 1 :])


def _filled(call: Call, name: str, inside: Layers) -> Call:
    if name == "shortcut":
        if not inside:
            return call.without("shortcut")
        return call.replace(shortcut=inside[0] if len(inside) == 1 else Call("Sequential", inside))
    first = call.args[:1] if call.name == "Repeat" else ()
    return dataclasses.replace(call, args=(*first, *inside))


def shown_path(layers: Sequence[Call], path: str) -> str:
    """The path under which a layer is listed: that of the first copy in a Repeat, that of the container where its
    layers are not listed; "" where the path leads to no layer."""
    parts, found, shown, best = path.split("."), tuple(layers), "", ""
    try:
        while parts:
            _ = found[int(parts[0])]
            best = joined(shown, int(parts[0]))
            if len(parts) > 1:
                name, found, parts = _entered(found, parts)
                shown = f"{best}.{name}" if name else best
            else:
                parts = []
    except (IndexError, ValueError, KeyError):
        pass
    return best


def holder(layers: Sequence[Call], chain: str) -> str:
    """The path of the container that a chain belongs to; "" for the network itself."""
    parts, found, path, shown = (chain.split(".") if chain else []), tuple(layers), "", ""
    while parts:
        path = joined(shown, int(parts[0]))
        name, found, parts = _entered(found, parts)
        shown = f"{path}.{name}" if name else path
    return path


def source_of(layers: Sequence[Call], chain: str, index: int) -> str:
    """The path of the layer whose output comes into place `index` of a chain; "" where the data does."""
    path = holder(layers, chain)
    # The branches of a Parallel stand side by side.
    branch = path == chain and bool(path) and at(layers, path).name == "Parallel"
    if index > 0 and not branch:
        return joined(chain, index - 1)
    around = span_of(path)
    return source_of(layers, around.chain, around.first) if path else ""


def read(text: str) -> Layers:
    """The layers of a text: calls with commas between them, or one on a line. Raises RequestError."""
    try:
        return (parse_call(text),)
    except CallError as error:
        first = error
    try:
        found = parse_value(f"[{text}\n]")
    except CallError:
        lines = [line.strip().rstrip(",") for line in text.splitlines()]
        if len([line for line in lines if line]) < 2:
            raise first from None
        return tuple(parse_call(line) for line in lines if line)
    if isinstance(found, tuple) and found and all(isinstance(value, Call) for value in found):
        return tuple(value for value in found if isinstance(value, Call))
    raise first


def written(calls: Sequence[Call]) -> str:
    """The text that `read` reads."""
    return ", ".join(str(call) for call in calls)


# ---------------------------------------------------------------------------------------------------------------- edits


def insert(layers: Layers, chain: str, index: int, calls: Layers) -> Edit:
    """Put layers before place `index` of a chain."""
    inside = chain_at(layers, chain)
    new = with_chain(layers, chain, (*inside[:index], *calls, *inside[index:]))
    return Edit(new, _settled(chain, len(inside) + len(calls), Span(chain, index, index + len(calls) - 1)))


def selected(layers: Layers, span: Span) -> Layers:
    """The layers of a selection."""
    return chain_at(layers, span.chain)[max(span.first, 0) : span.last + 1]


def replace(layers: Layers, span: Span, calls: Layers) -> Edit:
    """Other layers in place of those selected."""
    inside = chain_at(layers, span.chain)
    left = (*inside[: span.first], *calls, *inside[span.last + 1 :])
    new = with_chain(layers, span.chain, left)
    return Edit(new, _settled(span.chain, len(left), Span(span.chain, span.first, span.first + len(calls) - 1)))


def remove(layers: Layers, span: Span) -> Edit:
    """Without the layers selected; selected is what comes behind them then, or the one before, or what held them."""
    inside = chain_at(layers, span.chain)
    left = (*inside[: span.first], *inside[span.last + 1 :])
    new = with_chain(layers, span.chain, left)
    if left:
        index = min(span.first, len(left) - 1)
        return Edit(new, _settled(span.chain, len(left), Span(span.chain, index, index)))
    return Edit(new, span_of(holder(layers, span.chain)))


def duplicate(layers: Layers, span: Span) -> Edit:
    """A copy of the layers selected behind them, and selected."""
    return insert(layers, span.chain, span.last + 1, selected(layers, span))


def move(layers: Layers, span: Span, step: int) -> Edit | None:
    """Down (`step` 1) or up (-1) by one place: past a neighbour, into a neighbour that is a container, and at the edge
    of a container out of it. None at the edges of the network."""
    inside = chain_at(layers, span.chain)
    calls = selected(layers, span)
    target = span.last + 1 if step > 0 else span.first - 1
    if not 0 <= target < len(inside):
        path = holder(layers, span.chain)
        if not path:
            return None
        outside = span_of(path)
        without = with_chain(layers, span.chain, (*inside[: span.first], *inside[span.last + 1 :]))
        return insert(without, outside.chain, outside.first + (step > 0), calls)
    left = (*inside[: span.first], *inside[span.last + 1 :])
    without = with_chain(layers, span.chain, left)
    held = chains(inside[target])
    if held and span.chain.rpartition(".")[2] != "shortcut":
        neighbour = joined(span.chain, span.first if step > 0 else target)
        name, content = held[0]
        return insert(without, f"{neighbour}.{name}" if name else neighbour, 0 if step > 0 else len(content), calls)
    return insert(without, span.chain, span.first + step, calls)


def wrap(layers: Layers, span: Span, container: Call) -> Edit:
    """Put the layers selected into a container, behind the arguments that it has."""
    call = dataclasses.replace(container, args=(*container.args, *selected(layers, span)))
    return replace(layers, span, (call,))


def unwrap(layers: Layers, path: str) -> Edit:
    """The layers of a container in place of it: the body of a Residual, the layers of a Repeat once."""
    held = chains(at(layers, path))
    if not held:
        raise RequestError(f"{at(layers, path).name} holds no layers that could be taken out of it")
    span = span_of(path)
    inside = held[0][1]
    return replace(layers, span, inside) if inside else remove(layers, span)


def freeze(layers: Layers, span: Span) -> Edit:
    """Layers whose parameters are not trained; where all selected are so, layers that are trained again."""
    calls = selected(layers, span)
    return replace(layers, span, tuple(with_frozen(call, not all(map(is_frozen, calls))) for call in calls))


def _settled(chain: str, count: int, span: Span) -> Span:
    """Where a selection stands once a shortcut of several layers has become a Sequential."""
    if chain.rpartition(".")[2] == "shortcut" and count > 1:
        return Span(f"{chain}.0", span.first, span.last)
    return span
