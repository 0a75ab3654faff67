"""What is known of a network before it is built: a row to show and a node to build for each of its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from engine.calls import Call
from engine.entry import Entry
from engine.fixes import Fix
from engine.layers import CONTAINERS

_FROZEN = "_layerlab_frozen"  # a plain attribute of a module: no part of its state_dict


@dataclass(frozen=True)
class Row:
    """One layer. Shapes are without the batch dimension; MACs and activation bytes are for one sample, forward only.

    `path` is the name of the module in the network that is built: "3", "3.body.0", "3.shortcut.0". A container has a
    row, which counts all that it holds, and so has each layer in it, so totals are sums over the rows of depth 0.
    """

    path: str
    call: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    macs: int
    activation_bytes: int
    depth: int = 0


@dataclass(frozen=True)
class Problem:
    """The first layer that does not fit. `found` is the shape that comes in, `expected` in words what would fit."""

    path: str
    call: str
    message: str
    fix: Fix | None = None
    expected: str = ""
    found: tuple[int, ...] = ()


@dataclass(frozen=True)
class Node:
    """A layer with all its arguments, inferred sizes included; `children` are the chains of a container, by name.

    An argument that is itself a layer, such as the `encoder_layer` of TransformerEncoder, is a Node.
    """

    path: str
    call: Call
    entry: Entry
    arguments: dict[str, object]
    children: tuple[tuple[str, tuple[Node, ...]], ...] = ()
    output_shape: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Propagation:
    """What came of a stack: rows and nodes up to the first problem. `output_shape` is None where there is one.

    Each is equal to itself alone, and can be remembered by.
    """

    rows: tuple[Row, ...]
    nodes: tuple[Node, ...]
    output_shape: tuple[int, ...] | None
    problem: Problem | None = None


def is_container(entry: Entry) -> bool:
    """Whether a layer is one of layerlab's containers, which hold chains of layers."""
    return entry.target is CONTAINERS.get(entry.name)


def construct(node: Node) -> nn.Module:
    """The module of a node, on the current default device, drawing its weights as PyTorch does.

    A frozen layer's parameters want no gradients, and it is noted as frozen: without parameters it would not show.
    """
    module = _constructed(node)
    if node.call.get("frozen") is True:
        module.requires_grad_(False)
        note_frozen(module, True)
    return module


def note_frozen(module: nn.Module, frozen: bool) -> None:
    """Note of a layer whether it is frozen now, whatever it holds; `stepping.set_training` goes by it."""
    setattr(module, _FROZEN, frozen)


def noted_frozen(module: nn.Module) -> bool:
    """What `note_frozen` has noted last; a module that is no layer of its own is not frozen by itself."""
    return bool(getattr(module, _FROZEN, False))


def _constructed(node: Node) -> nn.Module:
    arguments = {name: construct(value) if isinstance(value, Node) else value for name, value in node.arguments.items()}
    children = {name: [construct(child) for child in chain] for name, chain in node.children}
    if not is_container(node.entry):
        return _made(node.entry, arguments)
    shortcut = children.pop("shortcut", None)
    modules = [module for chain in children.values() for module in chain]
    if shortcut is not None:
        arguments["shortcut"] = shortcut[0]
    first = [arguments.pop("n")] if "n" in arguments else []
    target: Callable[..., nn.Module] = node.entry.target
    return target(*first, *modules, **arguments)


def _made(entry: Entry, arguments: Mapping[str, object]) -> nn.Module:
    named = dict(arguments)
    rest: list[object] = []
    for parameter in entry.parameters:
        if parameter.variadic and parameter.name in named:
            values = named.pop(parameter.name)
            rest = list(values) if isinstance(values, tuple) else [values]
    target: Callable[..., nn.Module] = entry.target
    return target(*rest, **named)
