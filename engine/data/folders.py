"""Which photographs there are, of which class and part: from names alone, no file is opened."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.data.decoding import OTHER_SUFFIXES, SUFFIXES, shown
from engine.data.info import Place
from engine.errors import RequestError

if TYPE_CHECKING:
    from engine.data.photographs import Photographs

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")
ROLES: dict[str, PartName] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
# What systems and programs put beside people's folders; Synology's holds small copies of the photographs.
FOREIGN = frozenset(["__MACOSX", "@eaDir", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
NAMED = 5  # so many files are named where there are more of the same kind
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
    folders = _folders(root)
    roles = _roles(root, folders)
    notes: list[str] = []
    if roles:
        if left := [name for name in folders if name not in roles.values()]:
            parts = _named(roles.values())
            notes.append(f"left out: {_named(left)} in {root}, beside what is understood as its parts ({parts})")
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
        raise RequestError(
            f"{what}; ImageFolder wants a folder for each of two or more classes, with {_kinds()} files in it; for "
            'photographs in one folder, whose names begin with their class, there is LabelledFiles("' + f'{root}")'
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
    for name in _pictures(root, others):
        match = expression.fullmatch(name)
        if match is None:
            strange.append(name)
        else:
            labelled.append((match["label"], name))
    if not labelled:
        inside = f"; {strange[0]!r} is one of {len(strange):,} that do not" if strange else f", only {_contents(root)}"
        raise RequestError(
            f"no photograph in {root} has a name like {pattern!r}{inside}; pattern= says how they are called, and for "
            "a folder a class there is ImageFolder"
        )
    if strange and not skip:
        raise RequestError(
            f"{_named(strange)} in {root}: no label can be read from the name, which is not like {pattern!r}; rename "
            "or remove, or leave such files out with on_error='skip'"
        )
    notes = [f"left out: {_named(strange)}, whose names are not like {pattern!r}"] if strange else []
    notes += _unread(root, others)
    classes = tuple(sorted({label for label, _ in labelled}))
    if len(classes) < 2:
        raise RequestError(
            f"all {len(labelled):,} photographs in {root} have the label {classes[0]!r}; there have to be two or more"
        )
    labels = {name: label for label, name in enumerate(classes)}
    return _listing(root, [(file, labels[name], "train") for name, file in sorted(labelled)], classes, notes)


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
        notes.append(f"several files of the same name but for the ending, all of which are used: {_named(twice)}")
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[unicodedata.normalize("NFC", name).casefold().strip()].append(name)
    if same := [name for names in alike.values() if len(names) > 1 for name in names]:
        notes.append(f"classes whose names look the same, and that are told apart all the same: {_named(same)}")
    files, labels, parts = zip(*triples, strict=True)
    return Listing(root, files, labels, classes, parts, tuple(notes))


def _roles(root: Path, folders: list[str]) -> dict[PartName, str]:
    """Which folder is which part; empty where the folders are classes. Raises RequestError where both could be meant:
    parts taken for classes would train to tell them apart."""
    named: dict[PartName, list[str]] = defaultdict(list)
    for name in folders:
        if (role := ROLES.get(name.lower())) is not None:
            named[role].append(name)
    # A class may be called `train`: then the photographs are in it, and not in folders below it.
    parts = [name for names in named.values() for name in names if _holds_folders(root / name)]
    if not parts:
        return {}
    # Photographs that lie loose in one of several parts are left out.
    train = next((name for name in named["train"] if _folders(root / name)), None)
    if train is None:
        raise RequestError(
            f"{_named(parts)} in {root} {_has(parts)} folders of classes, as parts have, but no folder train does; "
            "call that of the training part train, or name one part alone: "
            f'ImageFolder("{root / parts[0]}"); if {parts[0]} is a class, call its folder otherwise'
        )
    for part, names in named.items():
        if len(names) > 1:
            raise RequestError(f"{_named(names)} in {root} could all be the {part} part; leave one of them there")
    roles = {part: names[0] for part, names in named.items() if names}
    if len(roles) == 1 and (unlike := [name for name in folders if name != train and _unlike(root, name, train)]):
        raise RequestError(
            f"{train} in {root} has folders of classes, as the training part has, but {_named(unlike)} beside it "
            f"{_has(unlike)} photographs sorted otherwise; name the training part alone: "
            f'ImageFolder("{root / train}"), or if {train} is a class, call its folder otherwise'
        )
    return roles


def _holds_folders(folder: Path) -> bool:
    return bool(_folders(folder)) and not _has_pictures(folder)


def _unlike(root: Path, name: str, train: str) -> bool:
    """Whether a folder has photographs, and none of its folders is called as a class of the training part."""
    if set(_folders(root / name)) & set(_folders(root / train)):
        return False
    return any(True for _ in _below(root / name, (_identity(root), _identity(root / name)), [], []))


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _classes(folder: Path, skip: bool, notes: list[str]) -> dict[str, list[str]]:
    """The photographs of each class in a folder of classes, sorted. Links that lead back are not followed."""
    found: dict[str, list[str]] = {}
    empty: list[str] = []
    loops: list[str] = []
    others: list[str] = []
    for name in _folders(folder):
        files = sorted(_below(folder / name, (_identity(folder), _identity(folder / name)), loops, others))
        if files:
            found[name] = files
        elif not any(loop == str(folder / name) for loop in loops):
            empty.append(name)
    if loops:
        notes.append(f"links to a folder that they are in were not followed: {_named(loops)}")
    if empty and not skip:
        raise RequestError(
            f"{_named(str(folder / name) for name in empty)}: no photograph ({_kinds()}) in this class; put "
            "some there, remove the folder, or leave such classes out with on_error='skip'"
        )
    if empty:
        notes.append(f"left out: classes without photographs in {folder}: {_named(empty)}")
    notes += _unread(folder, others)
    if loose := _pictures(folder):
        notes.append(f"left out: photographs in {folder} itself, which have no class: {_named(loose)}")
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
        raise RequestError(f"{root / other} has no photographs of {_named(missing)}, but {root / train} has")
    if more := sorted(set(found) - set(classes)):
        raise RequestError(
            f"{root / other} has photographs of {_named(more)}, but {root / train} has none: the parts must have the "
            "same classes"
        )


def _folders(folder: Path) -> list[str]:
    """Names of the folders within, sorted, links to folders included; hidden ones are nobody's classes, nor are those
    that systems make."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.name not in FOREIGN and _is_folder(entry)
        )


