"""What the last sitting on a store left behind: layout and choices, written a moment after they change.

Nothing depends on it: a state that is missing, broken, of other types or cannot be written is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.store.files import atomic_write, read_json

FORMAT = 1
DELAY = 1.0  # seconds in which changes are gathered
MAX_KEYS = 200
# What waits in the queue is kept with its experiments, of a few KiB each.
MAX_VALUE = 256 << 10
MAX_FILE = 1 << 20


def state_path(store: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file for a store, in layerlab/ of $XDG_STATE_HOME or ~/.local/state; None where there is no home."""
    base = environment.get("XDG_STATE_HOME", "")
    try:
        # A relative path there is to be ignored, says the XDG base directory specification.
        root = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
        real = os.path.realpath(store)
    except (RuntimeError, OSError, ValueError):
        return None
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.basename(real))[:40].strip("-") or "store"
    return root / "layerlab" / f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:12]}.json"


class State:
    """Plain JSON values by key. Two applications on one store: for each key the last one to change it wins.

    Safe to use from several threads; the file is written by a thread of its own.
    """

    def __init__(self, path: Path | None, *, delay: float = DELAY) -> None:
        self._path = path
        self._delay = delay
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._timer: threading.Timer | None = None
        self._changed: dict[str, str] = {}
        self._writable = path is not None
        self._values = self._read()

    # ------------------------------------------------------------------ reading

    def get(self, key: str, default: Any = None) -> Any:
        """The value as it was put, of whatever type the file has; what reads it checks that."""
        with self._lock:
            return self._values.get(key, default)

    def text(self, key: str, default: str = "") -> str:
        value = self.get(key)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: float = 0) -> float:
        """A finite number; an int stays one."""
        value = self.get(key)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return value if good and abs(value) < 1e300 and math.isfinite(value) else default

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.get(key)
        return value if isinstance(value, bool) else default

    def names(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """A list of texts."""
        value = self.get(key)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return list(value)
        return list(default)

    # ------------------------------------------------------------------ writing

    def put(self, key: str, value: Any) -> None:
        """Keep a plain JSON value for the next sitting. What is no such value is not kept. What is very large is not
        either, but takes what was there before with it, which is not true any more."""
        try:
            packed = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return
        if len(packed) > MAX_VALUE:
            packed = "null"
        with self._lock:
            plain = json.loads(packed)
            # 1 and True are equal to Python, not to who reads them.
            if key in self._values and json.dumps(self._values[key]) == packed:
                return
            self._values[key] = plain
            self._changed[key] = packed
            if self._writable and self._timer is None:
                self._timer = threading.Timer(self._delay, self.flush)
                self._timer.name = "layerlab-state"
                self._timer.daemon = True
                # Where there can be no more threads, it is written at the end.
                with contextlib.suppress(RuntimeError):
                    self._timer.start()

    def flush(self) -> None:
        """Write what has changed now: at the end of the application, and by the timer."""
        with self._writing:
            with self._lock:
                changed, self._changed = self._changed, {}
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            if not changed or self._path is None or not self._writable:
                return
            # Read again: another application may have written in the meantime.
            values = self._read()
            if not self._writable:
                return
            for key, packed in changed.items():
                values.pop(key, None)  # the newest stand last
                values[key] = json.loads(packed)
            kept = dict(list(values.items())[-MAX_KEYS:])
            text = json.dumps({"format": FORMAT, "values": kept}, allow_nan=False, indent=1) + "\n"
            while len(text) > MAX_FILE and kept:
                del kept[next(iter(kept))]
                text = json.dumps({"format": FORMAT, "values": kept}, allow_nan=False, indent=1) + "\n"
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                # What is lost with the power is not missed.
                atomic_write(self._path, text.encode(), sync=False)
            except (OSError, ValueError):
                self._writable = False

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            data = read_json(self._path, MAX_FILE)
            version, values = data.get("format"), data.get("values")
            if isinstance(version, int) and version > FORMAT:
                # A newer layerlab's: it is left alone.
                self._writable = False
                return {}
            if not isinstance(values, dict):
                return {}
            # NaN, written by another program, would keep the whole file from being written again.
            return {key: value for key, value in values.items() if _is_plain(value)}
        except (OSError, ValueError, MemoryError):
            return {}


def _is_plain(value: Any) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False)) <= MAX_VALUE
    except (ValueError, RecursionError):
        return False
