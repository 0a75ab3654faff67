"""A run's folder is removed while somebody reads it, writes it or shows it: that one is gone, and nothing else."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from engine.control import Request
from engine.errors import RequestError
from engine.launch import prepare_run, start
from engine.spec import parse_experiment
from engine.store.folder import create_run
from engine.store.index import StoreIndex
from engine.store.listing import list_runs, summarize
from engine.store.notes import change_notes, read_notes
from engine.store.reader import RunReader
from engine.store.requests import send
from engine.store.writer import RunWriter
from tests.engine.run_folders import checkpoint, ended, new_run, progress, started, trained_run
from tests.faults.processes import FORK, remove
from tests.tui.fake_training import application, screen_text
from tests.tui.fake_training import until as shown
from tests.tui.run_store import run_id, stored_run
from tests.watching import until, view_of
from tui.screens.runs import RunsScreen
from tui.watching import RunWatch

TOML = """
name = "removed"
epochs = 400
checkpoint_minutes = 0.002
optimizer = "SGD(lr=0.1)"

[data]
source = "Digits()"

[network]
layers = ["Flatten()", "Linear(classes)"]
"""


def write_on(path: Path) -> None:
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started(1000))
        writer.status("running")
        for epoch in range(1, 1001):
            writer.put(progress(epoch * 10 - 5))
            writer.put(ended(epoch))
            time.sleep(0.01)


def test_every_reader_says_that_it_is_gone(tmp_path: Path) -> None:
    """Fault 12, the reader: while another process writes there."""
    path, other = create_run(tmp_path, parse_experiment(TOML), {}), trained_run(tmp_path)
    process = FORK.Process(target=write_on, args=(path,))
    process.start()
    try:
        reader, watch, index = RunReader(path), RunWatch(path), StoreIndex(tmp_path)
        until(lambda: (reader.poll(), watch.poll()) and reader.view.done > 3 and watch.view.done > 3)
        assert len([row for changes in index.refresh() for row in changes.changed]) == 2
        remove(path)
        reader.poll()
        watch.poll()
        for view in (reader.view, watch.view):
            assert (view.status, view.problem) == ("damaged", "its folder is gone")
            assert view.done > 3, "what was read stays"
        assert watch.log[-1].text == "this run: its folder is gone"
        assert [name for changes in index.refresh() for name in changes.removed] == [path.name]
        assert [row.run for row in list_runs(tmp_path)] == [other.name]
        assert summarize(path).status == view_of(path).status == "damaged"
        assert read_notes(path).text == ""
        for ask in (lambda: send(path, Request("stop")), lambda: change_notes(path, text="x")):
            with pytest.raises(RequestError, match=f"there is no run {path.name}"):
                ask()
        assert not path.exists()
    finally:
        process.kill()
        process.join()


def test_a_writer_whose_folder_is_removed_tells_and_ends_and_makes_nothing_new(tmp_path: Path) -> None:
    """Fault 12, the writer: events, checkpoints, beat and the final status."""
    path = new_run(tmp_path)
    with RunWriter(path) as writer:
        writer.put(started())
        writer.put(checkpoint(10))
        until(lambda: view_of(path).checkpoint)
        remove(path)
        writer.put(ended(1))
        writer.put(checkpoint(20))
        until(lambda: writer.problem)
        began = time.monotonic()
        writer.close("finished")
        assert time.monotonic() - began < 8
    assert not path.exists()


def test_training_goes_on_without_its_folder_and_the_next_one_starts(tmp_path: Path) -> None:
    """Fault 12, the session: it comes to its end, and leaves the process able to train."""
    path = prepare_run(parse_experiment(TOML), tmp_path, tmp_path)
    handle = start(path, data_folder=tmp_path)
    until(lambda: view_of(path).done > 1, 60)
    remove(path)
    handle.request(Request("stop"))
    handle.join(60)
    assert not handle.alive
    assert not path.exists()
    second = prepare_run(parse_experiment(TOML.replace("400", "1")), tmp_path, tmp_path)
    handle = start(second, data_folder=tmp_path)
    handle.join(60)
    assert view_of(second).status == "finished"


async def test_the_application_loses_what_was_removed_and_nothing_else(tmp_path: Path) -> None:
    """Fault 12, the application: shown on Train, marked for comparison, under the cursor of Runs."""
    for number in range(1, 5):
        stored_run(tmp_path, number, f"run{number}", status="running" if number == 4 else "finished")
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await shown(pilot, lambda: isinstance(app.screen, RunsScreen) and app.stored.complete)
        await pilot.press("space", "down", "space", "up", "enter")
        await shown(pilot, lambda: app.mode_shown == "train" and "running" in screen_text(app))
        # On Train, live: it is said to be gone, and what is asked of it is refused in words.
        shutil.rmtree(tmp_path / run_id(4))
        await shown(pilot, lambda: "its folder is gone" in screen_text(app), 20)
        await pilot.press("space", "tab", "tab", "plus")
        await pilot.pause()
        # Marked: the comparison is of those that are left.
        await pilot.press("4")
        await pilot.pause()
        shutil.rmtree(tmp_path / run_id(3))
        app.stored.want()
        await shown(pilot, lambda: set(app.stored.rows) == {run_id(1), run_id(2)})
        await pilot.pause()
        # Under the cursor of Runs, between the looks at the store: its keys tell that it is not there.
        await pilot.press("3")
        await shown(pilot, lambda: "run2" in screen_text(app))
        shutil.rmtree(tmp_path / run_id(2))
        await pilot.press("home", "t", *"late", "enter")
        await shown(pilot, lambda: "there is no run" in screen_text(app), 20)
        app.stored.want()
        await shown(pilot, lambda: set(app.stored.rows) == {run_id(1)}, 20)
        # The store itself.
        shutil.rmtree(tmp_path)
        app.stored.want()
        await shown(pilot, lambda: not app.stored.rows)
        assert app.stored.problem
        await pilot.press("1", "2", "3", "4", "3")
        await pilot.pause()
