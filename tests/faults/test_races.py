"""Readers that look at a run while others write it, resume it and die in it: every picture is consistent."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import EpochEnded, Message
from engine.store import files
from engine.store.folder import create_run
from engine.store.index import StoreIndex
from engine.store.listing import summarize
from engine.store.reader import RunReader
from engine.store.view import RunView
from engine.store.writer import RunWriter
from tests.engine.run_folders import experiment, progress, started
from tests.faults.processes import FORK
from tests.watching import until, view_of
from tui.watching import RunWatch

STEPS = 10  # an epoch has so many
STATUSES = ("starting", "running", "interrupted", "stopped")


class Dripping(files.FileLayer):
    """Writes a few bytes at a time: whoever looks in between finds half a line."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def write(self, descriptor: int, data: memoryview) -> int:
        part = data[: self._chance.randint(1, 60)] if self._chance.random() < 0.7 else data
        return os.write(descriptor, part)


def loss_of(step: int) -> float:
    """What the loss of each step is: what a reader finds can be told by looking at it."""
    return step / 8


def write_and_resume(path: Path, seconds: float) -> None:
    """Sessions of some tenths of a second: some are closed, some end with the process, each goes on from a step before
    the last one."""
    end, step = time.monotonic() + seconds, 0
    for number in itertools.count():
        process = FORK.Process(target=one_session, args=(path, number, step))
        process.start()
        process.join()
        reached = max(view_of(path).step, 0)
        if time.monotonic() >= end:
            return
        step = max(reached - random.Random(number).randint(0, 35), 0) // STEPS * STEPS


def one_session(path: Path, number: int, step: int) -> None:
    chance = random.Random(number)
    files.system = Dripping(chance)
    writer = RunWriter(path, resume=number > 0, resumed_step=step if number else None, telemetry=False)
    writer.put(started(10_000, step, step // STEPS))
    writer.status("running")
    end = time.monotonic() + chance.uniform(0.3, 0.9)
    while time.monotonic() < end:
        for _ in range(chance.randint(1, 12)):
            step += 1
            writer.put(progress(step, loss_of(step)))
            if step % STEPS == 0:
                epoch = step // STEPS
                writer.put(EpochEnded(epoch, step, {"val/loss": 1 / epoch}, {"train": 1.0}, True, 640))
                writer.put(Message("info", f"epoch {epoch}: " + "x" * chance.randint(0, 500)))
        time.sleep(0.01)
    if chance.random() < 0.5:
        os._exit(0)
    writer.close("stopped")


class Consistency:
    """Looks at one reader's picture again and again, and compares it with the one before."""

    def __init__(self) -> None:
        self.pictures = 0
        self.resumes = 0
        self._owner: object = None
        self._step = 0

    def look(self, view: RunView) -> None:
        self.pictures += 1
        assert view.status in STATUSES
        assert (view.problem, view.skipped_lines) == (None, 0)
        # A session begins with the line that tells its owner; its file is there a moment before.
        if view.owner != self._owner:
            self.resumes += self._owner is not None
        else:
            assert view.step >= self._step, "steps went back within a session"
        self._owner, self._step = view.owner, view.step
        assert [row.epoch for row in view.history] == list(range(1, len(view.history) + 1))
        for row in view.history[-50:]:
            assert (row.step, row.metrics) == (row.epoch * STEPS, {"val/loss": 1 / row.epoch})
        before = 0
        for step, epoch, loss in view.curve:
            # Of a long run some steps are one point: its mean lies between theirs.
            assert before < step <= view.step
            assert epoch == pytest.approx(step / STEPS)
            assert loss_of(before) < loss <= loss_of(step)
            before = step
        if view.best is not None:
            assert view.best["epoch"] == len(view.history)


def race(store: Path, seconds: float, figure: Callable[[str, int], None]) -> None:
    path = create_run(store, experiment(), {})
    process = FORK.Process(target=write_and_resume, args=(path, seconds))
    process.start()
    following, watching = RunReader(path), RunWatch(path)
    pictures = [Consistency() for _ in range(3)]
    index, rows = StoreIndex(store), {}
    while process.is_alive():
        following.poll()
        pictures[0].look(following.view)
        watching.poll()
        pictures[1].look(watching.view)
        if pictures[0].pictures % 20 == 0:
            # Whoever comes new reads all of it, which takes longer the longer it is.
            pictures[2].look(view_of(path))
        row = summarize(path)
        for changes in index.refresh():
            assert not changes.removed
            rows.update({found.run: found for found in changes.changed})
        for found in (row, *rows.values()):
            assert (found.status in STATUSES, found.problem) == (True, None), found
            assert found.epochs in (3, 10_000)
            assert found.last is None or found.last["metrics"] == {"val/loss": 1 / found.last["epoch"]}
    process.join()
    assert process.exitcode == 0
    last = view_of(path)
    # Who followed it through all sessions sees what those see that come later; for the owner is looked once a second.
    until(lambda: following.poll() or following.view.status == last.status)
    assert (following.view.history, following.view.step) == (last.history, last.step)
    figure("pictures of a run taken while it was written", sum(one.pictures for one in pictures))
    figure("resumes that were read while they happened", sum(one.resumes for one in pictures[:2]))
    assert pictures[0].resumes
    assert pictures[0].pictures > 10


def test_every_picture_of_a_run_that_is_being_written_is_consistent(
    tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 9."""
    race(tmp_path, 1.5, figure)


@pytest.mark.soak
def test_a_reader_races_a_writer_for_a_minute(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 9, a minute."""
    race(tmp_path, 60, figure)
