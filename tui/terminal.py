"""The terminal belongs to the application alone: what native code prints goes to a log, and a terminal that is gone
neither stops the training nor is written to again.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from textual.driver import Driver

from engine.store.files import opened_to_append

MOST_WAITING = 8 << 10
# Out of the alternate screen, the cursor back, mouse, focus, pasting and the keyboard as they were: what Textual sends
# at its end, in one piece.
ORDINARY = (
    b"\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?2048l\x1b[?1004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h\x1b[m"
)


class TerminalFile:
    """What Textual's output thread writes to. After an error (the line is gone) it swallows all that follows, for a
    dead output thread would block the application for good."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.gone = False

    def write(self, text: str) -> int:
        if not self.gone:
            try:
                self._stream.write(text)
            except OSError:
                self.gone = True
        return len(text)

    def flush(self) -> None:
        if not self.gone:
            try:
                self._stream.flush()
            except OSError:
                self.gone = True

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return True


class PrintedText(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` while the application runs: writes to the descriptor, by the line.

    Textual's own would hand every print to the event loop, which a model that prints in `forward` keeps from drawing;
    and a full disk must not end a training that prints.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = ""
        self._lock = threading.Lock()
        # For those who write bytes.
        self.buffer = io.FileIO(descriptor, "w", closefd=False)

    def write(self, text: str) -> int:
        with self._lock:
            self._waiting += text
            if "\n" in text or "\r" in text or len(self._waiting) > MOST_WAITING:
                self._send()
        return len(text)

    def flush(self) -> None:
        with self._lock:
            self._send()

    def _send(self) -> None:
        rest = memoryview(self._waiting.encode(self.encoding, self.errors))
        self._waiting = ""
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False


class KeptTerminal:
    """The terminal while the application runs. `console` is the file that fds 1 and 2 write to."""

    def __init__(self, stream: IO[str], console: Path) -> None:
        self.file = TerminalFile(stream)
        self.console = console
        self._no_more_input: threading.Event | None = None
        self._attributes: list[Any] | None = None
        with contextlib.suppress(OSError, ValueError, termios.error):
            self._attributes = termios.tcgetattr(stream.fileno())

    def log_to(self, path: Path) -> Path:
        """From now on fds 1 and 2 write to the end of this file; where it cannot be opened nothing changes. Gives the
        file that they wrote to before."""
        before = self.console
        with contextlib.suppress(OSError):
            log = opened_to_append(path)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            self.console = path
        return before

    def take_prints(self) -> None:
        """From now on Python's prints go where fds 1 and 2 go. Textual puts its own in place as it starts, so this is
        called once it runs; as it ends it brings back those of before."""
        sys.stdout, sys.stderr = PrintedText(1), PrintedText(2)

    def leave(self) -> None:
        """The terminal is gone (SIGHUP): read nothing from it and write nothing to it any more."""
        self.file.gone = True
        if self._no_more_input is not None:
            # There is always something to read where a line was cut, and nothing in it: without this the thread that
            # reads keeps a whole core busy until the application has ended.
            self._no_more_input.set()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, self.file.fileno())
        os.close(null)

    def restore(self) -> None:
        """Give the terminal back as it was found, without waiting for it: where it is not read, it stays as it is."""
        terminal = self.file.fileno()
        with contextlib.suppress(OSError, ValueError, termios.error):
            if not self.file.gone and select.select([], [terminal], [], 0)[1]:
                os.write(terminal, ORDINARY)
            if self._attributes is not None:
                termios.tcsetattr(terminal, termios.TCSANOW, self._attributes)

    def driver(self) -> type[Driver]:
        """Textual's driver for Linux and macOS, writing here in place of fd 2."""
        from textual.drivers.linux_driver import LinuxDriver

        kept = self

        class KeptDriver(LinuxDriver):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self._file = kept.file  # type: ignore[assignment]
                kept._no_more_input = self.exit_event

            def run_input_thread(self) -> None:
                try:
                    super().run_input_thread()
                except OSError:
                    # The line is gone. The signal that says so may come a moment later, or not at all.
                    os.kill(os.getpid(), signal.SIGHUP)

            def _get_terminal_size(self) -> tuple[int, int]:
                # Textual asks fd 1, which is a file here.
                try:
                    width, height = os.get_terminal_size(kept.file.fileno())
                except OSError:
                    return 80, 25
                return width or 80, height or 25

        return KeptDriver


@contextlib.contextmanager
def kept_terminal() -> Iterator[KeptTerminal]:
    """Give the terminal to the application, and fds 1 and 2 to a log, until the block ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    terminal = os.dup(2 if os.isatty(2) else 1)
    handle, name = tempfile.mkstemp(prefix="layerlab-console-", suffix=".log")
    os.close(handle)
    stream = os.fdopen(terminal, "w", encoding="utf-8", errors="replace", newline="")
    kept = KeptTerminal(stream, Path(name))
    kept.log_to(Path(name))
    try:
        yield kept
    finally:
        for printed in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                printed.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        with contextlib.suppress(OSError):
            stream.close()
        with contextlib.suppress(OSError):
            if Path(name).stat().st_size == 0 or kept.console != Path(name):
                os.unlink(name)
