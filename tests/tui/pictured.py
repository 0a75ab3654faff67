"""Applications to take pictures of: nothing of this machine, of its clock or of its folders is to be seen in them."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.spec import Experiment
from tests.tui.fake_training import application, steady_check, until
from tests.tui.gallery import NOW, Told, gallery
from tests.tui.pictures import app_of
from tui import recipe_facts, running
from tui.app import LayerlabApp
from tui.screens.compare import CompareScreen
from tui.screens.compose import ComposeScreen
from tui.screens.runs import RunsScreen
from tui.screens.train import TrainScreen
from tui.watching import RunWatch

# Relative, for its name stands in the header.
STORE = Path("runs")


class Screens:
    """Makes applications, on an empty store or on a gallery of runs, and knows when they show all that they have."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def empty(self, experiment: Experiment | None = None) -> LayerlabApp:
        return application(STORE, experiment)[0]

    def with_runs(self, marks: Sequence[Told] = ()) -> LayerlabApp:
        self._stack.enter_context(contextlib.contextmanager(gallery)(STORE))
        app, _ = application(STORE)
        app.state.put("marks", [told.run for told in marks])
        app.state.put("baseline", marks[0].run if marks else "")
        return app

    async def composed(self, pilot: Pilot[Any]) -> None:
        """Wait for the first answer of the check, which brings torch."""
        app = app_of(pilot)
        await until(pilot, self.still(app))

    def still(self, app: LayerlabApp) -> Callable[[], bool]:
        """Whether the screen in view has nothing more to come."""
        return lambda: app.checked and app.stored.complete and all_there(app)


def all_there(app: LayerlabApp) -> bool:
    screen = app.workspace()
    if isinstance(screen, ComposeScreen):
        facts = screen.facts
        return app.report is None or (facts.facts is not None and facts.facts.question == facts._asked)
    if isinstance(screen, TrainScreen):
        wanted = [run for run in app.marks.runs if app.view is None or run != app.view.run]
        drawn = app.run_watch is None or not app.run_watch._stale
        return drawn and set(screen._overlays.read) == set(wanted)
    if isinstance(screen, RunsScreen):
        run = screen.selected()
        return screen._taken == app.stored.version and (run is None or run.run in screen._pictures._kept)
    return isinstance(screen, CompareScreen) and len(screen._runs) == len(app.marks)


def fixed_world(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Screens]:
    """The same folder, hour, device and memory for all that is drawn."""
    patch.chdir(folder)
    patch.setenv("TZ", "UTC")
    time.tzset()
    patch.setattr(RunsScreen, "_now", lambda self: NOW)
    patch.setattr(running, "RunWatch", functools.partial(RunWatch, now=lambda: NOW))
    patch.setattr(recipe_facts, "_devices", lambda name: ("cpu", ("cpu",)))
    # What other tests had checked, they had checked on this machine.
    steady_check.cache_clear()
    with contextlib.ExitStack() as stack:
        yield Screens(stack)
    steady_check.cache_clear()
    patch.undo()
    time.tzset()
