"""Rows that decoding before this one left in the cache: of a set that has changed since, or that a stop cut short."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data import cache_folder
from engine.data.decoding import Pixels, Settings
from engine.data.picture_entry import KIND, MARK, Writing, key_of, mapped, read_index


class Earlier:
    """Rows of another entry with the same settings: what has not changed since is not decoded again."""

    def __init__(self, settings: Settings, marks: Sequence[bytes]) -> None:
        self._rows: dict[bytes, tuple[Pixels, str]] = {}
        self._begun: str | None = None
        wanted = set(marks)
        for entry in reversed(cache_folder.entries()):
            name = entry.folder.name
            if entry.folder.parent.name != KIND or (held := cache_folder.hold(KIND, name, used=False)) is None:
                continue
            try:
                index = read_index(held.folder, settings, 1 << 62)
                known = (held.folder / "marks").read_bytes()
                if not index["pictures"] or len(known) != index["rows"] * MARK:
                    continue
                names = [known[at : at + MARK] for at in range(0, len(known), MARK)]
                if wanted.isdisjoint(names):
                    continue
                pixels = mapped(held, index["rows"], settings)
            except (OSError, ValueError, KeyError, TypeError):
                continue
            kinds = index["misnamed"]
            self._rows = {mark: (pixels[at], kinds.get(at, "")) for at, mark in enumerate(names) if mark in wanted}
            self._begun = name if index["begun"] else None
            return

    def __enter__(self) -> Earlier:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows = {}

    def row(self, mark: bytes) -> tuple[Pixels, str] | None:
        """The row of a file that has not changed, with its format where its name says another one; None where there is
        none."""
        return self._rows.get(mark)

    def replaced(self) -> None:
        """Another entry has these rows now: remove what a stop had left, which nobody else needs."""
        if self._begun is not None:
            cache_folder.throw_away(KIND, self._begun)

    def keep(self, folder: Path, found: Writing, settings: Settings) -> None:
        """Make an entry of what was decoded into `folder` until now, where it is more than there was: the next time
        goes on from there. Whatever is wrong with the cache is not worth a word: then it begins anew."""
        wanted = len(found.sums) * int(np.prod(settings.shape))
        if len(found.sums) <= len(self._rows):
            return
        with contextlib.suppress(OSError):
            pictures = folder / "pictures"
            if pictures.stat().st_size < wanted:
                return
            os.truncate(pictures, wanted)
            begun = Writing(found.sums, found.marks, misnamed=found.misnamed)
            begun.write(folder, settings, pictures=True, begun=True)
            cache_folder.settle(folder, key_of(settings, found.marks))
            self.replaced()
