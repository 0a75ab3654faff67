"""Who trains a run: the record of a process, and the proof that it lives or is dead.

On the same boot of the same machine a process is known by its pid and start time. Elsewhere only the beat can tell:
one that stays unchanged for long, by the clock of the one who looks, is that of a dead owner.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil

BEAT_SECONDS = 2.0
SILENT_SECONDS = 60.0

# Tokens of the runs that this process trains right now: a thread that ended does not end its process.
_training_here: set[str] = set()


def this_process() -> dict[str, Any]:
    """The record of this process as an owner, with a token that no other session has."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start_time": _start_time(os.getpid()),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "uid": os.getuid() if hasattr(os, "getuid") else None,
        "token": secrets.token_hex(8),
    }


def begin(owner: dict[str, Any]) -> None:
    """From here on this process trains as `owner`."""
    _training_here.add(owner["token"])


def end(owner: dict[str, Any]) -> None:
    """From here on it does not."""
    _training_here.discard(owner["token"])


def is_alive(owner: dict[str, Any], beat_time: float | None = None) -> bool | None:
    """True or False where there is proof of it, None where only watching the beat can tell.

    `beat_time` is the owner's own unix time at its last beat: with the same host name and another boot, a beat from
    before this boot proves that the machine was restarted since.
    """
    if owner.get("host") != socket.gethostname():
        return None
    if not owner.get("boot_id") or owner["boot_id"] != _boot_id():
        return False if beat_time is not None and beat_time < psutil.boot_time() else None
    if owner.get("pid_namespace") != _pid_namespace():
        return None
    pid, start_time = owner.get("pid"), owner.get("start_time")
    if not isinstance(pid, int) or not 0 < pid < 2**31 or start_time is None:
        return None
    if pid == os.getpid() and start_time == _start_time(pid):
        return owner.get("token") in _training_here
    return bool(_start_time(pid) == start_time)


def is_stopped(owner: dict[str, Any]) -> bool:
    """Whether it is a process of this machine that lives and is stopped, by SIGSTOP, ctrl+z or a debugger."""
    if owner.get("pid") == os.getpid() or is_alive(owner) is not True:
        return False
    try:
        return psutil.Process(owner["pid"]).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def describe(owner: dict[str, Any]) -> str:
    """The owner in words: "pid 12 on host"."""
    return f"pid {owner.get('pid')} on {str(owner.get('host'))[:100]}"


class BeatWatch:
    """Watches the beats of an owner that cannot be asked, by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._beat: object = None
        self._since = time.monotonic()

    def is_silent(self, beat: object) -> bool:
        """Whether this beat has been the same for a minute of looking."""
        now = time.monotonic()
        if beat != self._beat:
            self._beat, self._since = beat, now
        return now - self._since >= SILENT_SECONDS


def _start_time(pid: int) -> int | float | None:
    """When a process started, in a unit that a step of the wall clock does not change; None where there is none."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            # The name, in brackets, may hold anything; after it come state and, 19 further on, the ticks since boot.
            fields = text.rpartition(")")[2].split()
            return None if fields[0] in "ZX" else int(fields[19])
        except (OSError, ValueError, IndexError):
            return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # To the minute, for where it is worked out from the wall clock it moves a little.
        return f"boot-{round(psutil.boot_time() / 60)}"


def _pid_namespace() -> str:
    """The same pid means another process in another container, under the same host name and boot."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
