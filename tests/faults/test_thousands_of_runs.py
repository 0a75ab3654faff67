"""Thousands of runs, one in a hundred damaged: each of these is a row that says so, and costs the others nothing."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.store.index import StoreIndex
from engine.store.listing import Summary, list_runs
from tests.benchmarks.store import make_store
from tests.tui.fake_training import application, screen_text, until
from tui.filtering import parse_filter
from tui.screens.runs import RunsScreen

# What may have become of a run's summary, and of all else in its folder.
DAMAGE: tuple[Callable[[Path], object], ...] = (
    lambda path: (path / "summary.json").write_bytes(b""),
    lambda path: (path / "summary.json").write_bytes(b"\0" * 4096),
    lambda path: (path / "summary.json").write_bytes((path / "summary.json").read_bytes()[:100]),
    lambda path: (path / "summary.json").write_text("[" * 100_000),
    lambda path: (path / "summary.json").unlink(),
    lambda path: ((path / "summary.json").unlink(), os.mkfifo(path / "summary.json")),
    lambda path: ((path / "summary.json").unlink(), (path / "summary.json").symlink_to("/dev/zero")),
    lambda path: [file.unlink() for file in path.iterdir()],
)


def damaged_store(store: Path, count: int) -> set[str]:
    """A store of that many runs; the names of those that are damaged."""
    make_store(store, count)
    names = sorted(os.listdir(store))[50::100]
    for number, name in enumerate(names):
        DAMAGE[number % len(DAMAGE)](store / name)
        # What is gone, or a summary that says nothing: there are no events to make another of.
        if (store / name / "experiment.toml").exists():
            (store / name / "experiment.toml").unlink()
    return set(names)


def check_rows(rows: list[Summary], damaged: set[str]) -> None:
    assert {row.run for row in rows if row.status == "damaged"} == damaged
    for row in rows:
        if row.run in damaged:
            assert row.problem
        else:
            assert (row.problem, row.best is not None, bool(row.fields)) == (None, True, True)
    assert Counter(row.status for row in rows)["finished"] > 0.96 * len(rows)


def listed(store: Path, count: int, seconds: float) -> None:
    damaged = damaged_store(store, count)
    began = time.process_time()
    rows = list_runs(store)
    # Time of this process: others have the machine as well. A list without damage takes as long.
    assert time.process_time() - began < seconds
    assert len(rows) == count
    check_rows(rows, damaged)
    index = StoreIndex(store)
    began = time.process_time()
    batches = list(index.refresh())
    assert time.process_time() - began < seconds
    told = {row.run: row for changes in batches for row in changes.changed}
    assert len(told) == count
    check_rows(list(told.values()), damaged)
    began = time.process_time()
    assert [changes for changes in index.refresh() if changes.changed or changes.removed] == []
    assert time.process_time() - began < seconds / 10


def test_two_thousand_runs_with_damaged_ones_are_listed_quickly(
    tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 26, of fewer runs."""
    listed(tmp_path, 2_000, 1.0)
    figure("runs listed, one in a hundred damaged", 2_000)


@pytest.mark.soak
def test_five_thousand_runs_with_fifty_damaged_ones_are_listed_quickly(
    tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 26."""
    listed(tmp_path, 5_000, 2.5)
    figure("runs listed, one in a hundred damaged", 5_000)


async def in_the_application(store: Path, count: int) -> None:
    damaged = damaged_store(store, count)
    app, _ = application(store)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.stored.complete)
        check_rows(list(app.stored.rows.values()), damaged)
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        assert screen._list.total == count
        await pilot.press("slash", *"status:damaged", "enter")
        await until(pilot, lambda: {run.run for run in screen._list.found} == damaged)
        assert "damaged" in screen_text(app)
        for _ in range(min(len(damaged), 10)):
            # Each in the preview, and opened on Train.
            await pilot.press("down")
            await pilot.pause()
        selected = screen.selected()
        assert selected is not None
        await pilot.press("enter")
        await until(pilot, lambda: "damaged" in screen_text(app))
        await pilot.press("3")
        await pilot.pause()
        assert len(parse_filter("status:finished").select(list(app.stored.rows.values()))) > 0.97 * count - 10


async def test_runs_shows_damaged_ones_among_others(tmp_path: Path) -> None:
    """Fault 26, the application's list, of fewer runs."""
    await in_the_application(tmp_path, 300)


@pytest.mark.soak
async def test_runs_shows_five_thousand_runs_and_fifty_damaged_ones(tmp_path: Path) -> None:
    """Fault 26, the application's list."""
    await in_the_application(tmp_path, 5_000)
