"""Where a loss that is no number comes from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engine import snapshot
from engine.data.info import Batch

_ADVICE = "a lower learning rate or clip_norm = 1.0 usually helps"


def describe(
    networks: Mapping[str, nn.Module], batch: Batch | None, loss: float, step: int, epoch: int, lr: float
) -> str:
    """What to tell of a loss that is not finite: step, epoch, learning rate and the layer it comes from.

    With the batch at hand the network is run once more, as it was, to find the first layer whose output is not finite.
    """
    name = "NaN" if loss != loss else "infinite"
    where = _first_layer(networks, batch)
    return f"the loss is {name} at step {step} (epoch {epoch}), learning rate {lr:g}: {where}; {_ADVICE}"


def _first_layer(networks: Mapping[str, nn.Module], batch: Batch | None) -> str:
    if batch is not None and not _finite(batch.inputs):
        return "the batch itself holds numbers that are not finite"
    broken = broken_weights(networks)
    if broken is not None:
        return f"the weights of layer {broken} are no longer finite"
    if batch is None:
        return "no layer has lost its weights yet"
    for label, network in networks.items():
        found = _first_output(network, batch)
        if found is not None:
            prefix = "" if len(networks) == 1 else f"{label}."
            return f"layer {prefix}{found} is the first whose output is not finite"
    return "every layer's output is finite, so it arises in the loss itself"


def broken_weights(networks: Mapping[str, nn.Module]) -> str | None:
    """The first layer whose weights or buffers are not finite, None where all are."""
    for label, network in networks.items():
        prefix = "" if len(networks) == 1 else f"{label}."
        for path, module in network.named_modules():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if not all(_finite(tensor) for tensor in own):
                return f"{prefix}{path} ({type(module).__name__})"
    return None


def _first_output(network: nn.Module, batch: Batch) -> str | None:
    found: list[str] = []
    handles = []
    for path, module in network.named_modules():
        if next(module.children(), None) is None:

            def look(module: nn.Module, _: object, output: object, path: str = path) -> None:
                if not found and isinstance(output, Tensor) and not _finite(output):
                    found.append(f"{path} ({type(module).__name__})")

            handles.append(module.register_forward_hook(look))
    device = batch.inputs.device
    generators = snapshot.generators(device)
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        with torch.no_grad():
            network(batch.inputs)
    finally:
        for handle in handles:
            handle.remove()
        for buffer, before in buffers:
            buffer.copy_(before)
        snapshot.restore_generators(generators, device)
    return found[0] if found else None


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
