"""A command in a real terminal, and what a person sees of it: a pty, and an emulator that keeps its screen."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

from tests.terminal_of_its_own import begin, reap

KEYS = {
    "enter": "\r",
    "esc": "\x1b",
    "tab": "\t",
    "space": " ",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "backspace": "\x7f",
}
_TOKEN = re.compile(r"<([^<>]+)>|([^<]+|<)")
# What pyte takes for text: the kitty protocol's requests (CSI > 1 u) and questions about modes (CSI ? 2026 $ p).
_UNKNOWN = re.compile(rb"\x1b\[[<>=?]?[0-9;:]*(?:\$p|[uq])")
# Textual asks whether frames can be drawn as a whole (mode 2026): they can, and no half of one is looked at.
_ASKS_FRAMES, _FRAMES = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
_IN_FRAME = 2026 << 5
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-9;:<>=?$]*)?\Z")


def sent(keys: str) -> bytes:
    """What a keyboard sends for `a`, `lin 300<enter>`, `<ctrl+r>`, `<down>`."""
    written = ""
    for name, text in _TOKEN.findall(keys):
        if not name:
            written += text
        elif name.startswith("ctrl+"):
            written += chr(ord(name[5:].upper()) - 64)
        else:
            written += KEYS[name]
    return written.encode()


class Screen:
    """A terminal of its own with the command in it. Nothing is typed or looked at but through it."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, size: tuple[int, int] = (120, 40)
    ) -> None:
        self.columns, self.rows = size
        self.screen = pyte.Screen(self.columns, self.rows)
        self._stream = pyte.ByteStream(self.screen)
        self._rest = b""
        self._frame = ""
        self.status: int | None = None
        self.pid, self._end = begin(command, environment, folder, size)

    # ------------------------------------------------------------------ looking

    @property
    def text(self) -> str:
        """What was on the screen when the last frame was whole, line by line."""
        return self._frame

    def line(self, part: str) -> str:
        """The first line of the screen with this in it; "" where there is none."""
        return next((line for line in self.text.splitlines() if part in line), "")

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what the command writes within a time; whether there was anything."""
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        try:
            written = os.read(self._end, 1 << 16)
        except OSError:
            written = b""
        if not written:
            self._reap()
            return False
        written = self._rest + written
        if _ASKS_FRAMES in written:
            os.write(self._end, _FRAMES)
        cut = _UNFINISHED.search(written)
        self._rest = written[cut.start() :] if cut else b""
        self._stream.feed(_UNKNOWN.sub(b"", written[: cut.start()] if cut else written))
        if _IN_FRAME not in self.screen.mode:
            self._frame = "\n".join(line.rstrip() for line in self.screen.display)
        return True

    def until(self, found: str | Callable[[], object], seconds: float = 60.0) -> None:
        """Wait for a text to stand on the screen, or for something to be true; fails with the screen as it is."""
        end = time.monotonic() + seconds
        while not (found in self.text if isinstance(found, str) else found()):
            assert self.status is None, f"it ended with {self.status}, waiting for {found!r}; at last:\n{self.text}"
            assert time.monotonic() < end, f"{found!r} did not come; there is:\n{self.text}"
            self.read()

    # ------------------------------------------------------------------ typing, and the end

    def press(self, keys: str) -> None:
        """Type keys as `sent` reads them."""
        os.write(self._end, sent(keys))

    def _reap(self) -> None:
        if self.status is None:
            self.status = reap(self.pid)

    def ended(self, seconds: float = 30.0) -> int:
        """Wait for the command to end; gives its exit status."""
        end = time.monotonic() + seconds
        while self.status is None:
            assert time.monotonic() < end, f"it did not end; there is:\n{self.text}"
            self.read()
        return self.status

    def close(self) -> None:
        """Take the terminal away, and the command where it is still there."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        os.close(self._end)
