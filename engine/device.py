"""Which device an experiment trains on, and what it can do there."""

from __future__ import annotations

import torch

from engine.errors import RequestError


def resolve(name: str) -> torch.device:
    """The device of "auto", "cpu", "cuda", "cuda:1" or "mps"; RequestError where this machine does not have it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise RequestError(
                'device = "mps", but this machine has no Apple GPU that torch can use; "auto" takes what is there'
            )
        return torch.device("mps")
    if not torch.cuda.is_available():
        raise RequestError(f'device = "{name}", but torch finds no CUDA GPU here; "auto" takes what is there')
    device = torch.device(name)
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise RequestError(f'device = "{name}", but there are {torch.cuda.device_count()} GPUs, counted from 0')
    return torch.device("cuda", index)


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that mixed precision computes in, None for fp32; RequestError where the device lacks it."""
    if precision == "fp32":
        return None
    if precision == "fp16":
        if device.type == "cpu":
            raise RequestError('precision = "fp16" wants a GPU; on the CPU there are "fp32" and "bf16"')
        return torch.float16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise RequestError('precision = "bf16", but this GPU lacks it; there are "fp32" and "fp16"')
    return torch.bfloat16
