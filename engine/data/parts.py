"""Which folders are the parts of a set of photographs, such as train and validation, and which are classes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from engine.data.directories import folders_in, has_pictures, has_pictures_below, named
from engine.errors import RequestError

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")
ROLES: dict[str, PartName] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def part_folders(root: Path, folders: list[str]) -> dict[PartName, str]:
    """Which folder is which part; empty where the folders are classes. Raises RequestError where both could be meant:
    parts taken for classes would train to tell them apart."""
    by_part: dict[PartName, list[str]] = defaultdict(list)
    for name in folders:
        if (role := ROLES.get(name.lower())) is not None:
            by_part[role].append(name)
    # A class may be called `train`: then the photographs are in it, and not in folders below it.
    parts = [name for names in by_part.values() for name in names if _holds_folders(root / name)]
    if not parts:
        return {}
    # Photographs that lie loose in one of several parts are left out.
    train = next((name for name in by_part["train"] if folders_in(root / name)), None)
    if train is None:
        raise RequestError(
            f"{named(parts)} in {root} {_has(parts)} folders of classes, as parts have, but no folder train does; "
            "call that of the training part train, or name one part alone: "
            f'ImageFolder("{root / parts[0]}"); if {parts[0]} is a class, call its folder otherwise'
        )
    for part, names in by_part.items():
        if len(names) > 1:
            raise RequestError(f"{named(names)} in {root} could all be the {part} part; leave one of them there")
    roles = {part: names[0] for part, names in by_part.items() if names}
    if len(roles) == 1 and (unlike := [name for name in folders if name != train and _unlike(root, name, train)]):
        raise RequestError(
            f"{train} in {root} has folders of classes, as the training part has, but {named(unlike)} beside it "
            f"{_has(unlike)} photographs sorted otherwise; name the training part alone: "
            f'ImageFolder("{root / train}"), or if {train} is a class, call its folder otherwise'
        )
    return roles


def _holds_folders(folder: Path) -> bool:
    return bool(folders_in(folder)) and not has_pictures(folder)


def _unlike(root: Path, name: str, train: str) -> bool:
    """Whether a folder has photographs, and none of its folders is called as a class of the training part."""
    if set(folders_in(root / name)) & set(folders_in(root / train)):
        return False
    return has_pictures_below(root, name)


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
