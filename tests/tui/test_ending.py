"""How the application ends in a real terminal: by signals, and when the terminal goes away."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.presets import preset
from engine.spec import with_settings
from engine.store.reader import RunReader
from tests.tui.fake_training import application
from tests.watching import assert_stopped_with_a_checkpoint, until
from tui.ending import wait_for_training
from tui.terminal import KeptTerminal

SECONDS = 90.0


@contextmanager
def training_in_a_terminal(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, RunReader]]:
    """The application in a terminal of its own, training a run that does not end; its process, terminal and run."""
    file, store = folder / "endless.toml", folder / "runs"
    file.write_text(with_settings(preset("mlp"), ["data.source=Digits()", "epochs=100000"]).to_toml())
    master, slave = pty.openpty()
    environment = os.environ | {"LAYERLAB_RUNS": str(store), "XDG_STATE_HOME": str(folder), "TERM": "xterm-256color"}
    environment |= {"LAYERLAB_CONFIG": str(folder / "none.toml"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "open", str(file)],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
    )  # fmt: skip
    os.close(slave)
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(master, 1 << 16):
                seen.extend(data)
        except OSError:
            return

    threading.Thread(target=read, daemon=True).start()
    try:
        until(lambda: b"Compose" in seen)
        os.write(master, b"\x12")  # ctrl+r
        until(lambda: list(store.glob("*/events.000.jsonl")))
        run = RunReader(next(store.glob("*/events.000.jsonl")).parent)
        until(lambda: run.poll() and run.view.done >= 2)
        yield process, master, run
    finally:
        process.kill()
        process.wait()


def test_without_a_terminal_training_goes_on_and_sigterm_stops_it_with_a_checkpoint(tmp_path: Path) -> None:
    with training_in_a_terminal(tmp_path) as (process, _, run):
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(1)
        run.poll()
        before = run.view.step
        until(lambda: run.poll() and run.view.step > before)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
        assert_stopped_with_a_checkpoint(run.path)


def test_after_an_error_of_the_application_the_run_goes_on_until_ctrl_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, training = application(tmp_path)
    training.start(preset("mlp"))
    joined: list[str] = []

    def join(timeout: float | None = None) -> None:
        joined.append(training.requests[-1].name if training.requests else "")
        if len(joined) == 1:
            raise KeyboardInterrupt

    training.join = join  # type: ignore[method-assign]
    app._exception = ZeroDivisionError("[/oh]\x1b[2J")
    wait_for_training(app, KeptTerminal(sys.stdout, tmp_path / "console.log"))
    assert joined == ["", "stop"]
    told = capsys.readouterr().out
    assert "[/oh]␛[2J" in told
    assert "ctrl+c stops it" in told
