"""What is known of a run, as its events tell it: the one picture that writer, readers and lists share."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import events
from engine.control import MAX_ADDED_EPOCHS
from engine.store import files
from engine.store.loss_curve import Curve

if TYPE_CHECKING:
    from engine.spec import Experiment

MAX_MESSAGES = 1_000
MAX_TELEMETRY = 3_600
MAX_EXPERIMENT = 1 << 18
RECENT_EPOCHS = 20
LIVE_STATUSES = ("starting", "running", "paused")


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch that ended."""

    epoch: int
    step: int
    metrics: dict[str, float]
    seconds: dict[str, float]
    best: bool


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message; `time` is in unix seconds."""

    time: float
    level: str
    text: str
    step: int | None


@dataclass
class RunView:
    """A run as its readers draw it; `version` grows with every change.

    `epoch` is the one under way, or the last that ended, from 1. `curve` holds (step, epochs so far, loss). `started`
    is the `Started` event as a dict (device, precision, counts of samples and parameters, classes, ...), empty before
    it. `measured` holds the newest row of each module by its path, as `Measured` has it. `best` and `last` are
    {"epoch", "metrics"}. Times are unix seconds; `seconds_per_epoch` is the median of the training part alone.
    """

    path: Path
    name: str = ""
    status: str = "starting"
    reason: str = ""
    epochs: int = 0
    epoch: int = 0
    batch: int = 0
    batches: int = 0
    step: int = 0
    lr: float | None = None
    elapsed: float = 0.0
    samples_per_second: float | None = None
    history: list[EpochRow] = field(default_factory=list)
    telemetry: list[dict[str, Any]] = field(default_factory=list)
    modules: list[dict[str, Any]] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured_step: int | None = None
    messages: list[MessageRow] = field(default_factory=list)
    controls: list[events.Controlled] = field(default_factory=list)
    controlled_at: list[float] = field(default_factory=list)
    started: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    tested: dict[str, float] | None = None
    checkpoint: events.CheckpointSaved | None = None
    checkpoint_at: float | None = None
    owner: dict[str, Any] = field(default_factory=dict)
    began: float | None = None
    ended: float | None = None
    segment: int = -1
    skipped_lines: int = 0
    problem: str | None = None
    read_only: bool = False
    version: int = 0

    def __post_init__(self) -> None:
        self.run = self.path.name
        self.recorded_status, self.recorded_reason = self.status, self.reason
        self._curve = Curve()
        self._train_seconds: list[float] = []
        self._session: tuple[float, float] | None = None  # when the newest session began, and its newest event
        self._earlier_seconds = 0.0
        self._experiment: Experiment | None = None
        self._experiment_read = False
        self._environment: dict[str, Any] | None = None

    @property
    def curve(self) -> list[tuple[int, float, float]]:
        return self._curve.points

    @property
    def seconds_per_epoch(self) -> float | None:
        return statistics.median(self._train_seconds) if self._train_seconds else None

    @property
    def live(self) -> bool:
        """Whether it is being trained, as far as is known."""
        return self.status in LIVE_STATUSES

    @property
    def seconds(self) -> float | None:
        """How long it ran altogether, by the clock of its events: all sessions, pauses within them included."""
        if self._session is None:
            return None
        return self._earlier_seconds + max(self._session[1] - self._session[0], 0.0)

    @property
    def preparing(self) -> str:
        """What is done before the first step, as it was told last; "" where nothing was, and once training begins."""
        since = self._session[0] if self._session is not None else -math.inf
        told = (row.text for row in reversed(self.messages) if row.level == "info" and row.time >= since)
        return next(told, "") if self.status == "starting" else ""

    @property
    def done(self) -> int:
        """How many epochs ended."""
        return self.history[-1].epoch if self.history else 0

    @property
    def device(self) -> str:
        return str(self.started.get("device", ""))

    @property
    def features(self) -> dict[str, Any] | None:
        """The cached features that it trains on, as `Started` has them, every value of its type; None without."""
        found = self.started.get("features")
        if not isinstance(found, dict):
            return None
        numbers = {name: events.number(found.get(name)) or 0.0 for name in ("samples", "seconds", "saved")}
        told = {name: value if math.isfinite(value) else 0.0 for name, value in numbers.items()}
        told["samples"] = int(told["samples"])
        texts = {name: str(found.get(name, "")) for name in ("layers", "weights", "key")}
        return {**texts, "reused": found.get("reused") is True, **told}

    @property
    def seconds_left(self) -> float | None:
        """How long the rest of the epochs will take, evaluation included; None where nothing tells yet."""
        if self.status != "running" or not self.epochs:
            return None
        part = min(self.batch / self.batches, 1.0) if self.batches > 0 and self.epoch > self.done else 0.0
        left = max(self.epochs - self.done - part, 0.0)
        recent = [sum(row.seconds.values()) for row in self.history[-RECENT_EPOCHS:] if row.seconds]
        recent = [seconds for seconds in recent if math.isfinite(seconds) and seconds >= 0]
        if recent:
            return statistics.median(recent) * left
        return self.elapsed / part * left if part > 0 and self.elapsed > 0 else None

    @property
    def experiment(self) -> Experiment | None:
        """The experiment as asked for, read when first wanted; None, and `problem` says why, where that fails."""
        if not self._experiment_read:
            self._experiment_read = True
            from engine.errors import LayerlabError
            from engine.spec import parse_experiment

            file = self.path / "experiment.toml"
            try:
                self._experiment = parse_experiment(files.read_bounded(file, MAX_EXPERIMENT).decode(), str(file))
            except (LayerlabError, OSError, ValueError, RecursionError) as error:
                self.problem = self.problem or f"its experiment cannot be read: {str(error)[:500]}"
                self.version += 1
        return self._experiment

    @property
    def environment(self) -> dict[str, Any]:
        """What environment.json says, empty where it is not readable."""
        if self._environment is None:
            try:
                self._environment = files.read_json(self.path / "environment.json", 1 << 20)
            except (OSError, ValueError):
                self._environment = {}
        return self._environment

    def apply(self, event: events.Event, when: float) -> None:
        """Take in one event; those of no interest change nothing."""
        if isinstance(event, events.Opened):
            self._earlier_seconds = self.seconds or 0.0
            self._session = when, when
        elif self._session is not None:
            self._session = self._session[0], max(self._session[1], when)
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event, when)
            self.version += 1

    def forget_after(self, step: int, epochs: int | None = None) -> None:
        """Leave out what was recorded of later steps: the run was resumed from this one.

        At an epoch's last step the epoch may still have to be measured, so `epochs` says how many were over.
        """
        if self.measured_step is not None and self.measured_step > step:
            self.measured, self.measured_step = {}, None
        upto = math.inf if epochs is None else epochs
        kept = [row for row in self.history if row.step <= step and row.epoch <= upto]
        if self.step <= step and len(kept) == len(self.history):
            return
        self.history[:] = kept
        self._curve.forget_after(step)
        self._train_seconds = sorted(s for row in self.history if (s := row.seconds.get("train")) is not None)
        best = next((row for row in reversed(self.history) if row.best), None)
        self.best = _entry(best) if best else None
        self.last = _entry(self.history[-1]) if self.history else None
        self.tested = None
        self.step, self.epoch, self.batch = step, self.done, 0

    def summary(self) -> dict[str, Any]:
        """What summary.json holds: all that a list needs, without NaN."""
        return {
            "version": events.VERSION,
            "run": self.run,
            "name": self.name,
            "status": self.recorded_status,
            "reason": self.reason[:2_000],
            "segment": self.segment,
            "started": iso(self.began),
            "ended": iso(self.ended),
            "epoch": self.done,
            "epochs": self.epochs,
            "step": self.step,
            "best": _numbers_as_text(self.best),
            "last": _numbers_as_text(self.last),
            "seconds_per_epoch": self.seconds_per_epoch,
            "seconds": self.seconds,
            "parameters": self.started.get("parameters"),
            "device": self.device,
        }


def iso(when: float | None) -> str | None:
    """A unix time as ISO 8601 in UTC, to the second."""
    try:
        return None if when is None else f"{datetime.fromtimestamp(when, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None


def _entry(row: EpochRow) -> dict[str, Any]:
    return {"epoch": row.epoch, "metrics": dict(row.metrics)}


def _numbers_as_text(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    metrics = {name: value if math.isfinite(value) else str(value) for name, value in entry["metrics"].items()}
    return {"epoch": entry["epoch"], "metrics": metrics}


def _opened(view: RunView, event: events.Opened, when: float) -> None:
    view.owner = event.owner
    view.began = when if view.began is None else view.began
    view.ended = None
    view.recorded_status, view.reason, view.recorded_reason = "starting", "", ""
    view.samples_per_second = None
    view.telemetry.clear()
    if event.version > events.VERSION:
        view.read_only = True
        view.problem = f"written by a newer layerlab (format {event.version}): shown as far as it is understood"
    if event.resumed_step is not None:
        view.forget_after(event.resumed_step)


def _started(view: RunView, event: events.Started, when: float) -> None:
    view.forget_after(event.start_step, event.start_epoch)
    view.epochs, view.batches, view.memory = event.epochs, event.batches, event.memory
    over = max(event.start_epoch, view.done)
    if view.step == event.start_step:
        # It goes on where it was stopped, in the middle of an epoch it may be.
        view.epoch = max(view.epoch, over)
    else:
        view.epoch, view.step, view.batch = over, event.start_step, 0
    view.modules = [_module(row) for row in event.modules]
    view.started = {name: getattr(event, name) for name in event.__slots__ if name != "modules"}


def _module(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the layer table in which every key is there, with a value of its type."""

    def number(name: str) -> int:
        value = row.get(name)
        return value if isinstance(value, int) else 0

    shape = row.get("output_shape")
    return {
        **row,
        "path": str(row.get("path", "")),
        "call": str(row.get("call", "")),
        "output_shape": shape if isinstance(shape, list | tuple) else [],
        **{name: number(name) for name in ("parameters", "trainable", "macs", "depth")},
    }


