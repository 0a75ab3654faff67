"""The charts of Train by their keys: what is in view, how it is drawn, what is read, and the runs laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.events import EpochEnded
from tests.tui.fake_training import FakeTraining, application, screen_text, until
from tests.tui.run_store import stored_run
from tui.app import LayerlabApp
from tui.screens.train import TrainScreen
from tui.widgets.curve import Curve, Look
from tui.widgets.metrics_table import MetricsTable
from tui.widgets.window import Window


def charts(app: LayerlabApp) -> tuple[Curve, Curve]:
    return app.screen.query_one("#loss", Curve), app.screen.query_one("#score", Curve)


async def trained(pilot: Pilot[Any], app: LayerlabApp, training: FakeTraining, epochs: int = 10) -> None:
    """A run of ten epochs that has ended, and its curves on the screen."""
    await pilot.press("ctrl+r")
    await until(pilot, lambda: isinstance(app.screen, TrainScreen) and app.view is not None)
    for number in range(1, epochs + 1):
        training.epoch(number)
    training.end()
    await until(pilot, lambda: not app._timer._active.is_set())
    await until(pilot, lambda: charts(app)[1].x_range == (0, epochs))


async def test_a_key_zooms_the_chart_with_the_focus_and_all_where_none_has_it(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        loss, score = charts(app)
        loss.focus()
        await pilot.press("z")
        assert loss.x_range == (5, 10)
        assert score.x_range == (0, 10)
        assert "Loss · last 50 %" in screen_text(app)
        await pilot.press("comma")
        assert loss.x_range == (3.75, 8.75)
        assert "Loss · zoomed" in screen_text(app)
        await pilot.press("right", "right")
        assert loss.x_range == (5, 10)
        await pilot.press("0")
        assert loss.look == Look()
        app.screen.query_one(MetricsTable).focus()
        await pilot.press("z", "z")
        assert loss.x_range == score.x_range == (7.5, 10)
        await pilot.press("Z", "Z", "Z")
        assert loss.look.window == score.look.window == Window()


async def test_the_newest_part_follows_a_run_that_goes_on(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        for number in range(1, 5):
            training.epoch(number)
        await until(pilot, lambda: charts(app)[0].x_range == (0, 4))
        await pilot.press("z")
        assert charts(app)[0].x_range == (2, 4)
        for number in range(5, 9):
            training.epoch(number)
        await until(pilot, lambda: charts(app)[0].x_range == (4, 8))


async def test_the_cursor_reads_recorded_values_on_all_charts_at_once(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        await pilot.press("c")
        loss, score = charts(app)
        assert loss.cursor == score.cursor == 10
        score.focus()
        await pilot.press("left", "left")
        assert loss.cursor == score.cursor == 8
        await pilot.pause()
        text = screen_text(app)
        assert "epoch 8" in text
        assert f"train ── {100 * (1 - 0.3 / 8):.2f} %  val ╌╌ {100 * (1 - 0.35 / 8):.2f} %" in text
        assert f"val ╌╌ {2.1 / 8.5:.4f}" in text
        # The line of training is told within epochs: its values are those of its own points.
        assert f"train ── {2 / 8.5:.4f}" in text
        await pilot.press("z")
        assert score.x_range[0] <= 8 <= score.x_range[1]
        await pilot.press(*["left"] * 6)
        assert score.cursor == 2
        assert score.x_range[0] <= 2 <= score.x_range[1]
        await pilot.press("escape")
        assert loss.cursor is score.cursor is None
        await pilot.pause()
        assert "epoch 2 " not in screen_text(app).split("Accuracy")[0].split("╭─ Loss")[1]


async def test_a_cursor_without_a_curve_says_so(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2", "c", "z", "comma", "w", "y", "x", "v", "V", "0", "escape")
        await pilot.pause()
        assert "no metric is known yet" in screen_text(app)
        await pilot.press("c")
        await pilot.pause()
        assert "there is no curve yet" in screen_text(app)


async def test_smoothing_and_scale_are_told_and_remembered(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        loss, score = charts(app)
        loss.focus()
        weights = []
        for _ in range(4):
            await pilot.press("w")
            weights.append(loss.look.weight)
        assert weights == [0.6, 0.9, 0.97, 0.0]
        await pilot.press("w", "w", "y")
        await pilot.pause()
        assert "Loss · smoothed 0.9 · logarithmic" in screen_text(app)
        assert score.look == Look()
        await pilot.press("x")
        await pilot.pause()
        assert " step 0" in screen_text(app)
        assert loss.x_range == (0, 300)
        state = app.state
    app, training = application(tmp_path / "other")
    app.state = state
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await pilot.pause()
        loss, score = charts(app)
        assert loss.look == Look(0.9, True)
        assert isinstance(app.screen, TrainScreen)
        assert app.screen.unit == "step"


async def test_a_logarithmic_chart_says_how_many_values_it_leaves_out(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        for number in range(1, 5):
            training.emit(EpochEnded(number, 23 * number, {"val/loss": number - 2.0, "val/f1": 0.5}, {}, True))
        training.end()
        await until(pilot, lambda: charts(app)[0].x_range == (0, 4))
        charts(app)[0].focus()
        await pilot.press("y")
        await pilot.pause()
        assert "2 of 0 or less left out" in screen_text(app)


async def test_any_metric_can_be_shown_in_any_chart_and_is_remembered(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        await pilot.press("tab", "v")
        await pilot.pause()
        assert "╭─ Learning rate ─" in screen_text(app)
        charts(app)[0].focus()
        await pilot.press("V", *"accu", "enter")
        await pilot.pause()
        assert screen_text(app).index("╭─ Accuracy ─") < screen_text(app).index("╭─ Learning rate ─")
        assert app.state.text("train.loss.metric") == "accuracy"


@pytest.mark.parametrize("count", [1, 8])
async def test_marked_runs_lie_over_the_run_that_is_shown(tmp_path: Path, count: int) -> None:
    for number in range(count):
        stored_run(tmp_path, number, accuracy=0.5 + number / 100)
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        app.stored.want()
        await until(pilot, lambda: app.stored.complete and len(app.stored.rows) == count + 1)
        await pilot.press("slash")
        await until(pilot, lambda: "✓ finished" in screen_text(app).split("Compare with")[1])
        for _ in range(count):
            await pilot.press("enter", "down")
        assert len(app.marks) == count
        await pilot.press("escape")
        assert isinstance(app.screen, TrainScreen)
        await until(pilot, lambda: len(charts(app)[1]._series) == 2 + min(count, 6))
        styles = [item.style for item in charts(app)[1]._series[:-2]]
        assert styles == [f"series-{app.marks.colour(run)}" for run in app.marks.runs[:6]]
        dashes = [item.dashed for item in charts(app)[1]._series]
        assert len(set(dashes)) == len(dashes)
        await pilot.pause()
        assert ("2 of the marked runs not drawn" in screen_text(app)) == (count == 8)
        await pilot.press("slash", "enter")
        await until(pilot, lambda: len(app.marks) == count - 1)


async def test_a_live_run_of_somebody_else_is_followed(tmp_path: Path) -> None:
    path = stored_run(tmp_path, 1, status="running")
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        app.stored.want()
        await until(pilot, lambda: path.name in app.stored.rows)
        app.marks.toggle(path.name)
        app.marks_changed()
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: path.name in screen._overlays.read)
        before = len(screen._overlays.read[path.name].metrics["val/accuracy"][0])
        training.path = path
        training.epoch(4)
        await until(pilot, lambda: len(screen._overlays.read[path.name].metrics["val/accuracy"][0]) > before)
        await until(pilot, lambda: len(charts(app)[1]._series[0].x) > before)


async def test_a_drawing_that_changes_little_sends_little(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await trained(pilot, app, training)
        loss, _ = charts(app)
        await pilot.pause()
        sent: list[Any] = []
        refresh = loss.refresh
        loss.refresh = lambda *regions, **options: (sent.extend(regions or [loss.region]), refresh(*regions))[1]  # type: ignore[method-assign]
        app.screen.show_curves()  # type: ignore[attr-defined]
        assert sent == []
        loss.point_at(5.0)
        assert 0 < sum(region.area for region in sent) < loss.size.area / 3


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_the_charts_fill_their_panels_at_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=size) as pilot:
        await trained(pilot, app, training)
        loss, score = charts(app)
        for chart in (loss, score):
            if not chart.size.width:
                continue
            await until(pilot, lambda chart=chart: len(chart._strips or ()) == chart.size.height)
            lines = [chart.render_line(y) for y in range(chart.size.height)]
            assert all(strip.cell_length == chart.size.width for strip in lines)
            assert len(chart._strips or ()) == chart.size.height
