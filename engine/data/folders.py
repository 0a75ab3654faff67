"""Which photographs there are, of which class and part: from names alone, no file is opened."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.directories import (
    Aside,
    contents,
    folders_in,
    has_pictures,
    has_pictures_below,
    kinds,
    named,
    pictures_below,
    pictures_in,
    unread,
)
from engine.data.info import Place
from engine.data.parts import PARTS, PartName, part_folders
from engine.errors import RequestError

if TYPE_CHECKING:
    from engine.data.photographs import Photographs

_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Listing:
    """Photographs in the order in which they are kept: by part, class and path.

    `files` are paths below `root`, `labels` positions in `classes`, `parts` names of PARTS, all equally long. `notes`
    tell of what was left out or looks unusual.
    """

    root: Path
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    parts: tuple[PartName, ...]
    notes: tuple[str, ...] = ()

    def count(self, part: PartName) -> int | None:
        """How many photographs a part has; None where there is no such part."""
        return self.parts.count(part) or None


def list_photographs(source: Photographs, place: Place) -> Listing:
    """The photographs of an ImageFolder or a LabelledFiles. Raises RequestError for what is missing or ambiguous."""
    root = find_folder(source.path, place)
    try:
        return source.listed(root)
    except OSError as error:
        raise RequestError(f"{error.filename or root} cannot be read: {error.strerror}") from None


def find_folder(path: str, place: Place) -> Path:
    """The folder of this name, seen from the current folder or, where nothing is there, from the data folder.

    Raises RequestError where there is none.
    """
    if not path or "\0" in path:
        raise RequestError(f"{path!r} is not the name of a folder")
    here = Path(path).expanduser()
    tried = [here] if here.is_absolute() else [here, place.folder / here]
    for candidate in tried:
        try:
            if candidate.is_dir():
                return candidate
            if candidate.exists():
                raise RequestError(f"{candidate} is a file; name the folder that the photographs are in")
        except OSError as error:
            raise RequestError(f"{candidate}: {error.strerror}") from None
    looked = " or ".join(str(candidate.absolute()) for candidate in tried)
    raise RequestError(f"no folder {path}: looked for {looked}")


def by_folder(root: Path, skip: bool) -> Listing:
    """A folder a class; or train, validation and test folders that hold the classes. Raises RequestError."""
    folders = folders_in(root)
    notes: list[str] = []
    roles = part_folders(root, folders, notes)
    if roles:
        if left := [name for name in folders if name not in roles.values()]:
            parts = named(roles.values())
            notes.append(f"left out: {named(left)} in {root}, beside what is understood as its parts ({parts})")
        found = {part: _classes(root / roles[part], skip, notes) for part in PARTS if part in roles}
        classes = tuple(sorted(found["train"]))
        for part in [part for part, files in found.items() if not files and classes]:
            _unsorted(root / roles[part], root / roles["train"], skip, notes)
            del found[part]
        for part, files in found.items():
            _same_classes(root, roles["train"], classes, roles[part], files)
    else:
        found = {"train": _classes(root, skip, notes)}
        classes = tuple(sorted(found["train"]))
    if len(classes) < 2:
        where = root / roles["train"] if roles else root
        what = f"there is one class in {where}, {classes[0]!r}" if classes else f"there are no photographs in {where}"
        flat = where / classes[0] if classes and not has_pictures(where) else where
        if flat == where or has_pictures(flat):
            instead = f'photographs in one folder, whose names begin with their class, are LabelledFiles("{flat}")'
        else:
            instead = f'if the folders in it are the classes, it is ImageFolder("{flat}")'
        raise RequestError(
            f"{what}; ImageFolder wants a folder for each of two or more classes, with {kinds()} files in it; {instead}"
        )
    triples = [
        (os.path.relpath(file, root), label, part)
        for part, files in found.items()
        for label, name in enumerate(classes)
        for file in files[name]
    ]
    return _listing(root, triples, classes, notes)


def by_name(root: Path, pattern: str, skip: bool) -> Listing:
    """Photographs in one folder whose names hold their class. Raises RequestError."""
    expression = name_pattern(pattern)
    labelled: list[tuple[str, str]] = []
    strange: list[str] = []
    others: list[str] = []
    for name in pictures_in(root, others):
        match = expression.fullmatch(name)
        if match is None:
            strange.append(name)
        else:
            labelled.append((match["label"], name))
    if not labelled:
        raise RequestError(
            f"{none_like(root, pattern, strange)}; pattern= says how they are called, and for a folder a class there "
            "is ImageFolder"
        )
    if strange and not skip:
        raise RequestError(
            f"{named(strange)} in {root}: no label can be read from the name, which is not like {pattern!r}; rename "
            "or remove, or leave such files out with on_error='skip'"
        )
    notes = [f"left out: {named(strange)}, whose names are not like {pattern!r}"] if strange else []
    notes += unread(root, others)
    if folders := [name for name in folders_in(root) if has_pictures_below(root, name)]:
        notes.append(f"left out: photographs in folders of {root}: {named(folders)}")
    classes = tuple(sorted({label for label, _ in labelled}))
    if len(classes) < 2:
        raise RequestError(
            f"all {len(labelled):,} photographs in {root} have the label {classes[0]!r}; there have to be two or more"
        )
    labels = {name: label for label, name in enumerate(classes)}
    return _listing(root, [(file, labels[name], "train") for name, file in sorted(labelled)], classes, notes)


def none_like(root: Path, pattern: str, pictures: list[str]) -> str:
    """In words, that none of the photographs in a folder is called as the pattern wants it."""
    inside = f"; {pictures[0]!r} is one of {len(pictures):,} that do not" if pictures else f", only {contents(root)}"
    return f"no photograph in {root} has a name like {pattern!r}{inside}"


def name_pattern(pattern: str) -> re.Pattern[str]:
    """The expression of a pattern: {label} and other names in braces stand for one character or more, each as few as
    possible; capitals do not count in the ending. Where {id} can begin with a digit it does, so that `st.bernard.12` is
    of class `st.bernard`. Raises RequestError."""
    fields = _FIELD.findall(pattern)
    rest = _FIELD.sub("", pattern)
    if fields.count("label") != 1 or "{" in rest or "}" in rest or "/" in pattern:
        raise RequestError(
            f'pattern={pattern!r}; write the name of a file with {{label}} once, such as "{{label}}.{{id}}.jpg"'
        )
    stem, dot, ending = pattern.rpartition(".")
    if "{" in ending or not dot:
        stem, ending = pattern, ""
    places = _FIELD.split(stem)
    end = rf"\.(?i:{re.escape(ending)})" if ending else ""

    def joined(label: str, number: str) -> str:
        # Texts and names of fields take turns.
        kinds = {"label": label, "id": number}
        return "".join(kinds.get(text, ".+?") if at % 2 else re.escape(text) for at, text in enumerate(places)) + end

    if "id" not in places[1::2]:
        return re.compile(joined("(?P<label>.+?)", ".+?"), re.DOTALL)
    numbered = joined(".+?", r"\d.*?")
    return re.compile(
        rf"(?=(?P<numbered>{numbered}\Z)?)" + joined("(?P<label>.+?)", r"(?(numbered)\d.*?|.+?)"), re.DOTALL
    )


def _listing(
    root: Path, triples: list[tuple[str, int, PartName]], classes: tuple[str, ...], notes: list[str]
) -> Listing:
    stems = Counter((os.path.splitext(file)[0], part) for file, _, part in triples)
    if twice := [stem for (stem, _), times in stems.items() if times > 1]:
        notes.append(f"several files of the same name but for the ending, all of which are used: {named(twice)}")
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[unicodedata.normalize("NFC", name).casefold().strip()].append(name)
    if same := [name for names in alike.values() if len(names) > 1 for name in names]:
        notes.append(f"classes whose names look the same, and that are told apart all the same: {named(same)}")
    files, labels, parts = zip(*triples, strict=True)
    return Listing(root, files, labels, classes, parts, tuple(notes))


def _classes(folder: Path, skip: bool, notes: list[str]) -> dict[str, list[str]]:
    """The photographs of each class in a folder of classes, sorted."""
    aside = Aside()
    names = folders_in(folder)
    listed: dict[str, list[str]] = {name: [] for name in names}
    for name, file in pictures_below(folder, names, aside):
        listed[name].append(file)
    found = {name: sorted(files) for name, files in listed.items() if files}
    passed = {*aside.loops, *aside.again}
    empty = [name for name in names if name not in found and str(folder / name) not in passed]
    if empty and not skip:
        raise RequestError(
            f"{named(str(folder / name) for name in empty)}: no photograph ({kinds()}) in this class; put "
            "some there, remove the folder, or leave such classes out with on_error='skip'"
        )
    if empty:
        notes.append(f"left out: classes without photographs in {folder}: {named(empty)}")
    notes += aside.notes(folder)
    if loose := pictures_in(folder):
        notes.append(f"left out: photographs in {folder} itself, which have no class: {named(loose)}")
    return found


def _unsorted(folder: Path, train: Path, skip: bool, notes: list[str]) -> None:
    """Tell of a part without classes, such as test photographs that nobody labelled. Raises RequestError unless it is
    to be left out."""
    if not skip:
        raise RequestError(
            f"{folder} has no folders of classes with photographs in them, as {train} has; sort its photographs into "
            "such folders, move it elsewhere, or leave it out with on_error='skip'"
        )
    notes.append(f"left out: {folder}, which has no folders of classes")


def _same_classes(root: Path, train: str, classes: tuple[str, ...], other: str, found: dict[str, list[str]]) -> None:
    if missing := sorted(set(classes) - set(found)):
        raise RequestError(f"{root / other} has no photographs of {named(missing)}, but {root / train} has")
    if more := sorted(set(found) - set(classes)):
        raise RequestError(
            f"{root / other} has photographs of {named(more)}, but {root / train} has none: the parts must have the "
            "same classes"
        )
