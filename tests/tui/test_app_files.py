"""Saving and opening: what is written, what is asked first, and when the draft counts as changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.presets import preset
from engine.spec import load_experiment
from tests.tui.fake_training import application, screen_text, until
from tui.app import LayerlabApp
from tui.draft import Draft


def opened(tmp_path: Path, text: str) -> tuple[LayerlabApp, Path]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    app, _ = application(tmp_path / "runs")
    app.draft = Draft(load_experiment(path), path, path.read_bytes())
    return app, path


async def test_a_preset_is_saved_under_a_name_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "x", "ctrl+s")
        await pilot.pause()
        assert "batchnorm.toml" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert load_experiment(tmp_path / "batchnorm.toml") == app.draft.experiment
        assert not app.draft.changed
        await pilot.press("u")
        assert app.draft.changed


async def test_the_file_that_was_opened_is_written_without_a_question(tmp_path: Path) -> None:
    app, path = opened(tmp_path, preset("mlp").to_toml())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "d", "ctrl+s")
        await pilot.pause()
        assert load_experiment(path) == app.draft.experiment
        assert len(app.screen_stack) == 1


async def test_no_other_file_is_overwritten_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batchnorm.toml").write_text("precious")
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+s", "enter")
        await pilot.pause()
        assert "is there already" in screen_text(app)
        await pilot.press("c")
        await pilot.pause()
        assert (tmp_path / "batchnorm.toml").read_text() == "precious"
        await pilot.press("ctrl+s", "enter")
        await pilot.pause()
        await pilot.press("o")
        await pilot.pause()
        assert load_experiment(tmp_path / "batchnorm.toml") == preset("batchnorm")


@pytest.mark.parametrize("what", ["comments", "changed by something else"])
async def test_comments_and_changes_of_others_are_not_lost_without_asking(tmp_path: Path, what: str) -> None:
    text = preset("mlp").to_toml()
    app, path = opened(tmp_path, "# mine\n" + text if what == "comments" else text)
    if what != "comments":
        path.write_text(text + "\n")
    before = path.read_text()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "d", "ctrl+s")
        await pilot.pause()
        assert what in screen_text(app)
        await pilot.press("escape")
        assert path.read_text() == before


async def test_a_folder_that_is_not_there_is_told_in_the_dialogue(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+s", "ctrl+u", *"no/where", "enter")
        await pilot.pause()
        assert "there is no folder no" in screen_text(app)
        assert len(app.screen_stack) == 2


async def test_a_file_is_opened_by_its_name_and_undo_brings_the_draft_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn.toml").write_text(preset("cnn").to_toml())
    (tmp_path / "broken.toml").write_text("epochs = many")
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("o", *"broken", "enter")
        await pilot.pause()
        assert "✗ broken.toml" in screen_text(app)
        assert app.draft.experiment == preset("batchnorm")
        await pilot.press(*["backspace"] * 6, *"cnn", "enter")
        await pilot.pause()
        assert app.draft.experiment == preset("cnn")
        assert app.draft.file == Path("cnn.toml")
        assert not app.draft.changed
        await pilot.press("u")
        assert app.draft.experiment == preset("batchnorm")
        assert app.draft.file is None


async def test_quitting_asks_for_a_draft_that_was_neither_saved_nor_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("down", "x", "q")
        await pilot.pause()
        assert "neither saved nor trained" in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert app.is_running
        await pilot.press("q", "s")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: app._exit)
    assert load_experiment(tmp_path / "batchnorm.toml") == app.draft.experiment
    assert app.return_value == 0


async def test_quitting_does_not_ask_for_what_was_trained(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "d", "ctrl+r")
        await until(pilot, lambda: app.view is not None)
        training.end()
        await until(pilot, lambda: not app.running.live)
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
    assert app.return_value == 0


async def test_a_place_that_cannot_be_written_is_told_and_the_draft_stays_changed(tmp_path: Path) -> None:
    app, path = opened(tmp_path, preset("mlp").to_toml())
    path.unlink()
    path.mkdir()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "d", "ctrl+s")
        await pilot.pause()
        assert "✗ cannot write" in screen_text(app)
        assert app.draft.changed
