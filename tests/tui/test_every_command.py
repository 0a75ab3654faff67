"""Every command on every screen in every state: none ends the application, and escape leads out of what it opened."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from textual.widget import Widget

from tests.tui.fake_training import application
from tests.tui.walking import STATES, assert_sound, back, press, random_keys, walk
from tui.app import LayerlabApp
from tui.commands import COMMANDS, EVERYWHERE, PANELS, SCREENS, commands_for, footer
from tui.screens.compare import CompareScreen
from tui.screens.compose import ComposeScreen
from tui.screens.help import lines
from tui.screens.runs import RunsScreen
from tui.screens.train import TrainScreen
from tui.screens.workspace import Workspace
from tui.settings import Settings
from tui.widgets.status import Footer

WIDE, NARROW = (120, 40), (80, 24)
# The others are walked with `make soak`: a minute or two for all of them.
WALKED = ("failed run", "live run")
ALL = [pytest.param(state, marks=() if state in WALKED else pytest.mark.soak) for state in STATES]
VIEWS = {screen: str(number) for number, screen in enumerate(SCREENS, 1)}
KEYS = {key for command in COMMANDS for key in command.keys.split(",") if key}
# Keys that a panel has for itself while it has the focus, though they lead somewhere else from other panels.
MEANT = {
    "compose": set(),
    "train": {
        # The cursor of tables and trees goes first; charts have the same keys where they have the focus.
        ("MetricsTable", "left"), ("MetricsTable", "right"),
        ("ModuleTree", "left"), ("ModuleTree", "right"),
    },
    # What is edited goes first while a line is typed.
    "runs": {("FilterInput", key) for key in ("escape", "enter", "delete", "ctrl+c")},
    "compare": {("CompareTable", "left"), ("CompareTable", "right"), ("CompareTable", "h")},
}  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the keys save files; their names are what random keys typed."""
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------- the declarations


@pytest.mark.parametrize("screen", [ComposeScreen, TrainScreen, RunsScreen, CompareScreen])
def test_every_command_is_done_by_its_screen_or_by_the_application(screen: type[Workspace]) -> None:
    for command in commands_for(screen.where):
        owner = LayerlabApp if command.where == EVERYWHERE else screen
        action = getattr(owner, f"action_{command.id}", None)
        assert callable(action), f"{command.where}.{command.id}"
        wanted = [one for one in inspect.signature(action).parameters.values() if one.name != "self"]
        assert all(one.default is not one.empty for one in wanted), command.id


@pytest.mark.parametrize("where", SCREENS)
def test_no_two_commands_of_a_screen_share_a_key(where: str) -> None:
    owners: dict[str, str] = {}
    for command in commands_for(where):
        for key in filter(None, command.keys.split(",")):
            assert owners.setdefault(key, command.id) == command.id, key


@pytest.mark.parametrize("where", SCREENS)
def test_help_has_every_command_of_the_screen(where: str) -> None:
    settings = Settings()
    page = ["".join(text for text, _ in row).split() for row in lines(where, settings, 200)]
    for command in commands_for(where):
        key = settings.shown_key(command) or "palette"
        assert [*key.split(), *command.line.split()] in page, command.id


async def test_a_panel_takes_a_key_from_its_screen_only_where_that_is_meant(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    found: dict[str, set[tuple[str, str]]] = {where: set() for where in SCREENS}
    async with app.run_test(size=WIDE):
        for where in SCREENS:
            await press(app, VIEWS[where])
            taken = {key for one in commands_for(where) for key in one.keys.split(",") if key}
            for widget in app.screen.query(Widget):
                for key, bound in widget._bindings.key_to_bindings.items() if widget.can_focus else ():
                    if key in taken and any(not binding.system for binding in bound):
                        found[where].add((type(widget).__name__, key))
    assert found == MEANT


@pytest.mark.parametrize("state", STATES)
async def test_the_footer_names_the_few_keys_that_matter(tmp_path: Path, state: str) -> None:
    async with walk(tmp_path, state, WIDE) as (app, _):
        for where in SCREENS:
            await press(app, VIEWS[where])
            screen = app.workspace()
            assert screen is not None
            written = "".join(text for text, _ in app.screen.query_one(Footer).lines[0])
            wanted = [one for one in footer(where) if not one.when or one.when in screen.states()]
            shown = [one for one in wanted if f"{app.settings.shown_key(one)} {one.label} " in written + " "]
            # What does not fit is left out from the end; quitting and help always have their place.
            here = [one for one in wanted if one.where != EVERYWHERE]
            kept = [one for one in here if one in shown]
            assert kept == here[: len(kept)]
            assert 1 <= len(kept) <= 7, where
            assert {"train_now", "palette", "help", "leave"} <= {one.id for one in shown}


# ---------------------------------------------------------------------- walks


@pytest.mark.parametrize("state", ALL)
async def test_every_command_can_be_given_on_every_screen(tmp_path: Path, state: str) -> None:
    """By its keys, in a wide terminal; what opens is left, and opened again to go on with enter."""
    async with walk(tmp_path, state, WIDE) as (app, _):
        for where in SCREENS:
            for command in commands_for(where):
                opened = False
                for key in filter(None, command.keys.split(",")):
                    await there(app, where)
                    await press(app, key)
                    assert_sound(app, (where, key))
                    opened = not isinstance(app.screen, Workspace)
                    await back(app, (where, key))
                if opened:
                    await there(app, where)
                    await press(app, key, "down", "enter")
                    assert_sound(app, (where, key, "down", "enter"))
                    await back(app, (where, key, "enter"))


async def there(app: LayerlabApp, where: str) -> None:
    if app.mode_shown != where:
        await press(app, VIEWS[where])
    assert app.mode_shown == where
    assert isinstance(app.screen, Workspace)


@pytest.mark.soak
@pytest.mark.parametrize("state", STATES)
async def test_every_panel_takes_every_key_on_a_small_terminal(tmp_path: Path, state: str) -> None:
    """One panel at a time, each with all keys of its screen."""
    async with walk(tmp_path, state, NARROW) as (app, _):
        for where in SCREENS:
            await press(app, VIEWS[where])
            keys = sorted({key for one in commands_for(where) if one.where == where for key in one.keys.split(",")})
            for _ in app.screen.query("Panel"):
                await press(app, "tab")
                for key in filter(None, keys):
                    await there(app, where)
                    await press(app, key)
                    assert_sound(app, (where, key))
                    await back(app, (where, key))


@pytest.mark.parametrize(("number", "state"), enumerate(STATES))
async def test_any_keys_in_any_order_leave_it_sound(tmp_path: Path, number: int, state: str) -> None:
    async with walk(tmp_path, state, (WIDE, NARROW)[number % 2]) as (app, _):
        keys = random_keys(number, 60, KEYS)
        for at in range(0, len(keys), 20):
            await press(app, *keys[at : at + 20])
            assert_sound(app, (number, keys[: at + 20]))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("number", "state"), enumerate(STATES))
async def test_twenty_thousand_keys(tmp_path: Path, number: int, state: str) -> None:
    """In all, over the states."""
    async with walk(tmp_path, state, (WIDE, NARROW)[number % 2]) as (app, _):
        keys = random_keys(1000 + number, 20_000 // len(STATES), KEYS)
        for at in range(0, len(keys), 20):
            await press(app, *keys[at : at + 20])
            assert_sound(app, (number, keys[: at + 20]))


def test_panels_and_all_screens_are_declared() -> None:
    assert {command.where for command in COMMANDS} == {*SCREENS, PANELS, EVERYWHERE}
