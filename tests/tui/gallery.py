"""A store to be looked at: a dozen runs of every status, with curves, measurements, readings, notes and tags.

Everything in it is the same on every machine and at every moment; `NOW` is when it is looked at.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.events import (
    EpochEnded,
    Event,
    Measured,
    Message,
    Opened,
    Progress,
    Started,
    StatusChanged,
    Telemetry,
    to_line,
)
from engine.presets import preset
from engine.spec import Experiment, flatten, with_settings
from engine.store import owner
from engine.store.notes import change_notes
from tests.tui.fake_training import BEGAN

NOW = BEGAN + 3600.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LIVE = ("running", "paused", "starting")
OVERFITS = (
    "validation loss rose for 5 epochs while training loss fell: more data, augmentation, dropout or weight decay"
)
SLEEPS = "layer 3: 31 % of its ReLU units never fire; a lower learning rate or another start may wake them"


@dataclass(frozen=True)
class Told:
    """A run: `ago` is when it began, in seconds before NOW; `reached` is the accuracy that it comes close to,
    `pace` in how many epochs it comes most of the way."""

    name: str
    letters: str
    experiment: Experiment
    ago: float
    status: str = "finished"
    reason: str = ""
    epochs: int | None = None
    reached: float = 0.97
    speed: float = 4.0
    warnings: tuple[str, ...] = ()
    pace: float = 2.5

    @property
    def run(self) -> str:
        return f"{datetime.fromtimestamp(NOW - self.ago, UTC):%Y%m%dT%H%M%SZ}-{self.name}-{self.letters}"

    @property
    def done(self) -> int:
        return self.experiment.epochs if self.epochs is None else self.epochs


def _of(name: str, *settings: str) -> Experiment:
    return with_settings(preset(name), list(settings))


STEPPED = "scheduler=StepLR(step_size=7, gamma=0.1)"
MLP = Told("mlp", "77ab", _of("mlp", STEPPED), 5 * HOUR, reached=0.931, speed=2.1, pace=4.0)
BATCHNORM = Told("batchnorm", "k3f9", _of("batchnorm", STEPPED, "optimizer=SGD(lr=0.01, momentum=0.9)"), 4 * HOUR)
CNN = Told("cnn", "p8wd", _of("cnn", "epochs=20"), 3 * HOUR, reached=0.991, speed=1.2, pace=1.4)
STOPPED = Told(
    "batchnorm", "x2m4", _of("batchnorm", STEPPED, "epochs=30", "seed=1"), 40 * MINUTE, "stopped", "as asked", 19,
    warnings=(SLEEPS, OVERFITS),
)  # fmt: skip
RUNS = (
    Told("batchnorm-and-a-long-name-that-does-not-fit", "q9rt", _of("batchnorm", "seed=2"), 41 * DAY, reached=0.962),
    Told("regression", "h4cz", _of("regression"), 9 * DAY, speed=3.3),
    Told("resnet", "v6np", _of("resnet", "epochs=12"), 2 * DAY, "interrupted", "", 5, 0.981, 0.1),
    MLP,
    BATCHNORM,
    CNN,
    Told(
        "lenet", "d5yk", _of("lenet", "optimizer=SGD(lr=5.0)"), 2 * HOUR, "failed", "the loss became NaN at step 69", 2
    ),
    STOPPED,
    Told("cnn", "t7gj", _of("cnn", "optimizer=AdamW(lr=0.003)"), 12 * MINUTE, "paused", "", 6, 0.983),
    Told("cnn", "b8se", _of("cnn", "seed=1", "epochs=20"), 4 * MINUTE, "running", "", 11, 0.988, 1.2),
    Told("lenet", "w3fa", _of("lenet"), 20.0, "starting", "", 0),
)
DAMAGED = "20260108T101500Z-half-written-zz99"


def gallery(store: Path) -> Iterator[None]:
    """Write all runs; while they are used the live ones belong to this process."""
    living = [process for told in RUNS for process in write(store, told)]
    (store / DAMAGED).mkdir()
    (store / DAMAGED / "summary.json").write_text("{")
    change_notes(
        store / BATCHNORM.run, text="first with momentum; the one to beat", tags=["baseline", "paper"], pinned=True
    )
    change_notes(store / CNN.run, starred=True, tags=["paper"])
    change_notes(store / MLP.run, name="mlp without activations")
    yield
    for process in living:
        owner.end(process)


def write(store: Path, told: Told) -> list[dict[str, Any]]:
    """One run's folder; gives its owner where it is live."""
    path = store / told.run
    path.mkdir(parents=True)
    (path / "experiment.toml").write_text(told.experiment.to_toml())
    process = owner.this_process()
    lines = [to_line(event, NOW - told.ago + at) for at, event in events(told, process)]
    (path / "events.000.jsonl").write_text("\n".join(lines) + "\n")
    (path / "summary.json").write_text(json.dumps(summary(told)))
    for name in ("experiment.toml", "events.000.jsonl", "summary.json"):
        os.utime(path / name, (NOW, NOW))
    if told.status == "interrupted":
        process["start_time"] = "long ago"
    (path / "owner.json").write_text(json.dumps({"version": 1, "owner": process, "beat": 1, "time": NOW}))
    if told.status not in LIVE:
        return []
    owner.begin(process)
    return [process]


