"""The event loop of the application, beside a thread that trains and wants the interpreter as often as it.

To draw after a key, widgets pass dozens of messages, and asyncio asks the operating system for news between any two
of them. Each time it lets go of the interpreter, and waits to have it back from the training. So news is asked for
at most every few milliseconds while there is something to do, and Python is told to hand the interpreter over sooner.

Nor does the garbage collector look at torch and what comes with it again and again: that takes a quarter of a second,
every few seconds while something is drawn, in which no thread moves.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import time
from typing import Any

from textual.app import App

# In seconds. Python's own interval is 0.005: what trains would keep a key waiting for as long, several times over.
SWITCH_INTERVAL = 0.001
BETWEEN_LOOKS = 0.002
# Drawing leaves thousands of cycles behind, nearly all of them young: with Python's own thresholds (700, 10, 10) they
# have everything looked through once a second, for 70 ms; with these twice a minute, and the young in 1 to 10 ms.
THRESHOLDS = (5_000, 4, 50)


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


def all_is_imported() -> None:
    """What is there by now stays: garbage is looked for among what comes from now on. Nothing was collected before."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.enable()


def run(app: App[Any]) -> Any:
    """Run the application to its end; gives what it was left with. Until `all_is_imported` no garbage is collected."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SparingSelector())) as runner:
            return runner.run(app.run_async())
    finally:
        all_is_imported()
        sys.setswitchinterval(before)
