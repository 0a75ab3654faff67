"""The whole experiment as TOML, edited without losing anything, and as PyTorch code, to copy and to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.presets import preset
from engine.spec import load_experiment, with_settings
from tests.tui.fake_training import application, screen_text, until
from tui.app import LayerlabApp
from tui.screens.code_view import CodeView, coloured
from tui.screens.toml_editor import TomlEditor, TomlText


async def editor_of(app: LayerlabApp, pilot: Pilot[int]) -> TomlText:
    await until(pilot, lambda: app.report is not None)
    await pilot.press("t")
    await until(pilot, lambda: isinstance(app.screen, TomlEditor))
    return app.screen.query_one(TomlText)


async def test_a_change_in_the_text_becomes_the_draft_and_is_undone(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await editor_of(app, pilot)
        assert "[network]" in text.text
        text.load_text(text.text.replace("epochs = 20", "epochs = 7"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.draft.experiment == with_settings(preset("batchnorm"), ["epochs=7"])
        assert app.draft.changed
        await pilot.press("u")
        assert app.draft.experiment == preset("batchnorm")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("epochs = 20", "epochs = many", "line 3: "),
        ("epochs = 20", "epochs = 0", "line 3: epochs: found 0"),
        ("Linear(300)", "Linaer(300)", "did you mean `Linear`?"),
        ('loss = "CrossEntropyLoss()"', 'loss = "CrossEntropyLoss(wieght=3)"', "line 5: loss"),
    ],
)
async def test_a_line_that_is_wrong_is_marked_and_nothing_typed_is_lost(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        editor = await editor_of(app, pilot)
        typed = editor.text.replace(before, after)
        editor.load_text(typed)
        await until(pilot, lambda: said in screen_text(app))
        assert editor.wrong_line == next(i for i, line in enumerate(typed.splitlines()) if after in line)
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert isinstance(app.screen, TomlEditor)
        assert editor.text == typed
        await pilot.press("escape")
        await pilot.pause()
        assert "The text was changed" in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert editor.text == typed
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("l")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.draft.experiment == preset("batchnorm")


async def test_a_text_that_was_not_changed_is_left_at_once(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await editor_of(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not app.draft.can_undo


async def test_escape_sequences_that_are_pasted_become_visible_and_mean_the_same(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        editor = await editor_of(app, pilot)
        editor.insert("# \x1b]52;c;QQ\x07\u202e\n", (0, 0))
        await pilot.pause()
        assert "\x1b" not in editor.text
        assert "\u202e" not in editor.text
        assert "\x1b" not in screen_text(app)


async def test_the_code_is_shown_copied_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app, _ = application(tmp_path)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, CodeView))
        await until(pilot, lambda: "import torch" in screen_text(app))
        await pilot.press("y")
        await pilot.pause()
        assert "nn.Linear(64, 300)" in copied[0]
        await pilot.press("w")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CodeView))
        assert (tmp_path / "batchnorm.py").read_text() == copied[0]
        await pilot.press("w")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "is there already" in screen_text(app)


async def test_no_code_is_shown_for_what_does_not_fit_and_the_reason_is_told(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["network.layers=[Linear(300)]"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.problem is not None)
        await pilot.press("T")
        await pilot.pause()
        assert "no code yet" in screen_text(app)
        assert len(app.screen_stack) == 1


async def test_save_as_writes_another_file_and_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+a")
        await pilot.pause()
        await pilot.press("ctrl+u", *"other", "enter")
        await pilot.pause()
        assert load_experiment(tmp_path / "other.toml") == preset("batchnorm")
        assert app.draft.file == Path("other.toml")


def test_colouring_changes_no_character() -> None:
    code = 'def f(x):\n    """Text\n    goes on"""\n    return "a # b" + x  # done\n'
    assert ["".join(text for text, _ in row) for row in coloured(code)] == code.splitlines()
