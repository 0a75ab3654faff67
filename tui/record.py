"""A run as scripts get it: the JSON that `train`, `resume`, `show`, `runs`, `compare` and `demo` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from engine.store.notes import Notes
    from engine.store.reader import RunView


def record(view: RunView) -> dict[str, Any]:
    """What `train` and `resume` tell of a run; `epochs` were completed, `epochs_asked` were asked for."""
    return {
        "run": view.run,
        "name": view.name,
        "path": str(view.path),
        "status": view.status,
        "reason": view.reason,
        "epochs": view.done,
        "epochs_asked": view.epochs,
        "seconds_per_epoch": view.seconds_per_epoch,
        "best": _entry(view.best),
        "last": _entry(view.last),
    }


def full_record(view: RunView) -> dict[str, Any]:
    """What `show` tells of a run: its experiment, environment, messages, checkpoints and every epoch as well."""
    from engine.store.retention import kept

    return record(view) | {
        "experiment": None if view.experiment is None else view.experiment.to_dict(),
        "toml": None if view.experiment is None else view.experiment.to_toml(),
        "environment": view.environment,
        "features": view.features,
        "history": [
            {"epoch": row.epoch, "step": row.step, "metrics": row.metrics, "seconds": row.seconds, "best": row.best}
            for row in view.history
        ],
        "messages": [asdict(message) for message in view.messages],
        "checkpoints": [asdict(one) | {"path": str(one.path)} for one in kept(view.path / "checkpoints")],
        "problem": view.problem,
        "skipped_lines": view.skipped_lines,
    }


def short_record(run: RunView | Summary) -> dict[str, Any]:
    """What `runs`, `compare` and `demo` tell of a run, from a RunView or a Summary."""
    return {
        "run": run.run,
        "name": run.name,
        "status": run.status,
        "started": started(run),
        "best": _entry(run.best),
        "last": _entry(run.last),
    }


def listed_record(run: Summary) -> dict[str, Any]:
    """What `runs` tells of a run: with what people noted, how long it ran and how large its networks are."""
    return short_record(run) | {
        "seconds": run.seconds,
        "parameters": run.parameters,
        "notes": notes_record(run.notes),
    }


def notes_record(notes: Notes) -> dict[str, Any]:
    """What people noted beside a run."""
    return {
        "name": notes.name,
        "text": notes.text,
        "tags": list(notes.tags),
        "pinned": notes.pinned,
        "starred": notes.starred,
        "problem": notes.problem,
    }


def started(run: RunView | Summary) -> str | None:
    """When a run was begun, in ISO 8601 and UTC: what was recorded, else what its id says."""
    from engine.store.view import RunView, iso

    known = iso(run.began) if isinstance(run, RunView) else run.started
    if known:
        return known
    stamp = run.run.split("-", 1)[0]
    if len(stamp) == 16 and stamp[8] == "T" and stamp[15] == "Z" and (stamp[:8] + stamp[9:15]).isdigit():
        return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}Z"
    return None


def features_text(features: Mapping[str, Any] | None) -> str:
    """The cached features of a run (RunView.features) in words; nothing without any."""
    from tui.output import duration

    if features is None:
        return ""
    how = "found in the cache" if features["reused"] else f"computed in {duration(features['seconds'])}"
    return f"{features['layers']}: {features['samples']:,} samples, {how}, saves {duration(features['saved'])} an epoch"


def _entry(entry: Any) -> dict[str, Any] | None:
    if not entry:
        return None
    return {"epoch": entry["epoch"], "metrics": dict(entry["metrics"])}
