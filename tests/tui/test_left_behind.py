"""What an earlier sitting left behind is told on the first screen, and is a key away."""

from __future__ import annotations

import os
from pathlib import Path

from engine.presets import preset
from engine.store.listing import Summary
from tests.tui.fake_training import FakeTraining, application, screen_text, until
from tui.left_behind import left_behind
from tui.settings import Settings


def row(
    folder: Path, name: str, status: str, *, sign: float = 0.0, ended: str | None = None, epoch: int = 7
) -> Summary:
    path = folder / f"20260115T1422{name}"
    path.mkdir()
    if sign:
        (path / "owner.json").write_text("{}")
        os.utime(path / "owner.json", (sign, sign))
    return Summary(path.name, path, name.split("-")[1], status, epoch=epoch, epochs=20, ended=ended)


def told(rows: list[Summary], waiting: int = 0) -> list[str]:
    return left_behind(rows).words(Settings(), waiting).splitlines()


def test_nothing_is_told_where_all_came_to_its_end(tmp_path: Path) -> None:
    assert told([], 2) == []
    assert told([row(tmp_path, "01Z-mlp-aaaa", "finished", ended="2026-01-15T14:30:00Z")]) == []


def test_an_interrupted_run_is_offered_until_another_has_ended(tmp_path: Path) -> None:
    cut = row(tmp_path, "01Z-mlp-aaaa", "interrupted", sign=1_800_000_000)
    before = row(tmp_path, "00Z-cnn-bbbb", "finished", ended="2026-01-15T14:30:00Z")
    assert told([cut, before]) == ["mlp-aaaa was interrupted after 7 of 20 epochs: R goes on with it"]
    since = row(tmp_path, "02Z-cnn-cccc", "stopped", ended="2030-01-15T14:30:00Z")
    assert told([cut, before, since]) == []


def test_the_one_that_lived_longest_is_named_whenever_it_was_begun(tmp_path: Path) -> None:
    resumed = row(tmp_path, "01Z-mlp-aaaa", "interrupted", sign=1_800_000_500)
    other = row(tmp_path, "05Z-cnn-bbbb", "interrupted", sign=1_800_000_000)
    assert told([resumed, other])[0].startswith("mlp-aaaa and 1 other were interrupted")


def test_live_runs_and_the_queue_are_told_with_their_keys(tmp_path: Path) -> None:
    rows = [row(tmp_path, f"0{n}Z-mlp-aaa{n}", "running") for n in range(3)]
    assert told(rows, 1) == [
        "mlp-aaa2 and 2 others are being trained: 2 shows it",
        "1 experiment waits in the queue: H on Runs lets the queue go on",
    ]


async def test_resume_goes_on_with_it_from_the_first_screen(tmp_path: Path) -> None:
    before = FakeTraining(tmp_path)
    path = before.start(preset("mlp"))
    before.epoch(1)
    before.emit()
    from engine.store import owner

    # As if the process had died: nobody here trains it any more.
    owner._training_here.clear()
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "was interrupted" in screen_text(app))
        await pilot.press("R")
        await until(pilot, lambda: training.alive and app.running.path == path)
        await until(pilot, lambda: "was interrupted" not in screen_text(app))
        assert app.interrupted is None
        training.end("stopped")


async def test_a_run_that_goes_on_elsewhere_is_shown_by_the_key_of_train(tmp_path: Path) -> None:
    before = FakeTraining(tmp_path)
    path = before.start(preset("mlp"))
    before.epoch(1)
    app, training = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "is being trained: 2 shows it" in screen_text(app))
        await pilot.press("2")
        await until(pilot, lambda: app.run_watch is not None and app.run_watch.path == path)
        assert app.mode_shown == "train"
        assert not training.started
    before.end()
