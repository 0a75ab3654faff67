"""Launchers leave the same folder; a run goes on in another process to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine import checkpoint, launch
from engine.control import Request
from engine.errors import RequestError, SpecError
from engine.events import Checkpoint, Event
from engine.launch.local import execute
from engine.spec import Experiment
from engine.store.folder import create_run
from engine.store.writer import RunWriter
from tests.engine.test_resume import HARD, STEPS, tensors_of
from tests.engine.training import Interrupter, experiment
from tests.faults.trainer import Trainer
from tests.watching import assert_stopped_with_a_checkpoint, until, view_of

NOWHERE = Path("nowhere")


def trained(spec: Experiment, store: Path, mailbox: Interrupter | None = None) -> Path:
    path = launch.prepare_run(spec, store, NOWHERE)
    mailbox = mailbox or Interrupter(-1)
    execute(launch.Arguments(path, NOWHERE), mailbox, RunWriter(path, mailbox))
    return path


def end_of(path: Path) -> checkpoint.Saved:
    saved, problems = checkpoint.newest(path / "checkpoints")
    assert not problems
    assert saved is not None
    return saved


def assert_same(one: Path, other: Path) -> None:
    for part in ("networks", "optimizer", "state"):
        wanted, found = tensors_of(getattr(end_of(one), part)), tensors_of(getattr(end_of(other), part))
        assert wanted.keys() == found.keys()
        for key, tensor in wanted.items():
            assert torch.equal(tensor, found[key]), f"{part}{key}"
    assert [row.metrics for row in view_of(one).history] == [row.metrics for row in view_of(other).history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(experiment("batchnorm", *HARD), tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    """A process that has trained nothing yet, and trains each run in a fork of itself."""
    trainer = Trainer()
    yield trainer
    trainer.close()


@pytest.mark.parametrize(
    "looks", [2, 9, STEPS + 1, STEPS + 2], ids=["first step", "mid-epoch", "last step of an epoch", "while evaluating"]
)
def test_a_run_stopped_at_a_step_goes_on_in_a_new_process_to_the_same_bits(looks, undisturbed, trainer, tmp_path):
    path = trained(experiment("batchnorm", *HARD), tmp_path, Interrupter(looks, Request("stop")))
    assert view_of(path).status == "stopped"
    trainer.train(path, resume=True)
    while trainer.line() != "ended":
        pass
    view = view_of(path)
    assert (view.status, view.done) == ("finished", 3), view.reason
    assert_same(undisturbed, path)


def test_a_run_stopped_in_this_process_is_resumed_by_the_launcher_of_processes(undisturbed, tmp_path):
    path = trained(experiment("batchnorm", *HARD), tmp_path, Interrupter(5, Request("stop")))
    handle = launch.start(path, launcher="process", data_folder=NOWHERE, resume=True)
    handle.join(120)
    view = view_of(path)
    assert (view.status, view.done) == ("finished", 3), view.reason
    assert_same(undisturbed, path)


def test_thread_and_process_leave_the_same_folder(tmp_path):
    spec = experiment("batchnorm")
    paths = {}
    for launcher in launch.LAUNCHERS:
        path = launch.prepare_run(spec, tmp_path, NOWHERE)
        handle = launch.start(path, launcher=launcher, data_folder=NOWHERE)
        handle.join(120)
        assert not handle.alive
        paths[launcher] = path
    names = {launcher: {entry.name for entry in path.iterdir()} for launcher, path in paths.items()}
    assert names["process"] - {"console.log"} == names["thread"]
    assert view_of(paths["thread"]).status == view_of(paths["process"]).status == "finished"
    assert_same(*paths.values())


def test_two_runs_side_by_side_do_not_touch_each_other(tmp_path):
    spec = experiment("batchnorm", "network.layers.3=Dropout(0.5)")
    alone = trained(spec, tmp_path)
    paths = [launch.prepare_run(spec, tmp_path, NOWHERE) for _ in range(2)]
    handles = [launch.start(path, launcher="process", data_folder=NOWHERE) for path in paths]
    for handle, path in zip(handles, paths, strict=True):
        handle.join(120)
        assert_same(alone, path)


def test_one_session_at_a_time_in_a_process(tmp_path):
    spec = experiment("batchnorm", "epochs=1000")
    first, second = (launch.prepare_run(spec, tmp_path, NOWHERE) for _ in range(2))
    handle = launch.start(first, data_folder=NOWHERE)
    try:
        with pytest.raises(RequestError, match="already trains"):
            launch.start(second, data_folder=NOWHERE)
    finally:
        handle.request(Request("stop"))
        handle.join(60)
    assert view_of(first).status == "stopped"


def test_sigterm_stops_with_a_checkpoint_and_leaves_with_143(tmp_path):
    path = launch.prepare_run(experiment("batchnorm", "epochs=100000"), tmp_path, NOWHERE)
    command = [sys.executable, "-m", "engine.launch.process", str(path), "--data", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: view_of(path).done >= 2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        process.kill()
    assert_stopped_with_a_checkpoint(path)


def test_a_run_that_fails_says_why_and_the_next_one_starts(tmp_path):
    failed = trained(experiment("mlp", "optimizer=SGD(lr=1e6)", "epochs=50"), tmp_path)
    view = view_of(failed)
    assert view.status == "failed"
    assert "learning rate 1e+06" in view.reason
    assert view_of(trained(experiment("mlp"), tmp_path)).status == "finished"


def test_missing_data_makes_no_folder_and_is_the_reason_of_a_run_that_loses_it(tmp_path):
    spec = experiment("mlp", "data.source=MNIST()")
    with pytest.raises(RequestError, match="MNIST"):
        launch.prepare_run(spec, tmp_path, NOWHERE)
    assert not list(tmp_path.iterdir())
    path = create_run(tmp_path, spec, {})
    execute(launch.Arguments(path, NOWHERE), Interrupter(-1), RunWriter(path))
    view = view_of(path)
    assert view.status == "failed"
    assert "MNIST" in view.reason


def test_a_network_that_does_not_fit_makes_no_folder(tmp_path):
    with pytest.raises(SpecError, match="layer 0") as caught:
        launch.prepare_run(experiment("mlp", "network.layers.0=Conv1d(3, 3)"), tmp_path, NOWHERE)
    assert caught.value.field == "layer 0"
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_serves(tmp_path, undisturbed):
    spec = experiment("batchnorm", *HARD)
    path = trained(spec, tmp_path, Interrupter(9, Request("checkpoint"), Request("set_lr", 0.05), Request("stop")))
    assert len(list((path / "checkpoints").glob("step-*"))) == 1  # the same step, saved once
    weights = next((path / "checkpoints").glob("step-*")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    execute(launch.Arguments(path, NOWHERE, resume=True), Interrupter(-1), RunWriter(path, resume=True))
    view = view_of(path)
    assert view.status == "finished"
    assert any("begins anew" in message.text for message in view.messages)
    assert_same(undisturbed, path)


def test_an_exception_in_the_loop_ends_the_run_with_its_name(tmp_path, monkeypatch):
    def broken(self: object) -> list[Event]:
        raise ZeroDivisionError("somebody's bug")

    monkeypatch.setattr("engine.session.Session.run", broken)
    view = view_of(trained(experiment("mlp"), tmp_path))
    assert view.status == "failed"
    assert view.reason == "ZeroDivisionError: somebody's bug"
    assert any("Traceback" in message.text for message in view.messages)


class Later(Interrupter):
    """One request at one look, another one at a later look."""

    def __init__(self, first: tuple[int, Request], second: tuple[int, Request]) -> None:
        super().__init__(first[0], first[1])
        self._second = (second[0] - first[0], second[1])

    def take(self) -> list[Request]:
        taken = super().take()
        if self._second is not None and taken:
            (self._looks, falling), self._second = self._second, None
            self._falling = (falling,)
        return taken


def test_an_epoch_that_is_measured_again_after_a_resume_is_recorded_once(tmp_path, undisturbed):
    # Saved while the first epoch is evaluated, and ended without another checkpoint in the second.
    moments = ((STEPS + 2, Request("checkpoint")), (STEPS + 10, Request("discard")))
    path = trained(experiment("batchnorm", *HARD), tmp_path, Later(*moments))
    assert [row.epoch for row in view_of(path).history] == [1]
    assert (end_of(path).epoch, end_of(path).step) == (0, STEPS)
    execute(launch.Arguments(path, NOWHERE, resume=True), Interrupter(-1), RunWriter(path, resume=True))
    assert [row.epoch for row in view_of(path).history] == [1, 2, 3]
    assert_same(undisturbed, path)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("lone \ud800 surrogate, \x1b[31mred\x00 and\nlines"), "RuntimeError: lone"),
        (Unspeakable(), "Unspeakable"),
        (SystemExit(3), "SystemExit: 3"),
        (RuntimeError("x" * 10_000_000), "RuntimeError: xxx"),
    ],
)
def test_whatever_ends_the_loop_is_the_reason_that_the_run_records(error, reason, tmp_path, monkeypatch):
    def broken(self: object) -> list[Event]:
        raise error

    monkeypatch.setattr("engine.session.Session.run", broken)
    view = view_of(trained(experiment("mlp"), tmp_path))
    assert view.status == "failed"
    assert view.reason.startswith(reason)
    assert len(view.reason) < 1000


def test_a_process_does_not_import_what_lies_where_it_was_started(tmp_path, monkeypatch):
    path = launch.prepare_run(experiment("mlp", "epochs=1"), tmp_path, NOWHERE)
    (tmp_path / "engine.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "random.py").write_text("raise SystemExit('nor this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    launch.start(path, launcher="process", data_folder=NOWHERE).join(60)
    assert view_of(path).status == "finished"
    imported = (path / "console.log").read_text()
    assert " torch\n" in imported
    assert "torchvision" not in imported  # takes longer to import than torch, and nothing here needs it


def test_long_runs_leave_a_checkpoint_every_few_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.checkpoint_plan.SECONDS", 0.0)
    monkeypatch.setattr("engine.checkpoint_plan.COPIES", 0)
    path = launch.prepare_run(experiment("batchnorm", "epochs=4"), tmp_path, NOWHERE)
    saved: list[tuple[int, str]] = []
    mailbox = Interrupter(-1)
    with RunWriter(path, mailbox) as writer:
        put = writer.put

        def noted(event: Event) -> None:
            if isinstance(event, Checkpoint):
                saved.append((event.step, event.kind))
            put(event)

        monkeypatch.setattr(writer, "put", noted)
        execute(launch.Arguments(path, NOWHERE), mailbox, writer)
    steps = [step for step, kind in saved if kind == "step"]
    assert steps[:4] == [23, 46, 69, 92]
    # A step refers to best weights that were handed over before it.
    assert saved.index((23, "best")) < saved.index((23, "step"))


def test_memory_that_is_not_there_is_told_in_words(tmp_path, monkeypatch):
    def greedy(self: object) -> list[Event]:
        torch.empty(1 << 60)
        return []

    monkeypatch.setattr("engine.session.Session.run", greedy)
    view = view_of(trained(experiment("mlp"), tmp_path))
    assert view.reason.startswith("out of memory")
    assert "take a smaller network" in view.reason
