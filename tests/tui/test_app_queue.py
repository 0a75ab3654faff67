"""The queue: what waits is begun when a run has ended, whatever became of that, and is kept for the next sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import DeviceLost, RequestError
from engine.presets import preset
from engine.spec import with_settings
from tests.tui.fake_training import application, screen_text, steady_check, until
from tui import running
from tui.app import LayerlabApp
from tui.queue import Queue
from tui.state import State


async def test_a_second_run_waits_for_the_first_and_begins_when_that_has_failed(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        await pilot.press("ctrl+r", "1", "ctrl+r")
        await pilot.pause()
        assert "batchnorm waits: 2 experiments" in screen_text(app)
        assert "2 Train ● +2" in screen_text(app)
        assert len(training.started) == 1
        training.end("failed", "the loss is nan")
        await until(pilot, lambda: len(training.started) == 2)
        await until(pilot, lambda: "2 Train ● +1" in screen_text(app))
        training.end("finished")
        await until(pilot, lambda: len(training.started) == 3)
        await until(pilot, lambda: app.view is not None and app.view.run.endswith("-3"))
        training.end("finished")
        await until(pilot, lambda: not app.running.live)
        assert not app.running.queue.items


async def test_one_that_cannot_start_does_not_hold_up_those_behind_it(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        app.running.train(preset("cnn"))
        app.running.train(preset("mlp"))
        refused = training.start

        def start(experiment: object) -> Path:
            if experiment == preset("cnn"):
                raise RequestError("there is no such data")
            return refused(experiment)  # type: ignore[arg-type]

        training.start = start  # type: ignore[method-assign]
        training.end()
        await until(pilot, lambda: len(training.started) == 2)
        assert training.started[-1] == preset("mlp")
        # Nobody may have looked while it could not start.
        await until(pilot, lambda: app.view is not None and app.view.run.endswith("-2"))
        assert "cnn: there is no such data" in screen_text(app)


async def test_where_the_device_is_lost_to_this_process_what_waits_is_kept_for_the_next(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        app.running.train(preset("cnn"))
        app.running.train(preset("mlp"))
        training.refusal = DeviceLost("the device is lost; this process has to be restarted")
        training.end("failed")
        await until(pilot, lambda: "has to be restarted" in screen_text(app))
        assert [item.name for item in app.running.queue.items] == ["cnn", "mlp"]
        assert app.running.queue.held
        assert len(training.started) == 1


async def test_stopping_to_quit_leaves_the_queue_for_the_next_sitting(tmp_path: Path) -> None:
    first, training = application(tmp_path / "runs")
    first.state = State(tmp_path / "state.json")
    async with first.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: first.view is not None)
        first.running.train(with_settings(preset("cnn"), ["name=waits"]))
        await pilot.press("q", "s")
        await until(pilot, lambda: first.return_value is not None)
    assert first.return_value == 0
    assert len(training.started) == 1

    _, training = application(tmp_path / "later")
    second = LayerlabApp(
        preset("mlp"),
        training,
        tmp_path,
        store=tmp_path / "later",
        check=steady_check,
        state=State(tmp_path / "state.json"),
    )
    async with second.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert [item.name for item in second.running.queue.items] == ["waits"]
        assert not training.started
        # The one that is asked for now begins; what was left behind is held until the person lets it go on.
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(training.started) == 1)
        assert training.started[0].name == "mlp"
        training.end()
        await until(pilot, lambda: not second.running.live)
        await pilot.pause(0.5)
        assert len(training.started) == 1
        await pilot.press("3")
        await until(pilot, lambda: "held" in screen_text(second))
        await pilot.press("H")
        await until(pilot, lambda: len(training.started) == 2)
        assert training.started[1].name == "waits"


async def test_a_run_that_is_asked_for_is_shown_also_where_train_shows_an_old_one(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        old = app.running.path
        assert old is not None
        training.end()
        await until(pilot, lambda: not app.running.live)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.run.endswith("-2"))
        training.end("stopped")
        await until(pilot, lambda: not app.running.live)
        app.open_run(old)
        await until(pilot, lambda: app.view is not None and app.view.path == old)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.run.endswith("-3"))


async def test_a_stopped_run_goes_on_from_where_it_is_shown_and_a_paused_one_is_offered_to(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and "space pause" in screen_text(app))
        await pilot.press("space")
        await until(pilot, lambda: "space go on" in screen_text(app))
        await pilot.press("space", "S", "n")
        await until(pilot, lambda: not app.running.live and "R resume" in screen_text(app))
        await pilot.press("R")
        await until(pilot, lambda: app.running.live)
        assert len(training.started) == 1
        assert app.view is not None
        assert app.view.path == training.path


def test_what_waits_can_be_put_in_another_order_and_taken_out() -> None:
    queue = Queue()
    names = ["mlp", "cnn", "batchnorm"]
    for name in names:
        queue.add(preset(name))
    assert queue.move(2, -1)
    assert [item.name for item in queue.items] == ["mlp", "batchnorm", "cnn"]
    assert not queue.move(0, -1)
    assert not queue.move(2, 1)
    assert queue.remove(0)
    assert not queue.remove(5)
    queue.held = True
    assert queue.take() is None
    queue.held = False
    assert [queue.take().name for _ in range(2)] == ["batchnorm", "cnn"]  # type: ignore[union-attr]
    assert queue.take() is None


def test_a_long_queue_is_there_the_next_time(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    app.state = State(tmp_path / "state.json")
    names = [f"cnn {number}" for number in range(60)]
    for name in names:
        app.running.queue.add(with_settings(preset("cnn"), [f"name={name}"]))
    app.state.put("queue", app.running.waiting())
    app.state.flush()
    later, _ = application(tmp_path / "later")
    later.running.take_up(State(tmp_path / "state.json").get("queue"))
    assert [item.name for item in later.running.queue.items] == names
    assert later.running.queue.held


async def test_a_run_that_ends_while_it_is_read_has_not_ended_without_a_word(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.status == "running")
        read = app.running.poll

        def read_and_end() -> bool:
            found = read()
            if training.alive:
                training.end("finished")
            return found

        app.running.poll = read_and_end  # type: ignore[method-assign]
        await until(pilot, lambda: app.view is not None and app.view.status == "finished")
        await until(pilot, lambda: not app._timer._active.is_set())
        assert "without a word" not in screen_text(app)


async def test_a_long_run_is_read_by_a_thread_and_shown_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "AT_ONCE", 0)
    app, training = application(tmp_path)
    path = training.start(preset("mlp"))
    training.epoch(1)
    training.end()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.open_run(path)
        assert app.view is None
        await until(pilot, lambda: app.view is not None)
        assert app.view is not None
        assert (app.view.status, app.view.done) == ("finished", 1)
        await until(pilot, lambda: "0.6500" in screen_text(app) or "65.00 %" in screen_text(app))
        # Whoever has gone on to another run by then stays there.
        app.open_run(path)
        assert app.view is not None
