"""A session in a thread of this process: one at a time, since dropout draws from torch's process-wide generator."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.control import Mailbox, Request
from engine.errors import DeviceLost, RequestError
from engine.launch import Arguments

_starting = threading.Lock()
_current: ThreadHandle | None = None


class ThreadHandle:
    """A session in a thread. It is no daemon: a program that reaches its end waits for it."""

    def __init__(self, arguments: Arguments) -> None:
        from engine.store.writer import RunWriter

        self.run_path: Path = arguments.run_path
        self.lost = ""  # what the device said that takes nothing more from this process
        self._arguments = arguments
        self._mailbox = Mailbox()
        # Claims the run here, so that "somebody else trains it" reaches the caller.
        self._writer = RunWriter(arguments.run_path, self._mailbox, resume=arguments.resume)
        self._thread = threading.Thread(target=self._run, name=f"session {arguments.run_path.name}")
        self._thread.start()

    def _run(self) -> None:
        # Importing torch takes seconds: whoever started this need not wait for it.
        from engine import device_errors
        from engine.launch.local import execute

        execute(self._arguments, self._mailbox, self._writer)
        if device_errors.lost:
            self.lost = f"{device_errors.lost}; {device_errors.RESTART}"

    @property
    def alive(self) -> bool:
        """Whether it still executes."""
        return self._thread.is_alive()

    def request(self, request: Request) -> None:
        """Ask something of it; acted on within one step."""
        self._mailbox.put(request)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds."""
        self._thread.join(timeout)


def refuse_lost() -> None:
    """Raise DeviceLost where this process can train nothing any more."""
    if _current is not None and _current.lost:
        raise DeviceLost(_current.lost)


def start(arguments: Arguments) -> ThreadHandle:
    """Start a session in a thread; RequestError where this process trains one already, or can train none any more."""
    global _current
    with _starting:
        if _current is not None and _current.alive:
            raise RequestError(
                f"this process already trains {_current.run_path.name}: wait until it has ended, "
                "or start this one with --launcher process"
            )
        refuse_lost()
        _current = ThreadHandle(arguments)
        return _current
