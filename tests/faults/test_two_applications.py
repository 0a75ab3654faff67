"""Two applications of one person on one store, each in a terminal of its own, by keys alone."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store.folder import run_names
from engine.store.listing import list_runs
from engine.store.notes import read_notes
from tests.faults.processes import CHECKOUT
from tests.tui.run_store import stored_run
from tests.tui.screen_of_pty import Screen
from tests.watching import view_of


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Path, Screen, Screen]]:
    store = tmp_path / "runs"
    for number in range(3):
        stored_run(store, number, f"old{number}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAYERLAB", "XDG"))}
    environment |= {
        "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", "LAYERLAB_DATA": str(tmp_path), "LAYERLAB_RUNS": str(store),
        "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8",
    }  # fmt: skip
    screens = [Screen([sys.executable, "-m", "tui.cli"], environment, tmp_path) for _ in range(2)]
    yield store, screens[0], screens[1]
    for screen in screens:
        screen.close()


@pytest.mark.soak
def test_two_applications_list_tag_train_and_watch_on_one_store(two: tuple[Path, Screen, Screen]) -> None:
    """Two applications at once: both list and tag, one trains, the other watches and stops it, then the other way."""
    store, *screens = two
    for screen in screens:
        screen.until("Compose")
        screen.press("3")
        screen.until("old2")
    # Tags of both, of the same run, at the same time.
    for screen, tag in zip(screens, ("here", "there"), strict=True):
        screen.press(f"<home>t{tag}<enter>")
    newest = store / run_names(store)[-1]
    for screen in screens:
        screen.until(lambda: set(read_notes(newest).tags) == {"here", "there"})
    for mine, other in (screens, screens[::-1]):
        before = set(run_names(store))
        # Of 10,000 epochs, so that it is still there to be watched.
        mine.press("1")
        mine.until(lambda mine=mine: re.search(r"epochs +\d", mine.text))
        mine.press("<ctrl+r>")
        mine.until(lambda before=before: set(run_names(store)) - before)
        (name,) = set(run_names(store)) - before
        other.press("3")
        other.until("old2")
        other.until(lambda name=name, other=other: name.rsplit("-", 1)[-1] in other.text)
        mine.until(lambda name=name: view_of(store / name).status in ("running", "finished"))
        other.press("<home><enter>")
        other.until(lambda other=other: re.search(r"epoch \d+ of \d+", other.text))
        mine.until(lambda name=name: view_of(store / name).status == "finished")
        other.until("finished")
        mine.read(1.0)
    for screen in screens:
        screen.press("3")
        screen.until("old2")
        screen.press("q")
        assert screen.ended() == 0
    assert {row.status for row in list_runs(store)} == {"finished"}
    assert len(run_names(store)) == 5
