"""A session in a process of its own, which survives whoever started it."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from engine.control import Mailbox, Request
from engine.errors import LayerlabError, RunError
from engine.launch import Arguments
from engine.store import crash, files

TERMINATED = 143  # 128 + SIGTERM, as a shell reports it


class ProcessHandle:
    """A session in another process of this machine."""

    def __init__(self, run_path: Path, process: subprocess.Popen[bytes]) -> None:
        self.run_path = run_path
        self._process = process

    @property
    def alive(self) -> bool:
        """Whether it still executes."""
        return self._left_with() is None

    def request(self, request: Request) -> None:
        """Ask something of it, through the control folder."""
        from engine.store.requests import send

        send(self.run_path, request)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            self._left_with()

    def _left_with(self) -> int | None:
        """Its exit status, None while it executes. Nobody else gets to know which signal ended it."""
        status = self._process.poll()
        if status is not None and status < 0:
            crash.add_signal(self.run_path, self._process.pid, -status)
        return status


def start(arguments: Arguments) -> ProcessHandle:
    """Start a session in a process of its own, in a session of its own: a closed terminal does not reach it.

    It imports what this process would import (-P: not what happens to lie in the current folder).
    """
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    command = [sys.executable, "-P", "-m", "engine.launch.process", str(arguments.run_path.resolve())]
    command += ["--data", str(arguments.data_folder.resolve())]
    command += ["--download"] * arguments.download + ["--resume"] * arguments.resume
    command += ["--add-epochs", str(arguments.add_epochs)]
    for module in arguments.allow:
        command += ["--allow", module]
    try:
        log = files.opened_to_append(arguments.run_path / "console.log")
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"what {arguments.run_path.name} prints cannot be kept in console.log: {reason}") from None
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
    finally:
        os.close(log)
    return ProcessHandle(arguments.run_path, process)


def main() -> int:
    """Train the run named on the command line; the exit status is 0, 1 (failed), 2 (refused) or 143 (SIGTERM)."""
    parser = argparse.ArgumentParser(prog="python -m engine.launch.process", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--add-epochs", type=int, default=0)
    parser.add_argument("--allow", action="append", default=[])
    given = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        # Into a file Python would keep what is printed until there are 8 KiB of it: whoever watches wants it now.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    arguments = Arguments(given.run, given.data, given.download, given.resume, given.add_epochs, tuple(given.allow))
    mailbox = Mailbox()
    terminated = threading.Event()

    def terminate(signum: int, frame: FrameType | None) -> None:
        if terminated.is_set():
            os._exit(TERMINATED)
        terminated.set()
        # From a thread of its own: the handler may have interrupted the mailbox with its lock held.
        threading.Thread(target=mailbox.put, args=(Request("stop", by="SIGTERM"),), daemon=True).start()

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        # It has no terminal that could go away; shells send this to all that they began.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    from engine.store.writer import RunWriter

    try:
        writer = RunWriter(arguments.run_path, mailbox, resume=arguments.resume)
    except LayerlabError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with crash.recorded(arguments.run_path):
        from engine.launch.local import execute

        status = execute(arguments, mailbox, writer)
    if terminated.is_set():
        return TERMINATED
    return 1 if status == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
