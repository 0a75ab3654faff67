"""Trained weights of backbones: which are asked for, where they lie, and into the network with them.

torchvision's own lie where torch.hub keeps files, under the names that torchvision gives them, so that what another
program has fetched is used.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from engine.backbones import below, head_paths, torchvision_weights
from engine.data.digest import add_tensor
from engine.data.download import fetch, has_sha256
from engine.data.files import find_file
from engine.data.info import FETCHING, Missing, NotFetched, Place
from engine.errors import LayerlabError, RequestError, RunError
from engine.freezing import backbone_nodes
from engine.nodes import Node, Problem, Propagation, construct
from engine.preprocessing import asked, named_run
from engine.run_weights import RunWeights, require_held, standard_size
from engine.state_files import DamagedFile, read_state_dict
from engine.weight_filling import State, fill_model, filled_anew, fitting, require_finite, without


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
            _require(node, place, store)
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
            _require(node, place, store)
        except NotFetched as error:
            found |= {missing.message: missing for missing in error.missing}
        except LayerlabError:
            continue  # weights_problem tells it
    return tuple(found.values())


def _require(node: Node, place: Place, store: Path | None) -> None:
    model, weights = str(node.arguments["name"]), asked(node)
    _require_there(model, weights, place, store, node.path)
    if weights is not None and weights.startswith("run:") and store is not None:
        require_held(node, named_run(model, weights, store, node.path))


def _require_there(model: str, weights: str | None, place: Place, store: Path | None, at: str, runs: int = 0) -> None:
    if weights is None:
        return
    if weights.startswith("file:"):
        find_file(weights.removeprefix("file:"), place)
    elif weights.startswith("run:"):
        if store is not None:
            found = named_run(model, weights, store, at, runs)
            found.require()
            if found.cached:
                _require_there(model, found.weights, place, store, found.module, runs + 1)
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

    Without the head, unless a run's classes are these `classes`, by name and order; that of a Backbone which is cut
    behind it is torchvision's own. Files that are missing, and torchvision's that are damaged, are fetched where
    `place.download` allows it. `notes` is given what a person should know. Raises RequestError where something is
    missing, damaged, no state_dict or of no use to the Backbone, RunError where a download failed.
    """
    read: dict[tuple[str, str, bool, str], State] = {}
    found: dict[str, State] = {}
    for node in backbone_nodes(propagation.nodes):
        model, weights = str(node.arguments["name"]), asked(node)
        if weights is None:
            continue
        # Of a run it matters where the Backbone stands.
        asked_for = model, weights, _until(node) is not None, node.path if weights.startswith("run:") else ""
        if asked_for not in read:
            try:
                read[asked_for] = _read(*asked_for, place, store, classes, [] if notes is None else notes)
            except RequestError as error:
                raise RequestError(f"layer {node.path} `{node.call}`: {error}") from None
        found[node.path] = read[asked_for]
        with torch.device("meta"):
            wanted = construct(node).state_dict()
        with _refused(node):  # now, and not when all samples are decoded
            require_finite(wanted, fitting(wanted, found[node.path], anew=filled_anew(node), heads=_new_heads(node)))
    return found


