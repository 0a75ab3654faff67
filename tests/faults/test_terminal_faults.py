"""The terminal goes away, stalls, is sent signals: training does not notice, and nothing is left in a bad state."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.control import Request
from engine.store.reader import RunReader
from engine.store.requests import send
from tests.faults.sittings import Desk, Sitting, beside_training, closing
from tests.watching import assert_stopped_with_a_checkpoint, until

MOST_BESIDE_TRAINING = 0.05  # of a processor
LEAST_STEP_RATE = 0.95

Figure = Callable[[str, int], None]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.end_all()


@contextmanager
def undisturbed(desk: Desk, file: Path) -> Iterator[Callable[[], bytes]]:
    """The same experiment, trained meanwhile by a command that nothing happens to; gives its final weights."""
    apart = Desk(desk.folder / "undisturbed")
    apart.folder.mkdir()
    command = [sys.executable, "-m", "tui.cli", "train", str(file)]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, env=apart.environment, cwd=apart.folder, stdin=null, stdout=null, stderr=null)

    def weights() -> bytes:
        assert process.wait(300) == 0
        return apart.weights(apart.run())

    try:
        yield weights
    finally:
        process.kill()
        process.wait()


def watch_from_another_terminal(desk: Desk, run: RunReader) -> None:
    """The next sitting: the run is there, live, from its first epoch on, and acts on what it is asked."""
    send(run.path, Request("pause"))
    until(lambda: run.poll() and run.view.status == "paused")
    name = run.view.run.split("-", 1)[1]
    second = desk.sit_down()
    with closing(second):
        second.until("is being trained")
        assert name in second.line("is being trained")
        second.press("2")
        second.until(lambda: re.search(r"‖ +paused", second.text) and name in second.text)
        # Curves from the first epoch on, and the last epoch in the table.
        second.until(lambda: re.search(r"[⠀-⣿]{3}", second.text) and re.search("epoch 0 ", second.text))
        second.until(lambda: re.search(rf"│ ★? +{run.view.done} +\d\.\d", second.text))
        second.press("<space>")
        second.until(lambda: run.poll() and run.view.status != "paused")
        second.press("q")
        assert second.ended() == 0
    assert [asked.request for asked in run.view.controls] == ["pause", "resume"]


@pytest.mark.parametrize(
    ("epochs", "seconds"), [(250, 1.0), pytest.param(3000, 20.0, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_a_closed_terminal_leaves_the_training_alone(desk: Desk, figure: Figure, epochs: int, seconds: float) -> None:
    """Fault 18. The kernel's own SIGHUP; watched, paused and let go on from the next sitting."""
    file = desk.experiment(epochs)
    sitting = desk.sit_down("open", file)
    with closing(sitting), undisturbed(desk, file) as weights:
        run = sitting.begin_training(desk)
        sitting.hang_up()
        until(lambda: run.poll() and run.view.done >= 4)
        time.sleep(0.5)
        share = beside_training(sitting.pid, seconds)
        watch_from_another_terminal(desk, run)
        assert sitting.reaped(300) == 128 + signal.SIGHUP
        expected = weights()
    run.poll()
    figure("hundredths of a % of a processor beside the training, after SIGHUP", round(10_000 * share))
    assert run.view.status == "finished"
    assert share < MOST_BESIDE_TRAINING
    assert desk.weights(run) == expected


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [60.0])
def test_a_terminal_that_is_not_read_slows_nothing_and_comes_back(desk: Desk, figure: Figure, seconds: float) -> None:
    """Faults 19 and 20. Then one SIGTERM: a checkpoint, the terminal as it was, exit status 143."""
    sitting = desk.sit_down("open", desk.experiment(100_000))
    with closing(sitting):
        before = termios.tcgetattr(sitting.end)
        run = sitting.begin_training(desk)
        rates = []
        # Others may be busy on this machine: a rate that suffers from the terminal suffers every time.
        while not rates or (rates[-1] < LEAST_STEP_RATE and len(rates) < 3):
            free = sitting.steps_a_second(run, seconds / 3, read=True)
            sitting.stall()
            held = sitting.steps_a_second(run, seconds, read=False)
            come_back(sitting, run)
            rates.append(2 * held / (free + sitting.steps_a_second(run, seconds / 3, read=True)))
        figure("% of the step rate, while the terminal is not read", round(100 * rates[-1]))
        assert rates[-1] >= LEAST_STEP_RATE
        os.kill(sitting.pid, signal.SIGTERM)
        assert sitting.ended() == 128 + signal.SIGTERM
        assert_ordinary(sitting, before)
    assert_stopped_with_a_checkpoint(run.path)


def come_back(sitting: Sitting, run: RunReader) -> None:
    """Read the terminal again, and see the run where it is by now."""
    run.poll()
    sitting.press("2")

    def shown() -> bool:
        found = re.search(r"step ([\d,]+)", sitting.text)
        return found is not None and int(found[1].replace(",", "")) >= run.view.step

    sitting.until(shown)


