"""A training on cached features: what comes after the frozen beginning of a network, and what that beginning gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from engine import snapshot
from engine.data.cache_folder import Hold
from engine.data.info import Loaded, Place
from engine.data.normalise import Normalise
from engine.data.prepare import Prepared
from engine.device import autocast_type
from engine.errors import RequestError
from engine.feature_cache import Kept, Origin, features
from engine.features import Reason, frozen_prefix, rest
from engine.spec import Experiment
from engine.weight_filling import State
from engine.weights import loaded

if TYPE_CHECKING:
    from engine.check import Report

Embed = Callable[[Loaded, Normalise], Loaded]


class Prepare(Protocol):
    """`data.prepare` with everything given but what stands in place of the samples."""

    def __call__(self, *, embed: Embed | None = None) -> Prepared: ...


@dataclass(frozen=True)
class Cached:
    """What a session trains in place of the whole networks: `networks`, by name, without their frozen beginning of
    `layers` whole layers and `parameters` weights. `generators` are torch's as making the whole networks left them, so
    that dropout draws what it would have drawn; `joins` says that the whole network holds a BatchNorm. `features` is
    what `Started` tells, `notes` are what a person should know of a resume. The features stay in the cache as long as
    `hold` does."""

    networks: Mapping[str, nn.Sequential]
    layers: int
    parameters: int
    joins: bool
    generators: Mapping[str, Tensor]
    features: Mapping[str, Any]
    hold: Hold
    notes: tuple[str, ...] = ()


def with_features(
    report: Report,
    networks: Mapping[str, nn.Sequential],
    prepare: Prepare,
    *,
    device: torch.device,
    place: Place,
    stopped: Callable[[], bool] = lambda: False,
    weights: Mapping[str, Mapping[str, State]] | None = None,
    began: Mapping[str, Any] | None = None,
) -> tuple[Prepared, Cached]:
    """The data as features, and what is to be trained on them. `networks` are the experiment's as training would begin
    with them, on `device`, with the `weights` that were read for their backbones; nothing of torch may be drawn between
    making them and this call. `began` is what the first event of a run told that is resumed: it goes on with the
    features that it began with.

    Raises RequestError where the network has no frozen beginning, and what `prepare` and `features` raise.
    """
    generators = snapshot.generators(device)
    prefix = frozen_prefix(report)
    if isinstance(prefix, Reason):
        raise RequestError(f"cache_features = true, but {prefix}")
    (name, network), *_ = networks.items()
    kept: list[Kept] = []
    autocast = autocast_type(report.experiment.precision, device)
    before, read = _told(began)

    def embed(samples: Loaded, normalise: Normalise) -> Loaded:
        kept.append(
            features(
                network,
                prefix,
                samples,
                normalise,
                device=device,
                place=place,
                autocast=autocast,
                stopped=stopped,
                began=before,
            )
        )
        return kept[0].loaded

    prepared = prepare(embed=embed)
    seen = len(prepared.train) + (0 if prepared.val is None else len(prepared.val))
    told = {
        "layers": prefix.text,
        "samples": kept[0].samples,
        "seconds": kept[0].seconds,
        "saved": kept[0].seconds / max(kept[0].samples, 1) * seen,
        "reused": kept[0].reused,
        "weights": kept[0].origin.weights,
        "key": kept[0].origin.key,
    }
    after = {name: rest(network, prefix)}
    left = set(after[name].state_dict())
    frozen = [key for key in network.state_dict() if key not in left]
    read = read or {
        path: digest
        for path, digest in loaded(report.propagations[name], (weights or {}).get(name, {})).items()
        if any(key.startswith(f"{path}.") for key in frozen)
    }
    if read:
        told["loaded"] = read
    notes = []
    if kept[0].outdated:
        notes.append(
            f"the weights of {prefix.text} are others now than when this run began; it goes on with features of those "
            "that it began with, which are in the cache"
        )
    if before is not None and before.key != kept[0].origin.key:
        notes.append(
            "the features are not to the bit those that this run has trained on so far: the samples, their "
            "normalisation, the device or the version of PyTorch are others now"
        )
    joins = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    return prepared, Cached(
        after, prefix.layers, prefix.parameters, joins, generators, told, kept[0].hold, tuple(notes)
    )


def _told(started: Mapping[str, Any] | None) -> tuple[Origin | None, dict[str, str]]:
    """What the features of a run were made of, and which weights were read for them, as far as its first event says."""
    told = (started or {}).get("features")
    if not isinstance(told, Mapping) or not told.get("weights") or not told.get("key"):
        return None, {}
    read = told.get("loaded")
    names = {str(path): str(name) for path, name in read.items()} if isinstance(read, Mapping) else {}
    return Origin(str(told["weights"]), str(told["key"])), names


def needs_weights(experiment: Experiment, *, resume: bool) -> bool:
    """Whether a session reads the weights that backbones begin with: a checkpoint holds all of them, but for those that
    cached features stand for."""
    return not resume or experiment.data.cache_features


def describe(told: Mapping[str, Any]) -> str:
    """What `Started.features` says, in words, for the log."""
    how = "found in the cache" if told["reused"] else f"computed in {told['seconds']:,.1f} s"
    return (
        f"training on cached features of {told['samples']:,} samples, {how}: {told['layers']} is not computed again, "
        f"which saves about {told['saved']:,.1f} s an epoch"
    )
