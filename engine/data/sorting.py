"""A folder of pictures sorted into training/dog, validation/dog, ...: planned, carried out, taken back.

The plan is written down in the destination (`RECORD`) before a file is touched: it is what a second call goes on from
and what an undo goes by. Which part a file belongs to is a function of the seed and its name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import psutil

from engine.data.decoding import SUFFIXES
from engine.data.directories import Aside, folders_in, named, pictures_below
from engine.data.folders import by_folder, name_pattern, none_like
from engine.data.placing import TEMPORARY, WAYS, Way, make_folder, place, placed, take_back, take_over, to_disk
from engine.data.split_plan import PARTS, RECORD, Asked, Plan, Sorted, begin, divided, read_plan, write_plan
from engine.errors import RequestError, RunError

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Undone:
    """How many files were taken back, and what stays as it is: names below the destination, each with the reason."""

    taken_back: int
    left: tuple[tuple[str, str], ...]


def plan_split(destination: Path, asked: Asked, by_name: bool = False) -> Plan:
    """What would be put where. Touches nothing.

    `by_name` says that photographs whose names suit the pattern are meant, whatever folders are beside them. Where a
    split of the same request was begun in the destination, its plan is given back, with notes of what changed since.
    Raises RequestError where the request makes no sense or could mean two things, a name in the destination is taken,
    another split is there, or what an undo left of one.
    """
    if os.path.exists(destination) and not os.path.isdir(destination):
        raise RequestError(f"{destination} is not a folder")
    found = read_plan(destination)
    if found is not None:
        if found.asked != asked:
            raise RequestError(
                f"{destination} holds another split, of {found.asked.source} ({_differences(found.asked, asked)}); "
                f"take it back with layerlab data split --undo, or name another folder"
            )
        return _since(destination, found)
    _check(asked)
    source = Path(asked.source)
    labelled, left_out, notes = _labelled(source, destination, asked.pattern, by_name)
    files = tuple(sorted(divided(source, labelled, asked), key=lambda file: (file.label, file.name)))
    if asked.by == "move":
        for file in files:
            if (source / file.name).is_symlink():
                raise RequestError(
                    f"{source / file.name} is a symbolic link, which could lead elsewhere once moved; use --by copy or "
                    "--by link"
                )
    _check_names(destination, files)
    if asked.by == "copy":
        _check_room(destination, sum(file.size for file in files))
    folders = ["", *PARTS, *(str(PurePosixPath(file.target).parent) for file in files)]
    made = tuple(sorted({folder for folder in folders if not os.path.lexists(destination / folder)}))
    return Plan(asked, files, made, left_out, notes)


def carry_out(destination: Path, plan: Plan, told: Told = lambda done, of: None) -> int:
    """Put every file in its place, or back there; gives how many were not there. `told(done, of)` hears how far it is.

    Raises RunError where it had to stop: what is done stays, the same call goes on, and `undo` takes it back.
    """
    source, way = Path(plan.asked.source), plan.asked.by
    new = 0
    try:
        if not plan.done:
            make_folder(destination)
            plan = begin(destination, plan)
        told(0, len(plan.files))
        _sweep(destination, plan)
        for number, file in enumerate(plan.files):
            target = destination / file.target
            # What was put there and changed since is the person's.
            if not plan.done or not os.path.lexists(target):
                new += _put(source / file.name, target, way, file.size)
            told(number + 1, len(plan.files))
        _sweep(destination, plan)
        for folder in {(destination / file.target).parent for file in plan.files}:
            to_disk(folder)
        if not plan.done:
            write_plan(destination, replace(plan, done=True))
    except OSError as error:
        raise RunError(
            f"stopped after {new:,} files: {error.filename or destination}: {error.strerror or error}; once that is "
            f"mended the same command goes on, and --undo takes back what was done"
        ) from None
    return new


def _since(destination: Path, plan: Plan) -> Plan:
    """A plan that stands in the destination, with notes of photographs that it does not know; of one that was carried
    out without the files that are nowhere any more. Raises RequestError where nothing of it is left, or what an undo
    left."""
    source, notes = Path(plan.asked.source), list(plan.notes)
    undoing = f"layerlab data split --undo {destination}"
    if plan.undone:
        raise RequestError(
            f"{destination} holds what an undo left of a split ({named(file.target for file in plan.files)}); take "
            f"that away and call {undoing} again, remove {RECORD} there, or name another folder"
        )
    if new := sorted(_pictures(source, plan) - {file.name for file in plan.files}):
        notes.append(
            f"{_photographs(len(new))} in {source} came after the split and {'is' if len(new) == 1 else 'are'} in no "
            f"part: {named(new)}; to sort what is new too, {undoing} and split again"
        )
    files = plan.files
    if plan.done:
        files = tuple(
            file for file in files if any(map(os.path.lexists, (destination / file.target, source / file.name)))
        )
        gone = sorted({file.target for file in plan.files} - {file.target for file in files})
        if not files:
            raise RequestError(
                f"{destination} holds the record of a split, but none of its {len(gone):,} files is there or in "
                f"{source}; {undoing} forgets it"
            )
        if gone:
            notes.append(
                f"{len(gone):,} files that were sorted are neither in {destination} nor in {source}: {named(gone)}"
            )
    return replace(plan, files=files, notes=tuple(notes))


def _pictures(source: Path, plan: Plan) -> set[str]:
    """Names below the source of the photographs that a split such as this one would sort now."""
    first = plan.files[0]
    top, _, below = first.name.partition("/")
    try:
        if not below:
            wanted = name_pattern(plan.asked.pattern)
            return {name for name in _listing(source)[0] if _is_picture(name) and wanted.fullmatch(name)}
        # The classes may be in a folder train, which then is all that is sorted.
        root = source if top == first.label else source / top
        return {os.path.relpath(path, source) for _, path in pictures_below(root, folders_in(root), Aside())}
    except (OSError, RequestError):
        return set()  # gone, as after a move


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _put(source: Path, target: Path, way: Way, size: int) -> bool:
    """Whether the file was not in its place yet. It may be put there, or a temporary one be swept away, by another call
    for the same split while this one is at it."""
    for _ in range(3):
        with contextlib.suppress(FileNotFoundError):
            if placed(source, target, way, size):
                return False
        try:
            make_folder(target.parent)
            place(source, target, way)
            return True
        except (FileExistsError, FileNotFoundError) as error:
            found = error
    raise found


def undo(destination: Path, told: Told = lambda done, of: None) -> Undone:
    """Take a split back, as far as nobody changed what it put there; folders that it made and that are empty go too.

    What had to stay is kept in the record, so that the undo can be tried again. Raises RequestError where there is no
    split, RunError where the system refuses.
    """
    plan = read_plan(destination)
    if plan is None:
        raise RequestError(f"there is no {RECORD} in {destination}: nothing was sorted into it, or it was taken back")
    source, way = Path(plan.asked.source), plan.asked.by
    left: list[tuple[Sorted, str]] = []
    taken_back = 0
    try:
        _sweep(destination, plan, all_of_it=True)
        if plan.done:
            # Where this is stopped, the split can go on as well.
            write_plan(destination, replace(plan, done=False))
        for number, file in enumerate(plan.files):
            there = os.path.lexists(destination / file.target)
            reason = take_back(source / file.name, destination / file.target, way, file.size, file.modified)
            if reason:
                left.append((file, reason))
            taken_back += there and not reason
            told(number + 1, len(plan.files))
        if left:
            write_plan(destination, replace(plan, files=tuple(file for file, _ in left), done=False, undone=True))
        else:
            os.unlink(destination / RECORD)
    except OSError as error:
        raise RunError(
            f"{error.filename or destination}: {error.strerror or error}; the rest is still there, and --undo goes on"
        ) from None
    for folder in sorted(plan.made, key=len, reverse=True):
        _remove_empty(destination / folder)
    return Undone(taken_back, tuple((file.target, reason) for file, reason in left))


def _sweep(destination: Path, plan: Plan, all_of_it: bool = False) -> None:
    """Take away what processes left behind that were ended while they copied, or `all_of_it`: what is there of other
    processes, which may be at it. What is the only one of a file that was moved gets its name."""
    source, moved = Path(plan.asked.source), plan.asked.by == "move"
    lost: dict[Path, list[tuple[Path, int, int]]] = {destination: []}
    for file in plan.files:
        names = (source / file.name, destination / file.target) if moved else (destination / file.target,)
        gone = moved and not any(map(os.path.lexists, names))
        for name in names:
            lost.setdefault(name.parent, []).extend([(name, file.size, file.modified)] if gone else [])
    for folder, here in lost.items():
        for path in folder.glob(f"{TEMPORARY}*"):
            number, _, ending = path.name.removeprefix(TEMPORARY).partition(".")
            alive = number.isdecimal() and int(number) != os.getpid() and psutil.pid_exists(int(number))
            if ending not in ("part", "json") or (ending == "part" and take_over(path, here)):
                continue
            if all_of_it or not alive:
                path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # somebody put something into it, or it has gone already


def _differences(there: Asked, wanted: Asked) -> str:
    old, new = asdict(there), asdict(wanted)
    return ", ".join(f"{name} {old[name]} there, {new[name]} asked for" for name in old if old[name] != new[name])


def _check(asked: Asked) -> None:
    shares = (asked.validation, asked.test)
    if not all(0 <= share < 1 for share in shares) or not 0 < sum(shares) < 1:
        raise RequestError(
            f"--validation {asked.validation} and --test {asked.test}: shares between 0 and 1, together less than 1 "
            "and not both 0"
        )
    if asked.by not in WAYS:
        raise RequestError(f"--by {asked.by}: use {', '.join(WAYS)}")


def _labelled(
    source: Path, destination: Path, pattern: str, by_name: bool
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Labels by names below the source, then what was left out and what looks unusual, in words: of a flat folder the
    files that suit the pattern, else the photographs of a folder a class."""
    wanted = name_pattern(pattern)
    files, folders = _listing(source)
    pictures = [name for name in files if _is_picture(name)]
    labelled = {name: found["label"] for name in pictures if (found := wanted.fullmatch(name)) is not None}
    if labelled:
        inside = _inside(source, destination)
        if len(inside) > 1 and not by_name:
            raise RequestError(
                f"{source} has {_photographs(len(labelled))} called like {pattern} and {sum(inside.values()):,} in its "
                f"folders ({named(inside)}), and which are meant cannot be told; --pattern '{pattern}' takes the first "
                "alone; to sort those in folders, move the first into them, or elsewhere"
            )
        others = [f"{_photographs(count)} in {name}" for name, count in inside.items()]
        return labelled, (*(name for name in files if name not in labelled), *others), ()
    if by_name and pictures:
        raise RequestError(f"{none_like(source, pattern, pictures)}; --pattern says how they are called")
    if not folders or by_name:
        told = f"; the first of its files is {files[0]}" if files else ""
        raise RequestError(
            f"{source} has neither photographs called {pattern} nor folders with photographs, one a class{told}; "
            "say with --pattern how the files are called"
        )
    if destination.absolute().is_relative_to(source):
        raise RequestError(f"{destination} lies in {source}, whose folders are classes; name another place")
    try:
        listing = by_folder(source, skip=True)
    except OSError as error:
        raise RequestError(f"{error.filename or source} cannot be read: {error.strerror}") from None
    if set(listing.parts) != {"train"}:
        raise RequestError(f"{source} is sorted into parts already ({', '.join(folders)}); name the folder of one part")
    labelled = {name: listing.classes[label] for name, label in zip(listing.files, listing.labels, strict=True)}
    out = "left out: "
    left_out = tuple(note.removeprefix(out) for note in listing.notes if note.startswith(out))
    return labelled, left_out, tuple(note for note in listing.notes if not note.startswith(out))


