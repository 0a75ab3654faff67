"""The outputs of a frozen beginning, computed once for every sample and kept in the person's cache."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.data import cache_folder
from engine.data.digest import add_tensor
from engine.data.info import Loaded, Part, Place
from engine.data.normalise import Normalise
from engine.data.stored_rows import StoredRows
from engine.errors import RequestError, RunError
from engine.feature_entry import FORMAT, make, stored
from engine.features import Prefix, compute, rest


@dataclass(frozen=True)
class Origin:
    """What features are made of: `weights` names the frozen weights, `key` these and all else (layers, samples,
    normalisation, device, precision, versions). Two of the same name are equal to the bit."""

    weights: str
    key: str


@dataclass(frozen=True)
class Kept:
    """Features in place of a source's inputs: `loaded` has float32 inputs (N, ...), mapped from the cache. `seconds` is
    what computing all `samples` took, now or, where they were `reused`, when they were made. `origin` says what they
    are made of; `outdated`, that the network's frozen weights are others now. The entry of the cache stays as long as
    `hold` does."""

    loaded: Loaded
    samples: int
    seconds: float
    reused: bool
    hold: cache_folder.Hold
    origin: Origin
    outdated: bool = False


def features(
    network: nn.Sequential,
    prefix: Prefix,
    loaded: Loaded,
    normalise: Normalise,
    *,
    device: torch.device,
    place: Place,
    autocast: torch.dtype | None = None,
    stopped: Callable[[], bool] = lambda: False,
    began: Origin | None = None,
) -> Kept:
    """What `prefix` of a network on `device` makes of all parts of `loaded`, in the order of the source.

    Computed in eval mode, in batches, and told to `place`; taken from the cache where the same weights, layers, data,
    normalisation, precision and versions gave them before. Call it in the thread that trains. The network is left as it
    was, and no generator is drawn from.

    `began` is what a run that is resumed has trained on so far: where the frozen weights are no longer those, the
    features of those are taken, if the cache still has them.

    Raises RequestError where it has not, and where the rest of the network gives something else on the features than
    the network itself, RunError where the cache cannot hold them, Stopped where `stopped` says so between two batches:
    computing goes on from there the next time.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        worker = _Worker(network, prefix, normalise, device, autocast)
        worker.verify(loaded.train)
        weights = _weights(network, prefix)
        others = began is not None and began.weights != weights
        if began is not None and others:
            weights = began.weights
        key = _key(weights, network, prefix, loaded, normalise, device, autocast)
        parts = [part for part in (loaded.train, loaded.validation, loaded.test) if part is not None]
        found = stored(key, prefix, parts)
        reused = found is not None
        if found is None and others:
            raise RequestError(
                f"the weights of {prefix.text} are no longer those that this run began with (a run that goes on has "
                "other best weights), and the features that it has trained on are not in the cache any more; begin a "
                "new run of this experiment, which trains on features of the new weights"
            )
        if found is None:
            make(key, prefix, parts, worker.compute, place, stopped)
            found = stored(key, prefix, parts)
        if found is None:
            raise RunError(f"the features in {cache_folder.cache_folder()} cannot be read back; is its disk in order?")
    finally:
        for module, training in modes.items():
            module.training = training
    made, seconds, hold = found
    info = replace(loaded.info, input_shape=prefix.shape, input_dtype="float32", image=False)
    inputs = iter(made)
    new = [Part(next(inputs), part.targets, 1.0, True) for part in parts]
    rows = iter(new)
    result = replace(
        loaded,
        info=info,
        train=next(rows),
        validation=None if loaded.validation is None else next(rows),
        test=None if loaded.test is None else next(rows),
        key=key,
    )
    return Kept(result, sum(len(part.inputs) for part in new), seconds, reused, hold, Origin(weights, key), others)


