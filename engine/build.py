"""From a checked stack of layers to the network that is trained: modules on the CPU, and how they are initialised.

`torch.manual_seed(s)` before `build_network` gives the weights of the same layers written out in PyTorch, to the bit:
modules are made in the order of the layers, a Residual's body before its shortcut, and initialisers run afterwards in
the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from engine.backbones import below, head_paths
from engine.calls import Call, Table
from engine.catalogue import bind, find, reserved
from engine.errors import RequestError, RunError
from engine.freezing import backbone_nodes
from engine.nodes import Node, Problem, Propagation, construct
from engine.weight_filling import State
from engine.weights import fill

if TYPE_CHECKING:
    from engine.spec import Experiment


def build_network(propagation: Propagation, init: Call | None = None) -> nn.Sequential:
    """The network of a propagation without a problem, in train mode, float32, on the CPU.

    `init` is for all layers, `init=` of a layer for that layer, and what it holds, alone. An initialiser fills the
    weights: parameters with two or more dimensions and `weight` in their name; biases and the weights of norm layers
    keep PyTorch's own values. Trained weights of a Backbone are loaded over it afterwards (see `weights.fill`): of that
    it fills the new head. Frozen layers want no gradients.

    Raises RequestError where the propagation has a problem or an initialiser cannot fill a layer, and RunError where
    the memory does not hold the weights.
    """
    if propagation.problem is not None:
        raise RequestError(propagation.problem.message)
    try:
        with torch.device("cpu"):
            network = nn.Sequential(*(construct(node) for node in propagation.nodes))
    except (RuntimeError, MemoryError) as error:
        numbers = sum(row.parameters for row in propagation.rows if row.depth == 0)
        raise RunError(f"no memory for a network of {numbers:,} parameters: {str(error).splitlines()[0]}") from error
    for node, initialiser in initialised(propagation.nodes, init):
        _initialise(network.get_submodule(node.path), node, initialiser)
    return network


def initial_networks(
    experiment: Experiment,
    propagations: Mapping[str, Propagation],
    device: torch.device,
    weights: Mapping[str, Mapping[str, State]] | None = None,
) -> dict[str, nn.Sequential]:
    """The networks as a training of the experiment begins with them, on its device: drawn after its seed was set.

    `weights` are those of each network's backbones, as `weights.load_weights` gives them. Raises RequestError where
    they do not fit.
    """
    torch.manual_seed(experiment.seed)
    networks: dict[str, nn.Sequential] = {}
    for name, found in propagations.items():
        networks[name] = build_network(found, experiment.networks[name].init)
        fill(networks[name], found, (weights or {}).get(name, {}))
        networks[name].to(device)
    return networks


def init_problem(propagation: Propagation, init: Call | None) -> Problem | None:
    """The first layer that an initialiser cannot fill, or Backbone that has an initialiser which does nothing, found
    without memory for the weights; None where all do something."""
    chosen = list(initialised(propagation.nodes, init))
    if not chosen:
        return None
    with torch.device("meta"):
        network = nn.Sequential(*(construct(node) for node in propagation.nodes))
        for node, initialiser in chosen:
            try:
                _initialise(network.get_submodule(node.path), node, initialiser)
            except RequestError as error:
                return Problem(node.path, str(node.call), str(error))
        for node in backbone_nodes(propagation.nodes):
            model = network.get_submodule(node.path)
            problem = _filled_over(node, model) or _nothing_to_fill(node, model)
            if problem is not None:
                return problem
    return None


def _filled_over(backbone: Node, model: nn.Module) -> Problem | None:
    """One initialiser for all of a Backbone whose weights come afterwards. That of the whole network, or of a layer
    around it, is for the other layers, and for the Backbone's new head."""
    initialiser = reserved(backbone.entry, backbone.call).get("init")
    given = backbone.arguments
    weights = given.get("weights", "DEFAULT")
    if not isinstance(initialiser, Call) or weights is None:
        return None
    heads = () if given.get("until") is not None else head_paths(str(given["name"]))
    tops = [name for name, child in model.named_children() if _has_weights(child)]
    trained = [name for name in tops if not any(below(head, (name,)) for head in heads)]
    text = (
        f"init={initialiser} would be undone: the weights {weights!r} of {given['name']} are loaded over it; "
        f"init={{{[*tops, *trained][-1]!r}: {initialiser}}} fills a module anew; weights=None fills all of it"
    )
    return Problem(backbone.path, str(backbone.call), text)


def _nothing_to_fill(backbone: Node, model: nn.Module) -> Problem | None:
    """A module that a Backbone names to be filled anew, and that has no weights: nothing would be done."""
    anew = backbone.arguments.get("init")
    for path, initialiser in anew.items if isinstance(anew, Table) else ():
        if _has_weights(model.get_submodule(str(path))):
            continue
        others = ", ".join(name for name, child in model.named_children() if _has_weights(child))
        text = (
            f"init={{{path!r}: {initialiser}}} does nothing: {path!r} of {backbone.arguments['name']} has no weights "
            "that an initialiser fills (biases and norm layers keep their own); leave it out, or name a module that "
            f"has, in one of {others}"
        )
        return Problem(backbone.path, str(backbone.call), text)
    return None


def initialised(nodes: tuple[Node, ...], init: Call | None) -> Iterator[tuple[Node, Call]]:
    """The layers that hold no others, and the modules of a Backbone that are filled anew, each with its initialiser."""
    for node in nodes:
        own = reserved(node.entry, node.call).get("init")
        nearest = own if isinstance(own, Call) else init
        anew = node.arguments.get("init")
        if node.children:
            for _, chain in node.children:
                yield from initialised(chain, nearest)
        elif nearest is not None:
            yield node, nearest
        # A Backbone may name modules of its own.
        for path, initialiser in anew.items if isinstance(anew, Table) else ():
            if isinstance(initialiser, Call):
                yield replace(node, path=f"{node.path}.{path}"), initialiser


def _initialise(module: nn.Module, node: Node, init: Call) -> None:
    entry = find("initialisers", init.name)
    arguments = bind(entry, init)
    for parameter in _weights(module):
        try:
            entry.target(parameter, **arguments)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shape = " × ".join(map(str, parameter.shape))
            raise RequestError(
                f"`{init}` cannot fill the weights ({shape}) of layer {node.path} `{node.call}`: {error}"
            ) from error


def _weights(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that an initialiser fills, in the order of the module."""
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2 and "weight" in name.rpartition(".")[2]:
            yield parameter


def _has_weights(module: nn.Module) -> bool:
    return next(_weights(module), None) is not None
