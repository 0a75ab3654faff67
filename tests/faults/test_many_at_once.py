"""Processes that want the same thing of one store at the same moment: each gets it, or is told who has it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RequestError
from engine.store.folder import create_run, run_names
from engine.store.index import StoreIndex
from engine.store.listing import list_runs
from engine.store.notes import change_notes, read_notes
from engine.store.writer import RunWriter
from tests.engine.run_folders import ended, experiment, new_run, started, trained_run
from tests.faults.processes import at_once
from tests.tui.fake_training import application, screen_text, until
from tests.tui.run_store import run_id, stored_run
from tests.watching import view_of
from tui.screens.runs import RunsScreen


def make_one(barrier: Any, answers: Any, store: Path, number: int) -> None:
    barrier.wait(60)
    path = create_run(store, experiment("same name"), {"number": number})
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        writer.put(ended(1, number=float(number)))
        writer.close("finished")
    answers.put((number, path.name))


def test_fifty_processes_create_runs_at_once(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 13: a store that is not there yet, one name, one second; every run is whole and its own."""
    store = tmp_path / "runs"
    with at_once(make_one, [(store, number) for number in range(50)]) as answers:
        made = dict(answers.get(timeout=60) for _ in range(50))
    figure("runs created at once", 50)
    assert len(set(made.values())) == 50
    assert set(run_names(store)) == set(made.values()) == set(os.listdir(store))
    for number, name in made.items():
        view = view_of(store / name)
        assert (view.status, view.problem, view.skipped_lines) == ("finished", None, 0)
        assert view.history[0].metrics["number"] == number
        assert view.environment["number"] == number
    assert [row.run for row in list_runs(store)] == run_names(store)


def resume(barrier: Any, answers: Any, path: Path, number: int) -> None:
    barrier.wait(60)
    try:
        with RunWriter(path, resume=True, resumed_step=20, telemetry=False) as writer:
            writer.put(started(4, 20, 2))
            writer.put(ended(3, number=float(number)))
            answers.put((os.getpid(), number, ""))
            # Until all have tried: one that came after its end would rightly get it.
            barrier.wait(60)
            writer.close("stopped")
    except RequestError as error:
        answers.put((os.getpid(), number, str(error)))
        barrier.wait(60)


def resumed_by_two(store: Path, rounds: int) -> Counter[str]:
    said: Counter[str] = Counter()
    for _ in range(rounds):
        path = trained_run(store, status="stopped")
        with at_once(resume, [(path, number) for number in range(2)]) as answers:
            told = [answers.get(timeout=60) for _ in range(2)]
        (winner, number, _), (_, _, refusal) = sorted(told, key=lambda answer: answer[2] != "")
        assert [text == "" for _, _, text in told].count(True) == 1, told
        who = re.search(r"is being trained by pid (\d+) on ", refusal)
        # He who comes between the creation of a file and its first line cannot know more than that there is one.
        assert who is not None or "is being claimed by another process" in refusal, refusal
        assert who is None or int(who[1]) == winner
        said["told by whom" if who else "told that another is at it"] += 1
        view = view_of(path)
        assert (view.segment, view.status, view.skipped_lines) == (1, "stopped", 0)
        assert [row.metrics.get("number") for row in view.history] == [None, None, number]
    return said


def test_of_two_that_resume_one_run_one_wins_and_the_other_is_told(
    tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 14."""
    resumed_by_two(tmp_path, 5)
    figure("pairs of processes that resumed one run", 5)


@pytest.mark.soak
def test_two_hundred_pairs_resume_one_run(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 14, 200 times."""
    said = resumed_by_two(tmp_path, 200)
    figure("pairs of processes that resumed one run", 200)
    for what, count in said.items():
        figure(f"losers {what}", count)


def tag(barrier: Any, answers: Any, path: Path, who: int, times: int) -> None:
    barrier.wait(60)
    for number in range(times):
        change_notes(path, add_tags=[f"p{who}n{number}"], remove_tags=[f"p{who}n{number - 2}"])
        change_notes(path, **({"pinned": True} if who else {"text": f"text {number}"}))
    answers.put(who)


def test_tags_and_text_of_two_processes_both_stay(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 15."""
    path = trained_run(tmp_path)
    with at_once(tag, [(path, who, 20) for who in range(2)]) as answers:
        assert {answers.get(timeout=60) for _ in range(2)} == {0, 1}
    figure("changes of one run's notes by two processes", 80)
    notes = read_notes(path)
    assert set(notes.tags) == {"p0n18", "p0n19", "p1n18", "p1n19"}
    assert (notes.text, notes.pinned, notes.problem) == ("text 19", True, None)
    assert not [name for name in os.listdir(path) if name.startswith(".tmp-") or name == "notes.lock"]


def come_and_go(barrier: Any, answers: Any, store: Path, number: int) -> None:
    """What another application does: makes runs, tags those of all, and looks at the store."""
    barrier.wait(60)
    index = StoreIndex(store)
    for round_ in range(3):
        path = new_run(store, f"made by {number}")
        with RunWriter(path, telemetry=False) as writer:
            writer.put(started())
            writer.put(ended(1))
            writer.close("finished")
        for name in run_names(store)[:5]:
            change_notes(store / name, add_tags=[f"by{number}round{round_}"])
        list(index.refresh())
    answers.put(number)


async def test_an_application_lists_tags_and_creates_while_others_do_the_same(tmp_path: Path) -> None:
    """Two applications on one store, and a third."""
    for number in range(5):
        stored_run(tmp_path, number, f"old{number}")
    app, _ = application(tmp_path)
    with at_once(come_and_go, [(tmp_path, number) for number in range(2)]) as answers:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("3")
            await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.stored.complete)
            await pilot.press("slash", *"old4", "enter")
            await until(pilot, lambda: app.screen.selected() is not None and app.screen.selected().run == run_id(4))  # type: ignore[attr-defined]
            for number in range(2):
                await pilot.press("t", *f"mine{number}", "enter")
                await until(
                    pilot, lambda number=number: f"mine{number}" in "".join(read_notes(tmp_path / run_id(4)).tags)
                )
            assert {answers.get(timeout=60) for _ in range(2)} == {0, 1}
            await pilot.press("slash", *["backspace"] * 4, "enter")
            app.stored.want()
            await until(pilot, lambda: len(app.stored.rows) == 11)
            await until(pilot, lambda: app.stored.rows[run_id(0)].notes.tags == read_notes(tmp_path / run_id(0)).tags)
            assert "made by 1" in screen_text(app)
            assert not app.stored.problem
    assert {row.status for row in list_runs(tmp_path)} == {"finished"}
    tags = read_notes(tmp_path / run_id(0)).tags
    assert set(tags) == {f"by{number}round{round_}" for number in range(2) for round_ in range(3)}
