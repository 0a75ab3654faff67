"""Readings of memory and load: this process, this machine, its GPUs. Nothing here imports torch or starts CUDA."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

import psutil

from engine.gpus import Card, Nvml, TorchDevice, matches

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

NO_NVML = "no NVIDIA driver answers: what others use of a GPU, and its utilisation, are not known"
NOT_NVIDIA = "utilisation and what others use are not known: there is no NVML for this GPU"
# Seconds over which a load means something: clocks of processes go in steps of a hundredth.
SHORTEST_LOAD = 0.2


class Sampler:
    """Takes readings again and again; holds what must live from one to the next."""

    def __init__(self, device: str | None = None, nvml: Any = None) -> None:
        """`device` as torch names it: GPUs are not asked for "cpu". `nvml` stands in for the pynvml module."""
        self.device = device
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._load_from = time.monotonic()
        self._module = nvml
        self._nvml: Nvml | None = None
        self._nvml_problem = ""
        self._cards: list[Card] | None = None
        self._card_notes: list[str] = []
        self._peak_begun = False

    def sample(self) -> dict[str, Any]:
        """Bytes, percent, and under "notes" words for what cannot be known.

        `rss`, `rss_peak`, `cpu_percent` (100 is one core; since the reading before) of this process; `system_used`,
        `system_total`; `gpus`, a list, the one that trains first: index, name, uuid, used, total, utilisation
        (percent), own (what this process uses of it), processes (how many others compute on it), each None where it is
        not known. Where torch uses a GPU in this process: device (as torch names it), training, allocated, reserved,
        peak (since the sampler began).
        """
        notes: list[str] = []
        values: dict[str, Any] = {}
        with contextlib.suppress(psutil.Error, OSError):
            values["rss"] = self._process.memory_info().rss
            if (now := time.monotonic()) - self._load_from >= SHORTEST_LOAD:
                values["cpu_percent"] = self._process.cpu_percent()
                self._load_from = now
            memory = psutil.virtual_memory()
            values["system_total"], values["system_used"] = memory.total, memory.total - memory.available
        if resource is not None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            values["rss_peak"] = max(peak if sys.platform == "darwin" else peak * 1024, values.get("rss", 0))
        if self.device is None or not self.device.startswith("cpu"):
            gpus = self._gpus(notes)
            if gpus:
                values["gpus"] = gpus
        if notes:
            # Several slices of a GPU say the same.
            values["notes"] = list(dict.fromkeys(notes))
        return values

    def _gpus(self, notes: list[str]) -> list[dict[str, Any]]:
        devices = torch_devices(reset_peak=not self._peak_begun)
        self._peak_begun = self._peak_begun or bool(devices)
        if _without_nvml(self.device):
            notes.append(NOT_NVIDIA)
            cards: list[Card] = []
        else:
            cards = self._known_cards(notes)
        return self._readings(cards, devices, notes)

    def _readings(self, cards: list[Card], devices: list[TorchDevice], notes: list[str]) -> list[dict[str, Any]]:
        found = matches(cards, devices, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        trains = _training_index(self.device)
        by_card = {id(card): index for index, card in found.items()}
        of_index = {device.index: device for device in devices}
        untold = any(device.reserved and device.index not in found for device in devices)
        readings: list[tuple[int, dict[str, Any]]] = []
        for card in cards:
            device = of_index.get(by_card.get(id(card), -1))
            in_use = bool(device.reserved) if device is not None else None if untold else False
            values = self._nvml.read(card, notes, in_use) if self._nvml else {}
            if values.get("total") is None:
                # The driver may be gone or the card lost: look anew next time.
                self._cards = None
            readings.append((_rank(device, trains), values | _of_torch(device, trains)))
        for device in devices:
            if device.index in found or not (device.reserved or device.index == trains):
                continue
            if cards:
                notes.append(f"{device.label} is none of the GPUs that NVML shows here, as far as can be told")
            values = {"index": device.index, "name": device.name, "uuid": device.uuid, "used": device.used}
            values |= {"total": device.total, "utilisation": None, "own": None, "processes": None}
            readings.append((_rank(device, trains), values | _of_torch(device, trains)))
        return [values for _, values in sorted(readings, key=lambda reading: reading[0])]

    def _known_cards(self, notes: list[str]) -> list[Card]:
        """The cards, looked for once; again where one could not be read."""
        if self._nvml is None and not self._nvml_problem:
            try:
                if self._module is None:
                    import pynvml

                    self._module = pynvml
                self._nvml = Nvml(self._module)
            except Exception as error:
                # Whatever a broken driver does: there are no readings, and training goes on.
                self._nvml_problem = str(error) or type(error).__name__
        if self._nvml is None:
            notes.append(f"{NO_NVML} ({self._nvml_problem[:200]})")
            return []
        if self._cards is None:
            self._card_notes = []
            self._cards = self._nvml.cards(self._card_notes)
        notes += self._card_notes
        return self._cards


def _training_index(device: str | None) -> int | None:
    """Torch's number of the GPU that a device names; "cuda" and "mps" are the first."""
    if device is None or device.startswith("cpu"):
        return None
    number = device.partition(":")[2]
    return int(number) if number.isdigit() else 0


