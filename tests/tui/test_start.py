"""How the application begins, and that it is silent where nothing happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.screen import Terminal
from tests.tui.fake_training import application, until
from tui.screens.compare import CompareScreen
from tui.screens.compose import ComposeScreen
from tui.screens.runs import RunsScreen
from tui.screens.train import TrainScreen
from tui.screens.workspace import Workspace

# What the first frame must not wait for: the store, looked at once it was drawn, tells what is there by then.
FIRST_FRAME = """
import asyncio, sys, threading
from pathlib import Path
from engine.presets import preset
from tui.app import LayerlabApp

there, asked = [], threading.Event()

def check(experiment, data_folder):
    raise RuntimeError("enough")

def want():
    there.extend(sys.modules)
    asked.set()

class NoTraining:
    alive = False

async def main():
    store = Path(sys.argv[1])
    app = LayerlabApp(preset("batchnorm"), NoTraining(), store, store=store, check=check)
    app.stored.want = want
    async with app.run_test(size=(120, 40)) as pilot:
        while not asked.is_set():
            await pilot.pause(0.02)

asyncio.run(main())
print(*there)
"""


def test_the_first_frame_waits_for_nothing_that_comes_later(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FIRST_FRAME, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    there = set(told.stdout.split())
    assert "tui.screens.compose" in there
    heavy = ("torch", "torchvision", "numpy", "sklearn", "psutil", "typer")
    later = ("train", "runs", "compare", "help", "toml_editor", "code_view")
    assert not there & {*heavy, *(f"tui.screens.{name}" for name in later), "engine.store.listing"}


async def test_a_screen_is_built_when_it_is_first_shown(tmp_path: Path) -> None:
    app, _ = application(tmp_path)

    def built() -> set[type[Workspace]]:
        stacks = app._screen_stacks.values()
        return {type(screen) for stack in stacks for screen in stack if isinstance(screen, Workspace)}

    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert built() == {ComposeScreen}
        shown = {ComposeScreen}
        for key, screen in (("2", TrainScreen), ("3", RunsScreen), ("4", CompareScreen)):
            await pilot.press(key)
            await until(pilot, lambda screen=screen: isinstance(app.screen, screen))
            shown.add(screen)
            assert built() == shown


def test_nothing_is_written_where_nothing_happens(tmp_path: Path) -> None:
    own = {"LAYERLAB_RUNS": str(tmp_path / "runs"), "LAYERLAB_DATA": str(tmp_path)}
    with Terminal([sys.executable, "-m", "tui.cli"], 120, 40, dict(os.environ) | own) as terminal:
        terminal.wait_for("fits", timeout=60)  # the memory forecast: torch is there, the check has answered
        for key in ("", "?", "\x1b", "2", "3", "4"):
            if key:
                terminal.answer(key, timeout=30)
            # On a busy machine a screen may take its time to be drawn; what writes again and again is never silent.
            assert any(terminal.quiet(2.0) for _ in range(100)), f"after {key!r}"
