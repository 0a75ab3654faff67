"""What a session says while it trains: a closed set of events, each one line of JSON in the run's events file.

Numbers that JSON lacks are the strings "NaN", "Infinity" and "-Infinity", and come back as floats where a field holds
numbers. A name of a later version comes back as `Unknown`, so an older reader goes on.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
MAX_LINE = 1 << 20
MAX_TEXT = 100_000
MAX_MODULES = 2_000
MEASURES = ("weight_norm", "grad_norm", "update_ratio", "dead")
FINAL_STATUSES = ("finished", "stopped", "failed")
STATUSES = ("starting", "running", "paused", *FINAL_STATUSES)


@dataclass(frozen=True, slots=True)
class Opened:
    """The first line of every events file: who trains from here on, and from which step."""

    version: int
    owner: dict[str, Any]
    resumed_step: int | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """What is about to be trained. `modules` has one dict a layer: path, call, output_shape (no batch dimension),
    parameters, trainable (at some time), macs, depth, and where something of it is thawed "thaws": [epoch, how many of
    its parameters begin to train with it] of each such epoch. `memory` is in bytes; `train`, `val` and `test` count
    samples.

    `features` is there where the network trains on kept outputs of its frozen beginning: "layers" (that beginning, as a
    text), "samples", the "seconds" that computing them took (now, or when they were made: "reused"), how many seconds
    an epoch they save ("saved"), and names of what they are made of: "weights" (those that are frozen), "key" (these
    and all else), "loaded" (of each Backbone that begins with weights of a run or a file, by its path, those that were
    read). `normalisation` is what inputs were normalised with, "mean" and "std" by channel or column; None where they
    were not. `data` names the data by what matters to a training (data/digest.py); None where they cannot change."""

    device: str
    precision: str
    epochs: int
    batches: int
    batch_size: int
    train: int
    val: int | None
    test: int | None
    parameters: int
    trainable: int
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    modules: tuple[dict[str, Any], ...]
    memory: dict[str, Any]
    start_epoch: int = 0
    start_step: int = 0
    features: dict[str, Any] | None = None
    normalisation: dict[str, Any] | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A few times a second: `loss` is the mean since the last one, `epoch` the one under way (from 1), `elapsed` the
    training seconds so far."""

    step: int
    epoch: int
    batch: int
    batches: int
    loss: float
    lr: float
    samples_per_second: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch is over: its metrics (with "lr"), the seconds of its parts ("train", "evaluate"), and whether it is the
    best one so far."""

    epoch: int
    step: int
    metrics: dict[str, float]
    seconds: dict[str, float]
    best: bool
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Tested:
    """The test part was measured, once, at the end, with the weights of `epoch`."""

    epoch: int
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the layers did up to `step`: one dict a module, in the order of `Started.modules`, with its path and what is
    known of weight_norm, grad_norm (before clipping), update_ratio and dead (share of a ReLU's units that never fire);
    see gauge.py. Each is the newest one."""

    step: int
    modules: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A state to be saved. `kind` is "step" or "best"; `networks` maps a network's name to its state_dict. One that a
    person pinned is kept however many come after it.

    The writer's thread saves it later, so every tensor must be a copy that training no longer changes. It never becomes
    a line itself: the writer records it as `CheckpointSaved`.
    """

    step: int
    epoch: int
    batch: int
    kind: str
    networks: Mapping[str, Mapping[str, Tensor]]
    optimizer: object
    state: Mapping[str, Any]
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is on disk, whole; `path` is relative to the run's folder, `seconds` is what writing took."""

    step: int
    epoch: int
    kind: str
    path: str
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Controlled:
    """A request was acted on, after `step` steps."""

    step: int
    request: str
    value: float | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell the person; `level` is "info", "warning" or "error"."""

    level: str
    text: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Readings of memory and load, as `engine.telemetry.sample` gives them."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """`status` is one of STATUSES; those in FINAL_STATUSES end the run's events file."""

    status: str
    reason: str = ""
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event that this version does not know; readers leave it out."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)


