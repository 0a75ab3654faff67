"""Which checkpoints a run has, and which of them go once a newer one is safe. Knows no torch: lists show them, too."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.store import files

NAME = re.compile(r"(step|best)-(\d{9,15})(?:-(\d{1,4}))?")
MAX_MANIFEST = 1 << 20
MAX_STATE = 1 << 26
KEPT = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint in a run's folder, by its manifest: `best` is the step of the best weights that it refers to,
    `bytes` what its files hold; `whole` says that these are there with the sizes that were written."""

    path: Path
    kind: str
    step: int
    epoch: int | None
    pinned: bool
    best: int | None
    bytes: int
    whole: bool


def order(path: Path) -> tuple[int, int]:
    """What checkpoints of a kind are sorted by: the step, and which of those of this step it is."""
    found = NAME.fullmatch(path.name)
    return (int(found[2]), int(found[3] or 1)) if found else (-1, -1)


def listed(folder: Path, kind: str) -> list[Path]:
    """The checkpoints of a kind, oldest first, whether they are whole or not; in what is no real folder there are none.
    Raises OSError where the disk does not answer."""
    if not files.is_folder(folder):
        return []
    try:
        names = [name for name in files.listed(folder) if (found := NAME.fullmatch(name)) and found[1] == kind]
    except FileNotFoundError:
        return []
    return sorted((folder / name for name in names if files.is_folder(folder / name)), key=order)


def look(path: Path) -> Kept:
    """A checkpoint by its manifest, without reading its tensors. Raises OSError where the disk does not answer."""
    kind, step = path.name.split("-", 1)[0], order(path)[0]
    nothing = Kept(path, kind, step, None, False, None, 0, whole=False)
    try:
        manifest = files.read_json(path / "manifest.json", MAX_MANIFEST)
        entries = manifest["files"]
        size = sum(int(entry["size"]) for entry in entries.values())
        if not 0 <= size < 1 << 63:
            return nothing
        pinned = manifest.get("pinned") is True
    except (
        FileNotFoundError,
        files.NotRegular,
        files.TooLarge,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ):
        return nothing
    try:
        whole = all((path / name).lstat().st_size == entry["size"] for name, entry in entries.items())
        best = manifest["best"] if "best" in manifest else _best_of_state(path)
    except (FileNotFoundError, NotADirectoryError, files.NotRegular, files.TooLarge, ValueError, KeyError, TypeError):
        whole, best = False, None
    epoch = manifest.get("epoch")
    return Kept(path, kind, step, epoch if type(epoch) is int else None, pinned, _step(best), size, whole)


def _step(value: Any) -> int | None:
    return value if type(value) is int else None


def _best_of_state(path: Path) -> int | None:
    """What a manifest says today; those of before did not."""
    from engine.packing import unpack

    try:
        best = unpack(files.read_json(path / "state.json", MAX_STATE)["state"], None).get("best")
        return int(best["step"]) if best else None
    except (AttributeError, RecursionError):
        return None


def kept(folder: Path) -> list[Kept]:
    """All checkpoints of a run, the best weights first, each kind oldest first; what cannot be read is not whole."""
    found = []
    for kind in ("best", "step"):
        for path in listed(folder, kind):
            try:
                found.append(look(path))
            except OSError:
                found.append(Kept(path, kind, order(path)[0], None, False, None, 0, whole=False))
    return found


def pin(path: Path) -> None:
    """Keep a checkpoint for good: its manifest is replaced by one that says so. Raises OSError, ValueError."""
    manifest = files.read_json(path / "manifest.json", MAX_MANIFEST)
    if manifest.get("pinned") is not True:
        files.atomic_write(path / "manifest.json", json.dumps(manifest | {"pinned": True}, indent=1).encode())


def remove_old(folder: Path, written: Path) -> None:
    """Remove all checkpoints but those worth keeping, after `written` was verified.

    Kept are `written`, the two newest steps, those that a person pinned, the best weights that any of these refers to,
    and the newest best. A resume from an older checkpoint leaves later ones behind, that are damaged and belong to a
    past that no longer counts: those go once a new step is saved. What the disk does not let us look at stays, and
    with it all best weights, for it may refer to any of them.
    """
    seen: dict[Path, Kept] = {}
    unreadable: list[Path] = []
    steps, bests = listed(folder, "step"), listed(folder, "best")
    for path in [*steps, *bests]:
        try:
            seen[path] = look(path)
        except OSError:
            unreadable.append(path)
    if written in steps:
        upto = [path for path in steps if order(path) <= order(written) and path in seen and seen[path].whole]
        pinned = [path for path in steps if path in seen and seen[path].pinned]
        kept_steps = [*upto[-KEPT:], *pinned]
    else:
        kept_steps = steps
    referred = {seen[path].best for path in kept_steps if path in seen}
    kept_bests = [path for path in bests if order(path)[0] in referred]
    whole_bests = [path for path in bests if order(path)[0] <= order(written)[0] and path in seen and seen[path].whole]
    keep = {written, *unreadable, *kept_steps, *kept_bests, *whole_bests[-1:], *(bests if unreadable else ())}
    for path in [*steps, *bests]:
        if path not in keep:
            # Under another name first: a crash in the middle must not leave half a checkpoint under its own.
            leaving = files.temporary_beside(path)
            files.system.rename(path, leaving)
            files.remove_folder(leaving)
