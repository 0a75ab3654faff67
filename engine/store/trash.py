"""Deleting runs, with undo: they move to a hidden folder of the store.

Moving is one rename: a crash leaves the run in one place or the other, whole.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError, RunError
from engine.store import files
from engine.store.folder import find_run, run_names
from engine.store.listing import Summary, summarize
from engine.store.owner import BeatWatch, is_alive
from engine.store.segments import read_owner

TRASH = ".trash"
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Trashed:
    """A run in the trash; `deleted` is when it was moved there, in unix seconds, 0 where that is not known."""

    summary: Summary
    deleted: float


def delete_run(store: Path, run: str, patience: float = 0.0) -> Path:
    """Move a run to the store's trash and give its path there; `run` as `find_run` takes it.

    Where only its beat can tell whether a run is live, that is watched for `patience` seconds. Raises RequestError for
    an unknown run and for a live one, RunError where the disk refuses.
    """
    path = find_run(store, run)
    _require_ended(path, patience)
    return _move(path, store / TRASH)


def restore(store: Path, run: str) -> Path:
    """Move a run back from the trash and give its path in the store; the same errors."""
    trash = store / TRASH
    if not files.is_folder(trash) or not run_names(trash):
        raise RequestError(f"the trash of {store} is empty: there is nothing to restore")
    return _move(find_run(trash, run), store)


def list_trash(store: Path) -> list[Trashed]:
    """What `restore` can bring back, last deleted first. Raises RequestError where the trash cannot be read."""
    trash = store / TRASH
    if not files.is_folder(trash):
        return []
    found = [Trashed(summarize(trash / name), _moved(trash / name)) for name in run_names(trash)]
    return sorted(found, key=lambda item: (item.deleted, item.summary.run), reverse=True)


def _moved(path: Path) -> float:
    try:
        # A rename touches the folder's inode, and nothing writes to it in the trash.
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def _require_ended(path: Path, patience: float) -> None:
    watch, deadline = BeatWatch(), time.monotonic() + patience
    while (found := summarize(path, watch, fields=False)).live:
        record, _, beat_time, _ = read_owner(path)
        proven = not record or is_alive(record, beat_time) is not None
        if proven or time.monotonic() >= deadline:
            raise RequestError(f"the run {path.name} is {found.status}; stop it before it is deleted")
        time.sleep(LOOK_SECONDS)


def _move(path: Path, folder: Path) -> Path:
    target = folder / path.name
    try:
        if not files.is_folder(folder):
            files.system.mkdir(folder)
            # On the disk before a run is moved into it.
            files.fsync_folder(folder.parent)
        # A run is never empty, and a folder that is not empty is never replaced.
        files.system.rename(path, target)
        try:
            files.fsync_folder(folder)
            files.fsync_folder(path.parent)
        except OSError:
            # Whoever is told that it could not be moved finds it where it was.
            with contextlib.suppress(OSError):
                files.system.rename(target, path)
            raise
    except OSError as error:
        raise RunError(f"the run {path.name} cannot be moved to {folder}: {error.strerror or error}") from None
    return target
