"""Runs for the tests of the store: made and written by the real thing, without a training behind them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from engine.events import Checkpoint, EpochEnded, Progress, Started
from engine.spec import Experiment, parse_experiment
from engine.store import files
from engine.store.folder import create_run
from engine.store.writer import RunWriter

TOML = """
name = "NAME"
optimizer = "SGD(lr=0.1)"
epochs = 3

[data]
source = "Digits()"

[network]
layers = ["Flatten()", "Linear(classes)"]
"""


def experiment(name: str = "plain") -> Experiment:
    return parse_experiment(TOML.replace("NAME", name))


def new_run(store: Path, name: str = "plain") -> Path:
    return create_run(store, experiment(name), {"host": "here"})


def started(epochs: int = 3, start_step: int = 0, start_epoch: int = 0) -> Started:
    return Started(
        "cpu", "fp32", epochs, 10, 64, 640, 64, None, 650, 650, (1, 8, 8), ("a", "b"),
        ({"path": "0", "call": "Flatten()"},), {"total": 1000}, start_epoch, start_step,
    )  # fmt: skip


def progress(step: int, loss: float = 0.5) -> Progress:
    return Progress(step, step // 10 + 1, step % 10, 10, loss, 0.1, 1000.0, step * 0.1)


def ended(epoch: int, best: bool = True, **metrics: float) -> EpochEnded:
    return EpochEnded(epoch, epoch * 10, {"val/loss": 1 / epoch, **metrics}, {"train": float(epoch)}, best, 640)


def checkpoint(step: int, kind: str = "step", best: int | None = None, value: float = 1.0) -> Checkpoint:
    weights = {"model": {"0.weight": torch.full((3, 2), value), "0.bias": torch.arange(3.0)}}
    state = {
        "best": None if best is None else {"step": best},
        "generators": {"cpu": torch.arange(9, dtype=torch.uint8)},
    }
    optimizer = None if kind == "best" else {"model": {"state": {0: {"momentum_buffer": torch.ones(3, 2) * step}}}}
    return Checkpoint(step, step // 10, step % 10, kind, weights, optimizer, state)


def trained_run(store: Path, name: str = "plain", epochs: int = 2, status: str = "finished") -> Path:
    """A run that was written from beginning to end."""
    path = new_run(store, name)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started(epochs))
        writer.status("running")
        for epoch in range(1, epochs + 1):
            writer.put(progress(epoch * 10 - 5, 1 / epoch))
            writer.put(ended(epoch))
        writer.close(status)
    return path


class Died(BaseException):
    """Stands in for the end of the process."""


class Faulty(files.FileLayer):
    """Counts operations, and fails number `fail_at` (from 1), once or from there on, or "dies" there for good."""

    def __init__(self, fail_at: int = 0, error: int = 5, for_good: bool = False, dies: bool = False) -> None:
        self.count = 0
        self.fail_at, self.error, self.for_good, self.dies = fail_at, error, for_good, dies

    def _act(self) -> None:
        self.count += 1
        if self.fail_at and (
            self.count == self.fail_at or (self.count > self.fail_at and (self.for_good or self.dies))
        ):
            if self.dies:
                raise Died
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path, flags, mode=0o644):
        self._act()
        return super().open(path, flags, mode)

    def write(self, descriptor, data):
        if self.dies and self.count + 1 == self.fail_at:
            # Half of it reaches the disk.
            super().write(descriptor, data[: len(data) // 2])
        self._act()
        return super().write(descriptor, data)

    def fsync(self, descriptor):
        # Counted, not done: the machine stays up, and thousands of them take long.
        self._act()

    def close(self, descriptor):
        super().close(descriptor)
        self._act()

    def replace(self, source, target):
        self._act()
        super().replace(source, target)

    def rename(self, source, target):
        self._act()
        super().rename(source, target)

    def mkdir(self, path):
        self._act()
        super().mkdir(path)

    def unlink(self, path):
        self._act()
        super().unlink(path)

    def rmtree(self, path):
        self._act()
        super().rmtree(path)
