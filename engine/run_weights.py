"""The weights of a backbone as a run of the store has trained them."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from engine import checkpoint
from engine.backbone_rows import measured
from engine.backbone_shapes import measure
from engine.backbones import AUXILIARY_HEADS, IMAGENET, below, head_paths
from engine.calls import Call, Table, parse_call
from engine.catalogue import find, placed
from engine.data.normalise import TrainedWith
from engine.errors import LayerlabError, RequestError
from engine.nodes import Node
from engine.spec import Experiment, load_experiment
from engine.store.folder import find_run
from engine.store.reader import RunReader
from engine.store.retention import listed
from engine.weight_filling import filled_anew


@dataclass(frozen=True)
class RunWeights:
    """A run whose network has the backbone, at `module` of the network called `network`.

    `weights` are those that it began with; `cached`: it was trained on cached features, and holds only what came after
    them. `input_shape` is () where layers with weights of their own come before the backbone, so that it saw something
    else; `normalisation` is what its inputs were normalised with, None where that is not known. `loaded` names the
    weights that it began with, where it is `cached`, as they may be others by now (see `weights.loaded`). It was cut
    after the module `until`, and has auxiliary heads where `auxiliary`. `anew` are the modules that it filled anew.
    """

    path: Path
    network: str
    module: str
    weights: str | None
    cached: bool
    classes: tuple[str, ...]
    input_shape: tuple[int, ...]
    normalisation: TrainedWith | None
    loaded: str | None = None
    until: str | None = None
    auxiliary: bool = False
    anew: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise RequestError where it has no checkpoint; the checkpoint is not read."""
        folder = self.path / "checkpoints"
        if not listed(folder, "best") and not listed(folder, "step"):
            raise RequestError(f"run {self.path.name} has no checkpoint, so no weights to begin with")

    def read(self, notes: list[str]) -> Mapping[str, Tensor]:
        """The backbone's state_dict: of the best epoch, else the last. `notes` is given what was damaged. Raises
        RequestError where there is none that can be read."""
        folder = self.path / "checkpoints"
        problems: list[str] = []
        for kind in ("best", "step"):
            saved, found = checkpoint.newest(folder, kind)
            problems += found
            if saved is None:
                continue
            # Of the last ones, those that are measured: the moving average where there is one.
            tensors = saved.networks.get(f"{self.network}.average") or saved.networks.get(self.network)
            if tensors is None:
                continue
            notes += [f"run {self.path.name}: {problem}; other weights of it are taken" for problem in found]
            front = f"{self.module}."
            return OrderedDict(
                (name.removeprefix(front), tensor) for name, tensor in tensors.items() if name.startswith(front)
            )
        why = f": {problems[0]}" if problems else ""
        raise RequestError(f"run {self.path.name} has no checkpoint that can be read{why}")


def run_weights(store: Path, text: str, model: str, at: str) -> RunWeights:
    """The run that a person means, with its backbone of this model; of several that which stands where the one does
    that asks, `at` this path. Raises RequestError where the run is not there or has no such backbone."""
    path = find_run(store, text)
    found = _of_run(path, model, _stamp(path))
    chosen = found if len(found) == 1 else [one for one in found if one.module == at]
    if not chosen:
        layers = " and ".join(one.module for one in found)
        raise RequestError(
            f"run {path.name} has trained {len(found)} times {model}, in layers {layers}, and in none that stands here "
            f"(layer {at}); put it where the one stands that is meant"
        )
    return chosen[0]


def require_held(node: Node, run: RunWeights) -> None:
    """Raise RequestError where a Backbone wants weights that the run's cannot hold, as that was cut or ended in another
    head. Nothing is read of its checkpoints."""
    model, until = str(node.arguments["name"]), node.arguments.get("until")
    heads = head_paths(model)
    # A whole model's head may be new; behind until it is torchvision's own, for ImageNet.
    new = (*filled_anew(node), *(heads if until is None else ()))
    wanted = [path for path, _ in measured(node).parameters if not below(path, new)]
    name = f"run {run.path.name}"
    if run.until is None:
        lost = next((path for path in wanted if below(path, heads)), None)
        if lost is not None:
            raise RequestError(
                f"{name} has trained {model} with a head for its own classes, and until={until!r} wants {lost} of "
                f"torchvision's {IMAGENET:,} classes; cut it before that, or begin with torchvision's weights"
            )
        if not run.auxiliary and any(below(path, AUXILIARY_HEADS) for path in wanted):
            raise RequestError(
                f"{name} has trained {model} without its auxiliary heads, as another layer came behind it; put one "
                "behind it here too, such as Identity(), or take another run"
            )
    elif run.until != until:
        size = standard_size(model)
        held = {path for path, _ in measure(model, None, run.until, IMAGENET, (3, size, size), False).parameters}
        missing = [path for path in wanted if path not in held]
        if missing:
            more = f" and {len(missing) - 1:,} more are" if len(missing) > 1 else " is"
            raise RequestError(
                f"{name} has trained {model} only up to {run.until!r}, where its Backbone was cut: {missing[0]}{more} "
                f"not in it; write until={run.until!r} here too, or take another run"
            )


