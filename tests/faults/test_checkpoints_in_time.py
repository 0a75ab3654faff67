"""Checkpoints come often enough, cost little, and none goes that a resume, or a person, still wants."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.checkpoint
from engine import launch
from engine.checkpoint import CheckpointError, newest, read_checkpoint, write_checkpoint
from engine.checkpoint_plan import CheckpointPlan
from engine.control import Request
from engine.events import Checkpoint, CheckpointSaved, Message
from engine.launch.local import execute
from engine.store import files
from engine.store.retention import KEPT, kept, listed, look
from engine.store.saver import Saver
from engine.store.writer import RunWriter
from tests.engine.run_folders import Died, Faulty, checkpoint
from tests.engine.test_resume import assert_same_end, resume
from tests.engine.training import Interrupter, experiment, make_session, train

# ------------------------------------------------------------------------------------------------ when


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@settings(max_examples=200, deadline=None)
@given(
    minutes=st.floats(0.1, 10),
    epoch=st.integers(1, 400),
    copying=st.floats(0, 3),
    evaluation=st.integers(0, 50),
    every=st.none() | st.integers(1, 5),
)
def test_a_crash_costs_at_most_the_minutes_and_copies_at_most_five_percent(minutes, epoch, copying, evaluation, every):
    """Steps of a second: at no moment is the newest checkpoint older than asked for, and the time that saving takes
    (ten times the copying) stays below 5 %, but for what the minutes demand."""
    clock = Clock()
    plan = CheckpointPlan(minutes, every, clock)
    last, made, gap = 0.0, 0, 0.0

    def save() -> None:
        nonlocal last, made
        with plan.copying():
            clock.now += copying
        last, made = clock.now, made + 1

    for number in range(1, 1 + max(2, 1500 // epoch)):
        for _ in range(epoch):
            clock.now += 1.0
            gap = max(gap, clock.now - last)
            if plan.due:
                save()
        for _ in range(evaluation):
            clock.now += 1.0
            gap = max(gap, clock.now - last)
            if plan.due:
                save()
        if plan.due_after(number):
            save()
    assert gap <= minutes * 60 + 1.0
    if every is None:
        forced = clock.now / (minutes * 60) * 10 * copying
        assert made * 10 * copying <= 0.05 * clock.now + forced + 10 * copying
        assert made <= clock.now / min(10.0, minutes * 60) + 1


def steps_saved(events: list) -> list[tuple[int, int]]:
    return [(e.epoch, e.batch) for e in events if isinstance(e, Checkpoint) and e.kind == "step"]


def test_every_so_many_epochs_means_those_and_the_end():
    _, events = train(experiment("activation", "epochs=5", "checkpoint_epochs=2"))
    assert steps_saved(events) == [(2, 0), (4, 0), (5, 0)]


@pytest.mark.parametrize("request_", [Request("set_lr", 0.003), Request("add_epochs", 1)], ids=lambda r: r.name)
def test_what_was_asked_for_is_in_a_checkpoint_soon(request_, monkeypatch):
    """fault 25, after a crash: what was asked for since the last checkpoint holds, and the bits are the same."""
    monkeypatch.setattr("engine.checkpoint_plan.SECONDS", 0.0)
    spec = experiment("activation", "epochs=2", "checkpoint_epochs=100")
    session = make_session(spec, mailbox=Interrupter(5, request_))
    events = list(session.run())
    first = next(e for e in events if isinstance(e, Checkpoint) and e.kind == "step")
    assert (first.step, first.state["epochs"]) == (5, session.epochs)
    assert (first.state["lr"] == 0.003) is (request_.name == "set_lr")
    # What goes on from there is what would have come without the crash.
    assert_same_end((session, events), resume(spec, first, events))


def test_a_pause_saves_what_was_asked_for_once():
    spec = experiment("activation", "epochs=1", "checkpoint_minutes=1e-9")  # always due
    mailbox = Interrupter(5, Request("pause"), Request("add_epochs", 1))
    waits = []

    def wait(timeout: float) -> bool:
        waits.append(timeout)
        if len(waits) == 4:
            mailbox.put(Request("stop"))
        return True

    mailbox.wait = wait
    session = make_session(spec, mailbox=mailbox)
    # After each step, once while paused, and where it was stopped.
    assert steps_saved(list(session.run())) == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 4)]
    assert len(waits) == 4


def test_one_that_is_due_while_a_part_is_measured_is_made_there(monkeypatch):
    """An evaluation may take longer than all of the training before it."""
    spec = experiment("activation", "network.layers.2=Dropout(0.1)", "epochs=2")
    monkeypatch.setattr("engine.evaluation.BATCH", 64)
    monkeypatch.setattr("engine.evaluation.BATCH_BYTES", 1)
    whole = train(spec)
    looks = Clock()

    def look() -> float:
        looks.now += 1.0
        return looks.now

    # The loop looks at the clock once a step, and once a batch of evaluation.
    session = make_session(spec)
    session._plan = CheckpointPlan((session.batches + 2.5) / 60, 100, look)
    events = list(session.run())
    first = next(e for e in events if isinstance(e, Checkpoint) and e.kind == "step")
    assert (first.epoch, first.batch) == (0, session.batches)
    assert_same_end(whole, (session, events))
    assert_same_end(whole, resume(spec, first, events))


# ---------------------------------------------------------------------------------------------- what is kept

SAVES = st.fixed_dictionaries(
    {
        "best": st.booleans(),
        "pin": st.sampled_from([False, False, True]),
        "fault": st.none() | st.sampled_from(["eio", "enospc", "dies", "eio for good"]),
        "at": st.integers(1, 70),
        "then": st.sampled_from(["", "", "", "damage", "resume"]),
    }
)


class Reading(Faulty):
    """Reads fail, too."""

    def read(self, descriptor, size):
        self._act()
        return super().read(descriptor, size)


class Store:
    """A folder of checkpoints, and what must be in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step, self.value, self.best = 0, 0.0, None
        self.safe: list[tuple[int, float, int | None]] = []  # saved, in order
        self.pinned: list[tuple[int, float, int | None]] = []

    def save(self, save: dict) -> None:
        self.step, self.value = self.step + 10, self.value + 1.0
        layer = Faulty()
        if save["fault"]:
            number = errno.ENOSPC if save["fault"] == "enospc" else errno.EIO
            layer = Reading(save["at"], number, save["fault"] == "eio for good", save["fault"] == "dies")
        died = False
        before = self.best
        with patch.object(files, "system", layer):
            try:
                if save["best"]:
                    write_checkpoint(self.folder, checkpoint(self.step, "best", value=self.value))
                    self.best = self.step
                made = checkpoint(self.step, best=self.best, value=self.value)
                made = Checkpoint(*[getattr(made, n) for n in made.__slots__[:-1]], pinned=save["pin"])
                write_checkpoint(self.folder, made)
                self.safe.append((self.step, self.value, self.best))
                if save["pin"]:
                    self.pinned.append(self.safe[-1])
            except Died:
                died = True
            except (OSError, CheckpointError):
                # It stays where it is: the same process tries again with the next.
                self.best = before if self.best != self.step else self.best
        self.check()
        if save["then"] == "damage" and len({entry[0] for entry in self.safe}) > 1 and not died:
            self.damage()
        if died or save["then"]:
            self.resume()

    def damage(self) -> None:
        """The newest one loses its last byte, where one before it is whole."""
        whole = [path for path in listed(self.folder, "step") if look(path).whole]
        if len(whole) < 2:
            return
        weights = whole[-1] / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        step = look(whole[-1]).step
        self.safe = [entry for entry in self.safe if entry[0] != step]
        self.pinned = [entry for entry in self.pinned if entry[0] != step]

    def resume(self) -> None:
        saved, _ = newest(self.folder)
        if saved is None:
            assert not self.safe
            self.step, self.best = 0, None
            return
        self.step = saved.step
        self.best = (saved.state["best"] or {}).get("step")
        # What was saved later belongs to another past now.
        self.safe = [entry for entry in self.safe if entry[0] <= self.step]

    def check(self) -> None:
        saved, _ = newest(self.folder)
        if self.safe:
            assert saved is not None
            assert saved.step >= self.safe[-1][0]
        if saved is not None:
            best = (saved.state["best"] or {}).get("step")
            assert best is None or newest(self.folder, "best", best)[0] is not None, f"best {best}"
        for step, value, best in self.pinned:
            found = [path for path in listed(self.folder, "step") if look(path).step == step and look(path).pinned]
            values = [
                read_checkpoint(path).networks["model"]["0.weight"][0, 0].item() for path in found if look(path).whole
            ]
            assert value in values, f"pinned {step}"
            assert best is None or newest(self.folder, "best", best)[0] is not None, f"best {best} of pinned {step}"

    def check_size(self) -> None:
        """After a save that nothing disturbed no more is there than has to be."""
        self.save({"best": True, "pin": False, "fault": None, "at": 0, "then": ""})
        self.save({"best": False, "pin": False, "fault": None, "at": 0, "then": ""})
        found = kept(self.folder)
        assert len([one for one in found if one.kind == "step" and not one.pinned]) <= KEPT
        # A step refers to best weights by their step: of several courses that were best at the same one all are kept.
        bests = {one.step for one in found if one.kind == "best"}
        assert len(bests) <= KEPT + 1 + sum(one.pinned for one in found)