def _progress(view: RunView, event: events.Progress, when: float) -> None:
    view.step, view.epoch, view.batch, view.batches = event.step, event.epoch, event.batch, event.batches
    view.lr, view.samples_per_second, view.elapsed = event.lr, event.samples_per_second, event.elapsed
    if event.batches > 0:
        view._curve.add(event.step, event.epoch - 1 + event.batch / event.batches, event.loss)


def _epoch_ended(view: RunView, event: events.EpochEnded, when: float) -> None:
    row = EpochRow(event.epoch, event.step, event.metrics, event.seconds, event.best)
    view.history.append(row)
    view.epoch, view.step, view.batch = event.epoch, event.step, view.batches
    view.lr = event.metrics.get("lr", view.lr)
    view.last = _entry(row)
    if event.best:
        view.best = _entry(row)
    seconds = event.seconds.get("train")
    if seconds is not None and math.isfinite(seconds):
        bisect.insort(view._train_seconds, seconds)


def _tested(view: RunView, event: events.Tested, when: float) -> None:
    view.tested = event.metrics
    for entry in (view.best, view.last):
        if entry is not None and entry["epoch"] == event.epoch:
            entry["metrics"].update(event.metrics)


def _measured(view: RunView, event: events.Measured, when: float) -> None:
    view.measured_step, view.measured = event.step, {}
    for row in event.modules:
        path = str(row.get("path", ""))
        values = {name: value for name in events.MEASURES if (value := events.number(row.get(name))) is not None}
        view.measured[path] = {"path": path, **values}


