"""A program in a terminal of its own, every byte of which is read by the grammar."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.terminal_grammar import TerminalGrammar
from tests.terminal_of_its_own import begin, reap

QUIET_SECONDS = 0.04
ASKS_FRAMES, HAS_FRAMES = b"\x1b[?2026$p", b"\x1b[?2026;2$y"


class WatchedTerminal:
    """Nobody looks at it, so nothing is drawn; `grammar` says what was wrong and what was to be read."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, size: tuple[int, int] = (120, 40)
    ) -> None:
        self.grammar = TerminalGrammar()
        self.written = bytearray()
        self.status: int | None = None
        self.pid, self._end = begin(command, environment, folder, size)

    def read(self, seconds: float) -> bool:
        """Take in what comes within a time; whether there was anything."""
        if self.status is not None or not select.select([self._end], [], [], seconds)[0]:
            return False
        try:
            written = os.read(self._end, 1 << 16)
        except OSError:
            written = b""
        if not written:
            self._reap()
            return False
        if ASKS_FRAMES in written:
            os.write(self._end, HAS_FRAMES)
        self.written += written
        self.grammar.feed(written)
        return True

    def settle(self, seconds: float = 1.0) -> None:
        """Read until nothing has come for a moment, or for so long."""
        end = time.monotonic() + seconds
        while self.read(QUIET_SECONDS) and time.monotonic() < end:
            pass

    def press(self, keys: bytes) -> None:
        """Send what a keyboard would, and read what it leads to."""
        if self.status is None:
            os.write(self._end, keys)
            self.settle()

    def until(self, found: str | Callable[[], object], seconds: float = 60.0) -> None:
        """Wait for a text to have been written, or for something to be true."""
        end = time.monotonic() + seconds
        while not (found in self.grammar.text if isinstance(found, str) else found()):
            assert self.status is None, f"it ended with {self.status}; at last: {self.grammar.text[-3000:]}"
            assert time.monotonic() < end, f"{found!r} did not come; at last: {self.grammar.text[-3000:]}"
            self.read(QUIET_SECONDS)

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for the program to end; gives its exit status."""
        end = time.monotonic() + seconds
        while self.status is None:
            assert time.monotonic() < end, f"it did not end; at last: {self.grammar.text[-3000:]}"
            self.read(QUIET_SECONDS)
        self.grammar.end()
        return self.status

    def _reap(self) -> None:
        self.status = reap(self.pid)

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        os.close(self._end)
