"""Signals while a run is trained on the command line: ctrl+c, `kill`, and the terminal that goes away."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_HANGUP = getattr(signal, "SIGHUP", None)


class Interruptions:
    """While entered: the first ctrl+c or SIGTERM asks the run to stop, with a checkpoint; the second leaves at once.

    When the terminal goes away (SIGHUP) training goes on, with nothing written to a terminal that is no longer there.
    A SIGHUP that is ignored already, as under nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._told = False
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is not threading.main_thread():
            return self
        # Asked now: once the terminal is gone, isatty says no.
        self._terminals = [number for number in (0, 1, 2) if _is_terminal(number)]
        for number in _STOPPING:
            self._before[number] = signal.signal(number, self._stop)
        if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
            self._before[_HANGUP] = signal.signal(_HANGUP, self._hang_up)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def forward(self, stop: Callable[[], object]) -> str | None:
        """To be called every now and then: calls `stop` once where a signal was caught, and gives what to tell then."""
        if self.caught is None or self._told:
            return None
        self._told = True
        stop()
        return "stopping at the next step, with a checkpoint; once more ends at once"

    @property
    def exit_status(self) -> int | None:
        """What a process that was ended by the caught signal leaves with; None where none was caught."""
        return None if self.caught is None else 128 + self.caught

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.caught is None:
            self.caught = number
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                # The bars hide the cursor.
                if stream.isatty():
                    stream.write("\x1b[?25h\n")
                stream.flush()
            except (OSError, ValueError, RuntimeError):
                pass
        # The training thread cannot be ended any other way.
        os._exit(128 + number)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for terminal in self._terminals:
            os.dup2(null, terminal)
        os.close(null)
        self._terminals = []


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False
