"""A program in a real pseudo-terminal, whose output is read all the while, as an SSH client does."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.terminal_of_its_own import begin

T = TypeVar("T")

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78cDEHM])")


class Terminal:
    """Runs a command in a pty of the given size; `output` holds all bytes that it wrote."""

    def __init__(self, command: list[str], columns: int, rows: int, environment: dict[str, str] | None = None) -> None:
        self.output = b""
        own = os.environ | {"TERM": "xterm-256color"} | (environment or {})
        self._pid, self._fd = begin(command, own, Path.cwd(), (columns, rows))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def settle(self, seconds: float) -> None:
        """Read for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._read(min(left, 0.2))

    def wait_for(self, *texts: str, timeout: float) -> None:
        """Read until one of the texts was written."""
        self.wait_until(lambda: any(text in self.text for text in texts) or None, timeout)

    def wait_until(self, answer: Callable[[], T | None], timeout: float) -> T:
        """Read until `answer` gives something, and give that."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            self._read(0.2)
            found = answer()
            if found is not None:
                return found
        raise TimeoutError(f"nothing after {timeout} s; the screen's last words: {self.text[-2000:]}")

    def answer(self, keys: str, timeout: float = 10.0) -> float:
        """Type, and read until something comes back: seconds until its first bytes."""
        written = len(self.output)
        began = time.perf_counter()
        self.send(keys)
        while len(self.output) == written:
            if time.perf_counter() - began > timeout:
                raise TimeoutError(f"no answer to {keys!r} after {timeout} s")
            self._read(0.2)
        return time.perf_counter() - began

    def whole_answer(self, keys: str, silence: float) -> float:
        """Type, and read until nothing more comes for so long: seconds until the last bytes."""
        began = time.perf_counter()
        self.answer(keys)
        last = time.perf_counter()
        while self.quiet(silence) is False:
            last = time.perf_counter()
        return last - began

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long; reads what does."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if ready:
            self._read(0)
        return not ready

    @property
    def text(self) -> str:
        """Everything written so far, without control sequences."""
        return _SEQUENCE.sub(b"", self.output).decode(errors="replace")

    def _read(self, timeout: float) -> None:
        ready, _, _ = select.select([self._fd], [], [], timeout)
        if ready:
            try:
                self.output += os.read(self._fd, 1 << 16)
            except OSError:
                time.sleep(timeout)
