"""What NVIDIA's management library (NVML) says of the GPUs, in numbers where it tells them and in words where not.

NVML counts GPUs in the order of their bus addresses; torch counts those that CUDA_VISIBLE_DEVICES leaves, in its order.
They are brought together by UUID and bus address, never by their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

NOT_TOLD = 200


@dataclass(frozen=True)
class Card:
    """A GPU, or one slice of a GPU that is partitioned (MIG): what of it does not change. `pci` is (domain, bus,
    device), that of the whole GPU for a slice."""

    handle: Any
    index: int
    name: str | None
    uuid: str | None
    pci: tuple[int, int, int] | None
    sliced: bool

    @property
    def label(self) -> str:
        return f"GPU {self.index}, {self.uuid[:12]}…" if self.sliced and self.uuid else f"GPU {self.index}"


@dataclass(frozen=True)
class TorchDevice:
    """A GPU as torch counts it; bytes are those of torch's allocator in this process, None where torch tells none."""

    index: int
    kind: str = "cuda"
    name: str | None = None
    uuid: str | None = None
    pci: tuple[int, int, int] | None = None
    total: int | None = None
    allocated: int | None = None
    reserved: int | None = None
    peak: int | None = None
    used: int | None = None

    @property
    def label(self) -> str:
        return self.kind if self.kind == "mps" else f"{self.kind}:{self.index}"


class Nvml:
    """NVML through `module`: pynvml, or what stands in for it. Raises whatever its start raises."""

    def __init__(self, module: Any) -> None:
        self._module = module
        module.nvmlInit()
        # Its second form leaves out of "used" what the driver keeps for itself.
        self._memory_version = getattr(module, "nvmlMemory_v2", None)

    def cards(self, notes: list[str]) -> list[Card]:
        """Every GPU that is seen, in NVML's order; of a partitioned one its slices. `notes` tells what is missing."""
        count, problem = _try(self._module.nvmlDeviceGetCount)
        if problem:
            notes.append(f"the GPUs cannot be counted: {problem}")
            return []
        found: list[Card] = []
        for index in range(int(count)):
            handle, problem = _try(self._module.nvmlDeviceGetHandleByIndex, index)
            if problem:
                notes.append(f"GPU {index} cannot be read ({problem})")
                continue
            place, _ = _try(self._module.nvmlDeviceGetPciInfo, handle)
            pci = None if place is None else (int(place.domain), int(place.bus), int(place.device))
            slices = self._slices(handle, index, pci, notes)
            found += slices if slices is not None else [self._card(handle, index, pci, False)]
        return found

    def _slices(self, handle: Any, index: int, pci: tuple[int, int, int] | None, notes: list[str]) -> list[Card] | None:
        """The slices of a GPU that is partitioned; None for one that is not."""
        mode, _ = _try(self._module.nvmlDeviceGetMigMode, handle)
        if not mode or mode[0] != 1:
            return None
        most, _ = _try(self._module.nvmlDeviceGetMaxMigDeviceCount, handle)
        # A place without a slice, or with one of somebody else's container, is not found: it is left out.
        tried = (_try(self._module.nvmlDeviceGetMigDeviceHandleByIndex, handle, at)[0] for at in range(int(most or 0)))
        found = [self._card(part, index, pci, True) for part in tried if part is not None]
        if not found:
            notes.append(f"GPU {index} is partitioned (MIG), and none of its slices can be seen from here")
        return found

    def _card(self, handle: Any, index: int, pci: tuple[int, int, int] | None, sliced: bool) -> Card:
        name, _ = _try(self._module.nvmlDeviceGetName, handle)
        uuid, _ = _try(self._module.nvmlDeviceGetUUID, handle)
        return Card(handle, index, _text(name), _text(uuid), pci, sliced)

    def read(self, card: Card, notes: list[str], in_use: bool | None) -> dict[str, Any]:
        """What a card says now: `used`, `total`, `own` (of this process) in bytes, `utilisation` in percent,
        `processes` (how many others compute on it); None for what it does not tell, with words in `notes`.

        `in_use`: whether this process has memory on it, so that it must be among the card's processes; None where that
        cannot be told.
        """
        values: dict[str, Any] = {
            "index": card.index, "name": card.name, "uuid": card.uuid,
            "used": None, "total": None, "utilisation": None, "own": None, "processes": None,
        }  # fmt: skip
        memory, problem = self._memory(card, notes)
        if problem:
            notes.append(f"{card.label}: memory is not known ({problem})")
        else:
            values["used"], values["total"] = int(memory.used), int(memory.total)
        if card.sliced:
            notes.append(f"GPU {card.index} is partitioned: its slices (MIG) tell no utilisation")
        else:
            load, problem = _try(self._module.nvmlDeviceGetUtilizationRates, card.handle)
            if problem:
                notes.append(f"{card.label}: utilisation is not known ({problem})")
            else:
                values["utilisation"] = int(load.gpu)
        self._read_processes(card, values, notes, in_use)
        return values

    def _memory(self, card: Card, notes: list[str]) -> tuple[Any, str]:
        problem = ""
        if self._memory_version is not None:
            memory, problem = _try(self._module.nvmlDeviceGetMemoryInfo, card.handle, self._memory_version)
            if not problem:
                return memory, ""
        memory, still = _try(self._module.nvmlDeviceGetMemoryInfo, card.handle)
        if still:
            return None, problem or still
        notes.append(f"{card.label}: an old driver counts as used what it keeps for itself")
        return memory, ""

    def _read_processes(self, card: Card, values: dict[str, Any], notes: list[str], in_use: bool | None) -> None:
        module = self._module
        processes, problem = _try(module.nvmlDeviceGetComputeRunningProcesses, card.handle)
        if problem:
            older = getattr(module, "nvmlDeviceGetComputeRunningProcesses_v2", None)
            processes, still = _try(older, card.handle) if older is not None else (None, problem)
            if still:
                notes.append(f"{card.label}: memory by process is not known ({problem})")
                return
        own = [process for process in processes if process.pid == os.getpid()]
        if own:
            values["processes"] = len({process.pid for process in processes}) - 1
            amounts = [process.usedGpuMemory for process in own]
            if None not in amounts:
                # A process may stand there more than once, with each of its contexts.
                values["own"] = sum(int(amount) for amount in amounts)
        elif in_use:
            hidden = "its processes are hidden from here" if not processes else "this process has another number there"
            notes.append(f"{card.label}: {hidden} (a container?): others are not told from CUDA's own memory")
        elif in_use is not None:
            values["processes"], values["own"] = len({process.pid for process in processes}), 0


