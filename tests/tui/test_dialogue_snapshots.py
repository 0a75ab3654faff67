"""How the dialogues look, in dark at two sizes; pictures.py says how to take the pictures anew."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.screen import Screen

from engine.presets import preset
from engine.spec import with_settings
from tests.tui.fake_training import screen_text, until
from tests.tui.gallery import BATCHNORM, CNN, STEPPED, STOPPED
from tests.tui.pictured import Screens
from tests.tui.pictures import SMALLER, Pictures, app_of
from tui.screens.adder import Adder
from tui.screens.call_picker import CallPicker
from tui.screens.choice import Choice
from tui.screens.code_view import CodeView
from tui.screens.column_chooser import ColumnChooser
from tui.screens.compare_with import CompareWith
from tui.screens.compose import ComposeScreen
from tui.screens.form import CallForm
from tui.screens.help import Help
from tui.screens.jump import Jump
from tui.screens.note_editor import NoteEditor
from tui.screens.picker import Picker
from tui.screens.prompt import Prompt
from tui.screens.toml_editor import TomlEditor

COMPOSED = with_settings(preset("cnn"), [STEPPED])


async def look(
    pilot: Pilot[int], pictures: Pictures, name: str, keys: list[str], kind: type[Screen[object]], shows: str
) -> None:
    """Take pictures of the dialogue that keys open once it shows a text, and close it."""
    app = app_of(pilot)
    await pilot.press(*keys)

    def ready() -> bool:
        return isinstance(app.screen, kind) and shows in screen_text(app)

    await until(pilot, ready, 15.0)
    await pictures.take_all(pilot, ready, SMALLER, ["dark"], name)
    await pilot.resize_terminal(120, 40)
    while app.screen is not app.workspace():
        await pilot.press("escape")


async def test_dialogues_of_compose(screens: Screens, pictures: Pictures) -> None:
    app = screens.empty(COMPOSED)
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("down", "down")
        await look(pilot, pictures, "adder", ["a", *"conv 32 3"], Adder, "→ 32 × 6 × 6")
        await look(pilot, pictures, "adder-empty", ["a"], Adder, "enter adds")
        await look(pilot, pictures, "form", ["home", "down", "enter"], CallForm, "kernel_size")
        await look(pilot, pictures, "text", ["e"], Prompt, "Conv2d")
        await look(pilot, pictures, "wrap", ["w"], Picker, "Residual")
        await look(pilot, pictures, "presets", ["p"], Picker, "regression")
        await look(pilot, pictures, "toml", ["t"], TomlEditor, "[network]")
        await look(pilot, pictures, "code", ["T"], CodeView, "import torch")
        await look(pilot, pictures, "palette", ["ctrl+p"], Picker, "add before")
        await look(pilot, pictures, "help", ["question_mark"], Help, "add")
        await look(pilot, pictures, "jump", ["ctrl+g"], Jump, "layer")
        assert isinstance(app.screen, ComposeScreen)
        app.screen.recipe.focus()
        app.screen.recipe.move_to(app.screen.recipe._fields.index("optimizer"))
        await look(pilot, pictures, "picker", ["enter", *"adam"], CallPicker, "AdamW")
    pictures.check()


async def test_dialogues_of_runs(screens: Screens, pictures: Pictures) -> None:
    app = screens.with_runs(marks=(BATCHNORM, CNN))
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("3")
        await until(pilot, screens.still(app))
        await look(pilot, pictures, "columns", ["C"], ColumnChooser, "epochs")
        await look(pilot, pictures, "sort", ["o"], Picker, "when")
        await look(pilot, pictures, "choice", ["t"], Choice, "which runs")
        await look(pilot, pictures, "tags", ["t", "enter"], Prompt, "paper")
        await look(pilot, pictures, "note", ["e"], NoteEditor, "first with momentum")
        await look(pilot, pictures, "filter", ["slash", *"cnn val/accuracy>0.98"], type(app.screen), "of 12")
        app.open_run(app.store / STOPPED.run)
        await until(pilot, screens.still(app))
        await look(pilot, pictures, "compare-with", ["slash"], CompareWith, "cnn")
    pictures.check()


async def test_dialogues_of_a_live_run(screens: Screens, pictures: Pictures) -> None:
    app = screens.empty()
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.status == "running")
        await look(pilot, pictures, "stop", ["S"], Choice, "not at all")
        await look(pilot, pictures, "rate", ["l"], Prompt, "Learning rate")
        await look(pilot, pictures, "quit", ["q"], Choice, "A run is live")
    pictures.check()
