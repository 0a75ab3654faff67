"""The runs of a store, from their summaries alone where these are there: five thousand take well under a second."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import events
from engine.store import files, owner
from engine.store.fields import read_fields, stored_fields
from engine.store.folder import run_names
from engine.store.notes import NO_NOTES, Notes, read_notes
from engine.store.reader import STARTING_SECONDS, RunReader
from engine.store.segments import read_owner, segment_path
from engine.store.stalls import stall
from engine.store.view import LIVE_STATUSES, iso

MAX_SUMMARY = 1 << 20
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a list. `started` and `ended` are ISO 8601 in UTC, `epoch` counts the epochs that ended; `best` and
    `last` are {"epoch", "metrics"}, `seconds` is how long it ran altogether. `fields` are those of its experiment, as
    `spec.flatten` gives them; empty where they are not read yet or not readable. `problem` says what is wrong with its
    folder, if anything."""

    run: str
    path: Path
    name: str
    status: str
    reason: str = ""
    started: str | None = None
    ended: str | None = None
    epoch: int = 0
    epochs: int = 0
    best: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    seconds_per_epoch: float | None = None
    source: str = ""
    parameters: int | None = None
    device: str = ""
    problem: str | None = None
    seconds: float | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    notes: Notes = NO_NOTES

    @property
    def label(self) -> str:
        """What people call it: the name they gave it, else the experiment's."""
        return self.notes.name or self.name

    @property
    def live(self) -> bool:
        """Whether it is being trained, as far as is known."""
        return self.status in LIVE_STATUSES


def list_runs(store: Path) -> list[Summary]:
    """All runs of a store, oldest first, a damaged one as a row that says so. A store that is not there has none.

    Raises RequestError where the store itself cannot be read.
    """
    return [summarize(store / name) for name in run_names(store)]


def summarize(path: Path, watch: owner.BeatWatch | None = None, fields: bool = True) -> Summary:
    """One run, from its summary and, without a final status in that, a look at whether its owner lives.

    An owner on another machine is taken for dead once `watch`, which the caller keeps from look to look, has seen no
    beat for long. `fields=False` leaves the fields empty where the summary lacks them: older ones do, and reading the
    experiment takes ten times as long.
    """
    found = _summarize(path, watch)
    if fields and not found.fields:
        found = replace(found, fields=read_fields(path))
    notes = read_notes(path)
    return found if notes is NO_NOTES else replace(found, notes=notes)


def _summarize(path: Path, watch: owner.BeatWatch | None) -> Summary:
    try:
        data = json.loads(files.read_bounded(path / "summary.json", MAX_SUMMARY))
        if not isinstance(data, dict) or not isinstance(data.get("status"), str):
            raise ValueError("not a summary")
    except (OSError, ValueError, RecursionError):
        return _from_events(path)
    status, reason, problem = data["status"], _text(data.get("reason")), None
    if isinstance(data.get("version"), int) and data["version"] > events.VERSION:
        problem = f"written by a newer layerlab (format {data['version']}): shown as far as it is understood"
    if status not in events.FINAL_STATUSES:
        record, beat, beat_time, quiet = read_owner(path)
        if record:
            alive = owner.is_alive(record, beat_time)
            silent = watch is not None and watch.is_silent(beat)
            if alive is False or (alive is None and silent) or beat is None:
                # Its last words may be in the events alone, and all of its words where a power cut took the beat.
                found = _from_events(path, data)
                if alive is None and silent and found.live:
                    found = replace(found, status="interrupted", reason=f"{owner.describe(record)} is silent")
                return found
            status = status if status in events.STATUSES else "starting"
            reason = stall(record, quiet, silent, status) or reason
        elif os.path.lexists(segment_path(path, 0)):
            # It was begun, and nothing tells any more by whom.
            return _from_events(path, data)
        elif _age(path) < STARTING_SECONDS:
            status = "starting"
        else:
            status, reason = "interrupted", "it was never started"
    return Summary(
        run=path.name,
        path=path,
        name=_text(data.get("name")) or path.name,
        status=status,
        reason=reason,
        started=_text(data.get("started")) or iso(_number(data.get("created"))),
        ended=_text(data.get("ended")) or None,
        epoch=_count(data.get("epoch")) or 0,
        epochs=_count(data.get("epochs")) or 0,
        best=_entry(data.get("best")),
        last=_entry(data.get("last")),
        seconds_per_epoch=_number(data.get("seconds_per_epoch")),
        source=_text(data.get("source")),
        parameters=_count(data.get("parameters")),
        device=_text(data.get("device")),
        problem=problem,
        seconds=_number(data.get("seconds")),
        fields=stored_fields(data.get("fields")),
    )


def _from_events(path: Path, data: dict[str, Any] | None = None) -> Summary:
    """A summary rebuilt in memory, where there is none to read or it is older than its run's end."""
    reader = RunReader(path)
    reader.poll()
    view = reader.view
    source = _text((data or {}).get("source"))
    if not source and view.status != "damaged":
        source = str(view.experiment.data.source) if view.experiment is not None else ""
    return Summary(
        run=path.name,
        path=path,
        name=view.name,
        status=view.status,
        reason=view.reason,
        started=iso(view.began),
        ended=iso(view.ended),
        epoch=view.done,
        epochs=view.epochs,
        best=view.best,
        last=view.last,
        seconds_per_epoch=view.seconds_per_epoch,
        source=source,
        parameters=_count(view.started.get("parameters")),
        device=view.device,
        problem=view.problem,
        seconds=view.seconds,
        fields=stored_fields((data or {}).get("fields")),
    )


def _age(path: Path) -> float:
    try:
        return abs(time.time() - (path / "summary.json").lstat().st_mtime)
    except OSError:
        return math.inf


def _text(value: Any) -> str:
    return value[:2_000] if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    # Bounded as the numbers of events are: a larger one is no float any more.
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return NON_FINITE.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return None
    return float(value)


def _entry(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("metrics"), dict):
        return None
    epoch = _count(value.get("epoch"))
    if epoch is None:
        return None
    found = {str(name): _number(number) for name, number in value["metrics"].items()}
    return {"epoch": epoch, "metrics": {name: number for name, number in found.items() if number is not None}}
