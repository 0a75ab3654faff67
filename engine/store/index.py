"""The runs of a store, kept up to date: each look reads only what changed since the one before.

A look costs one listing of the store and one stat a run: whatever is replaced in a run's folder changes the folder's
time. A run that is being trained is read at every look, for its process may have died without a word.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import RequestError
from engine.store.fields import read_fields
from engine.store.folder import is_run, run_names
from engine.store.listing import Summary, summarize
from engine.store.owner import BeatWatch

FIRST_BATCH = 100
BATCH = 250
# Time stamps of files are a few milliseconds coarse, on some systems two seconds: what changed as recently as that may
# have changed again since it was read.
UNSETTLED_SECONDS = 3.0
YIELD_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look found: runs that are new or different, and the ids of runs that are gone. With `complete` all has
    been told. `problem` says why there is nothing to see, if the store itself cannot be read or is not there."""

    changed: tuple[Summary, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = False
    problem: str | None = None


@dataclass(slots=True)
class _Known:
    """What is remembered of a run between looks; `mtime` is None where it has to be read again in any case."""

    mtime: int | None
    summary: Summary
    watch: BeatWatch | None
    fields_read: bool


class StoreIndex:
    """All runs of one store, for one reader in one thread. A store that is not there yet is an empty one."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.problem: str | None = None
        self._known: dict[str, _Known] = {}

    def refresh(self) -> Iterator[Changes]:
        """One look at the store, as batches: newest runs first, a small batch first, the last one `complete`.

        Left before its end it may be begun again: what was not told yet is told then. Raises nothing.
        """
        try:
            times = self._look()
        except (OSError, ValueError) as error:
            gone = isinstance(error, FileNotFoundError)
            reason = getattr(error, "strerror", None) or str(error)
            self.problem = f"there is no store {self.store} yet" if gone else f"{self.store} cannot be read: {reason}"
            # A file system that does not answer for a moment is no reason to forget what was seen.
            yield Changes(
                removed=self._forget(set(self._known) if gone else set()), complete=True, problem=self.problem
            )
            return
        self.problem = None
        removed = self._forget(self._known.keys() - times.keys())
        if removed:
            yield Changes(removed=removed)
        wanted = {name for name, mtime in times.items() if self._is_stale(name, mtime)}
        new = any(name not in self._known for name in wanted)
        names = self._in_order(wanted) if new else sorted(wanted, reverse=True)
        size, start = FIRST_BATCH, 0
        while start < len(names):
            found = self._read(names[start : start + size], times)
            start, size = start + size, BATCH
            if found.changed or found.removed:
                yield found
            time.sleep(YIELD_SECONDS)
        yield from self._read_missing_fields()
        yield Changes(complete=True)

    def _look(self) -> dict[str, int]:
        """The runs that are there, each with its folder's time in nanoseconds."""
        times: dict[str, int] = {}
        known = self._known
        with os.scandir(self.store) as entries:
            for entry in entries:
                name = entry.name
                if name not in known and not is_run(entry):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    times[name] = found.st_mtime_ns
        return times

    def _is_stale(self, name: str, mtime: int) -> bool:
        known = self._known.get(name)
        return known is None or known.mtime != mtime or known.summary.live

    def _in_order(self, wanted: set[str]) -> list[str]:
        """Newest first; of the same second as well, which takes another look."""
        try:
            ordered = [name for name in reversed(run_names(self.store)) if name in wanted]
        except RequestError:
            ordered = []
        return ordered + sorted(wanted.difference(ordered), reverse=True)

    def _forget(self, names: set[str]) -> tuple[str, ...]:
        for name in names:
            del self._known[name]
        return tuple(sorted(names))

    def _read(self, names: list[str], times: dict[str, int]) -> Changes:
        changed: list[Summary] = []
        removed: list[str] = []
        now = time.time()
        for name in names:
            before = self._known.get(name)
            watch = before.watch if before is not None else None
            if before is not None and before.summary.live and watch is None:
                watch = BeatWatch()
            summary = self._summarize(name, watch)
            if summary is None:
                if before is not None:
                    removed += self._forget({name})
                continue
            if before is not None and not summary.fields and before.summary.fields:
                summary = replace(summary, fields=before.summary.fields)
            settled = abs(now - times[name] / 1e9) > UNSETTLED_SECONDS
            self._known[name] = _Known(times[name] if settled else None, summary, watch, bool(summary.fields))
            if before is None or before.summary != summary:
                changed.append(summary)
        return Changes(tuple(changed), tuple(removed))

    def _summarize(self, name: str, watch: BeatWatch | None) -> Summary | None:
        """One run, whatever its folder holds; None where it is gone by now."""
        path = self.store / name
        try:
            summary = summarize(path, watch, fields=False)
        except Exception as error:
            # Nothing that stands in one folder may hide the other runs.
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            summary = Summary(name, path, name, "damaged", problem=f"it cannot be read: {reason[:500]}")
        if summary.status == "damaged" and not os.path.lexists(path):
            return None
        return summary

    def _read_missing_fields(self) -> Iterator[Changes]:
        """Last of all, the experiments of those runs whose summary does not tell its fields."""
        bare = [name for name, known in self._known.items() if not known.fields_read]
        for start in range(0, len(bare), BATCH):
            changed: list[Summary] = []
            for name in bare[start : start + BATCH]:
                known = self._known[name]
                known.fields_read = True
                fields = read_fields(known.summary.path)
                if fields:
                    known.summary = replace(known.summary, fields=fields)
                    changed.append(known.summary)
            if changed:
                yield Changes(tuple(changed))
            time.sleep(YIELD_SECONDS)
