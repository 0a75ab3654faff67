"""What a device says when it can do no more: memory that is not there, and errors that lose it to this process."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping

import psutil
import torch

from engine.forecast import available_bytes

CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch's error of the CPU is a plain RuntimeError that names it
RESTART = (
    "the device takes nothing more from this process, which has to be restarted; "
    "layerlab resume then goes on from the last checkpoint"
)
lost = ""  # what the device said after the last training of this process, where it answers no more
_WANTED = re.compile(r"[Tt]ried to allocate (\d+(?:\.\d+)?) (bytes|KiB|MiB|GiB|TiB)|allocate (\d+) bytes")
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it was memory that was missing, on whatever device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in _text(error)
    )


def out_of_memory(
    error: BaseException, *, memory: Mapping[str, int] | None = None, batch_size: int = 1, device: str = "cpu"
) -> str:
    """What to tell of it: how much was wanted, how much is free, and which batch size would fit by the forecast.

    `memory` is the forecast for `batch_size`, in bytes, where it was made already; `device` is the one that trained.
    """
    wanted, free = _wanted(error), _free(device)
    asked = f": {_size(wanted)} more were wanted" if wanted is not None else ""
    left = f"{' and' if asked else ':'} {_size(free)} were free" if free is not None else ""
    return f"out of memory on {device}{asked}{left}; {_remedy(memory, batch_size, wanted)}"


def _remedy(memory: Mapping[str, int] | None, batch_size: int, wanted: int | None) -> str:
    if memory is None or not memory.get("available"):
        return "a smaller batch_size or network fits in less"
    held = memory["weights"] + memory["gradients"] + memory["optimizer"]
    room = memory["available"] - held
    # One tensor may take more than all that the forecast knows of: workspaces, and what layers keep inside.
    sample = max(memory["activations"], wanted or 0) / batch_size
    fitting = int(min(room / sample if sample else batch_size, batch_size / 2))
    forecast = f"by the forecast weights, gradients and optimizer take {_size(held)}"
    if fitting < 1:
        there = f"of the {_size(memory['available'])} that there were"
        return f"{forecast} {there}: no batch_size fits, take a smaller network"
    power = 1 << (fitting.bit_length() - 1)
    return f"{forecast} and a sample {_size(round(sample))}: batch_size = {power} would fit (it was {batch_size})"


def _wanted(error: BaseException) -> int | None:
    found = _WANTED.search(_text(error))
    if found is None:
        return None
    return int(found[3]) if found[3] else round(float(found[1]) * _UNITS[found[2]])


def _free(device: str) -> int | None:
    try:
        return available_bytes(device)
    except (RuntimeError, psutil.Error, OSError):  # a device that is lost answers nothing
        return None


def _text(error: BaseException) -> str:
    try:
        return str(error)[:5000]
    except Exception:
        return ""


def _size(count: int) -> str:
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


def lost_device(device: str) -> str:
    """What a GPU says that takes nothing more from this process, "" where it works or is none.

    After some errors (an assertion within a kernel, an illegal address) CUDA refuses every further call of a process:
    https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html, "This leaves the process in an inconsistent
    state". Which they are is not listed anywhere that lasts, so the device is asked.
    """
    if not device.startswith("cuda"):
        return ""
    try:
        torch.cuda.synchronize(device)
    except Exception as error:
        return _text(error).strip().split("\n")[0][:200] or type(error).__name__
    return ""


def free_memory() -> None:
    """Give back what nothing refers to any more: networks and optimizers hold each other, and CUDA keeps blocks."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        try:
            torch.cuda.empty_cache()
        except RuntimeError:  # the device is lost, and its memory goes with the process
            return
