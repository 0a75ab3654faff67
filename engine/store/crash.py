"""What ended a process that could not say it itself: a native crash, or a signal that nothing catches.

While a run trains in a process of its own there is a `crash.log`, which begins with that process. Python writes the
name of a fatal signal and where every thread stood into it (faulthandler: nothing else may run at that moment); whoever
started the process adds what it knows. It is gone where the process ended by itself, and once another goes on.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.store import files

NAME = "crash.log"
MAX_BYTES = 1 << 20
# What faulthandler writes, and what the signal is called.
_FATAL = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating-point exception": "SIGFPE",
    "Floating point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
_LINE = re.compile(rf"^Fatal Python error: ({'|'.join(_FATAL)})$|^ended by (SIG[A-Z0-9]+)$", re.MULTILINE)


def forget(run_path: Path) -> None:
    """Remove what is known of an earlier process: in containers the next one often has the same pid. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        files.remove(run_path / NAME)


@contextlib.contextmanager
def recorded(run_path: Path) -> Iterator[None]:
    """Around all that a process does for a run. A disk that refuses only means that nothing will be known."""
    path = run_path / NAME
    try:
        descriptor = files.opened_to_append(path)
    except OSError:
        yield
        return
    with contextlib.suppress(OSError):
        files.write_all(descriptor, _first_line(os.getpid()).encode())
    faulthandler.enable(descriptor)
    try:
        yield
    finally:
        faulthandler.disable()
        with contextlib.suppress(OSError):
            files.system.close(descriptor)
            files.remove(path)


def add_signal(run_path: Path, pid: int, number: int) -> None:
    """Note which signal ended process `pid`, which trained the run, where nothing else says so."""
    with contextlib.suppress(OSError):
        if _found(run_path, pid) == "":
            descriptor = files.opened_to_append(run_path / NAME)
            try:
                files.write_all(descriptor, f"ended by {_signal_name(number)}\n".encode())
            finally:
                files.system.close(descriptor)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of those for real time only the first and the last have one
        return f"SIG{number}"


def signal_of(run_path: Path, owner: dict[str, Any]) -> str:
    """The name of the signal that ended this owner of the run, "" where that is not known."""
    return _found(run_path, owner.get("pid")) or ""


def _first_line(pid: object) -> str:
    return f"process {pid}\n"


def _found(run_path: Path, pid: object) -> str | None:
    """The signal; "" where the file is of this process and names none, None where it is not there or of another."""
    try:
        text = files.read_bounded(run_path / NAME, MAX_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return None
    if not text.startswith(_first_line(pid)):
        return None
    found = _LINE.search(text)
    return "" if found is None else _FATAL.get(found[1] or "", found[2] or "")