def summary(told: Told) -> dict[str, Any]:
    """What the list reads of a run."""
    history = [metrics_of(told, epoch) for epoch in range(1, told.done + 1)]
    main = "val/accuracy" if history and "val/accuracy" in history[0] else "val/loss"
    best = max(
        range(len(history)), key=lambda at: history[at][main] * (1 if main == "val/accuracy" else -1), default=-1
    )
    rows = modules_of(told.experiment)
    return {
        "version": 1,
        "run": told.run,
        "name": told.name,
        "status": told.status if told.status != "interrupted" else "running",
        "reason": told.reason,
        "started": datetime.fromtimestamp(NOW - told.ago, UTC).isoformat(),
        "ended": None,
        "epoch": told.done,
        "epochs": told.experiment.epochs,
        "best": {"epoch": best + 1, "metrics": history[best]} if history else None,
        "last": {"epoch": told.done, "metrics": history[-1]} if history else None,
        "seconds_per_epoch": 1 / told.speed,
        "seconds": told.done / told.speed,
        "source": str(told.experiment.data.source),
        "parameters": sum(row["parameters"] for row in rows if not row["depth"]),
        "device": "cpu",
        "fields": flatten(told.experiment),
    }


def events(told: Told, process: dict[str, Any]) -> Iterator[tuple[float, Event]]:
    """What a run says, each with the seconds since its beginning."""
    rows = modules_of(told.experiment)
    held = sum(row["parameters"] for row in rows if not row["depth"])
    yield 0.0, Opened(1, process)
    if told.status == "starting":
        return
    shape = (1, 8, 8) if told.experiment.task.name == "Classification" else (10,)
    yield 0.1, Started("cpu", "fp32", told.experiment.epochs, 23, 64, 1437, 360, None, held, held, shape, (), rows, {})
    yield 0.1, StatusChanged("running")
    best = (-1, -math.inf)
    for epoch in range(1, told.done + 1):
        at = epoch / told.speed
        values = metrics_of(told, epoch)
        score = values.get("val/accuracy", -values["val/loss"])
        best = max(best, (epoch, score), key=lambda found: found[1])
        for batch in (8, 16, 23):
            passed = epoch - 1 + batch / 23
            yield (
                passed / told.speed,
                Progress(
                    (epoch - 1) * 23 + batch, epoch, batch, 23, fallen(told, passed, 0.04) + ripple(3 * passed, 0.05),
                    values["lr"], 1437 * told.speed, passed / told.speed,
                ),
            )  # fmt: skip
        seconds = {"train": 0.93 / told.speed, "evaluate": 0.07 / told.speed}
        yield at, EpochEnded(epoch, epoch * 23, values, seconds, best[0] == epoch, 1437)
        rss = (560 + 52 * (1 - math.exp(-epoch / 3)) + 9 * (epoch % 4)) * (1 << 20)
        yield at, Telemetry({
            "rss": int(rss), "rss_peak": 655 << 20, "cpu_percent": 101.0, "system_used": 4 << 30,
            "system_total": 24 << 30, "notes": [],
        })  # fmt: skip
    if told.done:
        yield told.done / told.speed, Measured(told.done * 23, measured(rows))
    for number, text in enumerate(told.warnings):
        yield (told.done - 6 + 3 * number) / told.speed, Message("warning", text)
    if told.status in ("paused", *("finished", "stopped", "failed")):
        yield told.done / told.speed, StatusChanged(told.status, told.reason)


def fallen(told: Told, epochs: float, floor: float) -> float:
    """A loss that falls from that of guessing to its floor."""
    return floor + (2.3 - floor) * math.exp(-epochs / told.pace) + (1 - told.reached)


def ripple(at: float, height: float) -> float:
    return height * math.sin(7.1 * at) * math.cos(2.3 * at) * math.exp(-at / 30)


def metrics_of(told: Told, epoch: int) -> dict[str, float]:
    """The metrics of an epoch; the validation loss rises a little towards the end."""
    train = fallen(told, epoch - 0.5, 0.04) + ripple(epoch, 0.02)
    val = fallen(told, epoch, 0.06) + ripple(epoch + 0.4, 0.03) + 0.004 * max(epoch - 12, 0)
    lr = 0.01 * 0.1 ** ((epoch - 1) // 7) if told.experiment.scheduler is not None else 0.01
    if told.experiment.task.name != "Classification":
        wide = {"train/loss": train, "train/mae": 44 + 30 * train, "val/loss": val, "val/mae": 44 + 30 * val}
        return wide | {"val/r2": 0.46 - 0.2 * val, "lr": lr}
    share = 1 - math.exp(-epoch / told.pace)
    right = (
        round(360 * (told.reached * share + ripple(epoch, 0.01))),
        round(1437 * min(told.reached * share + 0.012, 1)),
    )
    return {
        "train/loss": train, "train/accuracy": right[1] / 1437,
        "val/loss": val, "val/accuracy": right[0] / 360, "lr": lr,
    }  # fmt: skip


@functools.cache
def modules_of(experiment: Experiment) -> tuple[dict[str, Any], ...]:
    """The modules as a session announces them."""
    from engine.shapes import propagate

    classes = experiment.task.name == "Classification"
    found = propagate(experiment.network.layers, (1, 8, 8) if classes else (10,), symbols={"classes": 10})
    names = ("path", "call", "parameters", "trainable", "macs", "depth")
    return tuple(
        {name: getattr(row, name) for name in names} | {"output_shape": list(row.output_shape)} for row in found.rows
    )


def measured(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Norms of what has parameters, and how many units of each ReLU sleep."""
    told: list[dict[str, Any]] = []
    for at, row in enumerate(rows):
        if row["call"].startswith("ReLU"):
            told.append({"path": row["path"], "dead": 0.31 if at == 3 else 0.02})
        elif row["parameters"]:
            weight = math.sqrt(row["parameters"]) / 14
            norms = {"weight_norm": weight, "grad_norm": weight / (40 + 13 * at), "update_ratio": 1.2e-3 / (at + 1)}
            told.append({"path": row["path"], **norms})
    return tuple(told)
