"""Plays recordings of NVML back through the functions, return shapes and exceptions of pynvml.

They are composed after NVML's documentation and what people report of such machines, number for number as it has them.

A recording (recordings/*.json) lists GPUs, each with what every function answers for it: a dict becomes an object with
these attributes, a list a list of such, {"error": "NotSupported"} raises pynvml's exception of that name,
{"in_turn": [...]} answers by `turn` and stays at the last. `mig` lists the places for slices. The pid "own" is
this process.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

RECORDINGS = Path(__file__).parent / "recordings"


class Replay:
    """Stands where the pynvml module would."""

    NVMLError = pynvml.NVMLError
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, name: str) -> None:
        self.recording = json.loads((RECORDINGS / f"{name}.json").read_text())
        self.calls: list[str] = []
        self.turn = 0

    def nvmlInit(self) -> None:
        self.calls.append("nvmlInit")
        self._answer(self.recording.get("nvmlInit"))

    def nvmlDeviceGetCount(self) -> int:
        return len(self.recording["devices"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self.recording["devices"][index]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        if handle["mig"][index] is None:
            raise pynvml.NVMLError_NotFound()
        return handle["mig"][index]

    def nvmlDeviceGetMemoryInfo(self, handle: Any, version: int | None = None) -> Any:
        return self._ask("nvmlDeviceGetMemoryInfo" + ("_v2" if version else ""), handle)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDevice"):
            raise AttributeError(name)
        return lambda handle: self._ask(name, handle)

    def _ask(self, name: str, handle: Any) -> Any:
        self.calls.append(name)
        if name not in handle:
            # What pynvml does where the driver's library lacks a function.
            raise pynvml.NVMLError_FunctionNotFound()
        return self._answer(handle[name])

    def _answer(self, value: Any) -> Any:
        if isinstance(value, dict) and "in_turn" in value:
            return self._answer(value["in_turn"][min(self.turn, len(value["in_turn"]) - 1)])
        if isinstance(value, dict) and "error" in value:
            if value["error"] == "mismatch":
                raise pynvml.NVMLLibraryMismatchError("Unversioned function called and the pyNVML version is newer")
            raise getattr(pynvml, f"NVMLError_{value['error']}")()
        if isinstance(value, dict):
            return SimpleNamespace(**{key: os.getpid() if item == "own" else item for key, item in value.items()})
        return [self._answer(item) for item in value] if isinstance(value, list) else value
