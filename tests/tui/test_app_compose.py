"""Compose: what is typed becomes the experiment, and the check answers without holding up the person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.presets import PRESETS, preset
from engine.spec import with_settings
from tests.tui.fake_training import application, screen_text, until
from tui.commands import COMMANDS, commands_for
from tui.widgets.layer_table import LayerTable
from tui.widgets.recipe import SELDOM, SETTINGS
from tui.widgets.rows import Rows


def test_the_application_is_imported_without_torch() -> None:
    code = "import sys, tui.app; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_two_commands_of_a_screen_share_a_key() -> None:
    for where in ("compose", "train"):
        keys = [key for command in commands_for(where) for key in command.keys.split(",")]
        assert len(keys) == len(set(keys))
        assert "ctrl+z" not in keys


async def test_the_first_screen_shows_layers_at_once_and_shapes_when_they_are_known(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "Linear(300)" in screen_text(app)
        await until(pilot, lambda: app.report is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "1 × 8 × 8" in text
        assert "51.4 K parameters" in text
        assert "fits: " in text
        assert "activations" in text


async def test_a_failing_layer_says_why_in_place_and_its_fix_can_be_applied(tmp_path: Path) -> None:
    experiment = preset("batchnorm")
    layers = experiment.network.layers[1:]
    broken = with_settings(experiment, [f"network.layers=[{', '.join(str(layer) for layer in layers)}]"])
    app, _ = application(tmp_path, broken)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.problem is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "✗  0  Linear(300)" in text
        assert "fix: " in text
        assert ". apply" in text
        await pilot.press("full_stop")
        await until(pilot, lambda: app.report is not None and app.problem is None)
        assert str(app.draft.layers[0]) == "Flatten()"


async def test_a_layer_is_added_after_the_cursor_and_undone(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down", "a", *"Dropout(0.5)", "enter")
        await pilot.pause()
        assert [str(layer) for layer in app.draft.layers[:4]] == [
            "Flatten()",
            "Linear(300)",
            "Dropout(0.5)",
            "BatchNorm1d()",
        ]
        assert app.screen.query_one(LayerTable).path == "2"
        assert "batchnorm *" in screen_text(app)
        await pilot.press("u")
        assert app.draft.experiment == preset("batchnorm")


async def test_what_is_wrong_stands_beneath_while_typing_and_escape_changes_nothing(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("a", *"Linear(3")
        await pilot.pause()
        assert "✗" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("backspace", "backspace", *"er(300)")
        await pilot.pause()
        assert "did you mean" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.draft.experiment == preset("batchnorm")


async def test_layers_are_moved_duplicated_and_deleted(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    names = [layer.name for layer in app.draft.layers]
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "J")
        assert [layer.name for layer in app.draft.layers] == [names[1], names[0], *names[2:]]
        await pilot.press("K", "d")
        assert [layer.name for layer in app.draft.layers] == [names[0], *names]
        await pilot.press("x", "x", "x")
        assert [layer.name for layer in app.draft.layers] == [names[0], *names[3:]]
        await pilot.press(*["u"] * 6)
        assert app.draft.experiment == preset("batchnorm")


async def test_a_setting_is_edited_in_place(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    fields = [field for _, field in SETTINGS if field not in SELDOM]
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("tab", *["down"] * fields.index("epochs"), "enter")
        await pilot.press(*["backspace"] * 3, *"none", "enter")
        await until(pilot, lambda: "✗" in screen_text(app))
        assert len(app.screen_stack) == 2
        await pilot.press(*["backspace"] * 4, *"7", "enter")
        await pilot.pause()
        assert app.draft.experiment.epochs == 7


async def test_presets_are_picked_by_a_few_letters_of_their_name(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("p")
        await pilot.pause()
        assert all(name in screen_text(app) for name in PRESETS)
        await pilot.press(*"lenet", "enter")
        await pilot.pause()
        assert app.draft.experiment == preset("lenet")
        await until(pilot, lambda: app.report is not None)


async def test_an_answer_that_was_overtaken_is_dropped(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down", "d", "d", "d", "x", "x")
        await until(pilot, lambda: app.report is not None)
        assert len(app.report.rows) == len(app.draft.layers)


async def test_missing_data_is_told_in_words(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ['data.source=CSV("nothing.csv", target="y")']))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app._finding[1])
        await pilot.pause()
        assert "nothing.csv" in screen_text(app)
        await pilot.press("down")
        assert app.is_running


@pytest.mark.parametrize("size", [(79, 24), (80, 23), (20, 5)])
async def test_a_terminal_that_is_too_small_is_told_so(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert "layerlab needs" in " ".join(screen_text(app).split())
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "Linear(300)" in screen_text(app))


async def test_a_small_terminal_shows_one_panel_and_tab_goes_to_the_next(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Linear(300)" in screen_text(app))
        assert "scheduler" not in screen_text(app)
        await pilot.press("tab")
        await until(pilot, lambda: "scheduler" in screen_text(app))
        assert "Linear(300)" not in screen_text(app)
        assert "scheduler" in screen_text(app)


async def test_help_and_palette_name_every_command(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        rows = app.screen.query_one("#keys", Rows)
        page = "\n".join("".join(text for text, _ in rows._row(index)) for index in range(rows.count))
        assert all(command.line in page for command in COMMANDS)
        await pilot.press("escape", "ctrl+p", *"presets", "enter")
        await pilot.pause()
        assert "Presets" in screen_text(app)


async def test_hostile_names_are_shown_as_text(tmp_path: Path) -> None:
    hostile = with_settings(
        preset("mlp"), ['data.source=CSV("[/foo]\\x1b]52;c;QQ\\x07", target="[@click=app.quit]y[/]")']
    )
    app, _ = application(tmp_path, hostile)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app._finding[1])
        await pilot.pause()
        assert "\x1b" not in screen_text(app)
        assert "\x07" not in screen_text(app)
