"""How much memory training will take, and how much there is."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import psutil
import torch
from torch import nn

from engine import optimize
from engine.calls import Call
from engine.device import resolve
from engine.errors import LayerlabError, RequestError
from engine.shapes import Propagation
from engine.spec import Experiment


def forecast(experiment: Experiment, propagations: Mapping[str, Propagation]) -> dict[str, int]:
    """Bytes that training will take: weights, gradients, optimizer state, activations of a batch, and what is free.

    The optimizer's state is measured by taking a step with a small matrix. Activations are what the layers put out for
    one batch, kept for the way back; workspaces of the kernels come on top.
    """
    # A container's row counts all that it holds.
    top = [row for found in propagations.values() for row in found.rows if row.depth == 0]
    weights = 4 * sum(row.parameters for row in top)
    trainable = sum(row.trainable for row in top)
    activations = sum(row.activation_bytes for row in top)
    bytes_of = {
        "weights": weights,
        "gradients": 4 * trainable,
        "optimizer": _optimizer_bytes(experiment.optimizer, trainable, experiment.device),
        "activations": activations * experiment.data.batch_size,
    }
    return bytes_of | {"total": sum(bytes_of.values()), "available": available_bytes(experiment.device)}


def _optimizer_bytes(call: Call, trainable: int, device: str) -> int:
    """State of the optimizer for so many parameters, found by taking a step with one small matrix of them."""
    try:
        parameter = nn.Parameter(torch.zeros(32, 32, device=resolve(device)))
        optimizers = optimize.build_optimizers(call, [parameter])
        if call.name in optimize.WANTS_CLOSURE:
            history = optimizers[0].defaults.get("history_size", 100)
            return int(4 * trainable * (2 * history + 3))
        optimize.rehearse(call, optimizers)
    except LayerlabError:
        return 0
    held = sum(
        value.numel() * value.element_size()
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.ndim > 0
    )
    return round(held / parameter.numel() * trainable)


def available_bytes(device: str) -> int:
    """Free memory where the experiment would train: of the GPU where it is one, of the machine otherwise, as far as
    this process is allowed to take it (ulimit -v, which batch systems set)."""
    try:
        where = resolve(device)
    except RequestError:
        where = torch.device("cpu")
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    free = int(psutil.virtual_memory().available)
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = max(min(free, limit - psutil.Process().memory_info().vms), 0)
    return free
