"""Follows a run's events files and keeps a `RunView` of them; only reads, never repairs, never raises for a bad run."""

from __future__ import annotations

import errno
import math
import os
import time
from pathlib import Path

from engine import events
from engine.store import crash, files, owner, segments
from engine.store.stalls import stall
from engine.store.view import EpochRow, MessageRow, RunView

__all__ = ["EpochRow", "MessageRow", "RunReader", "RunView"]

CHUNK = 1 << 20
# Not on every system; there a hole is read as the NULs that it stands for.
SEEK_DATA = getattr(os, "SEEK_DATA", os.SEEK_SET)
CHECK_SECONDS = 1.0
STARTING_SECONDS = 60.0


class RunReader:
    """A run folder, read as far as it is written; `poll` goes on from where the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = RunView(path)
        self._segment: int | None = None
        self._offset = 0
        self._rest = b""
        self._too_long = False
        self._watch = owner.BeatWatch()
        self._checked = -math.inf
        self._checked_token: object = None
        self._alive: bool | None = True
        self._stall = ""
        self._read_summary()

    def poll(self) -> bool:
        """Take in what is new; True where the view changed."""
        before = self.view.version
        try:
            self._read_events()
            self._derive_status()
        except OSError as error:
            gone = not files.is_folder(self.path)
            problem = "its folder is gone" if gone else f"it cannot be read: {error.strerror or error}"
            self._set("problem", problem)
            if gone or not self.view.history:
                self._set("status", "damaged")
        return self.view.version != before

    def _set(self, name: str, value: object) -> None:
        if getattr(self.view, name) != value:
            setattr(self.view, name, value)
            self.view.version += 1

    def _read_summary(self) -> None:
        """What the events do not hold: the name, and how many epochs were asked for before it starts."""
        slug = self.path.name.split("-", 1)[-1].rsplit("-", 1)[0]
        self.view.name = slug or self.path.name
        try:
            summary = files.read_json(self.path / "summary.json", 1 << 20)
        except (OSError, ValueError):
            return
        name, epochs, version = summary.get("name"), summary.get("epochs"), summary.get("version")
        if isinstance(name, str):
            self.view.name = name[:1000]
        if isinstance(epochs, int) and not isinstance(epochs, bool) and 0 <= epochs < 2**63:
            self.view.epochs = epochs
        if isinstance(version, int) and version > events.VERSION:
            self.view.read_only = True
            self.view.problem = f"written by a newer layerlab (format {version}): shown as far as it is understood"

    def _read_events(self) -> None:
        for number in segments.segments(self.path):
            if self._segment is None or number > self._segment:
                # What is left of the older file is a torn line: it was never there.
                self._segment, self._offset, self._rest, self._too_long = number, 0, b"", False
                self.view.segment = number
            if number == self._segment:
                self._read_segment(segments.segment_path(self.path, number))

    def _read_segment(self, path: Path) -> None:
        size = path.lstat().st_size
        if size == self._offset:
            return
        if size < self._offset:
            self._set("problem", f"{path.name} became shorter while it was read")
            return
        try:
            with files.opened(path) as descriptor:
                os.lseek(descriptor, self._offset, os.SEEK_SET)
                while chunk := files.system.read(descriptor, CHUNK):
                    self._offset += len(chunk)
                    self._take(chunk)
                    if self._too_long:
                        self._skip_hole(descriptor)
        except files.NotRegular:
            self._set("problem", f"{path.name} is not a regular file")
            self._offset = size

    def _skip_hole(self, descriptor: int) -> None:
        """In the midst of an endless line: go on where the file holds something, which in a sparse one is far away."""
        size = os.fstat(descriptor).st_size
        try:
            self._offset = os.lseek(descriptor, self._offset, SEEK_DATA)
        except OSError as error:
            # Nothing but a hole up to the end, or a file system that does not tell.
            beyond = error.errno == errno.ENXIO
            self._offset = os.lseek(descriptor, max(size, self._offset) if beyond else self._offset, os.SEEK_SET)

    def _take(self, chunk: bytes) -> None:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._too_long:
                self._too_long = False
                continue
            try:
                event, when = events.from_line(line)
            except events.EventError:
                self.view.skipped_lines += 1
                self.view.version += 1
                continue
            self.view.apply(event, when)
        if len(self._rest) > events.MAX_LINE:
            if not self._too_long:
                self.view.skipped_lines += 1
                self.view.version += 1
            self._rest, self._too_long = b"", True

    def _derive_status(self) -> None:
        if self._segment is None:
            self._derive_without_events()
            return
        if self.view.recorded_status in events.FINAL_STATUSES:
            self._set("status", self.view.recorded_status)
            return
        if not self.view.owner:
            fresh = (
                abs(time.time() - segments.segment_path(self.path, self._segment).lstat().st_mtime) < STARTING_SECONDS
            )
            self._set("status", "starting" if fresh else "interrupted")
            return
        if self._owner_is_dead():
            # It may have ended properly between the last look at its events and the look at its process.
            self._read_events()
            if self.view.recorded_status in events.FINAL_STATUSES:
                self._set("status", self.view.recorded_status)
                return
            self._set("status", "interrupted")
            self._set("reason", self._last_words())
        else:
            self._set("status", self.view.recorded_status)
            self._set("reason", self._stall or self.view.recorded_reason)

    def _last_words(self) -> str:
        """What is known of an owner's end who did not record it."""
        who, ended_by = owner.describe(self.view.owner), crash.signal_of(self.path, self.view.owner)
        if ended_by == "SIGKILL":
            return f"{who} was ended by SIGKILL, as the system does where memory runs out"
        if ended_by:
            return f"{who} was ended by {ended_by}; {crash.NAME} in its folder may say where it stood"
        return f"{who} ended without saying how"

    def _derive_without_events(self) -> None:
        if not files.is_folder(self.path):
            self._set("problem", "its folder is gone")
            self._set("status", "damaged")
            return
        try:
            age = abs(time.time() - (self.path / "experiment.toml").lstat().st_mtime)
        except FileNotFoundError:
            self._set("problem", "it has neither an experiment nor events")
            self._set("status", "damaged")
            return
        self._set("status", "starting" if age < STARTING_SECONDS else "interrupted")
        self._set("reason", "" if age < STARTING_SECONDS else "it was never started")

    def _owner_is_dead(self) -> bool:
        """By proof; looked at once a second, for it costs a few system calls."""
        now = time.monotonic()
        token = self.view.owner.get("token")
        if now - self._checked >= CHECK_SECONDS or token != self._checked_token:
            self._checked, self._checked_token = now, token
            record, beat, beat_time, quiet = segments.read_owner(self.path)
            same = record.get("token") == token
            self._alive = owner.is_alive(self.view.owner, beat_time if same else None)
            silent = self._watch.is_silent(beat if same else None)
            if self._alive is None and silent:
                self._alive = False
            self._stall = stall(self.view.owner, quiet if same else None, silent, self.view.recorded_status)
        return self._alive is False
