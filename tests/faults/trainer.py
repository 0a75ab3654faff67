"""A process that trains runs in forks of itself, which may be killed: torch is imported only once.

`python -m tests.faults.trainer` reads lines of JSON, `{"run": PATH, "resume": BOOL}`, and writes lines: `pid N`, then
`saving` as a checkpoint begins to be written and `saved` once it lies there, and `ended` at the end of the fork,
whatever that was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.processes import CHECKOUT


class Trainer:
    """The other end: starts that process and talks to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.trainer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def train(self, run: Path, resume: bool) -> int:
        """Begin to train a run; gives the pid of the process that does."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"run": str(run), "resume": resume}).encode() + b"\n")
        self._process.stdin.flush()
        while not (line := self.line()).startswith("pid "):
            assert line, "the trainer is gone"
        return int(line[4:])

    def line(self) -> str:
        """The next line that it says; waits for it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def _train(run: Path, resume: bool) -> None:
    from engine import checkpoint, launch
    from engine.control import Mailbox
    from engine.launch.local import execute
    from engine.store.writer import RunWriter

    write = checkpoint.write_checkpoint

    def written(*arguments: object, **more: object) -> object:
        _say("saving")
        found = write(*arguments, **more)  # type: ignore[arg-type]
        _say("saved")
        return found

    checkpoint.write_checkpoint = written  # type: ignore[assignment]
    mailbox = Mailbox()
    execute(launch.Arguments(run, run.parent, resume=resume), mailbox, RunWriter(run, mailbox, resume=resume))


def main() -> None:
    import sklearn.datasets  # noqa: F401

    import engine.launch.local  # noqa: F401
    from engine.check import check
    from engine.data.info import Place
    from engine.presets import preset

    # Imports what training imports as it goes: no fork has to do it again.
    check(preset("batchnorm"), Place(Path("nowhere")))
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            try:
                _say(f"pid {os.getpid()}")
                _train(Path(asked["run"]), asked["resume"])
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        _say("ended")


if __name__ == "__main__":
    main()
