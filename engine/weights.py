"""Trained weights of backbones: which are asked for, where they lie, and into the network with them.

torchvision's own lie where torch.hub keeps files, under the names that torchvision gives them, so that what another
program has fetched is used.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from engine.backbones import below, head_paths, torchvision_weights
from engine.calls import Table
from engine.data.download import fetch, has_sha256
from engine.data.files import find_file
from engine.data.info import FETCHING, Missing, NotFetched, Place
from engine.errors import LayerlabError, RequestError
from engine.freezing import backbone_nodes
from engine.nodes import Node, Problem, Propagation
from engine.preprocessing import Preprocessing, asked, named_run, preprocessing
from engine.state_files import read_state_dict

__all__ = [
    "Preprocessing", "WeightsFile", "asked", "fill", "load_weights", "loaded", "missing_weights", "preprocessing",
    "weights_file", "weights_problem",
]  # fmt: skip

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """Weights that torchvision offers: their name there ("IMAGENET1K_V1"), the address, where the file belongs, and the
    first digits of its SHA-256 as its name gives them."""

    name: str
    url: str
    path: Path
    sha256: str


def weights_file(node: Node) -> WeightsFile | None:
    """The file that a Backbone's weights come from; None where they are not torchvision's. Raises RequestError for a
    name that torchvision does not have."""
    return _torchvision_file(str(node.arguments["name"]), asked(node))


def _torchvision_file(model: str, weights: str | None) -> WeightsFile | None:
    member = torchvision_weights(model, weights)
    if member is None:
        return None
    name = Path(urlparse(member.url).path).name
    digits = re.search(r"-([0-9a-f]{8,64})\.", name)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return WeightsFile(member.name, member.url, folder / name, digits.group(1) if digits else "")


def weights_problem(propagation: Propagation, place: Place, store: Path | None) -> Problem | None:
    """The first Backbone whose weights cannot be had, found without reading them; None where all are here or can be
    fetched (`missing_weights` says which have to be).

    Without a store the runs of "run:RUN" are not looked for.
    """
    for node in backbone_nodes(propagation.nodes):
        try:
            _require(str(node.arguments["name"]), asked(node), place, store)
        except NotFetched:
            continue
        except LayerlabError as error:
            return Problem(node.path, str(node.call), f"`{node.call}`: {error}")
    return None


def missing_weights(propagation: Propagation, place: Place, store: Path | None) -> tuple[Missing, ...]:
    """The weights that are not here, and that a run would fetch if it were allowed to; none where it is."""
    found: dict[str, Missing] = {}
    for node in backbone_nodes(propagation.nodes):
        try:
            _require(str(node.arguments["name"]), asked(node), place, store)
        except NotFetched as error:
            found[error.missing.message] = error.missing
        except LayerlabError:
            continue  # weights_problem tells it
    return tuple(found.values())


def _require(model: str, weights: str | None, place: Place, store: Path | None, runs: int = 0) -> None:
    if weights is None:
        return
    if weights.startswith("file:"):
        find_file(weights.removeprefix("file:"), place)
    elif weights.startswith("run:"):
        if store is not None:
            found = named_run(model, weights, store, runs)
            found.require()
            if found.cached:
                _require(model, found.weights, place, store, runs + 1)
    else:
        file = _torchvision_file(model, weights)
        if file is not None and not file.path.is_file() and not place.download:
            raise _missing(model, file)


def _missing(model: str, file: WeightsFile) -> NotFetched:
    what = f"the weights {file.name} of {model}"
    text = (
        f"{what} are not here: {file.path.name} is not in {file.path.parent}; {FETCHING}; or fetch {file.url} "
        "elsewhere and put it into that folder"
    )
    return NotFetched(Missing("weights", what, file.path.parent, (file.path.name,), text, file.url))


def load_weights(
    propagation: Propagation,
    place: Place,
    store: Path | None,
    *,
    classes: tuple[str, ...] = (),
    notes: list[str] | None = None,
) -> dict[str, State]:
    """The weights of every Backbone that asks for some, by its path: a state_dict with torchvision's names.

    Without the head, unless a run's classes are these `classes`, by name and order. Files that are missing are fetched
    where `place.download` allows it. `notes` is given what a person should know. Raises RequestError where something is
    missing, damaged or no state_dict, RunError where a download failed.
    """
    read: dict[tuple[str, str], State] = {}
    found: dict[str, State] = {}
    for node in backbone_nodes(propagation.nodes):
        model, weights = str(node.arguments["name"]), asked(node)
        if weights is None:
            continue
        if (model, weights) not in read:
            try:
                read[model, weights] = _read(model, weights, place, store, classes, [] if notes is None else notes)
            except RequestError as error:
                raise RequestError(f"layer {node.path} `{node.call}`: {error}") from None
        found[node.path] = read[model, weights]
    return found


def _read(
    model: str,
    weights: str,
    place: Place,
    store: Path | None,
    classes: tuple[str, ...],
    notes: list[str],
    runs: int = 0,
) -> State:
    heads = head_paths(model)
    if weights.startswith("run:"):
        if store is None:
            raise RequestError(f"{weights!r} needs the store of that run, which is not known here")
        run = named_run(model, weights, store, runs)
        own = run.read(notes)
        if not run.cached:
            return own if classes and run.classes == classes else _without(own, heads)
        # Such a run holds only what came after the features; the rest is as its own weights were.
        if run.weights is None:
            raise RequestError(
                f"run {run.path.name} was trained on cached features of random weights, which it does not hold"
            )
        below_it = dict(_read(model, run.weights, place, store, run.classes, notes, runs + 1))
        if run.loaded is not None and run.loaded != _digest(below_it, heads):
            raise RequestError(
                f"run {run.path.name} was trained on features of the weights {run.weights!r}, which are others now (a "
                "run that goes on has other best weights), so that what it has trained does not fit them any more"
            )
        own = {**below_it, **own}
        return own if classes and run.classes == classes else _without(own, heads)
    if weights.startswith("file:"):
        path = find_file(weights.removeprefix("file:"), place)
        return _without(_renamed(read_state_dict(path), model), heads)
    file = _torchvision_file(model, weights)
    assert file is not None
    if file.path.is_file():
        place.report(f"checksum of {file.path.name}")
        if not has_sha256(file.path, file.sha256):
            notes.append(
                f"{file.path} is not the file that torchvision offers (its SHA-256 does not begin with {file.sha256}); "
                "it is used as it is"
            )
    elif place.download:
        fetch([file.url], file.path, file.sha256, place, algorithm="sha256")
    else:
        raise _missing(model, file)
    place.report(f"reading {file.path.name}")
    return _without(read_state_dict(file.path), heads)


def loaded(propagation: Propagation, found: Mapping[str, State]) -> dict[str, str]:
    """Names, by its path, what `load_weights` has read for each Backbone whose weights may be others the next time:
    those of a run or a file. The head is left out, as it is read or not by the classes."""
    return {
        node.path: _digest(found[node.path], head_paths(str(node.arguments["name"])))
        for node in backbone_nodes(propagation.nodes)
        if node.path in found and (asked(node) or "").startswith(("run:", "file:"))
    }


def _digest(state: State, heads: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        if not below(name, heads):
            tensor = state[name].detach().cpu().contiguous()
            digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _without(state: State, heads: tuple[str, ...]) -> State:
    kept = OrderedDict((name, tensor) for name, tensor in state.items() if not below(name, heads))
    return _with_metadata(kept, getattr(state, "_metadata", None))


def _with_metadata(state: OrderedDict[str, Tensor], metadata: object) -> State:
    # Where torch notes the versions of the modules, by which some of them read older files.
    if metadata is not None:
        state._metadata = metadata  # type: ignore[attr-defined]
    return state


def _renamed(state: State, model: str) -> State:
    """Under the model's own names, where all of a file's begin with something more: "module.", "_orig_mod.", "0."."""
    from engine.backbones import meta_model

    size = 224 if model.startswith(("vit_", "maxvit")) else 299
    known = next(iter(dict(meta_model(model, input_shape=(3, size, size)).named_parameters())))
    if known in state:
        return state
    longer = [name for name in state if name.endswith(f".{known}")]
    if len(longer) != 1:
        return state
    front = longer[0].removesuffix(known)
    return OrderedDict((name.removeprefix(front), value) for name, value in state.items() if name.startswith(front))


def fill(network: nn.Module, propagation: Propagation, found: Mapping[str, State]) -> None:
    """Put weights, as `load_weights` gives them, into a network.

    What the weights do not hold of the head stays as it was built, and so does what `init={...}` of the Backbone fills
    anew. Raises RequestError, with nothing changed in that Backbone, where weights are those of another model.
    """
    for node in backbone_nodes(propagation.nodes):
        state = found.get(node.path)
        if state is None:
            continue
        model = network.get_submodule(node.path)
        anew = node.arguments.get("init")
        own = tuple(str(path) for path, _ in anew.items) if isinstance(anew, Table) else ()
        _fill(model, node, _modern(state), own)


# How torchvision's first DenseNets named their layers: files of that time are still what it offers.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def _modern(state: State) -> State:
    if not any(_OLD_NAME.search(name) for name in state):
        return state
    return OrderedDict((_OLD_NAME.sub(r"\1\2.", name), tensor) for name, tensor in state.items())


def _fill(model: nn.Module, node: Node, state: State, own: tuple[str, ...]) -> None:
    wanted = model.state_dict()
    heads = () if node.arguments.get("until") is not None else head_paths(str(node.arguments["name"]))
    chosen = OrderedDict((name, state[name]) for name in wanted if name in state and not below(name, own))
    missing = [
        name
        for name in wanted
        if name not in state and not below(name, (*own, *heads)) and not name.endswith("num_batches_tracked")
    ]
    wrong = [name for name, tensor in chosen.items() if tensor.shape != wanted[name].shape]
    weights = f"layer {node.path} `{node.call}`: the weights {asked(node)!r} do not fit"
    if missing:
        some = f"{missing[0]} and {len(missing) - 1:,} more are" if len(missing) > 1 else f"{missing[0]} is"
        raise RequestError(f"{weights}: {some} missing in them; they are of another model, or of a part of it")
    if wrong:
        shapes = " and ".join(_shape(one[wrong[0]].shape) for one in (chosen, wanted))
        first, second = shapes.split(" and ")
        raise RequestError(f"{weights}: {wrong[0]} has the shape {first} in them and {second} here")
    metadata = getattr(state, "_metadata", None) or getattr(wanted, "_metadata", None)
    model.load_state_dict(_with_metadata(chosen, metadata), strict=False)


def _shape(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "()"
