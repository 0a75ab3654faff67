"""What lies in a folder that people keep photographs in: folders, photographs, and what is neither."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.decoding import OTHER_SUFFIXES, SUFFIXES, shown

# What systems and programs put beside people's folders; Synology's holds small copies of the photographs.
FOREIGN = frozenset(["__MACOSX", "@eaDir", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
# What identifies the folders that one lies in, and itself.
Above = frozenset[tuple[int, int]]
NAMED = 5  # so many files are named where there are more of the same kind


def folders_in(folder: Path) -> list[str]:
    """Names of the folders within, sorted, links to folders included; hidden ones are nobody's classes, nor are those
    that systems make."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.name not in FOREIGN and _is_folder(entry)
        )


def pictures_in(folder: Path, others: list[str] | None = None) -> list[str]:
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


def unread(folder: Path, others: list[str]) -> list[str]:
    """What is told of photographs of a kind that is not read, as a list of one note or none."""
    names = sorted(os.path.relpath(path, folder) for path in others if not os.path.basename(path).startswith("."))
    if not names:
        return []
    return [f"left out: {named(names)} in {folder}, of a kind that is not read; save such pictures as JPEG or PNG"]


def has_pictures(folder: Path) -> bool:
    """Whether photographs lie in a folder itself."""
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


@dataclass
class Aside:
    """Paths that are met on the way to photographs: `loops`, links to a folder that they are in; `again`, links to one
    that is listed already; `others`, photographs of a kind that is not read."""

    loops: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def notes(self, folder: Path) -> list[str]:
        """What is told of them, where they are below `folder`."""
        told = (("that they are in", self.loops), ("that is listed already", self.again))
        links = [
            f"links to a folder {which} were not followed: {named(sorted(paths))}" for which, paths in told if paths
        ]
        return links + unread(folder, self.others)


def pictures_below(root: Path, names: Iterable[str], aside: Aside) -> Iterator[tuple[str, str]]:
    """Photographs in the folders `names` of `root` and the folders within: which of `names` each is in, and its path.

    A folder is listed once, under its own path rather than that of a link, and none is that `root` lies in: a link
    makes no photograph another one. Raises OSError.
    """
    real, links = deque[tuple[str, Path, Above]](), deque[tuple[str, Path, Above]]()

    def met(name: str, folder: Path, above: Above) -> None:
        (links if folder.is_symlink() else real).append((name, folder, above))

    around, listed = _around(root), set[tuple[int, int]]()
    for name in names:
        met(name, root / name, around)
    while real or links:
        name, folder, above = (real or links).popleft()
        itself = identity(folder)
        if itself in above:
            aside.loops.append(str(folder))
        elif itself in listed:
            aside.again.append(str(folder))
        else:
            listed.add(itself)
            for picture in pictures_in(folder, aside.others):
                yield name, str(folder / picture)
            for inner in folders_in(folder):
                met(name, folder / inner, above | {itself})


def _around(folder: Path) -> Above:
    """What identifies a folder and all that it lies in."""
    real = Path(os.path.realpath(folder))
    found = {identity(folder)}
    for outer in real.parents:
        with contextlib.suppress(OSError):  # one that may not be looked at cannot be listed either
            found.add(identity(outer))
    return frozenset(found)


def has_pictures_below(root: Path, name: str) -> bool:
    """Whether there are photographs in a folder of `root`, or in the folders within it; not where it cannot be read."""
    try:
        return any(True for _ in pictures_below(root, [name], Aside()))
    except OSError:
        return False


def identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from every other, whatever path leads there."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def named(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    names = [shown(name) for name in names]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def kinds() -> str:
    """The endings of photographs that are read."""
    return ", ".join(sorted(SUFFIXES))


def contents(folder: Path) -> str:
    """The first few names of what lies in a folder, in words."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    return named(names) if names else "nothing at all"