def sweep(saves: list[dict]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        store = Store(folder)
        for save in saves:
            store.save(save)
        store.check_size()
    finally:
        shutil.rmtree(folder)


@settings(max_examples=40, deadline=None)
@given(st.lists(SAVES, min_size=1, max_size=10))
def test_retention_removes_nothing_that_a_resume_or_a_person_wants(saves):
    """Random saves, pins, disk errors, crashes, damage and resumes."""
    sweep(saves)


@pytest.mark.soak
def test_retention_removes_nothing_over_hundreds_of_long_sequences(figure):
    """The same, longer and more of them."""

    @settings(max_examples=400, deadline=None)
    @given(st.lists(SAVES, min_size=5, max_size=30))
    def many(saves):
        figure("saves, pins, disk errors and crashes of checkpoints in random order", len(saves))
        sweep(saves)

    many()


def test_pinning_one_that_lies_there_already_is_seen_and_the_weights_stay(tmp_path):
    first = write_checkpoint(tmp_path, checkpoint(10)).path
    assert not look(first).pinned
    weights = (first / "model.safetensors").stat().st_ino
    made = checkpoint(10)
    made = Checkpoint(*[getattr(made, n) for n in made.__slots__[:-1]], pinned=True)
    assert write_checkpoint(tmp_path, made).path == first
    assert look(first).pinned
    assert (first / "model.safetensors").stat().st_ino == weights
    for step in range(20, 60, 10):
        write_checkpoint(tmp_path, checkpoint(step))
    assert [(one.step, one.pinned) for one in kept(tmp_path)] == [(10, True), (40, False), (50, False)]
    assert newest(tmp_path)[0].step == 50


def test_a_disk_that_fails_for_a_while_loses_no_pinned_checkpoint_and_no_best_weights(tmp_path, monkeypatch):
    """What waits is saved in the order it was made, so that no step refers to best weights that went before it came."""
    monkeypatch.setattr("engine.store.saver.RETRY_SECONDS", 0.05)
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(files, "system", Faulty(1, errno.ENOSPC, for_good=True))
    said = []
    saver = Saver(tmp_path, said.append)

    def step(number: int, best: int, pinned: bool) -> Checkpoint:
        made = checkpoint(number, best=best)
        return Checkpoint(*[getattr(made, n) for n in made.__slots__[:-1]], pinned=pinned)

    for event in (checkpoint(10, "best"), step(10, 10, True), checkpoint(20, "best"), step(20, 20, False)):
        saver.put(event)
    saver.put(step(30, 20, False))
    until = time.monotonic() + 20
    while not any(isinstance(event, Message) for event in said):
        assert time.monotonic() < until
        time.sleep(0.01)
    monkeypatch.setattr(files, "system", files.FileLayer())
    saver.close()
    found = {(one.kind, one.step): one for one in kept(tmp_path / "checkpoints")}
    assert set(found) == {("best", 10), ("best", 20), ("step", 10), ("step", 30)}
    assert found["step", 10].pinned
    assert all(one.whole for one in found.values())
    assert [e.step for e in said if isinstance(e, CheckpointSaved) and e.kind == "step"] == [10, 30]


def test_the_memory_of_pinned_checkpoints_that_wait_is_bounded_and_told(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(Saver, "_run", lambda self: None)
    said = []
    saver = Saver(tmp_path, said.append)
    for number in range(10, 70, 10):
        made = checkpoint(number)
        saver.put(Checkpoint(*[getattr(made, n) for n in made.__slots__[:-1]], pinned=True))
    assert [item.step for item in saver._waiting] == [40, 50, 60]
    assert [e.step for e in said if "given up" in e.text] == [10, 20, 30]
    saver.close()


def test_a_pinned_checkpoint_that_is_being_written_is_not_given_up(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    began, go = threading.Event(), threading.Event()
    write = engine.checkpoint.write_checkpoint

    def slow(folder: Path, made: Checkpoint) -> object:
        began.set()
        assert go.wait(20)
        return write(folder, made)

    monkeypatch.setattr(engine.checkpoint, "write_checkpoint", slow)
    said: list[object] = []
    saver = Saver(tmp_path, said.append)
    for number in range(10, 60, 10):
        made = checkpoint(number)
        saver.put(Checkpoint(*[getattr(made, n) for n in made.__slots__[:-1]], pinned=True))
        assert began.wait(20)
    go.set()
    saver.close()
    assert [e.step for e in said if isinstance(e, CheckpointSaved)] == [10, 40, 50]
    assert [e.step for e in said if not isinstance(e, CheckpointSaved)] == [20, 30]


@pytest.mark.parametrize("size", ["9" * 400, "-5", "1e999"])
def test_a_manifest_with_sizes_that_no_file_has_is_that_of_a_damaged_checkpoint(tmp_path, size):
    path = tmp_path / "step-000000001"
    path.mkdir()
    (path / "manifest.json").write_text(f'{{"files": {{"state.json": {{"size": {size}}}}}}}')
    assert [(one.bytes, one.whole) for one in kept(tmp_path)] == [(0, False)]


def test_a_pinned_checkpoint_of_a_run_outlives_all_that_come_after_it(tmp_path):
    spec = experiment("activation", "epochs=5", "checkpoint_epochs=1")
    path = launch.prepare_run(spec, tmp_path, tmp_path)
    mailbox = Interrupter(5, Request("pin_checkpoint"))
    execute(launch.Arguments(path, tmp_path), mailbox, RunWriter(path, mailbox))
    steps = [one for one in kept(path / "checkpoints") if one.kind == "step"]
    assert (steps[0].step, steps[0].pinned) == (4, True)
    assert [one.pinned for one in steps[1:]] == [False] * (len(steps) - 1)
    assert len(steps) in (2, 3)  # those of short epochs are left out where a newer one comes before they are saved
    saved = read_checkpoint(steps[0].path)
    assert (saved.epoch, saved.batch) == (0, 4)
    assert all(torch.isfinite(tensor).all() for tensor in saved.networks["model"].values())
