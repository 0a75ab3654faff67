"""What a split puts where, and the record of it in the destination, which a second call and an undo go by."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.data.placing import TEMPORARY, WAYS, Way, take_name, to_disk
from engine.errors import RequestError, RunError

RECORD = ".layerlab-split.json"
PARTS = ("training", "validation", "test")
PATTERN = "{label}.{id}.jpg"
_FORMAT = 1


@dataclass(frozen=True)
class Asked:
    """What was asked for. `source` is absolute; `validation` and `test` are shares of each class."""

    source: str
    validation: float
    test: float
    pattern: str
    by: Way
    seed: int


@dataclass(frozen=True)
class Sorted:
    """One file: its name below the source, where it goes, and the size (bytes) and time (ns) that it had."""

    name: str
    part: str
    label: str
    size: int
    modified: int

    @property
    def target(self) -> str:
        """Its name below the destination."""
        below = PurePosixPath(self.name).parts
        return "/".join((self.part, self.label, *(below[1:] or below)))


@dataclass(frozen=True)
class Plan:
    """All that is to be put where; `made` are folders that were not there before, `left_out` what is no
    photograph with a label, `notes` what looks unusual. `done` says whether all of it was carried out, `undone` that it
    was taken back but for `files`."""

    asked: Asked
    files: tuple[Sorted, ...]
    made: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    done: bool = False
    undone: bool = False

    def counts(self) -> dict[str, dict[str, int]]:
        """Files of each class of each part."""
        found = Counter((file.part, file.label) for file in self.files)
        parts = [part for part in PARTS if any(part == other for other, _ in found)]
        return {part: {label: n for (other, label), n in sorted(found.items()) if other == part} for part in parts}


def divided(source: Path, labelled: dict[str, str], asked: Asked) -> Iterable[Sorted]:
    """Every file with its part: of each class the share asked for, at least one in each part. Raises RequestError."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for name, label in labelled.items():
        if label in (".", "..") or "/" in label:
            raise RequestError(f"{source / name} would have the label {label!r}, which cannot be a folder's name")
        by_label[label].append(name)
    if len(by_label) < 2:
        raise RequestError(f"{source} holds one class, {next(iter(by_label))!r}; to tell apart there have to be two")
    shares = {"validation": asked.validation, "test": asked.test}
    parts = [part for part, share in shares.items() if share]
    for label, names in sorted(by_label.items()):
        if len(names) <= len(parts):
            raise RequestError(
                f"class {label!r} has {len(names)} files, too few for each of {len(parts) + 1} parts; add more, or "
                "leave a part out"
            )
        # Where a file goes depends on its name and the seed alone, so files that are added move few others.
        names.sort(key=lambda name: hashlib.sha256(f"{asked.seed}/".encode() + os.fsencode(name)).digest())
        sizes = _sizes(len(names), [shares[part] for part in parts])
        begin = 0
        for part, size in zip((*parts, "training"), (*sizes, len(names) - sum(sizes)), strict=True):
            for name in names[begin : begin + size]:
                yield _measured(source, name, part, label)
            begin += size


def _sizes(count: int, shares: list[float]) -> list[int]:
    """The nearest whole number of files of each share, but at least one, and one is left for training."""
    sizes = [max(int(count * share + 0.5), 1) for share in shares]
    while sum(sizes) >= count:
        sizes[sizes.index(max(sizes))] -= 1
    return sizes


def _measured(source: Path, name: str, part: str, label: str) -> Sorted:
    try:
        status = os.stat(source / name)
    except OSError as error:
        raise RequestError(f"{source / name}: {error.strerror}") from None
    return Sorted(name, part, label, status.st_size, status.st_mtime_ns)


def read_plan(destination: Path) -> Plan | None:
    """The split that was begun in a folder; None where there is none. Raises RequestError for a damaged record."""
    path = destination / RECORD
    try:
        record = json.loads(path.read_text(encoding="ascii"))
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']}")
        files = tuple(Sorted(*map(_typed, item, (str, str, str, int, int))) for item in record["files"])
        # A record of an earlier version may be without notes, and without `undone`.
        told = tuple(record["left_out"]), tuple(record.get("notes", ()))
        stands = record["done"], record.get("undone", False)
        plan = Plan(Asked(**record["asked"]), files, tuple(record["made"]), *told, *stands)
        if plan.asked.by not in WAYS or not os.path.isabs(plan.asked.source):
            raise ValueError("its request")
        for name in (*plan.made, *(file.name for file in files), *(file.target for file in files)):
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"the name {name!r}")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path} is not what a split writes ({error}); what was sorted cannot be told") from None
    return plan


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r}")
    return value


def begin(destination: Path, plan: Plan) -> Plan:
    """Write the record where there is none, else give back what stands there: of two that begin at once, the second
    goes by the plan of the first. Raises RunError where that is another split."""
    beside = _written(destination, plan)
    try:
        take_name(beside, destination / RECORD)
        to_disk(destination)
    except FileExistsError:
        found = read_plan(destination)
        if found is None or found.asked != plan.asked:
            raise RunError(
                f"another split into {destination} was begun at the same time; nothing was touched"
            ) from None
        return found
    finally:
        beside.unlink(missing_ok=True)
    return plan


def write_plan(destination: Path, plan: Plan) -> None:
    """The record, whole or not at all, on the disk."""
    os.replace(_written(destination, plan), destination / RECORD)
    to_disk(destination)


def _written(destination: Path, plan: Plan) -> Path:
    rows = [[file.name, file.part, file.label, file.size, file.modified] for file in plan.files]
    record = {"format": _FORMAT, "asked": asdict(plan.asked), "made": plan.made, "left_out": plan.left_out}
    stands = {"done": plan.done, "undone": plan.undone}
    text = json.dumps(record | {"notes": plan.notes} | stands | {"files": rows})
    beside = destination / f"{TEMPORARY}{os.getpid()}.json"
    with open(beside, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return beside
