"""The end of a process whose threads may be at something still."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


def leave_at_once(status: int) -> NoReturn:
    """End the process without taking the interpreter down: that aborts (`terminate called without an active exception`)
    while a thread is in the midst of torch, and libraries beneath torch tell of objects that were never collected.

    All that was to be kept is kept by now. What was printed is written, and processes that are not to outlive this one
    are ended, as Python would.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if "multiprocessing" in sys.modules:
        for process in sys.modules["multiprocessing"].active_children():
            process.terminate()
    os._exit(status)