def assert_ordinary(sitting: Sitting, attributes: list[object]) -> None:
    """The terminal is as a shell expects it: no other screen, no mouse, the cursor shown, echo on."""
    after = sitting.sent
    for on, off in (("?1049h", "?1049l"), ("?25l", "?25h"), ("?1003h", "?1003l"), ("?2004h", "?2004l")):
        assert after.rfind(f"\x1b[{off}") > after.rfind(f"\x1b[{on}"), on
    assert termios.tcgetattr(sitting.end) == attributes


def test_after_the_application_was_killed_the_next_one_offers_to_go_on(desk: Desk) -> None:
    """Fault 21. A line on the first screen names the run and the key; what goes on there outlives a line that is cut
    without a signal, and its learning rate is set, and it is stopped, from elsewhere."""
    file = desk.experiment(100_000, "checkpoint_minutes=0.01")
    first, second = desk.sit_down("open", file), None
    with closing(first):
        run = first.begin_training(desk)
        first.until(lambda: list(run.path.glob("checkpoints/step-*")))
        os.kill(first.pid, signal.SIGKILL)
        assert first.reaped() == -signal.SIGKILL
    run.poll()
    reached = run.view.done
    second = desk.sit_down(size=(80, 24), apart=True)
    with closing(second):
        second.until("was interrupted")
        line = second.line("was interrupted")
        assert run.view.run.split("-", 1)[1] in line
        assert ": R goes on with it" in line
        second.press("R")
        second.until(lambda: run.poll() and run.view.status == "running" and run.view.done > reached)
        assert "resumed at step" in " ".join(message.text for message in run.view.messages)
        second.until("2 Train ●")
        # Suspending it would suspend the training.
        second.press("<ctrl+z>")
        step = run.view.step
        second.until(lambda: run.poll() and run.view.step > step + 100)
        trainer = psutil.Process(run.view.owner["pid"])
        assert trainer.status() != psutil.STATUS_STOPPED
        second.hang_up()
        time.sleep(1.0)
        assert beside_training(trainer.pid, 1.0) < MOST_BESIDE_TRAINING
        send(run.path, Request("set_lr", 0.0125))
        until(lambda: run.poll() and run.view.lr == 0.0125)
        send(run.path, Request("stop"))
        psutil.wait_procs([trainer], 30)
        assert not trainer.is_running()
    assert_stopped_with_a_checkpoint(run.path)


SLEEPER = """
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


class Sleeper(torch.nn.Module):
    def forward(self, inputs):
        if not inputs.is_meta and len(inputs) == 63:
            Path("asleep").touch()
            time.sleep(600)
        return inputs
"""


def test_a_second_sigterm_ends_at_once_what_does_not_come_to_its_next_step(desk: Desk) -> None:
    """Fault 20, second half: the terminal is left as it was found, after a storm of sizes too."""
    (desk.folder / "sleeper.py").write_text(SLEEPER)
    config = desk.folder / "config" / "layerlab" / "settings.toml"
    config.parent.mkdir(parents=True)
    config.write_text('allow = ["sleeper"]\n')
    file = desk.experiment(5, "network.layers.0=Flatten()", "data.batch_size=63")
    text = file.read_text().replace('"Flatten()"', '"Flatten()", "sleeper:Sleeper()"')
    file.write_text(text)
    sitting = desk.sit_down("open", file)
    with closing(sitting):
        before = termios.tcgetattr(sitting.end)
        sitting.until("1 Compose")
        for size in ((1, 1), (500, 200), (2, 300), (80, 24), (300, 2), (79, 24), (120, 40)) * 3:
            sitting.resize(*size)
            sitting.read(0.02)
        sitting.until(lambda: "1 Compose" in sitting.text and "Recipe" in sitting.text)
        sitting.press("<ctrl+r>")
        sitting.until(lambda: (desk.folder / "asleep").exists())
        os.kill(sitting.pid, signal.SIGTERM)
        time.sleep(1.0)
        sitting.read()
        assert sitting.status is None
        os.kill(sitting.pid, signal.SIGTERM)
        began = time.monotonic()
        assert sitting.ended() == 128 + signal.SIGTERM
        # A batch takes ten minutes, and whatever else it could wait for longer than a busy machine.
        assert time.monotonic() - began < 30
        assert_ordinary(sitting, before)


@pytest.mark.soak
def test_sigterm_does_not_wait_for_a_terminal_that_is_not_read(desk: Desk) -> None:
    """Faults 19 and 20 together."""
    sitting = desk.sit_down("open", desk.experiment(100_000))
    with closing(sitting):
        run = sitting.begin_training(desk)
        sitting.stall()
        os.kill(sitting.pid, signal.SIGTERM)
        assert sitting.reaped(30) == 128 + signal.SIGTERM
    assert_stopped_with_a_checkpoint(run.path)
