"""Run folders: making one, naming it, and finding it again by what a person types."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RequestError, RunError, did_you_mean
from engine.store import files
from engine.store.environment import environment

if TYPE_CHECKING:
    from engine.spec import Experiment

__all__ = ["create_run", "environment", "find_run", "is_run", "new_run_id", "run_names"]

VERSION = 1
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]{1,60}")
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
STAMP = len("20260115T142233Z-")
MAX_SLUG = 40
ABANDONED_SECONDS = 3600.0
SHOWN = 8


def new_run_id(name: str, now: float | None = None) -> str:
    """An id such as `20260115T142233Z-batchnorm-k3f9`: the time (UTC), the name made plain, four random letters."""
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    plain = unicodedata.normalize("NFKD", name[:500]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG].strip("-") or "run"
    return f"{moment:%Y%m%dT%H%M%SZ}-{slug}-{''.join(secrets.choice(LETTERS) for _ in range(4))}"


def create_run(store: Path, experiment: Experiment, made_with: dict[str, Any]) -> Path:
    """A new run folder, there all at once or not at all, with the experiment and what `environment` tells in it.

    The store is made where it is missing. Raises RequestError where it cannot be, RunError where the disk fails.
    """
    from engine.spec import flatten

    _make_store(store)
    created = time.time()
    experiment_toml = experiment.to_toml().encode()
    for _ in range(20):
        run = new_run_id(experiment.name, created)
        summary = {
            "version": VERSION,
            "run": run,
            "name": experiment.name,
            "status": "created",
            "created": created,
            "epochs": experiment.epochs,
            "source": str(experiment.data.source),
            "experiment": experiment.digest(),
            "fields": flatten(experiment),
        }
        temporary = files.temporary_beside(store / run)
        try:
            files.system.mkdir(temporary)
            files.write_new(temporary / "experiment.toml", experiment_toml)
            files.write_json(temporary / "environment.json", {"version": VERSION, **made_with})
            files.write_json(temporary / "summary.json", summary)
            for name in ("control", "checkpoints", "artifacts"):
                files.system.mkdir(temporary / name)
            files.fsync_folder(temporary)
            # A folder that is not empty is never replaced by a rename: a name that is taken is an error.
            files.system.rename(temporary, store / run)
            try:
                files.fsync_folder(store)
            except OSError:
                # Whoever is told that no run was made finds none.
                with contextlib.suppress(OSError):
                    files.system.rename(store / run, temporary)
                raise
            return store / run
        except OSError as error:
            files.remove_folder_quietly(temporary)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise RunError(f"no run could be created in {store}: {error.strerror or error}") from None
        except BaseException:
            files.remove_folder_quietly(temporary)
            raise
    raise RunError(f"no free name for a run was found in {store}")


def _make_store(store: Path) -> None:
    try:
        _make_folders(store)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"the store {store} cannot be made: {reason}; choose another with --runs") from None
    if not os.access(store, os.W_OK | os.X_OK):
        raise RequestError(f"the store {store} cannot be written to; choose another with --runs")
    with contextlib.suppress(OSError):
        _remove_abandoned(store)


def _make_folders(path: Path) -> None:
    """A folder with those above it, each on the disk before the next is made."""
    if path.is_dir():
        return
    if path.parent != path:
        _make_folders(path.parent)
    with contextlib.suppress(FileExistsError):
        files.system.mkdir(path)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    # A folder that may be passed through need not be one that may be opened.
    with contextlib.suppress(PermissionError):
        files.fsync_folder(path.parent)


def _remove_abandoned(store: Path) -> None:
    """What a crash while creating left behind; never what somebody may still be making."""
    with os.scandir(store) as entries:
        for entry in entries:
            if entry.name.startswith(files.TEMPORARY) and entry.is_dir(follow_symlinks=False):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > ABANDONED_SECONDS:
                    files.remove_folder_quietly(Path(entry.path))


def run_names(store: Path) -> list[str]:
    """The names of all run folders, oldest first. Hidden ones and links are none; raises RequestError for the store."""
    try:
        with os.scandir(store) as entries:
            names = [entry.name for entry in entries if is_run(entry)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"the store {store} cannot be read: {reason}") from None
    at_once = Counter(name[:STAMP] for name in names if RUN_ID.fullmatch(name))
    # Ids count seconds; of runs made in the same one the file that is never written again tells which is older.
    return sorted(names, key=lambda name: (name[:STAMP], _made(store / name) if at_once[name[:STAMP]] > 1 else 0, name))


def _made(path: Path) -> int:
    try:
        return (path / "experiment.toml").lstat().st_mtime_ns
    except OSError:
        return 0


def is_run(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of the store is a run: a real folder with a run's id, or with an experiment in it."""
    if entry.name.startswith("."):
        return False
    try:
        if not entry.is_dir(follow_symlinks=False):
            return False
        if RUN_ID.fullmatch(entry.name):
            return True
        return stat.S_ISREG(os.lstat(os.path.join(entry.path, "experiment.toml")).st_mode)
    except OSError:
        return False


def find_run(store: Path, text: str) -> Path:
    """The run that a person means: by id, by the beginning, the end or any part of it that only one has, or `latest`.

    Raises RequestError where none or several fit, with the names to choose from.
    """
    if not text or "\0" in text or "/" in text or os.sep in text or text in (".", ".."):
        raise RequestError(f"{text[:80]!r} cannot be a run; give its id, a part of it, or `latest`")
    names = run_names(store)
    if not names:
        raise RequestError(f"there are no runs in {store}; `layerlab train` makes one, --runs names another store")
    if text in names:
        return store / text
    if text == "latest":
        # By the time in the id; a folder that was renamed has none.
        return store / next((name for name in reversed(names) if RUN_ID.fullmatch(name)), names[-1])
    for fits in (str.startswith, str.endswith, str.__contains__):
        found = [name for name in names if fits(name, text)]
        if len(found) == 1:
            return store / found[0]
        if found:
            shown = ", ".join(found[-SHOWN:])
            more = f" and {len(found) - SHOWN} older" if len(found) > SHOWN else ""
            raise RequestError(f"`{text[:80]}` fits {len(found)} runs: {shown}{more}; give more of the id")
    parts = {part: name for name in names for part in (name, name[17:], name[17:-5], name[-4:])}
    close = did_you_mean(text[:80], parts)
    raise RequestError(f"there is no run `{text[:80]}` in {store}; {close or f'the newest is `{names[-1]}`'}")
