"""Training without training: writes a run's folder as the test wants it, and answers requests at once."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from engine.control import Request
from engine.errors import LayerlabError
from engine.events import (
    Controlled,
    EpochEnded,
    Event,
    Message,
    Opened,
    Progress,
    Started,
    StatusChanged,
    Telemetry,
    to_line,
)
from engine.presets import preset
from engine.spec import Experiment
from engine.store.owner import begin, this_process
from tui.app import LayerlabApp
from tui.checker import engine_check
from tui.state import State

RUN = "20260115T142233Z-batchnorm-k3f9"
BEGAN = 1_768_487_000.0
MODULES = (
    {"path": "0", "call": "Flatten()", "output_shape": [64], "parameters": 0, "trainable": 0, "macs": 0, "depth": 0},
    {"path": "1", "call": "Linear(300)", "output_shape": [300], "parameters": 19500, "trainable": 19500, "depth": 0},
    {"path": "2", "call": "Linear(classes)", "output_shape": [10], "parameters": 3010, "trainable": 3010, "depth": 0},
)


class FakeTraining:
    """A Training whose run says what the test has it say."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.requests: list[Request] = []
        self.started: list[Experiment] = []
        self.alive = False
        self.refusal: LayerlabError | None = None
        self._time = BEGAN

    def start(self, experiment: Experiment) -> Path:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(experiment)
        more = f"-{len(self.started)}" if len(self.started) > 1 else ""
        self.path = self.store / f"{RUN}{more}"
        self.path.mkdir(parents=True)
        (self.path / "experiment.toml").write_text(experiment.to_toml())
        self.epochs = experiment.epochs
        self.alive = True
        owner = this_process()
        begin(owner)
        self.emit(
            Opened(1, owner),
            Started("cpu", "fp32", self.epochs, 23, 64, 1437, 360, None, 22510, 22510, (1, 8, 8), (), MODULES, {}),
            StatusChanged("running"),
        )
        return self.path

    def resume(self, path: Path) -> Path:
        if self.refusal is not None:
            raise self.refusal
        self.path = path
        self.alive = True
        self.emit(StatusChanged("running"))
        return path

    def emit(self, *events: Event) -> None:
        if not self.path.is_dir():
            return  # somebody removed it; a writer has its file open and does not notice either
        with open(self.path / "events.000.jsonl", "a") as file:
            for event in events:
                self._time += 1
                file.write(to_line(event, self._time) + "\n")

    def epoch(self, number: int, best: bool = True) -> None:
        """An epoch with its steps; losses fall as 2 / epoch."""
        step = number * 23
        for batch in (8, 16, 23):
            loss = 2 / (number - 1 + batch / 23 + 0.5)
            self.emit(Progress(step - 23 + batch, number, batch, 23, loss, 0.01, 51_000.0, number * 0.03))
        metrics = {"train/loss": 2 / (number + 0.5), "train/accuracy": 1 - 0.3 / number}
        metrics |= {"val/loss": 2.1 / (number + 0.5), "val/accuracy": 1 - 0.35 / number, "lr": 0.01}
        self.emit(EpochEnded(number, step, metrics, {"train": 0.028, "evaluate": 0.002}, best))

    def reading(self) -> None:
        values = {"rss": 612 << 20, "rss_peak": 640 << 20, "cpu_percent": 101.0}
        self.emit(Telemetry({**values, "system_used": 4 << 30, "system_total": 24 << 30}))

    def say(self, level: str, text: str) -> None:
        self.emit(Message(level, text))

    def end(self, status: str = "finished", reason: str = "") -> None:
        self.emit(StatusChanged(status, reason))
        self.alive = False

    def request(self, request: Request) -> None:
        self.requests.append(request)
        self.emit(Controlled(1, request.name, request.value))
        if request.name in ("stop", "discard"):
            self.end("stopped")
        elif request.name in ("pause", "resume"):
            self.emit(StatusChanged("paused" if request.name == "pause" else "running"))

    def join(self, timeout: float | None = None) -> None:
        """It is never at work."""


@functools.cache
def steady_check(experiment: Experiment, data_folder: Path) -> Any:
    """The engine's check, on a machine that always has the same memory free."""
    report = engine_check(experiment, data_folder)
    return dataclasses.replace(report, memory={**report.memory, "available": 21 << 30})


def application(store: Path, experiment: Experiment | None = None) -> tuple[LayerlabApp, FakeTraining]:
    training = FakeTraining(store)
    state = State(None)
    state.put("met", True)  # no words for a newcomer
    app = LayerlabApp(
        experiment or preset("batchnorm"), training, store / "data", store=store, check=steady_check, state=state
    )
    return app, training


async def until(pilot: Pilot[Any], condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for the application to come to it; a check imports torch, which takes a while on a busy machine."""
    for _ in range(int(seconds / 0.02)):
        await pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the application did not come to it")


def screen_text(app: LayerlabApp) -> str:
    """What is on the screen, as text."""
    height = app.size.height
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips[:height])
