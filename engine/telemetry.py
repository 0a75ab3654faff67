"""Readings of memory and load: this process, this machine, its GPUs. Nothing here imports torch or starts CUDA."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import psutil

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

NO_NVML = "no NVIDIA driver answers: GPU readings are not available"


class Sampler:
    """Takes readings again and again; holds what must live from one to the next."""

    def __init__(self, device: str | None = None, nvml: Any = None) -> None:
        """`device` as torch names it: GPUs are not asked for "cpu". `nvml` stands in for the pynvml module."""
        self.device = device
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._nvml = nvml
        self._nvml_failed = False
        self._started = False

    def sample(self) -> dict[str, Any]:
        """Bytes, percent, and under "notes" words for what cannot be known.

        `rss`, `rss_peak`, `cpu_percent` (100 is one core) of this process; `system_used`, `system_total`;
        `cuda_allocated`, `cuda_reserved`, `cuda_peak` where this process uses CUDA; `gpus`, a list of index, name,
        uuid, used, total, utilisation (percent, or None) and own (what this process uses of it, or None).
        """
        notes: list[str] = []
        values: dict[str, Any] = {}
        with contextlib.suppress(psutil.Error, OSError):
            values["rss"] = self._process.memory_info().rss
            values["cpu_percent"] = self._process.cpu_percent()
            memory = psutil.virtual_memory()
            values["system_total"], values["system_used"] = memory.total, memory.total - memory.available
        if resource is not None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            values["rss_peak"] = max(peak if sys.platform == "darwin" else peak * 1024, values.get("rss", 0))
        values.update(_torch_memory(self.device))
        if self.device is None or self.device.startswith("cuda"):
            gpus = self._gpus(notes)
            if gpus:
                values["gpus"] = gpus
        if notes:
            values["notes"] = notes
        return values

    def _gpus(self, notes: list[str]) -> list[dict[str, Any]]:
        nvml = self._start_nvml()
        if nvml is None:
            notes.append(NO_NVML)
            return []
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            notes.append(f"the GPUs cannot be counted: {error}")
            return []
        return [_gpu(nvml, index, notes) for index in range(count)]

    def _start_nvml(self) -> Any:
        if self._started or self._nvml_failed:
            return None if self._nvml_failed else self._nvml
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
            self._started = True
        except Exception:
            # Whatever a broken driver does: there are no readings, and training goes on.
            self._nvml_failed = True
        return None if self._nvml_failed else self._nvml


def _gpu(nvml: Any, index: int, notes: list[str]) -> dict[str, Any]:
    """One GPU; what it does not tell is None, with a note."""

    def ask(what: str, function: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except (nvml.NVMLError, AttributeError) as error:
            notes.append(f"GPU {index}: {what} is not known ({error})")
            return None

    values: dict[str, Any] = {
        "index": index, "name": None, "uuid": None, "used": None, "total": None, "utilisation": None, "own": None,
    }  # fmt: skip
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        notes.append(f"GPU {index} cannot be read ({error})")
        return values
    values["name"], values["uuid"] = _text(ask("name", "nvmlDeviceGetName")), _text(ask("uuid", "nvmlDeviceGetUUID"))
    if (memory := ask("memory", "nvmlDeviceGetMemoryInfo")) is not None:
        values["used"], values["total"] = int(memory.used), int(memory.total)
    if (load := ask("utilisation", "nvmlDeviceGetUtilizationRates")) is not None:
        values["utilisation"] = int(load.gpu)
    processes = ask("memory by process", "nvmlDeviceGetComputeRunningProcesses")
    if processes is not None:
        own = [process for process in processes if process.pid == psutil.Process().pid]
        if own and own[0].usedGpuMemory is not None:
            values["own"] = int(own[0].usedGpuMemory)
        elif not processes and values["used"] and _uses_cuda():
            notes.append(f"GPU {index}: its processes are hidden from here (a container?)")
    return values


def _text(value: Any) -> str | None:
    # Older bindings give bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _uses_cuda() -> bool:
    """Whether this process has CUDA in use already; asking must not start it."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and hasattr(cuda, "is_initialized") and cuda.is_initialized())


def _torch_memory(device: str | None) -> dict[str, int]:
    if device == "cpu" or not _uses_cuda():
        return {}
    cuda = sys.modules["torch"].cuda
    place = device if device is not None and device.startswith("cuda") else None
    return {
        "cuda_allocated": cuda.memory_allocated(place),
        "cuda_reserved": cuda.memory_reserved(place),
        "cuda_peak": cuda.max_memory_allocated(place),
    }


_samplers: dict[str | None, Sampler] = {}


def sample(device: str | None = None) -> dict[str, Any]:
    """One reading, by a sampler that is kept for the device; see `Sampler.sample`."""
    if device not in _samplers:
        _samplers[device] = Sampler(device)
    return _samplers[device].sample()


def changed(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a reading differs noticeably from another: by 2 % of a number of bytes, or by 25 percent points."""
    return old.keys() != new.keys() or any(_differs(old[name], new[name]) for name in new)


def _differs(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return changed(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) != len(new) or any(_differs(one, other) for one, other in zip(old, new, strict=True))
    if isinstance(old, int | float) and isinstance(new, int | float):
        return abs(new - old) > (max(abs(old), abs(new)) * 0.02 if max(old, new) > 1000 else 25)
    return bool(old != new)