def _photographs(count: int) -> str:
    return "1 photograph" if count == 1 else f"{count:,} photographs"


def _inside(source: Path, destination: Path) -> dict[str, int]:
    """How many photographs there are in each folder that has some and can be read, but for those sorted into."""
    counts = {}
    for name in folders_in(source):
        folder = source / name
        if not destination.absolute().is_relative_to(folder) and not os.path.lexists(folder / RECORD):
            with contextlib.suppress(OSError):
                counts[name] = sum(1 for _ in pictures_below(source, [name], Aside()))
    return {name: count for name, count in counts.items() if count}


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Names of files and of folders, each sorted; what begins with a dot is not meant."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.is_file():
                    files.append(entry.name)
    except OSError as error:
        raise RequestError(f"{folder} cannot be listed: {error.strerror}") from None
    return sorted(files), sorted(folders)


def _check_names(destination: Path, files: tuple[Sorted, ...]) -> None:
    taken = [file.target for file in files if os.path.lexists(destination / file.target)]
    if taken:
        more = f", and {len(taken) - 1:,} more" if len(taken) > 1 else ""
        raise RequestError(
            f"{destination / taken[0]} is there already{more}; nothing was touched: name an empty folder"
        )


def _check_room(destination: Path, wanted: int) -> None:
    there = destination.absolute()
    while not there.is_dir() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise RequestError(
            f"the copies need {wanted / 2**20:,.0f} MiB, but {free / 2**20:,.0f} MiB are free at {there}; --by link "
            "needs no room"
        )
