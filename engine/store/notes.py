"""What people write beside a run: another name, a text, tags, a pin, a star. It is theirs; training never reads it."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

from engine.errors import RequestError, RunError
from engine.store import files, owner

FILE, LOCK = "notes.json", "notes.lock"
VERSION = 1
MAX_NAME, MAX_TEXT, MAX_TAG, MAX_TAGS = 200, 20_000, 60, 50
# Twelve bytes a character at worst, as JSON escapes them.
MAX_FILE = 1 << 19
MAX_LOCK = 1 << 14
# A change takes milliseconds; a lock that stays the same for this long was left by a crash.
STALE_SECONDS = 5.0
PATIENCE_SECONDS = 20.0
RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one run. Any characters may stand in them but white space in tags: made safe where they are shown.

    `name` replaces the experiment's own in lists. `problem` says why notes.json could not be read, if it could not.
    """

    name: str | None = None
    text: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    starred: bool = False
    problem: str | None = None


NO_NOTES = Notes()
# What says that the file holds no notes. Any other error is the disk's, and may be gone the next time.
DAMAGED = (ValueError, files.NotRegular, files.TooLarge)


class _Taken(Exception):
    """The lock was broken by somebody who took this process for dead: what was read may be old by now."""


def read_notes(path: Path) -> Notes:
    """The notes of the run in folder `path`; empty, with a `problem`, where the file is damaged. Never raises."""
    try:
        return _notes(_read(path))
    except FileNotFoundError:
        return NO_NOTES
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Notes(problem=f"its notes cannot be read ({reason}); a change sets the file aside and begins new ones")
    except OSError as error:
        return Notes(problem=f"its notes cannot be read: {error.strerror or error}")


