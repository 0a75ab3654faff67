"""The events files of a run: one for each process that trained it, created by the one that claims the run."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from pathlib import Path
from typing import Any

from engine import events
from engine.errors import RequestError, RunError
from engine.store import files, owner

SEGMENT = re.compile(r"events\.(\d{3,6})\.jsonl")
CLAIMING_SECONDS = 30.0
FIRST_LINE_SECONDS = 0.5
TAIL = 1 << 16


def segments(path: Path) -> list[int]:
    """The numbers of a run's events files, in order; raises OSError where the folder cannot be read."""
    return sorted(int(found[1]) for name in os.listdir(path) if (found := SEGMENT.fullmatch(name)))


def segment_path(path: Path, number: int) -> Path:
    return path / f"events.{number:03d}.jsonl"


def first_event(path: Path) -> events.Opened | None:
    """Who opened an events file; None where that line is not there or not readable."""
    with files.opened(path) as descriptor:
        head = files.system.read(descriptor, TAIL)
    line, newline, _ = head.partition(b"\n")
    if newline:
        with contextlib.suppress(events.EventError):
            event, _ = events.from_line(line)
            return event if isinstance(event, events.Opened) else None
    return None


def final_status(path: Path) -> str | None:
    """The status that an events file ends with, where it is a final one."""
    with files.opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        os.lseek(descriptor, max(0, size - TAIL), os.SEEK_SET)
        tail = files.system.read(descriptor, TAIL)
    for line in reversed(tail.split(b"\n")[:-1]):
        with contextlib.suppress(events.EventError):
            event, _ = events.from_line(line)
            if isinstance(event, events.StatusChanged):
                return event.status if event.status in events.FINAL_STATUSES else None
    return None


def read_owner(path: Path) -> tuple[dict[str, Any], int | None, float | None, float | None]:
    """The owner in owner.json, its beat, the owner's unix time then, and for how many seconds its training had said
    nothing. Of an owner.json that is lost (it is not synced, a power cut takes it) the newest events file tells the
    owner; empty where there is none to read."""
    try:
        data = files.read_json(path / "owner.json", 1 << 16)
    except (OSError, ValueError):
        return _opener(path), None, None, None
    record, beat, beat_time, quiet = (data.get(name) for name in ("owner", "beat", "time", "quiet"))
    return (
        record if isinstance(record, dict) else {},
        beat if isinstance(beat, int) else None,
        float(beat_time) if isinstance(beat_time, int | float) and abs(beat_time) < 1e15 else None,
        float(quiet) if isinstance(quiet, int | float) and 0 <= quiet < 1e15 else None,
    )


def _opener(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError):
        numbers = segments(path)
        opened = first_event(segment_path(path, numbers[-1])) if numbers else None
        if opened is not None:
            return opened.owner
    return {}


def claim(path: Path, resume: bool, resumed_step: int | None, patience: float = owner.SILENT_SECONDS + 5) -> Claim:
    """Take a run, or say who has it: of all that try at once exactly one gets it.

    The claim is the exclusive creation of the next events file, whose first line holds the owner. Before that the owner
    of the newest one must have recorded a final status or be dead; where only its beat can tell, it is watched for
    `patience` seconds. Raises RequestError where the run is taken, RunError where the disk refuses.
    """
    if not files.is_folder(path):
        raise RequestError(f"there is no run {path.name} in {path.parent}")
    try:
        numbers = segments(path)
        if numbers and not resume:
            raise RequestError(f"the run {path.name} was started before; resume it instead")
        if numbers:
            _require_known_format(path, numbers)
            _require_free(path, numbers[-1], patience)
        number = numbers[-1] + 1 if numbers else 0
        record = owner.this_process()
        line = events.to_line(events.Opened(events.VERSION, record, resumed_step), time.time()).encode() + b"\n"
        try:
            file = files.AppendOnly(segment_path(path, number))
        except FileExistsError:
            opened = _opened_soon(segment_path(path, number))
            who = f"trained by {owner.describe(opened.owner)}" if opened else "claimed by another process"
            raise RequestError(f"the run {path.name} is being {who}") from None
        try:
            file.append(deque([line]))
            file.sync()
            files.fsync_folder(path)
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                files.remove(segment_path(path, number))
            raise
    except OSError as error:
        raise RunError(f"the run {path.name} cannot be written: {error.strerror or error}") from None
    owner.begin(record)
    return Claim(file, number, record)


class Claim:
    """A run that is this process's: its open events file, the number of that, and the owner's record."""

    def __init__(self, file: files.AppendOnly, number: int, record: dict[str, Any]) -> None:
        self.file = file
        self.number = number
        self.owner = record


def _require_known_format(path: Path, numbers: list[int]) -> None:
    """A run of which a newer layerlab wrote any part is not added to: what is written next would be read wrongly."""
    versions: list[Any] = []
    with contextlib.suppress(OSError, ValueError):
        versions.append(files.read_json(path / "summary.json", 1 << 20).get("version"))
    for number in numbers:
        with contextlib.suppress(files.NotRegular):
            opened = first_event(segment_path(path, number))
            versions.append(opened.version if opened is not None else None)
    newest = max((version for version in versions if type(version) is int), default=0)
    if newest > events.VERSION:
        raise RequestError(
            f"the run {path.name} was written by a newer layerlab (format {newest}, this one writes "
            f"{events.VERSION}): it can be looked at, not trained on"
        )


def _opened_soon(path: Path) -> events.Opened | None:
    """The first event of a file, which whoever creates it writes a moment later."""
    deadline = time.monotonic() + FIRST_LINE_SECONDS
    while (opened := first_event(path)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return opened


def _require_free(path: Path, number: int, patience: float) -> None:
    newest = segment_path(path, number)
    opened = _opened_soon(newest)
    if opened is None:
        # Either a crash came between its creation and its first line, or that line is about to be written. A file
        # "from the future" is as close: the clock may have stepped.
        if newest.lstat().st_size < TAIL and abs(time.time() - newest.lstat().st_mtime) < CLAIMING_SECONDS:
            raise RequestError(f"the run {path.name} is being claimed by another process; try again in half a minute")
        # A first line that was damaged later: the other record of the owner may still prove that it lives.
        record, _, beat_time, _ = read_owner(path)
        if record and owner.is_alive(record, beat_time):
            raise RequestError(f"the run {path.name} is being trained by {owner.describe(record)}")
        return
    if final_status(newest) is not None:
        return
    watch = owner.BeatWatch()
    deadline = time.monotonic() + patience
    while True:
        record, beat, beat_time, _ = read_owner(path)
        same = record.get("token") == opened.owner.get("token")
        alive = owner.is_alive(opened.owner, beat_time if same else None)
        if alive is False or (alive is None and watch.is_silent(beat if same else None)):
            return
        if alive or time.monotonic() >= deadline:
            words = "is being trained by" if alive else "may still be trained by"
            raise RequestError(f"the run {path.name} {words} {owner.describe(opened.owner)}")
        time.sleep(0.5)
