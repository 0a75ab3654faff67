"""The event loop of the application, beside a thread that trains and wants the interpreter as often as it.

To draw after a key, widgets pass dozens of messages, and asyncio asks the operating system for news between any two
of them. Each time it lets go of the interpreter, and waits to have it back from the training. So news is asked for
at most every few milliseconds while there is something to do, and Python is told to hand the interpreter over sooner.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from typing import Any

from textual.app import App

# In seconds. Python's own interval is 0.005: what trains would keep a key waiting for as long, several times over.
SWITCH_INTERVAL = 0.001
BETWEEN_LOOKS = 0.002


class SparingSelector(selectors.DefaultSelector):
    """Looks for news at once where there is nothing else to do, and otherwise only if it has not just done so."""

    _looked = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        busy = timeout is not None and timeout <= 0
        if busy and time.monotonic() - self._looked < BETWEEN_LOOKS:
            return []
        found = super().select(timeout)
        self._looked = time.monotonic()
        return found


def run(app: App[Any]) -> Any:
    """Run the application to its end; gives what it was left with."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SparingSelector())) as runner:
            return runner.run(app.run_async())
    finally:
        sys.setswitchinterval(before)
