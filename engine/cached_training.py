"""A training on cached features: what comes after the frozen beginning of a network, and what that beginning gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from engine import snapshot
from engine.control import Mailbox
from engine.data.cache_folder import Hold
from engine.data.info import Loaded, Place
from engine.data.normalise import Normalise
from engine.data.prepare import Prepared
from engine.device import autocast_type
from engine.errors import RequestError
from engine.feature_cache import Kept, features
from engine.features import Reason, frozen_prefix, rest

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
    what `Started` tells. The features stay in the cache as long as `hold` does."""

    networks: Mapping[str, nn.Sequential]
    layers: int
    parameters: int
    joins: bool
    generators: Mapping[str, Tensor]
    features: Mapping[str, Any]
    hold: Hold


def with_features(
    report: Report,
    networks: Mapping[str, nn.Sequential],
    prepare: Prepare,
    *,
    device: torch.device,
    place: Place,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Prepared, Cached]:
    """The data as features, and what is to be trained on them. `networks` are the experiment's as training would begin
    with them, on `device`; nothing of torch may be drawn between making them and this call.

    Raises RequestError where the network has no frozen beginning, and what `prepare` and `features` raise.
    """
    generators = snapshot.generators(device)
    prefix = frozen_prefix(report)
    if isinstance(prefix, Reason):
        raise RequestError(f"cache_features = true, but {prefix}")
    (name, network), *_ = networks.items()
    kept: list[Kept] = []
    autocast = autocast_type(report.experiment.precision, device)

    def embed(loaded: Loaded, normalise: Normalise) -> Loaded:
        kept.append(
            features(network, prefix, loaded, normalise, device=device, place=place, autocast=autocast, stopped=stopped)
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
    }
    joins = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    after = {name: rest(network, prefix)}
    return prepared, Cached(after, prefix.layers, prefix.parameters, joins, generators, told, kept[0].hold)


def asked_to_end(mailbox: Mailbox) -> bool:
    """Whether somebody wants a run to end that has not begun to train; other requests wait until it does."""
    if not mailbox.pending:
        return False
    requests = mailbox.take()
    for request in requests:
        mailbox.put(request)
    return any(request.name in ("stop", "discard") for request in requests)


def describe(told: Mapping[str, Any]) -> str:
    """What `Started.features` says, in words, for the log."""
    how = "found in the cache" if told["reused"] else f"computed in {told['seconds']:,.1f} s"
    return (
        f"training on cached features of {told['samples']:,} samples, {how}: {told['layers']} is not computed again, "
        f"which saves about {told['saved']:,.1f} s an epoch"
    )
