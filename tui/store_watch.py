"""The runs of the store as the lists show them: read in a thread, at the reader's own pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.store.index import Changes
    from engine.store.listing import Summary

SECONDS_BETWEEN_LOOKS = 3.0
# A look at ten thousand runs may take a while; it shall not take more than this part of the time.
SHARE = 0.01
MOST_SECONDS_BETWEEN_LOOKS = 15.0


class StoreChanged(Message):
    """A look at the store has found something, or is over for the first time."""

    def __init__(self, changes: Changes, problem: str = "") -> None:
        super().__init__()
        self.changes = changes
        self.problem = problem


class StoreWatch:
    """`rows` are all runs known by now, by id; they change on the main thread alone, by `take`."""

    def __init__(self, store: Path, post: Callable[[Message], object]) -> None:
        self.store = store
        self.rows: dict[str, Summary] = {}
        self.version = 0
        self.complete = False
        self.problem = ""
        # Set once it has been looked at as a whole, with or without success.
        self.looked = threading.Event()
        self._post = post
        self._wanted = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def want(self) -> None:
        """Look at the store now, and from time to time from now on."""
        self._wanted.set()
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._work, name="layerlab-store", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """No more looks."""
        self._ended = True
        self._wanted.set()
        self.looked.set()

    def take(self, message: StoreChanged) -> None:
        """Bring the rows up to date."""
        changes = message.changes
        self.rows.update((row.run, row) for row in changes.changed)
        for run in changes.removed:
            self.rows.pop(run, None)
        self.complete = self.complete or changes.complete
        self.problem = message.problem
        self.version += 1

    def _work(self) -> None:
        from engine.store.index import Changes, StoreIndex
        from tui.filtering import prepare

        index = StoreIndex(self.store)
        first, problem = True, ""

        def look() -> None:
            nonlocal first, problem
            for changes in index.refresh():
                if self._ended:
                    return
                for row in changes.changed:
                    # What a filter looks at: here it costs no key a moment.
                    prepare(row)
                found = str(index.problem or "")
                if changes.changed or changes.removed or (first and changes.complete) or found != problem:
                    first, problem = first and not changes.complete, found
                    self._post(StoreChanged(changes, found))

        while not self._ended:
            self._wanted.clear()
            began = time.monotonic()
            try:
                look()
            except Exception as error:
                # A thread that ended here would leave the list as it is for good, without a word.
                first, problem = True, f"the store could not be read: {type(error).__name__}: {error}"
                self._post(StoreChanged(Changes(problem=problem), problem))
                index = StoreIndex(self.store)
            self.looked.set()
            pause = max(SECONDS_BETWEEN_LOOKS, (time.monotonic() - began) / SHARE)
            self._wanted.wait(min(pause, MOST_SECONDS_BETWEEN_LOOKS))
