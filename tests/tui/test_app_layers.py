"""Adding a layer by a few letters, and a misspelt one in an opened file."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.presets import preset
from engine.spec import with_settings
from tests.tui.fake_training import application, screen_text, until
from tui.matching import score
from tui.suggestions import suggest


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        (["r", "e", "l", "enter"], "ReLU()"),
        ([*"rel", "down", "down", "enter"], "PReLU()"),
        ([*"Dropout(0.3)", "enter"], "Dropout(0.3)"),
        ([*"lin", "space", *"64", "enter"], "Linear(64)"),
        ([*"lin", "tab", *"7", "enter"], "Linear(7)"),
        ([*"lin", "enter", *"9", "enter"], "Linear(9)"),
        ([*"conv", "space", "3", "2", "space", "3", "enter"], "Conv2d(32, 3)"),
        ([*"conv", "space", *"8", "space", *"3", "space", *"padding=1", "enter"], "Conv2d(8, 3, padding=1)"),
    ],
)
async def test_a_layer_is_found_by_a_few_letters_and_its_arguments(
    tmp_path: Path, typed: list[str], added: str
) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("a")
        for key in typed:
            await pilot.press(key)
        await pilot.pause()
        assert str(app.draft.layers[0]) == added


async def test_the_shape_that_would_come_out_stands_beside_the_layer(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("a", *"conv", "space", *"32", "space", "3")
        await until(pilot, lambda: "→ 32 × 6 × 6" in screen_text(app))
        assert "2D convolution" in screen_text(app)
        assert "does not fit" in screen_text(app)


async def test_before_the_catalogue_is_there_what_is_typed_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.suggestions.catalogue", lambda: None)
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("a", *"Re")
        await pilot.pause()
        assert "loading…" in screen_text(app)
        await pilot.press(*"LU", "enter")
        assert str(app.draft.layers[0]) == "ReLU()"


def test_a_layer_for_the_dimensions_that_come_in_is_meant_first() -> None:
    import engine.check  # noqa: F401

    shapes = ((3, 8), (1, 8, 8), (1, 8, 8, 8))
    firsts = {(typed, shape): (suggest(typed, shape) or [None])[0] for typed in ("conv", "batch") for shape in shapes}
    assert [found.name for found in firsts.values() if found] == [
        "Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"
    ]  # fmt: skip


def test_names_come_before_what_is_said_of_them_and_beginnings_before_the_middle() -> None:
    assert score("learning rate", "learning rate") == 0
    assert (score("lear", "learning rate"), score("rate", "learning rate")) == (1, 2)
    assert score("norm", "BatchNorm1d") == 2
    assert score("set", "learning rate", "Set the learning rate of the run") == 4
    assert score("lear", "delete", "Delete the selected layer") is None


async def test_a_misspelt_layer_is_marked_where_it_stands_and_its_name_mended(tmp_path: Path) -> None:
    layers = 'network.layers=["Flatten()", "Liner(300)", "Sequential(Rellu(), Linear(classes))"]'
    app, _ = application(tmp_path, with_settings(preset("mlp"), [layers]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.problem is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "✗  1  Liner(300)" in text
        assert "did you mean `Linear`?" in text
        assert ". apply fix" in text
        assert " …  " not in text
        await pilot.press("down", "K", "u", "u")
        await until(pilot, lambda: app.checked)
        await pilot.pause()
        assert "did you mean `Linear`?" in screen_text(app)
        await pilot.press("full_stop")
        await until(pilot, lambda: app.checked and app.problem is not None and app.problem.path == "2")
        assert str(app.draft.layers[1]) == "Linear(300)"
        await pilot.press("full_stop")
        await until(pilot, lambda: app.report is not None and app.problem is None)
        assert str(app.draft.layers[2]) == "Sequential(ReLU(), Linear(classes))"


async def test_a_misspelt_optimizer_is_mended_in_the_recipe(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["optimizer=Adm(lr=0.1)"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.problem is not None)
        await pilot.press("full_stop")
        await until(pilot, lambda: app.report is not None and app.problem is None)
        assert str(app.draft.experiment.optimizer) == "Adam(lr=0.1)"
