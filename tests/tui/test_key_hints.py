"""What texts say of keys: as the person's settings have them, wherever a key is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tui.fake_training import application, screen_text, until
from tui.commands import COMMANDS
from tui.commands.everywhere import HINT
from tui.keymap import binding_id, read_keys
from tui.settings import Settings
from tui.state import State

SOURCE = Path(__file__).parents[2] / "tui"
PLACE = re.compile(r"\{(\w+\.\w+)\}")
SCOPES = {command.where for command in COMMANDS}


def settings(**keys: str) -> Settings:
    """Settings with these keys, `everywhere_help="f12"`."""
    found, problems = read_keys({name.replace("_", ".", 1): key for name, key in keys.items()})
    assert not problems
    return Settings(keys=found)


def test_a_key_is_named_as_the_settings_have_it() -> None:
    text = "{everywhere.train_now} trains, {compose.add} adds, {runs.filter} filters"
    assert Settings().with_keys(text) == "^r trains, a adds, / filters"
    changed = settings(everywhere_train_now="f5", compose_add="insert, f7")
    assert changed.with_keys(text.replace("filters", "stays")) == "F5 trains, insert adds, / stays"


def test_what_names_no_command_stays_as_it_is() -> None:
    assert Settings().with_keys("{a} {compose.nothing} {0.1} {}") == "{a} {compose.nothing} {0.1} {}"


def test_every_key_that_a_text_names_is_that_of_a_command() -> None:
    known = {binding_id(command) for command in COMMANDS if command.keys}
    named = {
        (path.name, name)
        for path in SOURCE.rglob("*.py")
        for name in PLACE.findall(path.read_text())
        if name.split(".")[0] in SCOPES
    }
    assert len(named) > 20
    assert {each for each in named if each[1] not in known} == set()


async def test_hints_follow_a_key_that_was_changed(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    app.settings = settings(
        everywhere_train_now="f5", compose_add="insert", compose_presets="f6", runs_mark="f7", compose_undo="f8"
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("n")
        await until(pilot, lambda: not app.draft.layers)
        text = screen_text(app)
        assert "insert adds the first one" in text
        assert "F6 begins from a preset" in text
        assert "F8 brings back what was here" in text
        await pilot.press("2")
        await pilot.pause()
        text = screen_text(app)
        assert "no run yet: F5 trains" in text
        assert "first steps: F5 trains" in text
        await pilot.press("S")
        await pilot.pause()
        assert "the run shown is not live: F5 trains" in screen_text(app)
        await pilot.press("3")
        await until(pilot, lambda: app.stored.complete)
        await pilot.pause()
        assert "F5 trains what is composed" in screen_text(app)
        await pilot.press("4")
        await pilot.pause()
        assert "F7 marks one" in screen_text(app)
        text = " ".join(screen_text(app).split())
        assert "^r" not in text
        # The key does what is said of it.
        await pilot.press("1", "f8")
        await until(pilot, lambda: app.report is not None and bool(app.draft.layers))
        await pilot.press("f5")
        await until(pilot, lambda: app.view is not None)


@pytest.mark.parametrize(("key", "shown"), [(None, "^r trains"), ("f9", "F9 trains")])
async def test_a_newcomer_is_told_the_keys_there_are(tmp_path: Path, key: str | None, shown: str) -> None:
    app, _ = application(tmp_path)
    app.state = State(None)
    if key is not None:
        app.settings = settings(everywhere_train_now=key)
        app._hint = app.settings.with_keys(HINT)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert shown in screen_text(app)
        await pilot.press("2")
        await pilot.press("1")
        await pilot.pause()
        assert "first time here" not in screen_text(app)


async def test_the_help_of_what_has_the_focus_names_the_keys_there_are(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    app.settings = settings(compose_select_several="f4")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("question_mark")
        await until(pilot, lambda: "has the focus" in screen_text(app))
        text = " ".join(screen_text(app).replace("│", " ").split())
        assert "F4 and arrows" in text
        assert "{" not in text