def change_notes(
    path: Path,
    *,
    name: str | EllipsisType | None = ...,
    text: str | EllipsisType = ...,
    tags: Iterable[str] | EllipsisType = ...,
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
    pinned: bool | None = None,
    starred: bool | None = None,
) -> Notes:
    """Change what is given and leave the rest as it is on the disk by now; gives the notes as they are afterwards.

    `name` None or "" takes the given name away. `tags` sets them all: `add_tags` and `remove_tags` go with what others
    tag at the same time. A damaged file is renamed, not overwritten. Raises RequestError for what is no name, text or
    tag, for a run that is gone and for notes of a newer layerlab; RunError where the disk refuses or another process
    holds the notes for long.
    """
    changes: dict[str, Any] = {}
    if not isinstance(name, EllipsisType):
        changes["name"] = _bounded("name", " ".join(name.split()), MAX_NAME) or None if name else None
    if not isinstance(text, EllipsisType):
        changes["text"] = _bounded("text", text, MAX_TEXT)
    if not isinstance(tags, EllipsisType):
        changes["tags"] = [_tag(tag) for tag in tags]
    changes |= {key: bool(on) for key, on in (("pinned", pinned), ("starred", starred)) if on is not None}
    added, removed = [_tag(tag) for tag in add_tags], {tag.casefold() for tag in remove_tags}
    if not files.is_folder(path):
        raise RequestError(f"there is no run {path.name} in {path.parent}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with _locked(path, deadline) as lock:
                return _change(path, lock, changes, added, removed)
        except (_Taken, FileNotFoundError) as error:
            # A resume clears temporary files away, ours with them.
            if not files.is_folder(path):
                raise RequestError(f"the run {path.name} is gone") from None
            if time.monotonic() > deadline:
                why = "the lock on them is taken away" if isinstance(error, _Taken) else "files vanish"
                raise RunError(
                    f"the notes of {path.name} could not be written: again and again {why} while they are changed; "
                    "try again once nothing else works on this run"
                ) from None
        except OSError as error:
            raise RunError(f"the notes of {path.name} cannot be written: {error.strerror or error}") from None


def _change(path: Path, lock: _Lock, changes: dict[str, Any], added: list[str], removed: set[str]) -> Notes:
    damaged = False
    try:
        data = _read(path)
    except FileNotFoundError:
        data = {}
    except DAMAGED:
        data, damaged = {}, True
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise RequestError(f"the notes of {path.name} were written by a newer layerlab (format {version})")
    before = _notes(data)
    tags = [tag for tag in changes.get("tags", before.tags) if tag.casefold() not in removed]
    changes = changes | {"tags": list(dict.fromkeys([*tags, *added]))}
    if len(changes["tags"]) > MAX_TAGS:
        raise RequestError(f"{len(changes['tags'])} tags are too many for one run; it can have {MAX_TAGS}")
    # What a later version of this format adds stays as it is.
    data = data | {"version": VERSION} | changes
    for name in files.listed(path):
        if name.startswith(f"{files.TEMPORARY}{FILE}-"):
            files.remove(path / name)
    if not lock.held():
        raise _Taken
    if damaged:
        files.system.rename(path / FILE, path / f"notes.damaged-{time.time_ns()}.json")
    files.write_json(path / FILE, data)
    return _notes(data)


def _read(path: Path) -> dict[str, Any]:
    return files.read_json(path / FILE, MAX_FILE)


def _notes(data: dict[str, Any]) -> Notes:
    """Notes out of a JSON object, leaving out what is none."""
    name, text, tags = data.get("name"), data.get("text"), data.get("tags")
    words = (
        [tag for tag in tags if isinstance(tag, str) and tag and not _has_space(tag)] if isinstance(tags, list) else []
    )
    return Notes(
        name=(name[:MAX_NAME] or None) if isinstance(name, str) else None,
        text=text[:MAX_TEXT] if isinstance(text, str) else "",
        tags=tuple(dict.fromkeys(tag[:MAX_TAG] for tag in words[:MAX_TAGS])),
        pinned=data.get("pinned") is True,
        starred=data.get("starred") is True,
    )


def _has_space(text: str) -> bool:
    return any(character.isspace() for character in text)


def _bounded(what: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise RequestError(f"the {what} has {len(text):,} characters; {limit:,} is the most")
    return text


def _tag(tag: str) -> str:
    tag = _bounded("tag", tag.strip(), MAX_TAG)
    if not tag or _has_space(tag):
        raise RequestError(
            f"{tag!r} cannot be a tag: a tag is one word" + (", such as " + "-".join(tag.split()) if tag else "")
        )
    return tag


class _Lock:
    """An exclusively created file: who has it may change the notes."""

    def __init__(self, path: Path) -> None:
        self._file = path / LOCK
        self._record = owner.this_process()

    def take(self) -> bool:
        # Told apart from a dead process of the same number by the token, as an owner of a run is.
        owner.begin(self._record)
        try:
            files.write_new(self._file, json.dumps(self._record).encode(), sync=False)
        except FileExistsError:
            owner.end(self._record)
            return False
        except BaseException:
            owner.end(self._record)
            raise
        return True

    def held(self) -> bool:
        """Whether it is still ours. Raises OSError where the disk does not tell, which is not to have lost it."""
        try:
            return bool(files.read_json(self._file, MAX_LOCK).get("token") == self._record["token"])
        except (FileNotFoundError, *DAMAGED):
            return False

    def release(self) -> None:
        try:
            with contextlib.suppress(OSError):
                if self.held():
                    files.remove(self._file)
        finally:
            # Last: from here on other threads take what is left of it for a dead one's, and break it.
            owner.end(self._record)

    def holder(self) -> dict[str, Any]:
        """The record of who has it; empty where there is none, or it is not written yet."""
        try:
            return files.read_json(self._file, MAX_LOCK)
        except (OSError, ValueError):
            return {}

    def age_mark(self) -> tuple[int, int] | None:
        """What tells one lock from the next; None where there is none."""
        try:
            found = self._file.lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def break_it(self) -> None:
        """Take a dead one's lock away. Renamed first: of several that try, each lock is removed by one alone."""
        aside = self._file.with_name(f"{files.TEMPORARY}{LOCK}-{secrets.token_hex(6)}")
        with contextlib.suppress(FileNotFoundError):
            files.system.rename(self._file, aside)
            files.remove(aside)


@contextlib.contextmanager
def _locked(path: Path, deadline: float) -> Iterator[_Lock]:
    lock = _Lock(path)
    mark, since = lock.age_mark(), time.monotonic()
    while not lock.take():
        now = time.monotonic()
        if (seen := lock.age_mark()) != mark:
            mark, since = seen, now
        holder = lock.holder()
        dead = bool(holder) and owner.is_alive(holder) is False
        if seen is not None and lock.age_mark() == seen and (dead or now - since > STALE_SECONDS):
            lock.break_it()
        elif now > deadline:
            raise RunError(f"the notes of {path.name} are being changed by {owner.describe(holder)}; try again")
        else:
            time.sleep(RETRY_SECONDS)
    try:
        yield lock
    finally:
        lock.release()
