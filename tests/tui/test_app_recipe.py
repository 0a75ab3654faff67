"""The recipe: forms, pickers and steps change the draft, and what is known of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from engine.calls import Call, parse_call
from engine.presets import preset
from engine.spec import with_settings
from tests.tui.fake_training import application, screen_text, until
from tui.app import LayerlabApp
from tui.recipe_editing import defaults, with_task
from tui.recipe_facts import BLOCKS, spark
from tui.screens.form import CallForm
from tui.screens.picker import Picker
from tui.screens.recipe_side import RecipeSide
from tui.widgets.recipe import LINES, SETTINGS
from tui.widgets.samples import SHADES, cell, shrunk


async def at_field(app: LayerlabApp, pilot: Pilot[int], field: str) -> None:
    """Put the cursor on a field of the recipe, once everything is known."""
    screen = app.screen
    assert isinstance(screen, RecipeSide)
    await until(pilot, lambda: app.report is not None)
    await until(pilot, lambda: screen.facts.facts is not None)
    screen.recipe.focus()
    screen.recipe.move_to(screen.recipe._fields.index(field))
    await pilot.pause()


async def test_samples_counts_curve_and_device_are_shown(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["scheduler=StepLR(7, 0.1)"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "scheduler")
        text = screen_text(app)
        assert "1,437 + 360 val" in text
        assert "▀▀▀▀" in text
        assert "█▁" in text
        assert "0.01 → 0.0001" in text
        assert "auto  → " in text


async def test_without_colours_pictures_are_shades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "data.source")
        assert "▓" in screen_text(app)
        assert "▀" not in screen_text(app)


async def test_data_that_is_not_there_says_so_where_its_pictures_would_be(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["data.source=MNIST()"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "data.source")
        assert "layerlab --download fetches it" in screen_text(app)


async def test_an_optimizer_is_picked_then_filled_in(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab")
        await at_field(app, pilot, "optimizer")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press(*"adamw", "enter")
        await until(pilot, lambda: isinstance(app.screen, CallForm))
        await pilot.pause()
        assert "weight_decay" in screen_text(app)
        await pilot.press("plus", "down", "down", "down", "5")
        await pilot.pause()
        await pilot.press("backspace", *"0.3", "enter", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert str(app.draft.experiment.optimizer) == "AdamW(lr=0.002, weight_decay=0.3)"
        await pilot.press("u")
        assert app.draft.experiment == preset("batchnorm")


async def test_numbers_and_choices_step_on_their_row(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        for field, keys, wanted in (
            ("data.batch_size", ["plus"], "128"),
            ("epochs", ["minus", "minus"], "18"),
            ("optimizer", ["plus"], "SGD(lr=0.02)"),
            ("clip_norm", ["plus", "plus"], "2.0"),
            ("ema", ["plus"], "0.999"),
            ("early_stopping", ["plus", "minus", "minus"], "3"),
            ("precision", ["plus"], "bf16"),
            ("data.validation", ["plus"], "holdout(0.25)"),
            ("device", ["plus"], "cpu"),
        ):
            await at_field(app, pilot, field)
            await pilot.press(*keys)
            await pilot.pause()
            assert app.draft.setting(field) == wanted, field


async def test_augmentations_are_added_changed_and_taken_out(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "data.augment")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press(*"noise", "enter")
        await until(pilot, lambda: isinstance(app.screen, CallForm))
        await pilot.press("enter")
        await pilot.pause()
        assert "std is missing" in screen_text(app)
        await pilot.press("0")
        await pilot.pause()
        await pilot.press(*".2", "enter", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert [str(call) for call in app.draft.experiment.data.augment] == ["GaussianNoise(0.2)"]
        await at_field(app, pilot, "data.augment.0")
        assert "GaussianNoise(0.2)" in screen_text(app)
        await pilot.press("plus", "x")
        await pilot.pause()
        assert app.draft.experiment.data.augment == ()
        await pilot.press("u")
        assert [str(call) for call in app.draft.experiment.data.augment] == ["GaussianNoise(0.5)"]


async def test_any_field_is_edited_as_text_and_put_back(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "scheduler")
        await pilot.press("equals_sign")
        await pilot.pause()
        await pilot.press("ctrl+u", *"ExponentialLR(0.9)", "enter")
        await pilot.pause()
        assert str(app.draft.experiment.scheduler) == "ExponentialLR(0.9)"
        await pilot.press("x")
        await pilot.pause()
        assert app.draft.experiment.scheduler is None
        await at_field(app, pilot, "name")
        await pilot.press("enter", "ctrl+u", *"mine", "enter")
        await pilot.pause()
        assert app.draft.experiment.name == "mine"


async def test_a_device_that_is_not_there_cannot_be_picked(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_field(app, pilot, "device")
        screen = app.screen
        assert isinstance(screen, RecipeSide)
        screen.recipe_editing.devices = ("cpu",)
        await pilot.press("enter")
        await pilot.pause()
        assert "not on this machine" in screen_text(app)
        await pilot.press(*"mps", "enter")
        await pilot.pause()
        assert len(app.screen_stack) == 2


async def test_a_form_scrolls_and_is_left_without_a_change(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    taken: list[Call | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.report is not None)
        app.push_screen(CallForm("layers", parse_call("TransformerEncoderLayer(2)")), taken.append)
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert "frozen" in screen_text(app)
        await pilot.press("space", "space", "minus", "right", "escape")
        await pilot.pause()
        assert taken == [None]


async def test_an_initialiser_is_picked_inside_of_a_form(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    taken: list[Call | None] = []
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.report is not None)
        app.push_screen(CallForm("layers", parse_call("Linear(300)")), taken.append)
        await pilot.pause()
        await pilot.press("end", "up", "space")
        await until(pilot, lambda: isinstance(app.screen, Picker))
        await pilot.press(*"orthogonal", "enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert [str(call) for call in taken] == ["Linear(300, init=orthogonal_())"]


async def test_a_hostile_value_is_shown_as_text_in_its_form(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    call = Call("CSV", ("[/foo]\x1b]52;c;QQ\x07", "[@click=app.quit]y[/]"))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.report is not None)
        app.push_screen(CallForm("sources", call))
        await pilot.pause()
        assert "[@click=app.quit]y[/]" in screen_text(app)
        assert "\x1b" not in screen_text(app)


async def test_what_is_typed_faster_than_a_dialogue_opens_is_not_lost(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await at_field(app, pilot, "name")
        for key, character in (("enter", "\r"), ("x", "x"), ("y", "y"), ("z", "z")):
            app.post_message(Key(key, character))
        await until(pilot, lambda: [line.value for line in app.screen.query(Input)] == ["xyz"], 10)


def test_a_task_brings_a_loss_that_can_serve_it() -> None:
    changed = with_task(preset("mlp"), parse_call("Regression()"))
    assert str(changed.loss) == "MSELoss()"
    kept = with_task(with_settings(preset("mlp"), ["loss=L1Loss()"]), parse_call("Regression()"))
    assert str(kept.loss) == "L1Loss()"


def test_defaults_are_those_of_an_experiment_with_nothing_given() -> None:
    assert defaults()["epochs"] == "10"
    assert defaults()["data.augment"] == "none"
    assert "optimizer" not in defaults()


def test_a_spark_line_spans_the_values() -> None:
    assert spark((1.0, 0.5, 0.0), 3) == BLOCKS[7] + BLOCKS[4] + BLOCKS[0]
    assert spark((), 5) == ""
    assert len(spark(tuple(float(i) for i in range(1000)), 20)) == 20
    assert spark((0.0, 0.0), 4) == BLOCKS[0] * 4


def test_a_picture_is_shrunk_to_the_mean_of_what_each_pixel_covers() -> None:
    from engine.data.samples import Sample

    pixels = bytes([0, 0, 255, 255] * 2 + [100, 100, 200, 200] * 2)
    assert shrunk(Sample("", (1, 4, 4), pixels), 2) == [[(0,) * 3, (255,) * 3], [(100,) * 3, (200,) * 3]]
    coloured = bytes([255, 0, 0] * 4)
    assert shrunk(Sample("", (3, 2, 2), coloured), 1) == [[(255, 0, 0)]]
    assert cell((255, 255, 255), (0, 0, 0), True) == ("▀", "#ffffff on #000000")
    assert cell((255, 255, 255), (255, 255, 255), False)[0] == SHADES[-1]
    assert cell((0, 0, 0), None, False)[0] == SHADES[0]


async def test_the_frame_says_what_the_setting_under_the_cursor_is(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        assert "samples to learn from" not in screen_text(app)
        await pilot.press("tab")
        await until(pilot, lambda: "samples to learn from" in screen_text(app))
        await pilot.press("down")
        await until(pilot, lambda: "held out, to measure on" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "normalize: auto, none or [mean, deviation]" in screen_text(app))
        await pilot.press("escape", "up", "question_mark")
        await until(pilot, lambda: "an exponential moving average of the weights" in screen_text(app))
        await pilot.press("escape", "tab")
        await until(pilot, lambda: "held out, to measure on" not in screen_text(app))


def test_every_setting_is_explained_on_the_frame() -> None:
    assert set(LINES) == {field for _, field in SETTINGS}
    assert max(map(len, LINES.values())) < 40
