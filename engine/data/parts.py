"""Which folders are the parts of a set of photographs, such as train and validation, and which are classes."""

from __future__ import annotations

import re
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


# Words beside a part's that do not tell what it is a part of: `train_images` and `test` belong together.
_PLAIN = frozenset([
    "data", "dataset", "dir", "files", "folder", "image", "images", "img", "imgs", "part", "photo", "photographs",
    "photos", "pics", "pictures", "samples", "set", "split",
])  # fmt: skip
# Folders that could be parts of the same set, by part.
Group = dict[PartName, list[str]]


def part_folders(root: Path, folders: list[str], notes: list[str]) -> dict[PartName, str]:
    """Which folder is which part; empty where the folders are classes. Raises RequestError where both could be meant:
    parts taken for classes would train to tell them apart.

    A name is that of a part (ROLES), or has a part's word in it, as `seg_train` beside `seg_test`: then another part of
    the same set has to be there. Such folders are parts where classes are folders in them. `notes` are told where
    folders that are called so are taken for classes.
    """
    groups = _groups(folders)
    several = [group for group in groups.values() if len(group) > 1]
    meant = [group for group in several if _has_classes(root, group)]
    lone = groups.get((), {})
    # One alone has to have the very name.
    if len(lone) == 1 and all(map(_exact, _names([lone]))) and _has_classes(root, lone):
        meant.append(lone)
    if not meant:
        _check_flat(root, folders, _names(several), notes)
        return {}
    by_part: Group = defaultdict(list)
    for group in meant:
        for part, names in group.items():
            by_part[part] += names
    parts = sorted(name for names in by_part.values() for name in names if folders_in(root / name))
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


def _groups(folders: list[str]) -> dict[tuple[str, ...], Group]:
    """Folders with a part's word in their names, by the other words: () where these say nothing."""
    groups: dict[tuple[str, ...], Group] = {}
    for name in folders:
        # Words are apart by spaces, punctuation, digits, and where a capital follows a small letter.
        words = re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
        words = [re.sub(r"^(train|val|test)(set|data)$", r"\1", word) for word in words]
        found = [ROLES[word] for word in words if word in ROLES]
        if len(found) == 1:
            rest = tuple(word for word in words if word not in ROLES and word not in _PLAIN)
            groups.setdefault(rest, {}).setdefault(found[0], []).append(name)
    for part, names in groups.get((), {}).items():
        if exact := [name for name in names if _exact(name)]:
            groups[()][part] = exact
    return groups


def _names(groups: list[Group]) -> list[str]:
    return [name for group in groups for names in group.values() for name in names]


def _exact(name: str) -> bool:
    return name.strip().lower() in ROLES


def _has_classes(root: Path, group: Group) -> bool:
    """A class may be called `train`: then the photographs are in it, and not in folders below it."""
    names = _names([group])
    having = [part for part, names in group.items() if any(folders_in(root / name) for name in names)]
    return len(having) > 1 or any(folders_in(root / name) and not has_pictures(root / name) for name in names)


def _check_flat(root: Path, folders: list[str], alike: list[str], notes: list[str]) -> None:
    """Tell of folders that are called as parts are, but have no classes. Raises RequestError where there are no others:
    they would be the classes."""
    pictured = [name for name in folders if alike and has_pictures_below(root, name)]
    found = [name for name in pictured if name in alike]
    others = [name for name in pictured if name not in alike]
    if found and not others:
        train = next((name for name in found if "train" in name.lower()), found[0])
        raise RequestError(
            f"{named(found)} in {root}: called as parts are, but their photographs do not lie in folders of classes; "
            f'where the names of the files begin with their class, use LabelledFiles("{root / train}"), else sort each '
            "part into a folder a class; if these are classes, call their folders otherwise"
        )
    if found:
        notes.append(f"{named(found)} in {root}: called as parts are, but taken for classes, as {named(others)}")


def _unlike(root: Path, name: str, train: str) -> bool:
    """Whether a folder has photographs, and none of its folders is called as a class of the training part."""
    if set(folders_in(root / name)) & set(folders_in(root / train)):
        return False
    return has_pictures_below(root, name)


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
