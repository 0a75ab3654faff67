"""How much memory training will take, and how much there is."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

import psutil
import torch
from torch import nn

from engine import machine, optimize
from engine.calls import Call
from engine.device import resolve
from engine.errors import LayerlabError, RequestError
from engine.shapes import Propagation, Row
from engine.spec import Experiment


def forecast(experiment: Experiment, propagations: Mapping[str, Propagation]) -> dict[str, int]:
    """Bytes that training will take: weights, gradients, optimizer state, activations of a batch, and what is free.

    The optimizer's state is measured by taking a step with a small matrix. Activations are what the layers put out for
    one batch, kept for the way back from the first layer on that trains at some time; workspaces of the kernels come on
    top.
    """
    # A container's row counts all that it holds.
    top = [row for found in propagations.values() for row in found.rows if row.depth == 0]
    weights = 4 * sum(row.parameters for row in top)
    trainable = sum(row.trainable for row in top)
    activations = sum(_kept(found.rows) for found in propagations.values())
    bytes_of = {
        "weights": weights,
        "gradients": 4 * trainable,
        "optimizer": _optimizer_bytes(experiment.optimizer, trainable, experiment.device),
        "activations": activations * experiment.data.batch_size,
    }
    return bytes_of | {"total": sum(bytes_of.values()), "available": available_bytes(experiment.device)}


def _kept(rows: Sequence[Row]) -> int:
    """Bytes of activations that one sample takes at most: what comes before anything that trains is not kept, but for
    what the first layer that trains is given."""
    kept, passing = _activations(rows, 0, 0)
    return max(kept, passing)


def _activations(rows: Sequence[Row], depth: int, given: int) -> tuple[int, int]:
    """What is kept of the rows of a depth and those in them, and the most that is there for a moment before; `given`
    is what the first of them is given."""
    kept = passing = 0
    begins = [index for index, row in enumerate(rows) if row.depth == depth]
    for index, end in zip(begins, [*begins[1:], len(rows)], strict=False):
        row, inside = rows[index], rows[index + 1 : end]
        held = sum(other.activation_bytes for other in inside if other.depth == depth + 1)
        if kept:
            kept += row.activation_bytes
        elif not row.trainable:
            passing = max(passing, row.activation_bytes)
            # A parameter with a row of its own gives nothing on.
            given = 4 * math.prod(row.output_shape) if row.activation_bytes else given
        elif inside:
            within, before = _activations(inside, depth + 1, given)
            kept += within + row.activation_bytes - held
            passing = max(passing, before)
        else:
            kept += given + row.activation_bytes
    return kept, passing


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
    this process is allowed to take it (its control groups; ulimit -v, which batch systems set)."""
    try:
        where = resolve(device)
    except RequestError:
        where = torch.device("cpu")
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    free = machine.free_memory()
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = max(min(free, limit - psutil.Process().memory_info().vms), 0)
    return free
