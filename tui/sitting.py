"""A sitting: the application on this terminal, from the settings to its last words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NoReturn

from engine import presets
from engine.spec import load_experiment
from tui import event_loop
from tui.app import LayerlabApp
from tui.checker import engine_check
from tui.ending import farewell, signals, wait_for_training
from tui.live import EngineTraining
from tui.output import say
from tui.process_end import leave_at_once
from tui.settings import load_settings, settings_path
from tui.state import State, state_path
from tui.terminal import kept_terminal

FIRST_PRESET = "batchnorm"


def run(experiment_file: Path | None, *, store: Path, data_folder: Path, download: bool = False) -> NoReturn:
    """Open the application on an experiment, or on a preset; the process ends with it, with its exit status.

    Raises LayerlabError where the file cannot be read.
    """
    leave_at_once(_sit(experiment_file, store, data_folder, download))


def _sit(experiment_file: Path | None, store: Path, data_folder: Path, download: bool) -> int:
    """Open the application; gives the exit status.

    Raises LayerlabError where the file cannot be read. Where the terminal goes away a run goes on to its end.
    """
    settings, problems = load_settings(settings_path())
    experiment = load_experiment(experiment_file) if experiment_file else presets.preset(FIRST_PRESET)
    training = EngineTraining(store, data_folder, download, settings.allow)
    with kept_terminal() as terminal:
        training.log_to = terminal.log_to
        app = LayerlabApp(
            experiment,
            training,
            data_folder,
            check=partial(engine_check, allow=settings.allow, store=store, download=download),
            store=store,
            terminal=terminal,
            file=experiment_file,
            settings=settings,
            state=State(state_path(store)),
        )
        if problems:
            app.tell("\n".join(problems), wrong=True)
        with signals(app, terminal) as asked:
            status = event_loop.run(app) or 0
            wait_for_training(app, terminal)
    if asked:
        status = asked[-1]
    if terminal.file.gone:
        return status
    if app.failure is not None:
        say(f"the application ended with an error: {app.failure}; what it printed is in {terminal.console}")
        status = 1
    farewell(app)
    return status
