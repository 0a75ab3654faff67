"""The network on Compose: layers within layers, several at once, cut and paste, a blank beginning."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from engine.presets import preset
from engine.spec import Experiment, with_settings
from tests.tui.fake_training import application, screen_text, steady_check, until
from tui.app import LayerlabApp
from tui.layer_tree import INPUT, Span
from tui.widgets.layer_table import LayerTable

BATCHNORM = [str(layer) for layer in preset("batchnorm").network.layers]


def network(*layers: str) -> Experiment:
    return with_settings(preset("mlp"), ["network.layers=[" + ", ".join(f'"{layer}"' for layer in layers) + "]"])


def layers(app: LayerlabApp) -> list[str]:
    return [str(layer) for layer in app.draft.layers]


def table(app: LayerlabApp) -> LayerTable:
    return app.screen.query_one(LayerTable)


async def settled(app: LayerlabApp, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: app.checked)
    await pilot.pause()


async def test_nested_layers_are_listed_with_their_shapes_and_edited_like_others(tmp_path: Path) -> None:
    app, _ = application(
        tmp_path,
        network(
            "Conv2d(4, 1)", "Repeat(2, Residual(Conv2d(4, 3, padding=1), shortcut=ReLU()))", "Flatten()", "Linear(10)"
        ),
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        text = screen_text(app)
        for words in ("Repeat(2, …)", "    Residual(…)", "      Conv2d(4, 3, padding=1)", "shortcut ReLU()"):
            assert words in text
        await pilot.press(*["down"] * 5)
        assert table(app).path == "1.0.0.shortcut.0"
        await pilot.press("e", *["backspace"] * 6, *"Tanh()", "enter")
        await pilot.pause()
        assert layers(app)[1] == "Repeat(2, Residual(Conv2d(4, 3, padding=1), shortcut=Tanh()))"
        await pilot.press("up", "d")
        await pilot.pause()
        assert layers(app)[1].count("Conv2d") == 2
        assert table(app).path == "1.0.0.body.1"
        await pilot.press("x", "x")
        assert layers(app)[1] == "Repeat(2, Residual(shortcut=Tanh()))"
        await pilot.press("u", "u", "u", "u")
        assert table(app).path == "1.0.0.shortcut.0"
        assert app.draft.changed is False


async def test_a_problem_in_a_nested_layer_stands_where_it_is_and_one_key_goes_there_and_mends_it(
    tmp_path: Path,
) -> None:
    app, _ = application(tmp_path, network("Sequential(ReLU(), Linear(7))", "Linear(classes)"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        text = screen_text(app)
        row = next(number for number, line in enumerate(text.splitlines()) if "✗" in line)
        assert "Linear(7)" in text.splitlines()[row]
        assert "got 1 × 8 × 8, wants (features) or (sequence, features)" in text.splitlines()[row + 1]
        await pilot.press("exclamation_mark")
        assert table(app).path == "0.1"
        await pilot.press("full_stop")
        await until(pilot, lambda: app.checked and app.problem is None)
        assert layers(app)[0] == "Sequential(ReLU(), Flatten(), Linear(7))"


async def test_several_layers_are_selected_wrapped_and_unwrapped_and_undo_selects_them_again(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down", "v", "down", "down")
        assert table(app).span == Span("", 1, 3)
        await pilot.press("w", *"resi", "enter")
        await pilot.pause()
        assert layers(app)[1] == "Residual(Linear(300), BatchNorm1d(), ReLU())"
        assert table(app).span == Span("", 1, 1)
        await pilot.press("W")
        await pilot.pause()
        assert layers(app) == BATCHNORM
        assert table(app).span == Span("", 1, 3)
        await pilot.press("u")
        assert table(app).span == Span("", 1, 1)
        await pilot.press("u")
        assert table(app).span == Span("", 1, 3)
        assert not app.draft.changed
        await pilot.press("U")
        assert layers(app)[1].startswith("Residual(")
        await pilot.press("u", "down")
        assert table(app).span == Span("", 4, 4)
        await pilot.press("up", "shift+up", "shift+up")
        assert table(app).span == Span("", 1, 3)
        await pilot.press("escape")
        assert table(app).span == Span("", 1, 1)


async def test_layers_are_cut_copied_and_pasted_in_another_network(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down", "shift+down", "X")
        await pilot.pause()
        assert layers(app) == [BATCHNORM[0], *BATCHNORM[3:]]
        await pilot.press("n", "P")
        await pilot.pause()
        assert layers(app) == BATCHNORM[1:3]
        assert table(app).span == Span("", 0, 1)
        await pilot.press("y", "P")
        assert layers(app) == BATCHNORM[1:3] * 2


async def test_what_the_terminal_pastes_is_added_as_layers_or_refused_in_words(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down")
        app.post_message(Paste("nn.Linear(64, 20),\n  nn.ReLU(),\n"))
        await until(pilot, lambda: len(app.draft.layers) == len(BATCHNORM) + 2)
        assert layers(app)[1:3] == ["nn.Linear(64, 20)", "nn.ReLU()"]
        app.post_message(Paste("import os; os.system('ls')"))
        await until(pilot, lambda: "cannot paste this as layers" in screen_text(app))
        assert len(app.draft.layers) == len(BATCHNORM) + 2


async def test_several_lines_are_pasted_while_adding(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("a")
        app.post_message(Paste("nn.ReLU(),\n  nn.Tanh(),\n"))
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert layers(app)[:2] == ["nn.ReLU()", "nn.Tanh()"]


async def test_a_container_is_edited_in_a_form_too(tmp_path: Path) -> None:
    app, _ = application(tmp_path, network("Repeat(2, ReLU(), Tanh())", "Parallel(ReLU(), Tanh())"))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "how many copies there are" in screen_text(app))
        await pilot.press("plus", "enter")
        await until(pilot, lambda: layers(app)[0] == "Repeat(3, ReLU(), Tanh())")
        await pilot.press(*["down"] * 3, "enter")
        await until(pilot, lambda: "one layer each" in screen_text(app))
        await pilot.press("down", "space", "enter")
        await until(pilot, lambda: layers(app)[1] == "Parallel(ReLU(), Tanh(), merge='add')")


async def test_frozen_layers_are_marked_and_counted_and_trained_again(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "down", "f")
        await settled(app, pilot)
        assert layers(app)[1] == "Linear(300, frozen=True)"
        line = next(line for line in screen_text(app).splitlines() if "Linear(300)" in line)
        assert "❄" in line
        assert "51.4 K parameters, 31.9 K trained" in screen_text(app)
        await pilot.press("f")
        await settled(app, pilot)
        assert layers(app) == BATCHNORM
        assert "❄" not in screen_text(app)


@pytest.mark.parametrize("width", [100, 180])
async def test_a_frozen_layer_without_parameters_is_marked_too(tmp_path: Path, width: int) -> None:
    """It makes a difference: frozen, a Dropout lets everything through."""
    app, _ = application(tmp_path, network("Flatten()", "Dropout(0.5)", "Linear(classes)"))
    async with app.run_test(size=(width, 40)) as pilot:
        await pilot.press("down", "down", "f")
        await settled(app, pilot)
        assert layers(app)[1] == "Dropout(0.5, frozen=True)"
        marked = [line for line in screen_text(app).splitlines() if "❄" in line]
        assert len(marked) == 1
        assert "Dropout(0.5)" in marked[0]


async def test_layers_move_into_a_container_through_it_and_out_of_it(tmp_path: Path) -> None:
    app, _ = application(tmp_path, network("Flatten()", "Sequential(ReLU())", "Linear(classes)"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "J")
        assert layers(app)[0] == "Sequential(Flatten(), ReLU())"
        assert table(app).path == "0.0"
        await pilot.press("J")
        assert layers(app)[0] == "Sequential(ReLU(), Flatten())"
        await pilot.press("J")
        assert layers(app) == ["Sequential(ReLU())", "Flatten()", "Linear(classes)"]
        await pilot.press("J", "J")
        assert layers(app) == ["Sequential(ReLU())", "Linear(classes)", "Flatten()"]
        assert table(app).path == "2"


async def test_a_blank_network_says_what_to_do_and_is_built_by_keys_alone(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("n")
        await settled(app, pilot)
        assert "no layers yet" in screen_text(app)
        assert table(app).span == INPUT
        await pilot.press("x", "d", "K", "w", "f", "y", "e", "escape")
        assert app.draft.layers == ()
        await pilot.press("enter", *"flat", "enter")
        await pilot.press("a", *"lin 300 bn relu")
        await pilot.press("enter", "a", *"lin classes", "enter")
        await settled(app, pilot)
        assert layers(app) == ["Flatten()", "Linear(300)", "BatchNorm1d()", "ReLU()", "Linear(classes)"]
        assert app.problem is None
        await pilot.press("p", "escape", "u", "u", "u", "u")
        assert app.draft.experiment == preset("batchnorm")


async def test_layers_are_added_before_and_inside(tmp_path: Path) -> None:
    app, _ = application(tmp_path, network("Flatten()", "Residual()", "Linear(classes)"))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("down", "down", "i", *"lin 64", "enter")
        await pilot.pause()
        assert layers(app)[1] == "Residual(Linear(64))"
        await pilot.press("A", *"relu", "enter")
        await pilot.pause()
        assert layers(app)[1] == "Residual(ReLU(), Linear(64))"
        assert table(app).path == "1.body.0"
        await pilot.press("i")
        await pilot.pause()
        assert "ReLU holds no layers" in screen_text(app)


async def test_memory_is_forecast_by_what_takes_it(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["optimizer=Adam()"]))
    async with app.run_test(size=(200, 50)) as pilot:
        await settled(app, pilot)
        text = screen_text(app)
        memory = app.report.memory
        assert memory["optimizer"] == 2 * memory["weights"]
        assert "of 21.0 GiB" in text
        assert all(word in text for word in ("weights ", "gradients ", "optimizer state ", "activations "))


async def test_while_the_check_looks_the_shapes_before_the_change_stay_and_stale_answers_are_dropped(
    tmp_path: Path,
) -> None:
    free = threading.Event()
    free.set()

    def slow_check(experiment: Experiment, data_folder: Path) -> Any:
        free.wait(30)
        return steady_check(experiment, data_folder)

    app, _ = application(tmp_path)
    app._checker._check = slow_check
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        free.clear()
        await pilot.press(*["down"] * 5, "d")
        await pilot.pause()
        rows = [line for line in screen_text(app).splitlines() if "Linear" in line or "BatchNorm" in line]
        assert "19.5 K" in rows[0]
        assert "300" in rows[1]
        assert "…" in rows[3]
        await asyncio.sleep(0.2)
        await pilot.press("x", "x")
        free.set()
        await until(pilot, lambda: app.checked)
        assert [row.call for row in app.report.rows] == layers(app)


async def test_a_network_that_does_not_fit_the_memory_says_so(tmp_path: Path) -> None:
    def poor(experiment: Experiment, data_folder: Path) -> Any:
        report = steady_check(experiment, data_folder)
        return dataclasses.replace(report, memory={**report.memory, "available": 1 << 10})

    app, _ = application(tmp_path)
    app._checker._check = poor
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "✗ does not fit: " in screen_text(app)
