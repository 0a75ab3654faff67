"""A person's sitting: the application in a terminal that can be taken away, kept from being read, or made smaller."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyte

from engine.presets import preset
from engine.spec import with_settings
from engine.store.owner import is_alive
from engine.store.reader import RunReader
from tests.terminal_of_its_own import resize
from tests.tui.screen_of_pty import Screen
from tests.watching import until

CHECKOUT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Desk:
    """A folder with a store, settings and state of its own, and what is to be set for programs that use them."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "runs"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAYERLAB", "XDG", "TMUX"))}
        return kept | {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
            "LAYERLAB_RUNS": str(self.store), "LAYERLAB_DATA": str(self.folder / "data"),
            "XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(self.folder))),
        }  # fmt: skip

    def experiment(self, epochs: int, *settings: str) -> Path:
        """An experiment's file: a multi-layer perceptron on the digits."""
        path = self.folder / f"mlp{epochs}.toml"
        changed = ["data.source=Digits()", f"epochs={epochs}", *settings]
        path.write_text(with_settings(preset("mlp"), changed).to_toml())
        return path

    def sit_down(self, *arguments: object, size: tuple[int, int] = (120, 40), apart: bool = False) -> Sitting:
        """`apart`: in a session that the terminal is not of, so that nobody tells it where that goes away."""
        command = [sys.executable, "-m", "tui.cli", *(str(argument) for argument in arguments)]
        command = [*(["setsid", "--wait"] if apart else []), *command]
        return Sitting(command, self.environment, self.folder, size)

    def run(self, number: int = 0) -> RunReader:
        """The run that was made first, second ..., read up to now."""
        reader = RunReader(sorted(path for path in self.store.glob("2*") if path.is_dir())[number])
        reader.poll()
        return reader

    def end_all(self) -> None:
        """No process is left that trains here: a test that fails is not to leave one behind."""
        for path in self.store.glob("2*/owner.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
                owner = json.loads(path.read_text())["owner"]
                if is_alive(owner) and owner["pid"] != os.getpid():
                    psutil.Process(owner["pid"]).kill()

    def weights(self, run: RunReader) -> bytes:
        """The weights of the newest checkpoint, as the file has them."""
        return sorted((run.path / "checkpoints").glob("step-*"))[-1].joinpath("model.safetensors").read_bytes()


class Recorded(pyte.ByteStream):
    """Hands on to the screen what the application writes, and keeps it."""

    def __init__(self, sitting: Sitting) -> None:
        super().__init__(sitting.screen)
        self._sitting = sitting

    def feed(self, data: bytes) -> None:
        self._sitting.sent += data.decode(errors="replace")
        super().feed(data)


class Sitting(Screen):
    """A terminal with the application, or another command, in it."""

    hung_up = False

    def __init__(self, *arguments: Any) -> None:
        # All that it has written, as text.
        self.sent = ""
        super().__init__(*arguments)
        self._stream = Recorded(self)

    @property
    def end(self) -> int:
        """The end of the terminal that the person has."""
        return self._end

    def begin_training(self, desk: Desk, epochs: int = 2) -> RunReader:
        """Train what is composed, and wait until it is in the midst of it."""
        self.until("1 Compose")
        before = len(list(desk.store.glob("2*")))
        self.press("<ctrl+r>")
        self.until(lambda: len(list(desk.store.glob("2*/events.000.jsonl"))) > before)
        run = desk.run(-1)
        self.until(lambda: run.poll() and run.view.done >= epochs)
        return run

    def hang_up(self) -> None:
        """Take the terminal away: the kernel tells the application, which leads a session on it, with SIGHUP."""
        os.close(self._end)
        self.hung_up = True

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal as large as this; the kernel tells the application with SIGWINCH."""
        self.screen.resize(rows, columns)
        resize(self._end, (columns, rows))

    def stall(self) -> None:
        """Read nothing, until the terminal takes nothing more and the application waits for it."""
        found, since = self._writing(), time.monotonic()

        def stuck() -> bool:
            nonlocal found, since
            # Each draws another screen: there is more to write than the kernel and the application's queue hold.
            self.press("12")
            time.sleep(0.05)
            now = self._writing()
            if now is None or now != found:
                found, since = now, time.monotonic()
            return time.monotonic() - since > 1.0

        until(stuck)

    def _writing(self) -> tuple[str, ...] | None:
        """The write to the terminal that a thread is in the midst of."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                call, file, *rest = (thread / "syscall").read_text().split()
                # The number of write, on x86-64 and on ARM.
                if call in ("1", "64") and os.readlink(f"/proc/{self.pid}/fd/{int(file, 16)}").startswith("/dev/pts/"):
                    return (thread.name, *rest[:2])
        return None

    def steps_a_second(self, run: RunReader, seconds: float, read: bool) -> float:
        """How many steps a run makes a second, by its own clock, while the terminal is read or is not."""
        run.poll()
        first = run.view.step, time.monotonic()
        while time.monotonic() < first[1] + seconds:
            if read:
                self.read(0.05)
            else:
                time.sleep(0.05)
        run.poll()
        return (run.view.step - first[0]) / (time.monotonic() - first[1])

    def reaped(self, seconds: float = 60.0) -> int:
        """Wait for the process to end, without looking at its terminal; gives its exit status."""

        def over() -> bool:
            if self.status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
            return self.status is not None

        until(over, seconds)
        assert self.status is not None
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        if not self.hung_up:
            self.hang_up()


@contextlib.contextmanager
def closing(*sittings: Sitting) -> Iterator[None]:
    try:
        yield
    finally:
        for sitting in sittings:
            sitting.close()


def thread_seconds(pid: int) -> dict[int, float]:
    """The processor time of each thread of a process, in seconds."""
    spent = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        spent[int(thread.name)] = (int(fields[11]) + int(fields[12])) / TICKS
    return spent


def beside_training(pid: int, seconds: float) -> float:
    """The part of a processor that a process takes for all but its busiest thread, which is the one that trains."""
    before, began = thread_seconds(pid), time.monotonic()
    time.sleep(seconds)
    after, took = thread_seconds(pid), time.monotonic() - began
    spent = sorted(seconds - before.get(thread, 0.0) for thread, seconds in after.items())
    return sum(spent[:-1]) / took
