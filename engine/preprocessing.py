"""What the weights of a backbone expect of their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.backbones import torchvision_weights, transforms_input
from engine.data.normalise import TrainedWith
from engine.errors import RequestError
from engine.freezing import BACKBONE
from engine.nodes import Node, Propagation
from engine.run_weights import RunWeights, run_weights

# How deep weights may lead from run to run, each trained on features of the one before.
MAX_RUNS = 8
# Pictures of another size than this share of the weights' own, or its inverse, are told.
NEAR = 0.7


@dataclass(frozen=True)
class Preprocessing:
    """What weights were trained with: how inputs in [0, 1] were normalised, None where that is not known; pictures of
    `size` pixels, cut out after the short side was scaled to `resize_size`."""

    normalisation: TrainedWith | None
    size: int
    resize_size: int


def asked(node: Node) -> str | None:
    """The weights that a Backbone asks for; None for random ones."""
    weights = node.arguments.get("weights", "DEFAULT")
    return None if weights is None else str(weights)


def named_run(model: str, weights: str, store: Path, at: str, runs: int = 0) -> RunWeights:
    """The run of "run:RUN", with its backbone of this model for one `at` this path; `runs` have led to it. Raises
    RequestError, also where the model would see other inputs than in that run."""
    if runs >= MAX_RUNS:
        raise RequestError(f"weights lead from run to run more than {MAX_RUNS} times")
    found = run_weights(store, weights.removeprefix("run:"), model, at)
    if transforms_input(model, weights) != transforms_input(model, found.weights):
        raise RequestError(
            f"run {found.path.name} has trained {model} without the change of its inputs that torchvision's weights "
            "want, so its weights do not suit; take those of a run that began with torchvision's"
        )
    return found


def preprocessing(propagation: Propagation, store: Path | None) -> Preprocessing | None:
    """What the weights of the Backbone that sees the inputs first were trained with, however deep it stands; None where
    it is not known, or where several see them that want them normalised in different ways.

    Raises RequestError where a run that is named is not there.
    """
    parameters = {row.path: row.parameters for row in propagation.rows}
    seeing, _ = _seeing(propagation.nodes, parameters)
    every = [_preprocessing(node, store) for node in seeing]
    known = [one for one in every if one is not None]
    return known[0] if len({one.normalisation for one in known}) == 1 else None


def _seeing(nodes: Sequence[Node], parameters: Mapping[str, int]) -> tuple[list[Node], bool]:
    """The Backbones that a stack gives its own inputs, and whether what follows it gets something else, which a layer
    has learned."""
    for node in nodes:
        if node.entry.name == BACKBONE:
            return [node], True
        chains = [_seeing(chain, parameters) for _, chain in node.children]
        if any(changed for _, changed in chains):
            return [one for found, _ in chains for one in found], True
        if not chains and parameters[node.path]:
            return [], True
    return [], False


def _preprocessing(node: Node, store: Path | None) -> Preprocessing | None:
    model, weights = str(node.arguments["name"]), asked(node)
    if weights is None or weights.startswith("file:"):
        return None
    if weights.startswith("run:"):
        if store is None:
            return None
        run = named_run(model, weights, store, node.path)
        size = run.input_shape[-1] if run.input_shape else 0
        return Preprocessing(run.normalisation, size, size)
    member = torchvision_weights(model, weights)
    used = member.transforms()
    return Preprocessing((tuple(used.mean), tuple(used.std)), int(used.crop_size[0]), int(used.resize_size[0]))


def size_warning(propagation: Propagation, input_shape: Sequence[int], store: Path | None) -> str | None:
    """What to say where pictures (C, height, width) are much smaller or larger than those of the weights."""
    found = preprocessing(propagation, store)
    if found is None or len(input_shape) != 3 or not found.size:
        return None
    side = min(input_shape[1:])
    if NEAR <= side / found.size <= 1 / NEAR:
        return None
    return (
        f"the weights were trained on pictures of {found.size} × {found.size}, and these are {input_shape[1]} × "
        f"{input_shape[2]}; size={found.size}, resize_size={found.resize_size} in a source of photographs suits them"
    )