def _checkpoint_saved(view: RunView, event: events.CheckpointSaved, when: float) -> None:
    view.checkpoint, view.checkpoint_at = event, when


def _controlled(view: RunView, event: events.Controlled, when: float) -> None:
    view.controls.append(event)
    view.controlled_at.append(when)
    del view.controls[:-MAX_MESSAGES], view.controlled_at[:-MAX_MESSAGES]
    if event.request == "add_epochs" and event.value is not None and 1 <= event.value <= MAX_ADDED_EPOCHS:
        view.epochs += int(event.value)
    elif event.request == "set_lr" and event.value is not None:
        view.lr = event.value


def _message(view: RunView, event: events.Message, when: float) -> None:
    view.messages.append(MessageRow(when, event.level, event.text, event.step))
    del view.messages[:-MAX_MESSAGES]


def _telemetry(view: RunView, event: events.Telemetry, when: float) -> None:
    view.telemetry.append({"time": when, **event.values})
    if len(view.telemetry) > MAX_TELEMETRY * 5 // 4:
        del view.telemetry[:-MAX_TELEMETRY]


def _status_changed(view: RunView, event: events.StatusChanged, when: float) -> None:
    view.recorded_status, view.reason, view.recorded_reason = event.status, event.reason, event.reason
    if event.status in events.FINAL_STATUSES:
        view.ended = when
    if event.step is not None:
        view.step = event.step


_HANDLERS: dict[type[Any], Callable[[RunView, Any, float], None]] = {
    events.Opened: _opened,
    events.Started: _started,
    events.Progress: _progress,
    events.EpochEnded: _epoch_ended,
    events.Tested: _tested,
    events.Measured: _measured,
    events.CheckpointSaved: _checkpoint_saved,
    events.Controlled: _controlled,
    events.Message: _message,
    events.Telemetry: _telemetry,
    events.StatusChanged: _status_changed,
}
