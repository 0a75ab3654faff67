"""Keys that come in bursts, as over a slow line: each goes where the one before it led."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.spec import Experiment
from tests.tui.fake_training import application, until
from tests.tui.walking import press
from tui.screens.workspace import Workspace

LINES = ("flat", "lin 300", "relu", "lin classes")


def typed(text: str) -> list[str]:
    return ["space" if character == " " else character for character in text]


async def test_a_network_typed_without_a_pause_is_the_one_that_was_meant(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    keys = ["n", *(key for line in LINES for key in ("a", *typed(line), "enter"))]
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.checked)
        await press(app, *keys)
        assert [str(call) for call in app.draft.layers] == ["Flatten()", "Linear(300)", "ReLU()", "Linear(classes)"]
        assert isinstance(app.screen, Workspace)
        # To another panel, which takes the focus once it is drawn, and to the line that opens there.
        await press(app, "tab", "end", "enter", *typed("mine"), "enter", "shift+tab", "end", "x")
        assert app.draft.experiment.name == "mine"
        assert len(app.draft.layers) == 3


async def test_whoever_goes_on_composing_stays_there_when_the_run_begins(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    begin, may_begin = training.start, threading.Event()

    def start(experiment: Experiment) -> Path:
        may_begin.wait(30)
        return begin(experiment)

    training.start = start  # type: ignore[method-assign]
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.checked)
        await press(app, "ctrl+r", "down")
        may_begin.set()
        await until(pilot, lambda: app.view is not None)
        assert app.mode_shown == "compose"
        # Nor does one that begins from the queue take anybody away.
        await press(app, "ctrl+r")
        training.end()
        await until(pilot, lambda: len(training.started) == 2 and app.running.live)
        assert app.mode_shown == "compose"
        training.end()
        await until(pilot, lambda: not app.running.live)
        await press(app, "ctrl+r")
        await until(pilot, lambda: app.mode_shown == "train")
