"""Following a run by its folder: what to draw, and when, at the reader's own pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.store.reader import RunReader, RunView

CURVE_SECONDS = 1.0


class RunWatch:
    """Polls a run. Curves cost more than numbers, so they are due at most once in CURVE_SECONDS."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        from engine.store.reader import RunReader

        self.path = path
        self._reader: RunReader = RunReader(path)
        self._clock = clock
        self._drawn = -CURVE_SECONDS
        self._stale = False

    @property
    def view(self) -> RunView:
        return self._reader.view

    def poll(self) -> bool:
        """Read what is new; whether there was anything."""
        changed = self._reader.poll()
        self._stale = self._stale or changed
        return changed

    def curves_due(self, ended: bool) -> bool:
        """Whether the curves are to be drawn now; after the end they are so at once."""
        now = self._clock()
        if not self._stale or not (ended or now - self._drawn >= CURVE_SECONDS):
            return False
        self._drawn, self._stale = now, False
        return True
