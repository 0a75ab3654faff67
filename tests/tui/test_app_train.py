"""Train: the screen follows the run's folder, asks what the person asks, and is still where nothing happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot

from engine.errors import RequestError
from engine.events import CheckpointSaved, EpochEnded
from tests.tui.fake_training import RUN, FakeTraining, application, screen_text, until
from tui.app import LayerlabApp
from tui.queue import Waiting
from tui.running import RunBegan
from tui.screens.train import STOPS
from tui.screens.workspace import Workspace
from tui.widgets.layer_table import LayerTable
from tui.widgets.metrics_table import MetricsTable


async def begin(pilot: Pilot[Any], app: LayerlabApp, epochs: int = 3) -> None:
    await pilot.press("ctrl+r")
    await until(pilot, lambda: app.view is not None and app.screen.__class__.__name__ == "TrainScreen")
    for number in range(1, epochs + 1):
        training_of(app).epoch(number)
    training_of(app).reading()
    training_of(app).say("warning", "layer 6: [/b] 31 % of ReLU units never fire")
    await until(pilot, lambda: app.view is not None and len(app.view.messages) == 1)
    await pilot.pause()


def training_of(app: LayerlabApp) -> FakeTraining:
    training = app.running.training
    assert isinstance(training, FakeTraining)
    return training


async def test_a_run_is_shown_as_its_folder_tells_it(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app)
        text = screen_text(app)
        assert f"● {RUN.split('-', 1)[1]}   Digits   cpu" in text
        assert "● running" in text
        assert "epoch 3 of 20" in text
        assert "15 %" in text
        assert "★     3" in text
        assert "0.5714" in text  # the training loss of epoch 3: 2 / 3.5
        assert "612.0 MiB" in text
        assert "[/b] 31 %" in text
        assert "Linear(300)" in text
        training.end()
        await until(pilot, lambda: not app._timer._active.is_set())
        await pilot.pause()
        assert "✓ finished" in screen_text(app)
        assert "100 %" in screen_text(app)


async def test_the_whole_reason_stands_there_however_long(tmp_path: Path) -> None:
    reason = "the loss is NaN at step 2303, learning rate 0.1: layer 3 (Linear) is the first whose output is not finite"
    app, training = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.live)
        training.end("failed", f"{reason}; a lower learning rate or clip_norm = 1.0 usually helps")
        await until(pilot, lambda: app.view is not None and app.view.status == "failed")
        await pilot.pause()
        said = " ".join(screen_text(app).split())
        assert f"✗ failed: {reason}; a lower learning rate or clip_norm = 1.0 usually helps epoch" in said


async def test_a_failed_run_says_why(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app)
        training.end("failed", "the loss became NaN at step 69")
        await until(pilot, lambda: app.view is not None and app.view.status == "failed")
        await pilot.pause()
        assert "✗ failed: the loss became NaN at step 69" in screen_text(app)


async def test_a_run_that_cannot_start_is_told_in_the_screen(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    training.refusal = RequestError("MNIST is not in /data; layerlab --download fetches it [/foo]")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app._notice[1])
        await pilot.pause()
        assert "✗ MNIST is not in /data" in screen_text(app)
        assert not app.running.live


@pytest.mark.parametrize(
    ("keys", "request_name", "value"),
    [
        (["space"], "pause", None),
        (["k"], "checkpoint", None),
        (["K"], "pin_checkpoint", None),
        (["S", "e"], "stop_epoch", None),
        (["S", "n"], "stop", None),
        (["S", "down", "down", "enter"], "discard", None),
        (["l", *["backspace"] * 6, *"0.003", "enter"], "set_lr", 0.003),
        (["l", *"0.004", "enter"], "set_lr", 0.004),
        (["plus", *"5", "enter"], "add_epochs", 5),
    ],
)
async def test_keys_become_requests(tmp_path: Path, keys: list[str], request_name: str, value: float | None) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press(*keys)
        await pilot.pause()
        assert [(request.name, request.value) for request in training.requests] == [(request_name, value)]


async def test_leaving_the_stop_dialogue_asks_nothing(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("S", "c")
        await pilot.press("S", "escape")
        await pilot.press("l", *"x", "enter")
        await pilot.pause()
        assert "number is wanted" in screen_text(app)
        await pilot.press("escape")
        assert training.requests == []


async def test_space_goes_on_with_a_paused_run(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("space")
        await until(pilot, lambda: app.view is not None and app.view.status == "paused")
        await pilot.pause()
        assert "‖ paused" in screen_text(app)
        await pilot.press("space")
        assert [request.name for request in training.requests] == ["pause", "resume"]


async def test_quitting_asks_while_a_run_is_live_and_not_otherwise(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("q")
        await pilot.pause()
        assert "A run is live" in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert app.is_running
        assert training.alive
        await pilot.press("ctrl+q", "s")
        await until(pilot, lambda: not app.is_running or app._exit)
        assert [request.name for request in training.requests] == ["stop"]
    assert app.return_value == 0


async def test_quitting_without_a_run_is_immediate(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert app.return_value == 0


async def test_without_a_run_each_panel_says_what_fills_it(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        text = screen_text(app)
        for words in ("^r trains", "the curve begins", "no epoch yet", "once a run has begun", "while a run is live"):
            assert words in text


async def test_composing_goes_on_while_a_run_is_live(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("1")
        await pilot.pause()
        assert "2 Train ●" in screen_text(app)
        await pilot.press("down", "x")
        training.epoch(2)
        await pilot.press("2")
        await until(pilot, lambda: "epoch 2 of 20" in screen_text(app))


async def test_maximise_gives_the_screen_to_the_focused_panel_and_back(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app)
        await pilot.press("tab", "m")
        await pilot.pause()
        table = app.screen.query_one(MetricsTable)
        assert table.size.width > 110
        assert table.size.height > 30
        assert "Memory" not in screen_text(app)
        await pilot.press("m")
        await pilot.pause()
        assert "Memory" in screen_text(app)


async def test_nothing_is_written_to_the_terminal_where_nothing_happens(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        for step in ("compose", "live", "prompt", "ended"):
            if step == "live":
                await begin(pilot, app)
                await asyncio.sleep(1.2)  # until the curves, too, are drawn
            elif step == "prompt":
                await pilot.press("l")
            elif step == "ended":
                await pilot.press("escape")
                training.end()
                await until(pilot, lambda: not app._timer._active.is_set())
            await pilot.pause()
            await asyncio.sleep(0.2)
            written: list[object] = []
            # Without a terminal Textual stops here, one step before it writes.
            app._display = lambda screen, update, to=written: to.append(update)  # type: ignore[method-assign]
            await asyncio.sleep(1.2)
            del app._display
            assert written == [], step


async def test_a_run_of_many_short_epochs_costs_a_bounded_number_of_drawings(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        table = app.screen.query_one(MetricsTable)
        drawn: list[int] = []
        original = table.render_line
        table.render_line = lambda y: (drawn.append(y), original(y))[1]  # type: ignore[method-assign]
        for number in range(2, 402):
            training.epoch(number)
        await until(pilot, lambda: app.view is not None and app.view.done == 401)
        await pilot.pause()
        # All four hundred came between two looks: one drawing of what is in view, or two.
        assert len(drawn) <= 4 * table.size.height


async def test_the_loss_of_epochs_too_short_for_progress_is_drawn(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        for number in range(1, 5):
            training.emit(EpochEnded(number, 23 * number, {"train/loss": 9 / number, "val/loss": 1.0}, {}, True))
        training.end()
        await until(pilot, lambda: "train ──  val ╌╌" in screen_text(app))
        text = screen_text(app)
        assert "8┤" in text, text  # 9 lies above it


async def test_what_was_asked_and_saved_stands_in_the_log(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 50)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("space")
        await until(pilot, lambda: app.view is not None and app.view.status == "paused")
        await pilot.press("space", "k")
        training.emit(CheckpointSaved(23, 1, "step", "checkpoints/step-23", 4096, 0.1))
        await pilot.press("l", *["backspace"] * 6, *"0.003", "enter", "plus", *"5", "enter")
        training.end("stopped", "as asked")
        await until(pilot, lambda: not app._timer._active.is_set())
        await pilot.pause()
        assert app.run_watch is not None
        told = "\n".join(line.text for line in app.run_watch.log)
        for words in ("paused", "resumed", "step 23 saved: 4.0 KiB", "set to 0.003", "5 epochs added", "stopped: as"):
            assert words in told
        assert "5 epochs added" in screen_text(app)
        assert "■ stopped: as asked" in screen_text(app)


async def test_a_panel_has_the_focus_again_when_its_screen_comes_back(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("tab", "1")
        await pilot.pause()
        assert app.focused is app.screen.query_one(LayerTable)
        await pilot.press("2")
        await pilot.pause()
        assert app.focused is app.screen.query_one(MetricsTable)
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: app.focused is app.screen.query_one(MetricsTable))


async def test_a_dialogue_is_out_of_sight_and_takes_no_keys_on_a_terminal_that_is_too_small(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("S")
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: "this terminal has 60 × 20" in screen_text(app))
        assert "layerlab needs 80 × 24" in screen_text(app)
        assert "How shall" not in screen_text(app)
        await pilot.press("d", "down", "enter", "escape", "q")
        assert training.requests == []
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "How shall" in screen_text(app))
        await pilot.press("down", "enter")
        assert [request.name for request in training.requests] == ["stop"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_no_answer_of_a_dialogue_is_cut(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=size) as pilot:
        await begin(pilot, app, 1)
        await pilot.press("S")
        await pilot.pause()
        assert all(text in screen_text(app) for _, text, _ in STOPS)


async def test_the_footer_names_only_what_can_be_done_and_the_palette_the_rest(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert "pause" not in screen_text(app).splitlines()[-1]
        await pilot.press("ctrl+p", *"lear")
        await pilot.pause()
        assert "when the run shown is live" in screen_text(app)
        await pilot.press("enter", "escape", "ctrl+r")
        await until(pilot, lambda: app.running.live and "pause" in screen_text(app).splitlines()[-1])
        await pilot.press("1", "ctrl+p", *"lear", "enter")
        await until(pilot, lambda: "learning rate" in screen_text(app) and len(app.screen_stack) == 2)
        await pilot.press(*["backspace"] * 6, *"0.5", "enter")
        await until(pilot, lambda: [request.value for request in training.requests] == [0.5])


@pytest.mark.parametrize("shown", [True, False])
async def test_news_and_keys_that_come_while_the_application_ends_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    """Its timer ticks, and threads answer, until the last of its screens is gone; a run may only just begin."""
    app, training = application(tmp_path)
    item = Waiting(9, app.draft.experiment)
    prune, ended = app._prune, []

    async def pruned(*nodes: Any, **more: Any) -> None:
        await prune(*nodes, **more)
        if not app.is_running:
            ended.append(nodes)
            if shown:
                training.epoch(2)
            app._tick()
            app.show()
            app.tell("a check has answered")
            app.queue_changed()
            app.on_run_began(RunBegan(item, training.path))
            await app.on_event(Key("a", "a"))
            await app._next(app._under_way)
            for screen in app.screen_stack:
                if isinstance(screen, Workspace):
                    screen.show_header()
                    screen._settle()

    monkeypatch.setattr(app, "_prune", pruned)
    async with app.run_test(size=(120, 40)) as pilot:
        if shown:
            await begin(pilot, app, epochs=1)
        else:
            app.running._wanted, app.running._asked_at = item, app.keys_taken
            training.start(app.draft.experiment)
    assert ended
