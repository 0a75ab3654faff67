"""How long ten thousand runs take: to be listed, to be looked at again, to be filtered and sorted.

`python -m tests.benchmarks.store make FOLDER [COUNT]` leaves such a store in a folder, to be looked at by hand.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.presets import PRESETS, preset
from engine.spec import flatten, with_settings
from engine.store.folder import create_run
from engine.store.index import StoreIndex
from engine.store.listing import Summary
from engine.store.view import iso
from tests.benchmarks.bars import Bar

COUNT = 10_000
FIRST = 1_767_225_600.0  # when the oldest run was begun, in unix seconds
APART = 977.0
FILTERS = (
    "m",
    "mlp",
    "optimizer:adam",
    "val/accuracy>0.9",
    "optimizer:adam val/accuracy>97% not tag:old",
    "(layers:conv or data.batch_size:128) lr<0.01 -status:failed parameters>10K",
)
ROUNDS = 5
RATES = ("SGD(lr=0.1)", "SGD(lr=0.01, momentum=0.9)", "AdamW(lr=0.001)")


def make_store(store: Path, count: int = COUNT) -> None:
    """A store of that many runs, with summaries as they are written, of all presets with various settings.

    Every tenth has notes, every fiftieth did not come to its end. Always the same but for its place.
    """
    chance = random.Random(0)
    templates = [_template(name, rate, size) for name in PRESETS for rate in RATES for size in (32, 128)]
    for number in range(count):
        summary, toml = chance.choice(templates)
        began = FIRST + number * APART
        letters = "".join(chance.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(4))
        run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(began))}-{summary['name']}-{letters}"
        status = "failed" if number % 50 == 0 else "finished"
        record = {**summary, "run": run, "status": status, "created": began, **_results(summary, began, chance)}
        os.mkdir(store / run)
        (store / run / "experiment.toml").write_text(toml)
        (store / run / "summary.json").write_text(json.dumps(record, indent=1) + "\n")
        if number % 10 == 0:
            notes = {"version": 1, "text": f"try {number}", "tags": ["old" if number % 20 else "keep"]}
            (store / run / "notes.json").write_text(json.dumps(notes))
        os.utime(store / run, (began, began))


def _template(name: str, optimizer: str, batch_size: int) -> tuple[dict[str, Any], str]:
    """The summary and the experiment of a new run, made by the real thing and taken away again."""
    experiment = with_settings(preset(name), [f"optimizer={optimizer}", f"data.batch_size={batch_size}"])
    with tempfile.TemporaryDirectory() as folder:
        path = create_run(Path(folder), experiment, {})
        summary = json.loads((path / "summary.json").read_text())
        assert summary["fields"] == flatten(experiment)
        return summary, (path / "experiment.toml").read_text()


def _results(summary: dict[str, Any], began: float, chance: random.Random) -> dict[str, Any]:
    epochs = summary["epochs"]
    seconds = chance.uniform(5, 500)
    losses = {"train/loss": chance.uniform(0, 1), "val/loss": chance.uniform(0, 1), "lr": 0.01}
    best = {**losses, "train/accuracy": chance.uniform(0.8, 1), "val/accuracy": chance.uniform(0.8, 1)}
    best |= {"val/top5": 0.999, "val/f1": chance.uniform(0.8, 1), "test/accuracy": chance.uniform(0.8, 1)}
    return {
        "segment": 0,
        "started": iso(began),
        "ended": iso(began + seconds),
        "epoch": epochs,
        "step": epochs * 100,
        "best": {"epoch": chance.randint(1, epochs), "metrics": best},
        "last": {"epoch": epochs, "metrics": {**best, "val/accuracy": chance.uniform(0.8, 1)}},
        "seconds_per_epoch": seconds / epochs,
        "seconds": seconds,
        "parameters": chance.randint(1_000, 1_000_000),
        "device": "cpu",
    }


def measure() -> list[Bar]:
    """Seconds to list ten thousand runs, to look again, and to answer a filter; and how many rows came first."""
    from tui.filtering import parse_filter, sort_runs

    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder))
        index = StoreIndex(Path(folder))
        rows: dict[str, Summary] = {}
        began = time.perf_counter()
        first = 0.0
        for changes in index.refresh():
            rows |= {run.run: run for run in changes.changed}
            first = first or time.perf_counter() - began
        everything = time.perf_counter() - began
        again = _median(lambda: list(index.refresh()))
    runs = list(rows.values())
    gc.collect()
    slowest_first, slowest = 0.0, 0.0
    for text in FILTERS:
        began = time.perf_counter()
        parse_filter(text).select(runs)
        slowest_first = max(slowest_first, time.perf_counter() - began)
        slowest = max(slowest, _median(lambda text=text: parse_filter(text).select(runs)))
    return [
        Bar("runs listed of 10,000", float(len(runs)), at_least=10_000),
        Bar("first batch of 10,000 runs, seconds", first, at_most=0.2),
        Bar("all of 10,000 runs, seconds", everything, at_most=2.0),
        Bar("a look at 10,000 runs of which none changed, seconds", again, at_most=0.06),
        Bar("a filter over 10,000 runs, seconds", slowest, at_most=0.05),
        Bar("the same the first time, seconds", slowest_first, at_most=0.1),
        Bar("sorting 10,000 runs by a metric, seconds", _median(lambda: sort_runs(runs, "val/accuracy")), at_most=0.05),
    ]


def _median(action: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "make":
        sys.exit("usage: python -m tests.benchmarks.store make FOLDER [COUNT]")
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    make_store(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else COUNT)
