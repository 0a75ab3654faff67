"""Rows that decoding before this one left in the cache: of a set that has changed since, or that a stop cut short."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.data import cache_folder
from engine.data.decoding import Pixels, Settings
from engine.data.picture_entry import KIND, MARK, Writing, key_of, mapped, read_index
from engine.errors import RequestError

NOTED_SECONDS = 30.0  # of decoding, between two notes of how far it has come


class Begun:
    """What a stop left of this very set, in its order: taken over as it is, so that no room is wanted for it twice.

    It stays in the cache as long as this is not closed. `bytes` is what it takes there.
    """

    def __init__(self, held: cache_folder.Hold, found: Writing, size: int) -> None:
        self._held = held
        self._found = found
        self.bytes = size

    @property
    def rows(self) -> int:
        """The number of photographs in it."""
        return len(self._found.sums)

    @classmethod
    def of(cls, settings: Settings, marks: Sequence[bytes]) -> Begun | None:
        """The longest beginning of a set that there is; None without any."""
        whole, best = b"".join(marks), None
        for held, index, known in _entries(settings):
            rows, channels = index["rows"], settings.shape[0]
            longer = best is None or rows > best.rows
            with contextlib.suppress(*cache_folder.DAMAGED):
                if index["begun"] and longer and whole.startswith(known):
                    sums = np.fromfile(held.folder / "sums", dtype=np.int64).reshape(rows, channels, 2)
                    if (held.folder / "pictures").stat().st_size == rows * int(np.prod(settings.shape)):
                        if best is not None:
                            best.close()
                        size = sum(file.stat().st_size for file in held.folder.iterdir())
                        best = cls(held, Writing(list(sums), list(marks[:rows]), misnamed=index["misnamed"]), size)
                        continue
            held.close()
        return best

    def move(self, folder: Path, settings: Settings) -> Writing:
        """Its pictures into a folder that is being made, and what is known of them; nothing where another process was
        faster. Raises OSError where the folder cannot be written to."""
        self._found.write(folder, settings, pictures=True, begun=True)
        try:
            os.rename(self._held.folder / "pictures", folder / "pictures")
        except OSError:
            return Writing()
        cache_folder.throw_away(KIND, self._held.folder.name)
        self.close()
        return self._found

    def close(self) -> None:
        """Let go of it."""
        self._held.close()


class Earlier:
    """Rows of another entry with the same settings: what has not changed since is not decoded again."""

    def __init__(self, settings: Settings, marks: Sequence[bytes]) -> None:
        self._rows: dict[bytes, tuple[Pixels, str]] = {}
        self._begun: tuple[str, set[bytes]] | None = None
        wanted = set(marks)
        for held, index, known in _entries(settings):
            names = [known[at : at + MARK] for at in range(0, len(known), MARK)]
            if len(wanted.intersection(names)) > len(self._rows):
                with contextlib.suppress(*cache_folder.DAMAGED):
                    pixels, kinds = mapped(held, index["rows"], settings), index["misnamed"]
                    self._rows = {
                        mark: (pixels[at], kinds.get(at, "")) for at, mark in enumerate(names) if mark in wanted
                    }
                    self._begun = (held.folder.name, set(names)) if index["begun"] else None
                    continue  # held for as long as it is mapped
            held.close()

    def __enter__(self) -> Earlier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the entry: there are no rows any more."""
        self._rows, self._begun = {}, None

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, mark: bytes) -> tuple[Pixels, str] | None:
        """The row of a file that has not changed, with its format where its name says another one; None where there is
        none."""
        return self._rows.get(mark)

    def replaced(self, marks: Sequence[bytes]) -> None:
        """Another entry has the rows of these marks now: remove what a stop had left, where it has nothing else."""
        if self._begun is not None and self._begun[1].issubset(marks):
            cache_folder.throw_away(KIND, self._begun[0])


class Notes:
    """Now and then notes what was decoded into a folder, pictures and all: a kill costs what came since."""

    def __init__(self, folder: Path, settings: Settings, pictures: BinaryIO) -> None:
        self._folder, self._settings, self._pictures = folder, settings, pictures
        self._noted = time.monotonic()

    def take(self, found: Writing) -> None:
        """Note it, where it is time to. Raises OSError."""
        if time.monotonic() - self._noted < NOTED_SECONDS or not found.sums:
            return
        self._pictures.flush()
        os.fsync(self._pictures.fileno())
        begun = Writing(found.sums, found.marks, misnamed=found.misnamed)
        begun.write(self._folder, self._settings, pictures=True, begun=True)
        self._noted = time.monotonic()


def take_up(settings: Settings) -> None:
    """Make entries of what decoding had noted that was killed, as of what a stop leaves."""
    for folder in cache_folder.abandoned(KIND):
        with contextlib.suppress(*cache_folder.DAMAGED):
            rows = read_index(folder, settings, 1 << 62)["rows"]
            row_bytes = {"pictures": int(np.prod(settings.shape)), "sums": 16 * settings.shape[0], "marks": MARK}
            # More of each may have been written than was noted, never less.
            if all((folder / name).stat().st_size >= rows * size for name, size in row_bytes.items()):
                for name, size in row_bytes.items():
                    os.truncate(folder / name, rows * size)
                known = (folder / "marks").read_bytes()
                marks = [known[at : at + MARK] for at in range(0, len(known), MARK)]
                cache_folder.settle(folder, key_of(settings, marks))


def keep_begun(folder: Path, found: Writing, settings: Settings) -> bool:
    """Make an entry of what was decoded into `folder` until now: the next time goes on from there. Whether that could
    be; whatever is wrong with the cache is not worth a word, then it begins anew."""
    wanted = len(found.sums) * int(np.prod(settings.shape))
    with contextlib.suppress(OSError):
        pictures = folder / "pictures"
        if not found.sums or pictures.stat().st_size < wanted:
            return False
        os.truncate(pictures, wanted)
        begun = Writing(found.sums, found.marks, misnamed=found.misnamed)
        begun.write(folder, settings, pictures=True, begun=True)
        cache_folder.settle(folder, key_of(settings, found.marks))
        return True
    return False


def _entries(settings: Settings) -> Iterator[tuple[cache_folder.Hold, dict[str, Any], bytes]]:
    """All finished entries of these settings that have pictures, the one used last first: held, with index and marks.
    Whoever goes through them closes the holds."""
    for entry in reversed(cache_folder.entries()):
        if entry.unfinished or entry.folder.parent.name != KIND:
            continue
        try:
            held = cache_folder.hold(KIND, entry.folder.name, used=False)
        except RequestError:  # of somebody else's
            continue
        if held is None:
            continue
        try:
            index = read_index(held.folder, settings, 1 << 62)
            known = (held.folder / "marks").read_bytes()
            right = index["pictures"] and len(known) == index["rows"] * MARK
        except cache_folder.DAMAGED:
            right = False
        if right:
            yield held, index, known
        else:
            held.close()
