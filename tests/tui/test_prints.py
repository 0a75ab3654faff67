"""A model of one's own that prints: in the run's console.log and in the log on the screen, and nowhere else."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from tui.terminal import PrintedText

MODULE = """
import sys
from torch import nn


class Talk(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, x):
        self.steps += 1
        if self.steps in (1, 5):
            print("forward", self.steps, "of", tuple(x.shape)[1:])
            sys.stderr.write("to stderr\\n")
        return x
"""
EXPERIMENT = """
name = "talks"
epochs = 2
optimizer = "SGD(lr=0.01)"
[data]
source = "Digits()"
[network]
layers = ["Flatten()", "talky:Talk()", "Linear(classes)"]
"""


class Terminal:
    """A real terminal of 120 × 40 cells with a command in it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=side, stdout=side, stderr=side, env=environment, start_new_session=True
        )
        os.close(side)
        self.written = b""

    def read(self, seconds: float = 0.1) -> None:
        if select.select([self.main], [], [], seconds)[0]:
            try:
                self.written += os.read(self.main, 1 << 16)
            except OSError:
                time.sleep(seconds)

    def until(self, found: object, seconds: float = 40.0) -> None:
        """Wait for bytes on the screen, or for a function to be true."""
        end = time.monotonic() + seconds
        while not (found in self.written if isinstance(found, bytes) else found()):  # type: ignore[operator]
            assert self.process.poll() is None or not isinstance(found, bytes), self.written
            assert time.monotonic() < end, f"{found!r} did not come; at last: {self.written[-3000:]!r}"
            self.read()

    def press(self, keys: bytes) -> None:
        os.write(self.main, keys)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.main)


def test_what_a_persons_own_module_prints_is_in_the_log_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "talky.py").write_text(MODULE)
    (tmp_path / "talks.toml").write_text(EXPERIMENT)
    (tmp_path / "settings.toml").write_text('allow = ["talky"]\n')
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    environment = os.environ | {
        "PYTHONPATH": paths, "LAYERLAB_RUNS": str(tmp_path / "runs"), "XDG_STATE_HOME": str(tmp_path),
        "LAYERLAB_CONFIG": str(tmp_path / "settings.toml"), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "tui.cli", "open", str(tmp_path / "talks.toml")]
    terminal = Terminal(command, environment)
    try:
        terminal.until(b"650")  # the parameters: shapes are there
        terminal.press(b"\x12")
        terminal.until(lambda: list((tmp_path / "runs").glob("*/summary.json")))
        terminal.until(b"forward 5 of (64,)")
        terminal.until(b"to stderr")
        terminal.until(b"finished")
        console = next((tmp_path / "runs").glob("*/console.log")).read_text()
        # The first batch passes once more before the training, to see what the loss makes of it.
        assert console.splitlines()[-4:] == ["forward 1 of (64,)", "to stderr", "forward 5 of (64,)", "to stderr"]
        assert set(console.splitlines()) == {"forward 1 of (64,)", "forward 5 of (64,)", "to stderr"}
        before = terminal.written
        terminal.press(b"q")
        terminal.until(lambda: terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
        # It stood in the panel alone: not as a line of its own, on the screen or behind it.
        assert b"\nforward" not in before + terminal.written
    finally:
        terminal.end()


PATIENT = """
import os, sys, time
from torch import nn


class Patient(nn.Module):
    def forward(self, x):
        print("waiting")
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        end = time.monotonic() + 20
        while spec is not None and spec.name == "engine.launch.process":
            with open(os.environ["PATIENT_CONSOLE"]) as console:
                if "waiting" in console.read():
                    return x
            if time.monotonic() > end:
                raise RuntimeError("what was printed did not arrive")
            time.sleep(0.02)
        return x
"""


def test_a_print_in_a_process_of_its_own_arrives_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine import launch
    from engine.spec import parse_experiment
    from engine.store.reader import RunReader

    (tmp_path / "patient.py").write_text(PATIENT)
    monkeypatch.syspath_prepend(tmp_path)
    experiment = parse_experiment(EXPERIMENT.replace("talky:Talk", "patient:Patient"))
    path = launch.prepare_run(experiment, tmp_path / "runs", tmp_path, allow=("patient",))
    monkeypatch.setenv("PATIENT_CONSOLE", str(path / "console.log"))
    launch.start(path, launcher="process", data_folder=tmp_path, allow=("patient",)).join(60)
    reader = RunReader(path)
    reader.poll()
    assert (reader.view.status, reader.view.reason) == ("finished", "")


def test_prints_of_many_threads_arrive_whole_and_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stream = PrintedText(descriptor)
    threads = [
        threading.Thread(target=lambda name=name: [stream.write(f"{name} {at}\n") for at in range(200)])
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("no newline yet, größer", end="", file=stream)
    assert not (tmp_path / "console.log").read_text().endswith("größer")
    stream.flush()
    lines = (tmp_path / "console.log").read_text().splitlines()
    assert sorted(lines[:-1]) == sorted(f"{name} {at}" for name in "abcd" for at in range(200))
    assert lines[-1] == "no newline yet, größer"
    assert stream.fileno() == descriptor
    os.close(descriptor)
    full = PrintedText(os.open("/dev/full", os.O_WRONLY)) if os.path.exists("/dev/full") else None
    if full is None:
        pytest.skip("this system has no device that is always full")
    print("lost", file=full)
    os.close(full.fileno())
