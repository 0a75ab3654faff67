"""Which parameters train when, and at which share of the learning rate.

`frozen=True` keeps a layer, with all that it holds, out of training and in the mode of evaluation, as
`stepping.set_training` says; `thaw=5` does so until epoch 5 begins; `lr_scale` is the share of the learning rate, where
the innermost layer that names one wins. A Backbone says the same of its own modules by their paths. Optimizers hold
from the start what is thawed later: a parameter without a gradient stays as it is, weight decay included, so nothing is
ever added to an optimizer in mid-run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import nn

from engine.calls import Table
from engine.catalogue import reserved
from engine.nodes import Node, Propagation, note_frozen

NEVER = math.inf
BACKBONE = "Backbone"


@dataclass(frozen=True)
class Group:
    """Parameters that train, now or later, at the same share of the learning rate."""

    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Rule:
    """What holds for a module and all in it: the epoch, counted from 1, with which it begins to train (NEVER where it
    is frozen for good) and its share of the learning rate. `path` is the module that was named, for messages."""

    path: str
    begins: float = 1
    lr_scale: float = 1.0


def rules(network: nn.Module, propagation: Propagation) -> dict[str, Rule]:
    """The rule of every parameter, by its name in the network; every parameter has exactly one."""
    found: dict[str, Rule] = {}
    by_path = dict(by_layer(propagation))
    for name, _ in network.named_parameters():
        path = name
        while path and path not in by_path:
            path = path.rpartition(".")[0]
        found[name] = by_path.get(path, Rule(""))
    return found


@lru_cache(maxsize=8)
def by_layer(propagation: Propagation) -> tuple[tuple[str, Rule], ...]:
    """The rule of every layer, by its path, those that hold others included, and of every parameter of a Backbone."""
    return tuple(_rules(propagation.nodes, Rule("")))


def _rules(nodes: Sequence[Node], outer: Rule) -> Iterator[tuple[str, Rule]]:
    for node in nodes:
        if node.entry.name == BACKBONE:
            yield from _backbone_rules(node, outer)
            continue
        said = reserved(node.entry, node.call)
        thaw, scale = said.get("thaw"), said.get("lr_scale")
        begins: float = thaw if isinstance(thaw, int) else NEVER if said.get("frozen") is True else 1
        rule = Rule(
            # What begins together with the layers around it is told as these.
            node.path if begins > outer.begins else outer.path,
            max(begins, outer.begins),
            float(scale) if isinstance(scale, int | float) else outer.lr_scale,
        )
        yield node.path, rule
        for _, chain in node.children:
            yield from _rules(chain, rule)


def _backbone_rules(node: Node, outer: Rule) -> Iterator[tuple[str, Rule]]:
    """A rule for each parameter of a Backbone, as the whole of it was measured: what is trained may be a part of it."""
    from engine.backbone_rows import measured
    from engine.backbones import chosen_parameters

    given: Mapping[str, Any] = node.arguments
    name, found = given["name"], measured(node)
    heads = found.heads
    parameters, modules = [path for path, _ in found.parameters], ["", *found.module_paths]

    frozen = set(chosen_parameters(parameters, modules, given.get("frozen", "none"), heads, name))
    begins: dict[str, tuple[float, str]] = dict.fromkeys(frozen, (NEVER, ""))
    for epoch, what in thawing(node):
        for module in what:
            whole = module == "all"
            chosen = chosen_parameters(parameters, modules, "all" if whole else (module,), heads, name)
            # Of what `frozen` names in part the rest trains already; what it does not name is frozen until then, but
            # for a head where all is named.
            for path in [path for path in (parameters if whole else chosen) if path in frozen] or chosen:
                if path not in begins or epoch < begins[path][0]:
                    # "all" is told by the largest modules that it stands for.
                    begins[path] = (epoch, path.partition(".")[0] if whole else module)
    share = given.get("lr_scale")
    shares: dict[str, float] = {"": float(share)} if isinstance(share, int | float) else {}
    if isinstance(share, Table):
        shares = {str(path): float(value) for path, value in share.items if isinstance(value, int | float)}
    for path in parameters:
        first, unit = begins.get(path, (1, ""))
        own = _nearest(shares, path)
        yield (
            f"{node.path}.{path}",
            Rule(
                f"{node.path}.{unit}" if first > outer.begins else outer.path,
                max(first, outer.begins),
                outer.lr_scale if own is None else own,
            ),
        )


def _nearest(scales: Mapping[str, float], path: str) -> float | None:
    """The share of the innermost module that one is given for; "" is the whole."""
    while path:
        if path in scales:
            return scales[path]
        path = path.rpartition(".")[0]
    return scales.get("")


def thawing(node: Node) -> list[tuple[int, tuple[str, ...]]]:
    """What a Backbone thaws, in the order of the epochs: modules by their paths, or "all"."""
    table = node.arguments.get("thaw")
    items: Any = table.items if isinstance(table, Table) else ()
    return sorted((epoch, what if isinstance(what, tuple) else (what,)) for epoch, what in items)


def parameter_groups(network: nn.Module, propagation: Propagation) -> list[Group]:
    """All parameters that train at any time, each exactly once, by share of the learning rate.

    The group of the full rate comes first, then the others from the largest share down. What a module of a person's
    own keeps from training stays out.
    """
    rule_of = rules(network, propagation)
    shares: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rule = rule_of[name]
        if rule.begins < NEVER and (parameter.requires_grad or rule.begins > 1):
            shares.setdefault(rule.lr_scale, []).append(parameter)
    order = sorted(shares, key=lambda share: (share != 1.0, -share))
    return [Group(tuple(shares[share]), share) for share in order]


def thaw(network: nn.Module, propagation: Propagation, epoch: int) -> dict[str, int]:
    """Let train what trains in an epoch (from 1) and nothing else; what began to train by this call, as paths, each
    with its number of parameters. Optimizers need not be told; `stepping.set_training` is to be called after it."""
    begun: dict[str, int] = {}
    rule_of = rules(network, propagation)
    for name, parameter in network.named_parameters():
        rule = rule_of[name]
        if rule.begins == 1:
            continue
        trains = rule.begins <= epoch
        if trains and not parameter.requires_grad:
            begun[rule.path] = begun.get(rule.path, 0) + parameter.numel()
        parameter.requires_grad_(trains)
        if not trains:
            parameter.grad = None
    layers = dict(network.named_modules())
    for path, layer in by_layer(propagation):
        if path in layers:
            note_frozen(layers[path], layer.begins > epoch)
    return begun


def schedule(propagation: Propagation) -> dict[str, tuple[tuple[int, int], ...]]:
    """What is thawed, by the paths of rows: with which epochs how many of a row's parameters begin to train, in order.
    Rows of which nothing is thawed are left out."""
    found: dict[str, dict[int, int]] = {}
    for path, rule, size in _of_rows(propagation):
        if 1 < rule.begins < NEVER:
            epochs = found.setdefault(path, {})
            epochs[int(rule.begins)] = epochs.get(int(rule.begins), 0) + size
    return {path: tuple(sorted(epochs.items())) for path, epochs in found.items()}


def shares(propagation: Propagation) -> dict[str, tuple[float, ...]]:
    """At which shares of the learning rate the parameters of rows train at any time, by the paths of rows, the smallest
    first. Rows of which all train at the full rate are left out."""
    found: dict[str, set[float]] = {}
    for path, rule, _ in _of_rows(propagation):
        if rule.begins < NEVER:
            found.setdefault(path, set()).add(rule.lr_scale)
    return {path: tuple(sorted(scales)) for path, scales in found.items() if scales != {1.0}}


def _of_rows(propagation: Propagation) -> Iterator[tuple[str, Rule, int]]:
    """The rules that hold in each row, by its path, each with how many parameters it is for."""
    from engine.backbone_rows import measured

    rows = {row.path for row in propagation.rows}
    holders = set(containers(propagation.nodes))  # counted by what they hold
    sizes = {row.path: row.parameters for row in propagation.rows if row.path not in holders}
    for node in backbone_nodes(propagation.nodes):
        sizes |= {f"{node.path}.{path}": size for path, size in measured(node).parameters}
    for path, rule in by_layer(propagation):
        size, above = sizes.get(path, 0), path if sizes.get(path) else ""
        while above:
            if above in rows:
                yield above, rule, size
            above = above.rpartition(".")[0]


def epochs(propagation: Propagation) -> frozenset[int]:
    """With which epochs something begins to train, the first left out."""
    return frozenset(int(rule.begins) for _, rule in by_layer(propagation) if 1 < rule.begins < NEVER)


def never_trained(propagation: Propagation) -> tuple[str, ...]:
    """The paths of all layers that are frozen for good, those without parameters included, and of the parameters of
    Backbones that are."""
    return tuple(path for path, rule in by_layer(propagation) if rule.begins == NEVER)


def trained(propagation: Propagation) -> list[Rule]:
    """The rules of all layers with parameters that train at any time; needs no network."""
    holding = {row.path: row.parameters > 0 for row in propagation.rows}
    for path in containers(propagation.nodes):
        holding[path] = False
    # A Backbone's rules are those of its parameters, which have no rows.
    found = [rule for path, rule in by_layer(propagation) if holding.get(path, True)]
    return [rule for rule in found if rule.begins < NEVER]


def containers(nodes: Sequence[Node]) -> Iterator[str]:
    """The paths of all layers that hold others."""
    for node in nodes:
        if node.children:
            yield node.path
        for _, chain in node.children:
            yield from containers(chain)


def describe(epoch: int, begun: Mapping[str, int], propagation: Propagation) -> str:
    """What `thaw` did, in words: "epoch 5: layer4 is thawed, 8,393,728 more parameters train"."""
    backbones = {node.path for node in backbone_nodes(propagation.nodes)}
    names = [_spoken(path, backbones) for path in begun]
    shown = names if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more modules"]
    text = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    verb = "is" if len(names) == 1 else "are"
    return f"epoch {epoch}: {text} {verb} thawed, {sum(begun.values()):,} more parameters train"


def _spoken(path: str, backbones: set[str]) -> str:
    holder = next((other for other in backbones if path.startswith(f"{other}.")), None)
    if holder is None:
        return f"layer {path}"
    # With one backbone its modules need no more than their own names.
    return path.removeprefix(f"{holder}.") if len(backbones) == 1 else path


def backbone_nodes(nodes: Sequence[Node]) -> Iterator[Node]:
    """Every Backbone of a network, at any depth, in the order of the layers."""
    for node in nodes:
        if node.entry.name == BACKBONE:
            yield node
        for _, chain in node.children:
            yield from backbone_nodes(chain)