def standard_size(model: str) -> int:
    """A height and width that the model takes, whatever else it may take."""
    return 224 if model.startswith(("vit_", "maxvit")) else 299


def name_runs(experiment: Experiment, store: Path) -> Experiment:
    """With the whole ids of the runs whose weights are asked for: `latest`, or a part of an id, is another run later.

    Raises RequestError where a run is not there.
    """
    networks = {
        name: network.with_(layers=tuple(_named(layer, store) for layer in network.layers))
        for name, network in experiment.networks.items()
    }
    return experiment.with_(networks=networks) if networks != dict(experiment.networks) else experiment


def _named(call: Call, store: Path) -> Call:
    args = tuple(_named(arg, store) if isinstance(arg, Call) else arg for arg in call.args)
    kwargs = tuple((name, _named(value, store) if isinstance(value, Call) else value) for name, value in call.kwargs)
    weights = _backbone_arguments(str(call)).get("weights")
    if isinstance(weights, str) and weights.startswith("run:"):
        whole = f"run:{find_run(store, weights.removeprefix('run:')).name}"
        args = tuple(whole if value == weights else value for value in args)
        kwargs = tuple((name, whole if name == "weights" else value) for name, value in kwargs)
    return replace(call, args=args, kwargs=kwargs)


def _stamp(path: Path) -> int:
    """Changes when the run goes on: what was read of it is remembered, as a check comes after every key."""
    try:
        return (path / "summary.json").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _of_run(path: Path, model: str, stamp: int) -> list[RunWeights]:
    try:
        experiment = load_experiment(path / "experiment.toml")
    except LayerlabError as error:
        raise RequestError(f"run {path.name} cannot be read: {error}") from None
    reader = RunReader(path)
    reader.poll()
    others: list[str] = []
    found: list[RunWeights] = []
    names = list(experiment.networks)
    for row in reader.view.modules:
        arguments = _backbone_arguments(row["call"])
        if not arguments:
            continue
        network, module = (names[0], row["path"]) if len(names) == 1 else row["path"].split(".", 1)
        if arguments.get("name") != model:
            others.append(str(arguments.get("name")))
            continue
        started = reader.view.started
        shape, weights = started.get("input_shape"), arguments.get("weights", "DEFAULT")
        sees_inputs = _sees_inputs(reader.view.modules, row["path"])
        init = arguments.get("init")
        one = RunWeights(
            path,
            network,
            module,
            None if weights is None else str(weights),
            experiment.data.cache_features,
            tuple(map(str, started.get("classes") or ())),
            tuple(size for size in shape if isinstance(size, int))
            if sees_inputs and isinstance(shape, list | tuple)
            else (),
            normalisation(started) if sees_inputs else None,
            _loaded(started, row["path"]),
            None if arguments.get("until") is None else str(arguments["until"]),
            not {f"{row['path']}.{head}" for head in AUXILIARY_HEADS}.isdisjoint(
                other["path"] for other in reader.view.modules
            ),
            tuple(str(module) for module, _ in init.items) if isinstance(init, Table) else (),
        )
        found.append(one)
    if found:
        return found
    if others:
        raise RequestError(f"run {path.name} has trained {' and '.join(dict.fromkeys(others))}, not {model}")
    if not reader.view.modules:
        raise RequestError(f"run {path.name} has not begun, so there are no weights of it")
    raise RequestError(f"run {path.name} has no Backbone('{model}') in its network")


def _backbone_arguments(text: str) -> dict[str, object]:
    """The arguments by name of a Backbone's call; none where it is another, or cannot be read."""
    if not text.startswith("Backbone("):
        return {}
    try:
        call = parse_call(text)
        return dict(placed(find("layers", call.name), call))
    except RequestError:
        return {}


def _sees_inputs(modules: Sequence[Mapping[str, Any]], path: str) -> bool:
    """Whether nothing that has weights of its own comes before a module."""
    before = itertools.takewhile(lambda row: row["path"] != path, modules)
    return not any(row.get("parameters") and not path.startswith(f"{row['path']}.") for row in before)


def _loaded(started: Mapping[str, object], path: str) -> str | None:
    features = started.get("features")
    names = features.get("loaded") if isinstance(features, Mapping) else None
    found = names.get(path) if isinstance(names, Mapping) else None
    return found if isinstance(found, str) else None


def normalisation(started: Mapping[str, object]) -> TrainedWith | None:
    """Mean and deviation, by channel, that a run tells of in its first event, or that there were none; None where it
    tells nothing that could be."""
    given = started.get("normalisation")
    if started and given is None:
        return "none"
    if not isinstance(given, Mapping):
        return None
    mean, std = (_numbers(given.get(name)) for name in ("mean", "std"))
    if mean is None or std is None or len(mean) != len(std) or min(std, default=0.0) <= 0:
        return None
    return mean, std


def _numbers(values: object) -> tuple[float, ...] | None:
    if not isinstance(values, list | tuple) or not values:
        return None
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    return tuple(float(value) for value in values)