class _Worker:
    """Runs the frozen beginning on samples as they are stored."""

    def __init__(
        self,
        network: nn.Sequential,
        prefix: Prefix,
        normalise: Normalise,
        device: torch.device,
        autocast: torch.dtype | None,
    ) -> None:
        self.network, self.prefix = network, prefix
        self._normalise, self._device, self._autocast = normalise, device, autocast

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._autocast is None else torch.autocast(self._device.type, dtype=self._autocast)

    def inputs(self, part: Part, begin: int, end: int) -> Tensor:
        """Samples as the network sees them, copied: one that begins with ReLU(inplace=True) writes to its input."""
        rows = torch.from_numpy(StoredRows(part).read(np.arange(begin, end)))
        return self._normalise.ready(rows.to(self._device))

    def compute(self, part: Part, begin: int, end: int) -> Tensor:
        """(end - begin, *prefix.shape), float32, on the CPU."""
        with torch.inference_mode(), self.context():
            made = compute(self.network, self.prefix, self.inputs(part, begin, end))
        return made.to("cpu", torch.float32).contiguous()

    def verify(self, part: Part) -> None:
        """Raise RequestError where the rest gives something else on features than the network on samples."""
        after = rest(self.network, self.prefix)
        count = min(2, len(part.inputs))
        with torch.inference_mode(), self.context():
            whole = self.network(self.inputs(part, 0, count))
            made = compute(self.network, self.prefix, self.inputs(part, 0, count))
            shape = tuple(made.shape[1:])
            split = after(made.to(torch.float32))
        if shape != self.prefix.shape or not _same(whole, split):
            raise RequestError(
                f"cache_features: what follows {self.prefix.text} gives other outputs on its features than the whole "
                'network on the samples; cut the Backbone with until="..." and put the layers of the head after it, '
                "or set cache_features = false"
            )


def _same(whole: Any, split: Any) -> bool:
    if not isinstance(whole, Tensor) or whole.shape != split.shape:
        return False
    whole, split = whole.float(), split.float()
    size = max(float(whole.abs().nan_to_num().max()), 1.0) if whole.numel() else 1.0
    return torch.allclose(whole, split, rtol=1e-3, atol=1e-4 * size, equal_nan=True)


# -- what features depend on ---------------------------------------------------------------------------------------


def _weights(network: nn.Sequential, prefix: Prefix) -> str:
    """Names the weights and buffers that features are made with."""
    digest = hashlib.sha256()
    left = set(rest(network, prefix).state_dict())
    for name, tensor in network.state_dict().items():
        if name not in left and isinstance(tensor, Tensor):
            add_tensor(digest, name, tensor)
    return digest.hexdigest()[:32]


def _key(
    weights: str,
    network: nn.Sequential,
    prefix: Prefix,
    loaded: Loaded,
    normalise: Normalise,
    device: torch.device,
    autocast: torch.dtype | None,
) -> str:
    """Names what features are made of: whatever changes one of these gives another name."""
    # Takes seconds to import: who trains without features does not wait for it.
    import torchvision

    digest = hashlib.sha256()
    about = [FORMAT, torch.__version__, torchvision.__version__, device.type, str(autocast), prefix.text, prefix.shape]
    digest.update(repr((weights, *about)).encode())
    for source in _own_sources(network):
        digest.update(source)
    for name, value in (("scale", normalise.scale), ("mean", normalise.mean), ("std", normalise.std)):
        if value is not None:
            add_tensor(digest, name, value)
    parts: Mapping[str, Part | None] = {"train": loaded.train, "validation": loaded.validation, "test": loaded.test}
    if loaded.key is not None:
        digest.update(repr(("data", loaded.key)).encode())
    for name, part in parts.items():
        if part is not None:
            digest.update(repr((name, len(part.inputs), tuple(part.inputs.shape[1:]))).encode())
            if loaded.key is None:
                add_tensor(digest, name, part.inputs)
    return digest.hexdigest()[:32]


def _own_sources(network: nn.Module) -> Iterator[bytes]:
    """The text of modules that came from neither layerlab nor torch: what they compute may change beside their call."""
    files = set()
    for module in network.modules():
        if not type(module).__module__.startswith(("torch.", "torchvision.", "engine.")):
            try:
                files.add(inspect.getfile(type(module)))
            except (TypeError, OSError):
                continue
    for file in sorted(files):
        try:
            yield Path(file).read_bytes()
        except OSError:
            continue