def _read(
    model: str,
    weights: str,
    cut: bool,
    at: str,
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
        run = named_run(model, weights, store, at, runs)
        own = run.read(notes)
        if run.cached:
            # Such a run holds only what came after the features; the rest is as its own weights were.
            own = {**_beneath(model, run, own, place, store, notes, runs), **own}
        # The head of one that was cut behind it is torchvision's own, with ImageNet's classes.
        whole = cut if run.until is not None else classes and run.classes == classes
        return own if whole else without(own, heads)
    if weights.startswith("file:"):
        path = find_file(weights.removeprefix("file:"), place)
        state = _renamed(read_state_dict(path), model)
    else:
        file = _torchvision_file(model, weights)
        assert file is not None
        state = _read_torchvision(model, file, place, notes)
    return state if cut else without(state, heads)


def _beneath(model: str, run: RunWeights, own: State, place: Place, store: Path, notes: list[str], runs: int) -> State:
    """What a run on cached features has begun with, its features among it; `own` is what it holds."""
    if run.weights is None:
        raise RequestError(
            f"run {run.path.name} was trained on cached features of random weights, which it does not hold"
        )
    found = _read(model, run.weights, run.until is not None, run.module, place, store, run.classes, notes, runs + 1)
    if run.loaded is not None and run.loaded != _digest(found, head_paths(model)):
        more = " (a run that goes on has other best weights)" if run.weights.startswith("run:") else ""
        raise RequestError(
            f"run {run.path.name} was trained on features of the weights {run.weights!r}, which are others now{more}, "
            "so that what it has trained does not fit them any more"
        )
    lost = next((name for name in found if below(name, run.anew) and name not in own), None)
    if lost is not None:
        raise RequestError(
            f"run {run.path.name} was trained on cached features of modules that were filled anew, {lost} among them, "
            "which it does not hold; train it with cache_features = false"
        )
    return found


def _read_torchvision(model: str, file: WeightsFile, place: Place, notes: list[str]) -> State:
    path = file.path
    if not path.is_file():
        if not place.download:
            raise _missing(model, file)
        fetch([file.url], path, file.sha256, place, algorithm="sha256")
        place.report(f"reading {path.name}")
        return read_state_dict(path)
    place.report(f"checksum of {path.name}")
    try:
        genuine = has_sha256(path, file.sha256)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from None
    place.report(f"reading {path.name}")
    try:
        state = read_state_dict(path)
    except DamagedFile as error:
        # Nothing is lost with a file that nobody can read; any other may be a person's own.
        if genuine or not place.download:
            again = "delete it, or train with `--download`, which fetches it again"
            raise RequestError(str(error) if genuine else f"{error}; {again} from {file.url}") from None
    else:
        if not genuine:
            notes.append(
                f"{path} is not the file that torchvision offers (its SHA-256 does not begin with {file.sha256}); "
                "it is used as it is"
            )
        return state
    try:
        fetch([file.url], path, file.sha256, place, algorithm="sha256")
    except RunError as error:
        raise RunError(f"{path} is damaged; {error}") from None
    notes.append(f"{path} was damaged, and has been fetched again")
    place.report(f"reading {path.name}")
    return read_state_dict(path)


def loaded(propagation: Propagation, found: Mapping[str, State]) -> dict[str, str]:
    """Names, by its path, what `load_weights` has read for each Backbone: they may be others the next time, as files of
    torchvision's can be replaced, too. The head is left out, as it is read or not by the classes."""
    return {
        node.path: _digest(found[node.path], head_paths(str(node.arguments["name"])))
        for node in backbone_nodes(propagation.nodes)
        if node.path in found
    }


def _digest(state: State, heads: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        if not below(name, heads):
            add_tensor(digest, name, state[name])
    return digest.hexdigest()[:32]


def _renamed(state: State, model: str) -> State:
    """Under the model's own names, where all of a file's begin with something more: "module.", "_orig_mod.", "0."."""
    from engine.backbones import meta_model

    size = standard_size(model)
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
    anew. Raises RequestError, with nothing changed in that Backbone, where weights are those of another model, or of a
    type that weights are not of.
    """
    for node in backbone_nodes(propagation.nodes):
        state = found.get(node.path)
        if state is None:
            continue
        with _refused(node):
            fill_model(network.get_submodule(node.path), state, anew=filled_anew(node), heads=_new_heads(node))


@contextmanager
def _refused(node: Node) -> Iterator[None]:
    """Says whose weights they are that do not suit a Backbone, and where they lie."""
    try:
        yield
    except RequestError as error:
        file = weights_file(node)
        which = f"{asked(node)!r}" + (f" ({file.path})" if file else "")
        again = "; delete that file, and train with `--download`, which fetches it again" if file else ""
        raise RequestError(
            f"layer {node.path} `{node.call}`: the weights {which} cannot be used: {error}{again}"
        ) from None


def _new_heads(node: Node) -> tuple[str, ...]:
    """The modules that weights need not hold: they are for other classes."""
    return () if _until(node) is not None else head_paths(str(node.arguments["name"]))


def _until(node: Node) -> str | None:
    until = node.arguments.get("until")
    return None if until is None else str(until)
