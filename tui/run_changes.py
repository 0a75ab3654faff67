"""What a person changes of runs: notes, tags, pins, deletions. Done in a thread, one after the other, with undo."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from engine.errors import LayerlabError

if TYPE_CHECKING:
    from engine.store.listing import Summary

MOST_UNDONE = 200


class RunsChanged(Message):
    """A change is done, or in words why not all of it."""

    def __init__(self, text: str, wrong: bool) -> None:
        super().__init__()
        self.text = text
        self.wrong = wrong


@dataclass(frozen=True)
class Change:
    """What was done, in words, and how it is taken back, a step a run."""

    what: str
    back: tuple[Callable[[], object], ...]


class RunChanges:
    """Changes runs of one store and remembers how to take each change back."""

    def __init__(self, store: Path, post: Callable[[Message], object], undo_key: str) -> None:
        self._store = store
        self._post = post
        self._undo_key = undo_key
        self._done: list[Change] = []
        self._jobs: queue.SimpleQueue[Callable[[], tuple[str, bool]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    def note(self, runs: Sequence[Summary], what: str, **changes: Any) -> None:
        """Change the notes of these runs: `changes` as `change_notes` takes them."""

        def change(run: Summary) -> Callable[[], object]:
            from engine.store.notes import change_notes, read_notes

            before = read_notes(run.path)
            after = change_notes(run.path, **changes)
            old = {name: getattr(before, name) for name in changes if not name.endswith("_tags")}
            if len(old) < len(changes):
                # What others have tagged in the meantime stays.
                old["add_tags"] = [tag for tag in before.tags if tag not in after.tags]
                old["remove_tags"] = [tag for tag in after.tags if tag not in before.tags]
            return lambda: change_notes(run.path, **old)

        self._do(runs, what, change)

    def delete(self, runs: Sequence[Summary]) -> None:
        """Move these runs to the trash of the store."""

        def change(run: Summary) -> Callable[[], object]:
            from engine.store.trash import delete_run, restore

            delete_run(self._store, run.run)
            return lambda: restore(self._store, run.run)

        self._do(runs, f"deleted {told(runs)}", change)

    def undo(self) -> None:
        """Take the last change back that was not taken back yet."""

        def job() -> tuple[str, bool]:
            if not self._done:
                return "there is nothing to undo", False
            change = self._done.pop()
            wrong = [error for back in change.back if (error := _tried(back))]
            return ("; ".join(wrong), True) if wrong else (f"undone: {change.what}", False)

        self._ask(job)

    def end(self) -> None:
        """Finish what was begun, and no more."""
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join(5)

    def _do(self, runs: Sequence[Summary], what: str, change: Callable[[Summary], Callable[[], object]]) -> None:
        def job() -> tuple[str, bool]:
            back: list[Callable[[], object]] = []
            wrong: list[str] = []
            for run in runs:
                try:
                    back.append(change(run))
                except Exception as error:
                    # The thread has to go on, and the person to hear of it.
                    wrong.append(_words(error))
            if back:
                self._done.append(Change(what, tuple(back)))
                del self._done[:-MOST_UNDONE]
            return ("; ".join(wrong[:3]), True) if wrong else (f"{what}; {self._undo_key} undoes", False)

        self._ask(job)

    def _ask(self, job: Callable[[], tuple[str, bool]]) -> None:
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="layerlab-changes", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._post(RunsChanged(*job()))


def _tried(back: Callable[[], object]) -> str:
    """Why it could not be taken back; "" where it was."""
    try:
        back()
    except Exception as error:
        return _words(error)
    return ""


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LayerlabError | OSError) else f"{type(error).__name__}: {error}"


def told(runs: Sequence[Summary]) -> str:
    """These runs in a few words."""
    return runs[0].label[:80] if len(runs) == 1 else f"{len(runs)} runs"
