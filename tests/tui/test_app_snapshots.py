"""How the four screens look, in every size and theme; pictures.py says how to take the pictures anew."""

from __future__ import annotations

from engine.presets import preset
from engine.spec import with_settings
from tests.tui.gallery import BATCHNORM, CNN, MLP, STEPPED, STOPPED
from tests.tui.pictured import Screens
from tests.tui.pictures import SMALLER, Pictures

COMPOSED = with_settings(preset("batchnorm"), [STEPPED])
FAILING = preset("cnn").with_(
    networks={
        "model": preset("cnn").network.with_(layers=["Conv2d(32, 3)", "ReLU()", "Linear(300)", "Linear(classes)"])
    }
)


async def test_compose(screens: Screens, pictures: Pictures) -> None:
    app = screens.empty(COMPOSED)
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("down", "down")
        await pictures.take_all(pilot, screens.still(app))
    pictures.check()


async def test_train(screens: Screens, pictures: Pictures) -> None:
    app = screens.with_runs(marks=(MLP,))
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        app.open_run(app.store / STOPPED.run)
        await pictures.take_all(pilot, screens.still(app))
    pictures.check()


async def test_runs(screens: Screens, pictures: Pictures) -> None:
    app = screens.with_runs(marks=(BATCHNORM, MLP, CNN))
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        for name in ("lenet", "resnet"):
            app.running.queue.add(preset(name))
        app.running.queue.held = True
        app.queue_changed()
        await pilot.press("3")
        await pictures.take_all(pilot, screens.still(app))
    pictures.check()


async def test_compare(screens: Screens, pictures: Pictures) -> None:
    app = screens.with_runs(marks=(MLP, BATCHNORM, CNN))
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("4")
        await pictures.take_all(pilot, screens.still(app))
    pictures.check()


async def test_a_network_that_fails(screens: Screens, pictures: Pictures) -> None:
    app = screens.empty(FAILING)
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        await pilot.press("exclamation_mark")
        await pictures.take_all(pilot, screens.still(app), SMALLER, ["dark"])
    pictures.check()


async def test_nothing_trained_yet(screens: Screens, pictures: Pictures) -> None:
    """Train, Runs and Compare say what would fill them."""
    app = screens.empty()
    async with app.run_test(size=(120, 40)) as pilot:
        await screens.composed(pilot)
        for key, name in (("2", "train"), ("3", "runs"), ("4", "compare")):
            await pilot.press(key)
            await pictures.take_all(pilot, screens.still(app), SMALLER, ["dark"], name)
    pictures.check()
