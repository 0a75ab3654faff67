"""A store of runs as a training leaves them, written without one: the list reads nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path

from engine.events import EpochEnded, Event, Opened, Progress, Started, StatusChanged, to_line
from engine.presets import preset
from engine.spec import flatten
from engine.store.owner import begin, this_process
from tests.tui.fake_training import BEGAN, MODULES

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def run_id(number: int, name: str = "run") -> str:
    """Ids in the order of their numbers, a minute apart."""
    tail = "".join(LETTERS[number // 31**place % 31] for place in (3, 2, 1, 0))
    minute = number % 60
    hour, day = number // 60 % 24, number // 1440 % 28
    return f"202601{day + 1:02d}T{hour:02d}{minute:02d}00Z-{name}-{tail}"


def stored_run(
    store: Path,
    number: int,
    name: str = "run",
    *,
    accuracy: float = 0.9,
    status: str = "finished",
    epochs: int = 3,
    optimizer: str = "SGD(lr=0.1)",
    events: bool = True,
) -> Path:
    """One run. A live one belongs to this process."""
    experiment = preset("mlp").with_(name=name, epochs=3, optimizer=optimizer)
    path = store / run_id(number)
    path.mkdir(parents=True)
    (path / "experiment.toml").write_text(experiment.to_toml())
    metrics = {"train/loss": 0.2, "val/loss": 1 - accuracy, "val/accuracy": accuracy}
    entry = {"epoch": epochs, "metrics": metrics} if epochs else None
    ended = f"2026-01-{number // 1440 % 28 + 1:02d}T{number // 60 % 24:02d}:{number % 60:02d}"
    summary = {
        "version": 1,
        "run": path.name,
        "name": name,
        "status": status,
        "reason": "",
        "started": f"{ended}:00Z",
        "ended": f"{ended}:30Z",
        "epoch": epochs,
        "epochs": 3,
        "best": entry,
        "last": entry,
        "seconds_per_epoch": 1.0,
        "seconds": 10.0 + number,
        "source": "Digits()",
        "parameters": 22510,
        "device": "cpu",
        "fields": flatten(experiment),
    }
    (path / "summary.json").write_text(json.dumps(summary))
    if events:
        write_events(path, accuracy, status, epochs)
    return path


def write_events(path: Path, accuracy: float, status: str, epochs: int) -> None:
    owner = this_process()
    begin(owner)
    told: list[Event] = [
        Opened(1, owner),
        Started("cpu", "fp32", 3, 23, 64, 1437, 360, None, 22510, 22510, (1, 8, 8), (), MODULES, {}),
        StatusChanged("running"),
    ]
    for epoch in range(1, epochs + 1):
        told.append(Progress(epoch * 23, epoch, 23, 23, 2 / epoch, 0.1, 51_000.0, 0.1))
        metrics = {"train/loss": 2 / epoch, "val/loss": 2.2 / epoch, "val/accuracy": accuracy}
        told.append(EpochEnded(epoch, epoch * 23, metrics, {"train": 1.0}, True))
    if status not in ("running", "paused", "starting"):
        told.append(StatusChanged(status, ""))
    lines = [to_line(event, BEGAN + at) for at, event in enumerate(told)]
    (path / "events.000.jsonl").write_text("\n".join(lines) + "\n")
    if status in ("running", "paused", "starting"):
        record = {"version": 1, "owner": owner, "beat": 1, "time": time.time()}
        (path / "owner.json").write_text(json.dumps(record))