def matches(cards: Sequence[Card], devices: Sequence[TorchDevice], visible: str = "") -> dict[int, Card]:
    """Which card each of torch's devices is, by the device's index; those that cannot be told are left out.

    `visible` is CUDA_VISIBLE_DEVICES: it counts only where it names UUIDs, for its numbers are CUDA's, not NVML's.
    """
    named = [name.strip() for name in visible.split(",")]
    found: dict[int, Card] = {}
    for device in devices:
        name = named[device.index] if device.index < len(named) else ""
        for fits in (_same_uuid, _named, _same_place, _same_size):
            chosen = [card for card in cards if fits(card, device, name)]
            if len(chosen) == 1:
                found[device.index] = chosen[0]
                break
    if not found and len(cards) == len(devices) == 1:
        found[devices[0].index] = cards[0]
    return found


def _bare(uuid: str | None) -> str | None:
    """A UUID without NVML's prefix, which torch leaves out."""
    return None if uuid is None else uuid.removeprefix("GPU-").removeprefix("MIG-").lower()


def _same_uuid(card: Card, device: TorchDevice, name: str) -> bool:
    return device.uuid is not None and _bare(card.uuid) == _bare(device.uuid)


def _named(card: Card, device: TorchDevice, name: str) -> bool:
    return name.startswith(("GPU-", "MIG-")) and (card.uuid or "").startswith(name)


def _same_place(card: Card, device: TorchDevice, name: str) -> bool:
    return device.pci is not None and card.pci == device.pci


def _same_size(card: Card, device: TorchDevice, name: str) -> bool:
    """Whether a slice's name ("… MIG 1g.18gb") tells the device's size, of which the driver takes a little."""
    size = (card.name or "").rsplit(".", 1)[-1].removesuffix("gb")
    if card.pci != device.pci or device.total is None or not size.isdigit():
        return False
    return 0.85 * int(size) <= device.total / (1 << 30) <= 1.05 * int(size)


def _try(ask: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """The answer, or None and why there is none. Whatever a broken driver does, training goes on."""
    try:
        return ask(*arguments), ""
    except Exception as error:
        if type(error).__name__ == "NVMLLibraryMismatchError":
            return None, "the driver is too old for it"
        return None, (str(error) or type(error).__name__)[:NOT_TOLD]


def _text(value: Any) -> str | None:
    # Older bindings give bytes.
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if value is None else str(value)
