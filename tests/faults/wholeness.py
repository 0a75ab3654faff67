"""What a run must still be after any fault: whole to read, and able to go on."""

from __future__ import annotations

import os
from pathlib import Path

from engine.checkpoint import newest, write_checkpoint
from engine.spec import load_experiment
from engine.store import files, notes
from engine.store.listing import summarize
from engine.store.notes import change_notes, read_notes
from engine.store.reader import RunView
from engine.store.trash import delete_run, restore
from engine.store.writer import RunWriter
from tests.engine.run_folders import checkpoint, ended, experiment, new_run, started
from tests.watching import view_of


def whole(path: Path) -> RunView:
    """A run that can be listed, read and gone on from: nothing in it is half there."""
    row, view = summarize(path), view_of(path)
    assert (row.problem, view.problem, view.skipped_lines) == (None, None, 0)
    assert row.status == view.status != "damaged"
    assert load_experiment(path / "experiment.toml").digest() == experiment().digest()
    assert [epoch.epoch for epoch in view.history] == list(range(1, len(view.history) + 1))
    assert read_notes(path).problem is None
    whole_checkpoints(path, view.checkpoint.step if view.checkpoint and view.checkpoint.kind == "step" else None)
    return view


def whole_checkpoints(path: Path, recorded: int | None = None) -> int | None:
    """The step of the newest checkpoint, which is no older than the one that was said to be saved."""
    saved, problems = newest(path / "checkpoints")
    assert problems == []
    if saved is None:
        assert recorded is None
        return None
    assert recorded is None or saved.step >= recorded
    best = saved.state["best"]
    assert best is None or newest(path / "checkpoints", "best", best["step"])[0] is not None
    return saved.step


def goes_on(path: Path) -> None:
    """Everything can be done with the run from here on, and what the fault left behind goes."""
    if not path.exists():
        path = restore(path.parent, path.name)
    if summarize(path).status != "finished":
        done = len(view_of(path).history)
        step = whole_checkpoints(path) or 0
        with RunWriter(path, resume=True, resumed_step=step, telemetry=False) as later:
            later.put(started(start_step=step, start_epoch=step // 10))
            for epoch in range(step // 10 + 1, max(done, 3) + 1):
                later.put(ended(epoch))
            later.put(checkpoint(40, best=None))
            later.close("finished")
        assert whole(path).status == "finished"
        assert whole_checkpoints(path) == 40
    write_checkpoint(path / "checkpoints", checkpoint(50, "best"))
    write_checkpoint(path / "checkpoints", checkpoint(50, best=50))
    assert whole_checkpoints(path) == 50
    assert change_notes(path, add_tags=["later"]).tags[-1:] == ("later",)
    delete_run(path.parent, path.name)
    assert restore(path.parent, path.name) == path
    new_run(path.parent, "later")
    # The last words of a run that has ended may leave one of each: no writer comes by again.
    left = sorted(name.name.rpartition("-")[0] for name in path.parent.rglob(f"{files.TEMPORARY}*"))
    assert set(left) <= {".tmp-owner.json", ".tmp-summary.json"}
    assert len(left) == len(set(left))
    assert not (path / notes.LOCK).exists()
    assert len(os.listdir(path / "checkpoints")) <= 5