def _rank(device: TorchDevice | None, trains: int | None) -> int:
    if device is None:
        return 2
    return 0 if device.index == trains else 1


def _of_torch(device: TorchDevice | None, trains: int | None) -> dict[str, Any]:
    """What torch knows of a GPU in this process: nothing of one on which it has no memory."""
    if device is None or not (device.reserved or device.index == trains):
        return {}
    told = {"allocated": device.allocated, "reserved": device.reserved, "peak": device.peak}
    values: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    return {"device": device.label, **({"training": True} if device.index == trains else {}), **values}


def _without_nvml(device: str | None) -> bool:
    """Whether the GPU is one that NVML cannot know: Apple's, or AMD's under torch's CUDA names."""
    version = getattr(sys.modules.get("torch"), "version", None)
    return device is not None and (device.startswith("mps") or bool(getattr(version, "hip", None)))


def torch_devices(reset_peak: bool = False) -> list[TorchDevice]:
    """The GPUs that torch has in use in this process, empty where it has none; asking starts nothing.

    `reset_peak` lets the peak begin anew: one process may train several runs after each other.
    """
    torch: Any = sys.modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_initialized():
            return [_cuda_device(torch, index, reset_peak) for index in range(torch.cuda.device_count())]
        if torch is not None and "torch.mps" in sys.modules and torch.backends.mps.is_available():
            mps = torch.mps
            return [
                TorchDevice(
                    0,
                    "mps",
                    "Apple GPU",
                    total=mps.recommended_max_memory(),
                    allocated=mps.current_allocated_memory(),
                    reserved=mps.driver_allocated_memory(),
                )
            ]
    except Exception:
        # torch may be half imported in another thread, or the device lost.
        return []
    return []


def _cuda_device(torch: Any, index: int, reset_peak: bool) -> TorchDevice:
    # One call in place of three: it gathers all of the allocator's numbers each time.
    statistics = torch.cuda.memory_stats(index)
    reserved = int(statistics.get("reserved_bytes.all.current", 0))
    if reset_peak and reserved:
        torch.cuda.reset_peak_memory_stats(index)
    properties = torch.cuda.get_device_properties(index)
    uuid = getattr(properties, "uuid", None)
    place = [getattr(properties, name, None) for name in ("pci_domain_id", "pci_bus_id", "pci_device_id")]
    hip = bool(getattr(torch.version, "hip", None))
    free, total = torch.cuda.mem_get_info(index) if hip and reserved else (None, int(properties.total_memory))
    return TorchDevice(
        index,
        name=str(properties.name),
        uuid=None if uuid is None else str(uuid),
        pci=None if None in place else (int(place[0]), int(place[1]), int(place[2])),  # type: ignore[arg-type]
        total=total,
        allocated=int(statistics.get("allocated_bytes.all.current", 0)),
        reserved=reserved,
        peak=int(statistics.get("allocated_bytes.all.peak", 0)),
        used=None if free is None else total - free,
    )


_samplers: dict[str | None, Sampler] = {}


def begin(device: str | None) -> None:
    """A run begins on this device: its peak is its own."""
    _samplers[device] = Sampler(device)


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
