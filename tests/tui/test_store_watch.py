"""The store is looked at in a thread, which goes on whatever it meets there."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store import index
from tests.engine.run_folders import trained_run
from tui import store_watch
from tui.store_watch import StoreChanged, StoreWatch


def test_an_error_that_nobody_thought_of_is_told_and_the_next_look_finds_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained_run(tmp_path)
    told: queue.SimpleQueue[StoreChanged] = queue.SimpleQueue()
    watch = StoreWatch(tmp_path, told.put)  # type: ignore[arg-type]
    monkeypatch.setattr(store_watch, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(store_watch, "SHARE", 1.0)

    def fails(self: object) -> Iterator[index.Changes]:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr(index.StoreIndex, "refresh", fails)
        watch.want()
        watch.take(told.get(timeout=20))
    assert watch.problem == "the store could not be read: ZeroDivisionError: oh"
    while not watch.complete:
        watch.take(told.get(timeout=20))
    watch.end()
    assert list(watch.rows) == [run.name]
    assert watch.problem == ""
