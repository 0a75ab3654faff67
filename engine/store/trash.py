"""Deleting runs, with undo: they move to a hidden folder of the store."""

from __future__ import annotations

from pathlib import Path

from engine.errors import RequestError, RunError
from engine.store import files
from engine.store.folder import find_run
from engine.store.listing import summarize
from engine.store.view import LIVE_STATUSES

TRASH = ".trash"


def delete_run(store: Path, run: str) -> Path:
    """Move a run to the store's trash and give its path there; `run` as `find_run` takes it.

    Raises RequestError for an unknown run and for a live one, RunError where the disk refuses.
    """
    path = find_run(store, run)
    status = summarize(path).status
    if status in LIVE_STATUSES:
        raise RequestError(f"the run {path.name} is {status}; stop it before it is deleted")
    return _move(path, store / TRASH)


def restore(store: Path, run: str) -> Path:
    """Move a run back from the trash; the same errors."""
    return _move(find_run(store / TRASH, run), store)


def _move(path: Path, folder: Path) -> Path:
    target = folder / path.name
    try:
        if not files.is_folder(folder):
            files.system.mkdir(folder)
        # A run is never empty, and a folder that is not empty is never replaced.
        files.system.rename(path, target)
        files.fsync_folder(folder)
        files.fsync_folder(path.parent)
    except OSError as error:
        raise RunError(f"the run {path.name} cannot be moved to {folder}: {error.strerror or error}") from None
    return target
