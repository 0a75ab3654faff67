"""A training that is killed while it saves loses what came after its last checkpoint, and nothing else."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import checkpoint
from engine.spec import Experiment, parse_experiment
from engine.store.folder import create_run
from tests.engine.test_resume import tensors_of
from tests.faults.trainer import Trainer
from tests.watching import until, view_of

ROUNDS = 10
# It saves as often as it can, and each save takes some tens of milliseconds. Dropout and momentum have a state, too.
TOML = """
name = "killed"
epochs = 8
optimizer = "SGD(lr=0.01, momentum=0.9)"
checkpoint_minutes = 0.0005

[data]
source = "Digits()"

[network]
layers = ["Flatten()", "Linear(500)", "ReLU()", "Dropout(0.2)", "Linear(500)", "ReLU()", "Linear(classes)"]
"""


@pytest.fixture(scope="module")
def trainer() -> Iterator[Trainer]:
    trainer = Trainer()
    yield trainer
    trainer.close()


def to_its_end(trainer: Trainer, path: Path, resume: bool) -> checkpoint.Saved:
    trainer.train(path, resume)
    while trainer.line() != "ended":
        pass
    assert view_of(path).status == "finished", view_of(path).reason
    saved, problems = checkpoint.newest(path / "checkpoints")
    assert not problems
    assert saved is not None
    assert not list((path / "checkpoints").glob(".tmp-*"))
    return saved


def told(path: Path, name: str) -> list[list[dict[str, Any]]]:
    """The events of that name, session by session."""
    return [
        [event for line in file.read_bytes().split(b"\n")[:-1] if (event := json.loads(line))["event"] == name]
        for file in sorted(path.glob("events.*"))
    ]


def kill_while_saving(trainer: Trainer, path: Path, resume: bool, chance: random.Random) -> bool | None:
    """Train until a save, one of the first, and kill at a random moment from its beginning on.

    Whether that came before the checkpoint was there; None where training had come to its end.
    """
    saves = chance.randint(1, 3)
    pid = trainer.train(path, resume)
    while saves:
        line = trainer.line()
        if line == "ended":
            return None
        saves -= line == "saving"
    time.sleep(chance.uniform(0.0, 0.05))
    os.kill(pid, signal.SIGKILL)
    lines = []
    while (line := trainer.line()) != "ended":
        lines.append(line)
    return "saved" not in lines


def killed_again_and_again(trainer: Trainer, store: Path, rounds: int, figure: Callable[[str, int], None]) -> None:
    experiment: Experiment = parse_experiment(TOML)
    undisturbed = to_its_end(trainer, create_run(store, experiment, {}), resume=False)
    chance = random.Random(rounds)
    path, resume, step, killed = create_run(store, experiment, {}), False, 0, 0
    while True:
        if killed < rounds:
            unfinished = kill_while_saving(trainer, path, resume, chance)
        else:
            to_its_end(trainer, path, resume)
        for started in told(path, "Started")[-1]:
            # It went on from the newest one that was there, and not from one before it.
            assert started["start_step"] == step
        if view_of(path).status == "finished":
            saved, problems = checkpoint.newest(path / "checkpoints")
            assert not problems
            assert saved is not None
            for part in ("networks", "optimizer", "state"):
                wanted, found = tensors_of(getattr(undisturbed, part)), tensors_of(getattr(saved, part))
                assert wanted.keys() == found.keys()
                for key, tensor in wanted.items():
                    assert torch.equal(tensor, found[key]), f"{part}{key}"
            figure("runs killed while saving whose weights are those of an undisturbed one", 1)
            if killed >= rounds:
                return
            path, resume, step = create_run(store, experiment, {}), False, 0
            continue
        killed += 1
        figure("kills at a random moment of a save", 1)
        figure("of these within the writing of the checkpoint", int(unfinished is True))
        assert until(lambda path=path: view_of(path).status == "interrupted")
        saved, problems = checkpoint.newest(path / "checkpoints")
        # What lies there under a checkpoint's name is whole: a kill leaves no half one to go back from.
        assert problems == []
        newest = saved.step if saved is not None else 0
        assert newest >= max(
            [step, *(event["step"] for event in told(path, "CheckpointSaved")[-1] if event["kind"] == "step")]
        )
        step, resume = newest, True


def test_a_run_killed_while_it_saves_goes_on_from_its_newest_checkpoint(
    trainer: Trainer, tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 2."""
    killed_again_and_again(trainer, tmp_path, ROUNDS, figure)


@pytest.mark.soak
def test_two_hundred_kills_at_a_random_moment_of_a_save(
    trainer: Trainer, tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 2, 200 rounds."""
    killed_again_and_again(trainer, tmp_path, 200, figure)
