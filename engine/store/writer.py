"""Writes a run while it is trained: one thread that takes events off a queue and does everything that touches the disk.

The training thread only puts events into the queue. Whatever the disk does, training goes on; what could not be
written is kept, written later, and the person is told since when.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

from engine import events, telemetry
from engine.control import Mailbox
from engine.events import Checkpoint, Event, Message, StatusChanged
from engine.store import crash, files, owner
from engine.store.inbox import Inbox
from engine.store.reader import RunReader
from engine.store.saver import Saver
from engine.store.segments import claim

TICK_SECONDS = 0.2
SUMMARY_SECONDS = 1.0
SYNC_SECONDS = 10.0
TELEMETRY_SECONDS = 1.0
TELEMETRY_AT_LEAST_SECONDS = 10.0
RETRY_SECONDS = 1.0
LAST_TRIES = 5
SETTLE_SECONDS = 2.0  # how long a checkpoint waits for the events before it
MAX_WAITING_BYTES = 16 << 20
# The events without which the rest still makes sense: dropped first when the disk takes nothing for long.
DROPPABLE = (b'{"event":"Progress"', b'{"event":"Telemetry"', b'{"event":"Measured"')
CREATORS = ("created", "source", "experiment", "fields")
# What only a training that goes on says.
STEPS = (events.Started, events.Progress, events.EpochEnded, events.Tested, events.StatusChanged)
SYNCED = (events.EpochEnded, events.CheckpointSaved, events.StatusChanged, events.Tested)


class RunWriter:
    """The one writer of a run. Use it as a context manager; without `close` the run ends as failed.

    `mailbox` receives what others ask through the control folder.
    """

    def __init__(
        self,
        path: Path,
        mailbox: Mailbox | None = None,
        resume: bool = False,
        resumed_step: int | None = None,
        telemetry: bool = True,
    ) -> None:
        """Claim the run and begin writing; raises RequestError where another process has it, RunError for the disk.

        `resumed_step` is the step that training goes on from: what was recorded of later ones no longer counts. Where
        it is not known yet, the `Started` event says it.
        """
        self.path = path
        self._device = "cpu"
        self._claim = claim(path, resume, resumed_step)
        reader = RunReader(path)
        reader.poll()
        self._view = reader.view
        self._view.recorded_status = "starting"
        self._kept = self._read_kept()
        self._mailbox = mailbox
        self._inbox = Inbox(path / "control")
        self._saver = Saver(path, self.put, self._settle)
        self._telemetry = telemetry
        self._queue: queue.SimpleQueue[tuple[Event | threading.Event, float]] = queue.SimpleQueue()
        self._settling: list[threading.Event] = []
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._problems: dict[str, str] = {}
        self._failing_since: float | None = None
        self._beat = 0
        self._heard = time.monotonic()
        self._due = dict.fromkeys(("write", "sync", "summary", "beat", "telemetry", "control"), 0.0)
        self._reading: dict[str, Any] = {}
        self._read_at = 0.0
        self._dirty = self._must_sync = self._summary_changed = False
        self._closing = threading.Event()
        self._closed = False
        self._final: tuple[str, str] = ("failed", "the session ended without saying how")
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):
            crash.forget(path)
        with contextlib.suppress(OSError):
            if resume:
                self._inbox.clear()
            files.remove_temporaries(path)
        # Before anything else is said: whoever lists the store finds out at once who trains this run.
        self._attempt("beat", self._write_beat)
        self._attempt("summary", self._write_summary)
        self._thread = threading.Thread(target=self._run, name="layerlab-writer", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """What is wrong with writing right now, in words; None while all is well."""
        # That nothing is recorded comes first, whichever file was refused before.
        return self._problems.get("write") or next(iter(self._problems.values()), None) or self._saver.problem

    def put(self, event: Event) -> None:
        """Hand over an event. Never blocks on the disk and never raises; after `close` it is left out."""
        if isinstance(event, Checkpoint):
            if not self._closed:
                self._saver.put(event)
        else:
            self._queue.put((event, time.time()))

    def status(self, status: str, reason: str = "", step: int | None = None) -> None:
        """Record a status that is not the final one."""
        self.put(StatusChanged(status, reason, step))

    def close(self, status: str, reason: str = "") -> None:
        """Write all that waits, checkpoints included, then the final status; the second call does nothing.

        Where the disk still refuses, it is tried for a few seconds; then `problem` says so, and the run will be shown
        as interrupted.
        """
        if status not in events.FINAL_STATUSES:
            raise ValueError(f"{status!r} does not end a run")
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._final = (status, reason)
        self._saver.close()
        self._closing.set()
        self._thread.join()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.close("failed", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        else:
            self.close(*self._final)

    def _run(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            self._step()
        self._finish()

    def _step(self) -> None:
        """Everything that is due, once. Nothing that goes wrong here may end the thread."""
        now = time.monotonic()
        self._attempt("events", self._take_events)
        if self._is_due("control", now, 2 * TICK_SECONDS if self._mailbox is None else TICK_SECONDS):
            self._attempt("control", self._take_requests)
        if self._telemetry and self._is_due("telemetry", now, TELEMETRY_SECONDS):
            self._attempt("telemetry", self._take_reading)
        if self._lines and (now >= self._due["write"] or (self._settling and self._failing_since is None)):
            self._write_lines()
        if self._dirty and (self._must_sync or now >= self._due["sync"]):
            self._due["sync"] = now + SYNC_SECONDS
            self._must_sync = not self._attempt("sync", self._sync)
            # An epoch may last for hours: lists tell meanwhile how long the run has lasted.
            self._summary_changed = True
        refused = self._failing_since is not None or "sync" in self._problems
        if refused or not (self._lines or self._dirty):
            self._tell_settled()
        if self._summary_changed and self._is_due("summary", now, SUMMARY_SECONDS):
            self._summary_changed = not self._attempt("summary", self._write_summary)
        if self._is_due("beat", now, owner.BEAT_SECONDS):
            self._attempt("beat", self._write_beat)

    def _is_due(self, name: str, now: float, every: float) -> bool:
        if now < self._due[name]:
            return False
        self._due[name] = now + every
        return True

    def _attempt(self, name: str, action: Any) -> bool:
        try:
            action()
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._problems[name] = f"the run's {name} could not be written or read: {reason}"
            return False
        self._problems.pop(name, None)
        return True

    # -- events

    def _take_events(self) -> None:
        for _ in range(self._queue.qsize()):
            event, when = self._queue.get_nowait()
            if isinstance(event, threading.Event):
                self._settling.append(event)
                self._must_sync = True
            else:
                self._add(event, when)

    def _add(self, event: Event, when: float) -> None:
        try:
            line = events.to_line(event, when).encode() + b"\n"
        except events.EventError as error:
            event = Message("error", f"something could not be recorded: {error}")
            line = events.to_line(event, when).encode() + b"\n"
        self._view.apply(event, when)
        if isinstance(event, events.Started):
            self._device = event.device
            telemetry.begin(event.device)
        if isinstance(event, STEPS):
            self._heard = time.monotonic()
        if isinstance(event, SYNCED):
            self._must_sync = self._summary_changed = True
        self._lines.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._drop()

    def _drop(self) -> None:
        """Make room, the least important first; never the rest of a line that the file already begins with."""
        first = list(self._lines)[:1] if self._claim.file.torn else []
        others = list(self._lines)[len(first) :]
        kept: list[bytes] = []
        size = sum(map(len, others))
        for line in others:
            if size > MAX_WAITING_BYTES // 2 and line.startswith(DROPPABLE):
                size -= len(line)
            else:
                kept.append(line)
        while size > MAX_WAITING_BYTES and kept:
            size -= len(kept.pop(0))
        self._dropped += len(others) - len(kept)
        self._lines = deque([*first, *kept])
        self._waiting_bytes = sum(map(len, self._lines))

    def _write_lines(self) -> None:
        try:
            self._claim.file.append(self._lines)
        except Exception as error:
            self._due["write"] = time.monotonic() + RETRY_SECONDS
            if self._failing_since is None:
                self._failing_since = time.time()
            since = time.strftime("%H:%M:%S", time.localtime(self._failing_since))
            self._problems["write"] = f"nothing was recorded since {since}: {getattr(error, 'strerror', None) or error}"
        else:
            self._problems.pop("write", None)
            self._dirty = True
            if self._failing_since is not None:
                self._tell_recovered(self._failing_since)
        self._waiting_bytes = sum(map(len, self._lines))

    def _tell_recovered(self, since: float) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(since))
        lost = f"; {self._dropped} of the events in between are lost" if self._dropped else ", all of it is now"
        self._failing_since, self._dropped = None, 0
        self._add(Message("warning", f"nothing could be recorded since {clock}{lost}"), time.time())

    def _settle(self) -> None:
        """Wait, in the saver's thread, until all that was said before is on the disk: a resume drops what was recorded
        of later steps than the checkpoint's, and must not miss earlier ones. A disk that refuses is not waited for."""
        settled = threading.Event()
        self._queue.put((settled, 0.0))
        settled.wait(SETTLE_SECONDS)

    def _tell_settled(self) -> None:
        while self._settling:
            self._settling.pop().set()

    def _sync(self) -> None:
        self._claim.file.sync()
        self._dirty = False

    # -- everything else

    def _take_requests(self) -> None:
        requests, problems = self._inbox.take()
        for problem in problems:
            self.put(Message("warning", problem))
        if self._mailbox is not None:
            for request in requests:
                self._mailbox.put(request)

    def _take_reading(self) -> None:
        reading = telemetry.sample(self._device)
        now = time.monotonic()
        if now - self._read_at >= TELEMETRY_AT_LEAST_SECONDS or telemetry.changed(self._reading, reading):
            self._reading, self._read_at = reading, now
            self._add(events.Telemetry(reading), time.time())

    def _write_beat(self) -> None:
        self._beat += 1
        data = {"version": events.VERSION, "owner": self._claim.owner, "beat": self._beat, "time": time.time()}
        # Told by the one clock that nobody sets.
        data["quiet"] = round(time.monotonic() - self._heard, 1)
        # Not fsynced: after a power cut this process is dead anyway, and it is written every two seconds.
        files.write_json(self.path / "owner.json", data, sync=False)

    def _write_summary(self) -> None:
        files.write_json(self.path / "summary.json", self._kept | self._view.summary())

    def _read_kept(self) -> dict[str, Any]:
        """What the run's creator put into the summary and no event says."""
        try:
            summary = files.read_json(self.path / "summary.json")
        except (OSError, ValueError):
            return {}
        return {name: summary[name] for name in CREATORS if isinstance(summary.get(name), str | float | dict)}

    def _finish(self) -> None:
        try:
            self._attempt("events", self._take_events)
            self._add(StatusChanged(*self._final, self._view.step), time.time())
            for attempt in range(LAST_TRIES):
                if attempt:
                    time.sleep(RETRY_SECONDS / 2)
                self._write_lines()
                if not self._lines and self._attempt("sync", self._sync):
                    break
            self._attempt("summary", self._write_summary)
            self._attempt("close", self._claim.file.close)
        finally:
            owner.end(self._claim.owner)
