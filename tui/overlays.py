"""The runs that are marked for comparison, read by a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from textual.message import Message

if TYPE_CHECKING:
    from engine.store.reader import RunReader, RunView

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Reads(Protocol[T_co]):
    """Reads a RunView again and again."""

    def read(self) -> T_co:
        """What it is now."""
        ...


SECONDS_BETWEEN_POLLS = 1.0
MOST = 6


class OverlaysRead(Message):
    """Something else than before has been read."""

    bubble = False


class Overlays(Generic[T]):
    """Reads each wanted run once, and one that is live once a second for as long as it is wanted; `reads` makes what is
    kept of a run from its view, `most` of them are wanted at once.

    `read` is what has been read, by run id; the thread puts another mapping in its place and never changes one.
    """

    def __init__(
        self, post: Callable[[Message], object], reads: Callable[[RunView], Reads[T]], most: int = MOST
    ) -> None:
        self.read: Mapping[str, T] = {}
        self._post = post
        self._reads = reads
        self._most = most
        self._wanted: Mapping[str, Path] = {}
        self._readers: dict[str, tuple[RunReader, Reads[T]]] = {}
        self._woken = threading.Event()
        self._resting = False
        self._ended = False
        self._thread: threading.Thread | None = None

    def want(self, runs: Mapping[str, Path]) -> None:
        """Read these, at most `most` of them, and none but these; nothing where they are wanted already."""
        runs = dict(list(runs.items())[: self._most])
        if runs == self._wanted:
            return
        self._wanted = runs
        self._woken.set()
        if self._thread is None and runs and not self._ended:
            self._thread = threading.Thread(target=self._work, name="layerlab-overlays", daemon=True)
            self._thread.start()

    def rest(self, resting: bool) -> None:
        """Look no more for the time being, or go on; what was read stays."""
        if resting != self._resting:
            self._resting = resting
            self._woken.set()

    def end(self) -> None:
        """Read no more."""
        self._ended = True
        self._woken.set()

    def _work(self) -> None:
        while not self._ended:
            self._woken.clear()
            began = time.monotonic()
            live = not self._resting and self._look()
            spent = time.monotonic() - began
            # However slow the disk is, most of the time is the training's.
            self._woken.wait(max(SECONDS_BETWEEN_POLLS, 10 * spent) if live else None)

    def _look(self) -> bool:
        """Read what is new; whether any of the runs may go on."""
        from engine.store.reader import RunReader

        wanted = self._wanted
        found = {run: kept for run, kept in self.read.items() if run in wanted}
        news = len(found) != len(self.read)
        for run in [run for run in self._readers if run not in wanted]:
            del self._readers[run]
        for run, path in wanted.items():
            if run not in self._readers:
                reader = RunReader(path)
                self._readers[run] = reader, self._reads(reader.view)
            reader, kept = self._readers[run]
            try:
                # A run that ended may be resumed by somebody.
                if reader.poll() or run not in found:
                    found[run] = kept.read()
                    news = True
            except Exception:
                # Whatever stands in one folder, the others are shown all the same; what is wrong with it Runs tells.
                continue
        if news and not self._ended:
            self.read = found
            self._post(OverlaysRead())
        return any(reader.view.live for reader, _ in self._readers.values())
