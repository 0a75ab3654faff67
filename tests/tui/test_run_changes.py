"""Changes of runs are done one after the other in a thread, told in words, and taken back."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from engine.store import trash
from engine.store.listing import summarize
from engine.store.notes import change_notes, read_notes
from tests.engine.run_folders import trained_run
from tui.run_changes import RunChanges, RunsChanged


class Sitting:
    """Changes of one store, and what was told of them."""

    def __init__(self, store: Path) -> None:
        self.run = summarize(trained_run(store))
        self.told: queue.SimpleQueue[RunsChanged] = queue.SimpleQueue()
        self.changes = RunChanges(store, self.told.put, "u")  # type: ignore[arg-type]

    def next(self) -> RunsChanged:
        return self.told.get(timeout=20)


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    return Sitting(tmp_path)


def test_undo_of_tags_leaves_those_that_others_gave_since(sitting: Sitting) -> None:
    path = sitting.run.path
    change_notes(path, tags=["first", "second"])
    sitting.changes.note([sitting.run], "tags", add_tags=["mine", "second"], remove_tags=["first"], pinned=True)
    assert sitting.next().text == "tags; u undoes"
    change_notes(path, add_tags=["theirs"])
    sitting.changes.undo()
    assert sitting.next().text == "undone: tags"
    assert set(read_notes(path).tags) == {"first", "second", "theirs"}
    assert not read_notes(path).pinned


def test_an_error_that_nobody_thought_of_is_told_and_the_next_change_is_done(
    sitting: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> Path:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr(trash, "delete_run", fails)
        sitting.changes.delete([sitting.run])
        told = sitting.next()
    assert told.wrong
    assert told.text == "ZeroDivisionError: oh"
    sitting.changes.note([sitting.run], "starred", starred=True)
    assert not sitting.next().wrong
    assert read_notes(sitting.run.path).starred
    sitting.changes.end()