def _pictures(folder: Path, others: list[str] | None = None) -> list[str]:
    """Names of the photographs in a folder, sorted. A link that leads nowhere is one: reading it tells so. `others` is
    given the paths of those that are of a kind that is not read."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_picture(entry):
                found.append(entry.name)
            elif others is not None and os.path.splitext(entry.name)[1].lower() in OTHER_SUFFIXES:
                others.append(entry.path)
    return sorted(found)


def _unread(folder: Path, others: list[str]) -> list[str]:
    """What is told of photographs of a kind that is not read, as a list of one note or none."""
    named = sorted(os.path.relpath(path, folder) for path in others if not os.path.basename(path).startswith("."))
    if not named:
        return []
    return [f"left out: {_named(named)} in {folder}, of a kind that is not read; save such pictures as JPEG or PNG"]


def _has_pictures(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(_is_picture(entry) for entry in entries)


def _is_picture(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _below(folder: Path, above: tuple[tuple[int, int], ...], loops: list[str], others: list[str]) -> Iterator[str]:
    """Photographs in a folder and the folders within; `above` identifies the folders that it is in, and itself."""
    for name in _pictures(folder, others):
        yield str(folder / name)
    for name in _folders(folder):
        inner = folder / name
        identity = _identity(inner)
        if identity in above:
            loops.append(str(inner))
        else:
            yield from _below(inner, (*above, identity), loops, others)


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _named(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    names = [shown(name) for name in names]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _kinds() -> str:
    return ", ".join(sorted(SUFFIXES))


def _contents(folder: Path) -> str:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    return _named(names) if names else "nothing at all"
