"""A program in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def begin(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, size: tuple[int, int]
) -> tuple[int, int]:
    """Start it, in a terminal of `size` (columns, rows); gives its pid and the end of the terminal a person has."""
    pid, end = pty.fork()
    if not pid:
        try:
            os.chdir(folder)
            # Until the parent has set the size there is none.
            while os.get_terminal_size(0) != size:
                time.sleep(0.001)
            os.execvpe(command[0], list(command), dict(environment))
        finally:
            os._exit(127)
    resize(end, size)
    return pid, end


def resize(end: int, size: tuple[int, int]) -> None:
    """Make the terminal as large as this; the kernel tells the program with SIGWINCH."""
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))


def reap(pid: int) -> int:
    """Wait for the program to be gone; gives its exit status, that of a signal below 0."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