Event = (
    Opened
    | Started
    | Progress
    | EpochEnded
    | Tested
    | Measured
    | Checkpoint
    | CheckpointSaved
    | Controlled
    | Message
    | Telemetry
    | StatusChanged
    | Unknown
)

_WRITTEN: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Opened,
        Started,
        Progress,
        EpochEnded,
        Tested,
        Measured,
        CheckpointSaved,
        Controlled,
        Message,
        Telemetry,
        StatusChanged,
    )
}
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class EventError(ValueError):
    """A line that is no event, or an event that cannot become a line."""


def to_line(event: Event, time: float) -> str:
    """The event as one JSON object with its name and `time` (unix seconds), without the newline.

    Texts over 100,000 characters and more than 2,000 modules are cut; raises EventError where the line would still be
    longer than 1 MiB, where a value is no JSON, and for `Checkpoint`, whose tensors go elsewhere.
    """
    name = type(event).__name__
    if name not in _WRITTEN:
        raise EventError(f"{name} is not written as a line")
    data: dict[str, Any] = {"event": name, "time": _plain(time)}
    for item in dataclasses.fields(event):
        data[item.name] = _plain(getattr(event, item.name))
    if isinstance(event, Started | Measured) and len(event.modules) > MAX_MODULES:
        data["modules"] = data["modules"][:MAX_MODULES]
    try:
        line = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise EventError(f"{name} cannot be written: {error}") from None
    if len(line) >= MAX_LINE:
        raise EventError(f"{name} would be a line of {len(line):,} bytes; at most {MAX_LINE:,} are allowed")
    return line


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 20:
        raise EventError("a value is nested more than 20 deep")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name_of(value)
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + " ... (cut)"
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return value


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def from_line(line: str | bytes) -> tuple[Event, float]:
    """The event and its time (unix seconds); `Unknown`, with its fields as they are, for a name of a later version.

    Fields that this version does not know are left out. Raises EventError where the line is too long, no JSON object,
    lacks a field or has one of the wrong type.
    """
    if len(line) > MAX_LINE:
        raise EventError("the line is too long")
    try:
        data = _DECODER.decode(line.decode() if isinstance(line, bytes) else line)
    except (ValueError, RecursionError) as error:
        raise EventError(f"not JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise EventError("not a JSON object with an event in it")
    time = _float(data.get("time"))
    cls = _WRITTEN.get(data["event"])
    if cls is None:
        return Unknown(data["event"], {key: value for key, value in data.items() if key != "event"}), time
    values: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        if item.name in data:
            values[item.name] = _READERS[str(item.type)](data[item.name])
        elif item.default is dataclasses.MISSING:
            raise EventError(f"{data['event']} without {item.name}")
    event: Event = cls(**values)
    if isinstance(event, StatusChanged) and event.status not in STATUSES:
        raise EventError(f"{event.status!r} is not a status")
    return event, time


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int:
    # No number here is larger; one that is beyond every float fails wherever somebody works with it.
    if len(digits) > 20:
        raise ValueError("a whole number of more than 64 bits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_whole)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**63:
        raise EventError("a whole number was expected")
    return value


def _float(value: Any) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EventError("a number was expected")
    try:
        return float(value)
    except OverflowError:
        raise EventError("a number was expected, not one beyond every float") from None


def number(value: Any) -> float | None:
    """A number of an event's dict, in which those that JSON lacks stay strings; None where it is none."""
    try:
        return _float(value)
    except EventError:
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise EventError("a text was expected")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EventError("true or false was expected")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EventError("an object was expected")
    return value


def _several(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def several(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise EventError("a list was expected")
        return tuple(read(item) for item in value)

    return several


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


# By the annotation of the field, which is a text under `from __future__ import annotations`.
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "int | None": _or_none(_int),
    "float": _float,
    "float | None": _or_none(_float),
    "str": _text,
    "str | None": _or_none(_text),
    "bool": _bool,
    "dict[str, Any]": _object,
    "dict[str, Any] | None": _or_none(_object),
    "dict[str, float]": lambda value: {key: _float(item) for key, item in _object(value).items()},
    "tuple[int, ...]": _several(_int),
    "tuple[str, ...]": _several(_text),
    "tuple[dict[str, Any], ...]": _several(_object),
}
