"""The application: it owns the draft and the run, starts and asks, and has its screens draw what came of it.

Workers post messages; only handlers on the main thread change what is kept here. What a run does is read from its
folder a few times a second, and nothing is drawn where nothing changed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.message import Message

from engine import presets
from engine.control import Request
from engine.errors import LayerlabError, RequestError
from engine.spec import Experiment, load_experiment
from tui.checker import Answer, Check, Checker, engine_check
from tui.commands import COMMANDS, EVERYWHERE, FIX, IDLE, LIVE, UNDO, Command, bindings, commands_for
from tui.draft import Draft
from tui.ending import farewell, signals
from tui.filing import Filing, content
from tui.live import EngineTraining, Training
from tui.output import say
from tui.screens.choice import Choice
from tui.screens.compose import ComposeScreen
from tui.screens.help import Help
from tui.screens.picker import Entry, Picker
from tui.screens.train import TrainScreen
from tui.screens.workspace import Workspace, too_small
from tui.terminal import KeptTerminal, kept_terminal
from tui.theme import OWN, THEME
from tui.watching import RunWatch
from tui.widgets.status import LIVE as LIVE_STATUSES

if TYPE_CHECKING:
    from engine.store.reader import RunView

FIRST_PRESET = "batchnorm"
COMMAND_IDS = tuple(command.id for command in COMMANDS)
POLLS_PER_SECOND = 3


class Checked(Message):
    """The check has answered."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class RunBegan(Message):
    """The run's folder is there and its thread at work; or in words why not."""

    def __init__(self, path: Path | None, error: str = "", experiment: Experiment | None = None) -> None:
        super().__init__()
        self.experiment = experiment
        self.path = path
        self.error = error


class LayerlabApp(App[int]):
    """`training` starts runs, `check` looks at what is composed: the engine's own, or a test's."""

    TITLE = "layerlab"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = bindings(EVERYWHERE)
    MODES: ClassVar = {"compose": ComposeScreen, "train": TrainScreen}

    def __init__(
        self,
        experiment: Experiment,
        training: Training,
        data_folder: Path,
        *,
        check: Check = engine_check,
        terminal: KeptTerminal | None = None,
        file: Path | None = None,
    ) -> None:
        super().__init__(driver_class=terminal.driver() if terminal else None)
        self.animation_level = "none"
        self.draft = Draft(experiment, file, content(file) if file is not None else None)
        self.filing = Filing(self)
        self.report: Any = None
        self.checked = False
        self.run_watch: RunWatch | None = None
        self._training = training
        self._terminal = terminal
        self._checker = Checker(data_folder, self._answered, check)
        self._question = 0
        self._starting = False
        self._leaving = False
        self._trained: set[Experiment] = set()
        self._notice = ("", False)
        # What the check has to say stays until it says something else; notices come and go beneath it.
        self._finding = ("", False)
        self._placed: Any = None

    # ------------------------------------------------------------------ beginning and end

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # The style sheets are read before the theme is set.
        return OWN

    def on_mount(self) -> None:
        self.register_theme(THEME)
        self.theme = THEME.name
        self._timer = self.set_interval(1 / POLLS_PER_SECOND, self._tick, pause=True)
        self.switch_mode("compose")
        # torch is imported by the check: only once the first screen is there.
        self.call_after_refresh(self._check_draft)

    def on_unmount(self) -> None:
        self._checker.end()

    @property
    def failure(self) -> Exception | None:
        """The error in the application's own code that ended it, if one did."""
        return self._exception

    def action_leave(self) -> None:
        """Quit at once, or ask where that would lose a draft or end a run."""
        if self.draft.changed and self.draft.experiment not in self._trained:
            answers = (("s", "save", "save"), ("w", "quit without saving", "quit"), ("g", "go on", ""))
            question = f"{self.draft.experiment.name} has changes that were neither saved nor trained."

            def answered(answer: str | None) -> None:
                if answer == "save":
                    self.filing.save(self._leave)
                elif answer == "quit":
                    self._leave()

            self.push_screen(Choice("Quit", question, answers), answered)
        else:
            self._leave()

    def _leave(self) -> None:
        if not self.live:
            self.exit(0)
            return
        answers = (("s", "stop it, keep the checkpoint and quit", "stop"), ("g", "go on training", ""))
        question = "Quitting ends the training. What shall become of it?"
        self.push_screen(
            Choice("A run is live", question, answers), lambda answer: self._stop_and_leave(answer == "stop")
        )

    def _stop_and_leave(self, stop: bool) -> None:
        if stop:
            self.tell("stopping: the application ends once the checkpoint is saved")
            self.end_for_signal()

    def end_for_signal(self) -> None:
        """Stop the run at its next step, keep the checkpoint, leave."""
        self._leaving = True
        if self.live:
            self.ask("stop")
            self._timer.resume()
        else:
            self.exit(0)

    # ------------------------------------------------------------------ what is composed

    @property
    def problem(self) -> Any:
        """What is wrong with the draft, as the check found it; None where nothing is, or while it looks."""
        return self.report.error if self.report is not None else self._placed

    def draft_changed(self) -> None:
        """Draw the draft as it is now and have it checked."""
        self.tell("")
        self._check_draft()

    def _check_draft(self) -> None:
        self.report, self._placed, self.checked = None, None, False
        self._question = self._checker.ask(self.draft.experiment)
        self.show()

    def _answered(self, answer: Answer) -> None:
        """In the checker's thread."""
        self.post_message(Checked(answer))

    def on_checked(self, message: Checked) -> None:
        answer = message.answer
        if answer.number != self._question:
            return
        self.report, self._placed, self.checked = answer.report, answer.problem, True
        self._finding = (answer.error, bool(answer.error))
        if answer.report is not None and self.problem is None:
            self._finding = ("\n".join(f"⚠ {warning}" for warning in answer.report.warnings), False)
        self.show()

    def choose_preset(self) -> None:
        """Begin from one of the presets."""
        entries = [Entry(name, "", preset.line) for name, preset in presets.PRESETS.items()]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.draft.begin(presets.preset(name))
                self.draft_changed()

        self.push_screen(Picker("Presets", entries), chosen)

    # ------------------------------------------------------------------ the run

    @property
    def live(self) -> bool:
        """Whether a run is under way in this process."""
        return self._starting or self._training.alive

    @property
    def view(self) -> RunView | None:
        """The run as its folder tells it; None before the first one."""
        return self.run_watch.view if self.run_watch is not None else None

    def action_train_now(self) -> None:
        """Train the draft, in a thread of this process."""
        if self.live:
            self.tell("a run is under way: S on the train view stops it")
            return
        if self.problem is not None:
            self.tell(f"cannot train this: {self.problem.message}", wrong=True)
            return
        self._starting = True
        self.tell("starting…")
        experiment = self.draft.experiment
        threading.Thread(target=self._start, args=(experiment,), name="layerlab-start", daemon=True).start()

    def _start(self, experiment: Experiment) -> None:
        """In a thread of its own: creating a run imports torch and writes files."""
        try:
            self.post_message(RunBegan(self._training.start(experiment), experiment=experiment))
        except LayerlabError as error:
            self.post_message(RunBegan(None, str(error)))
        except Exception as error:
            self.post_message(RunBegan(None, f"the run could not start: {type(error).__name__}: {error}"))

    def on_run_began(self, message: RunBegan) -> None:
        self._starting = False
        if message.path is None:
            self.tell(message.error, wrong=True)
            return
        if message.experiment is not None:
            self._trained.add(message.experiment)
        if self._terminal is not None:
            self._terminal.log_to(message.path / "console.log")
        self.run_watch = RunWatch(message.path)
        self.tell("")
        self._timer.resume()
        self.switch_mode("train")
        if self._leaving:
            self.ask("stop")

    def _tick(self) -> None:
        """Read what is new of the run, and draw it."""
        ended = not self.live
        changed = self.run_watch is not None and self.run_watch.poll()
        screen = self.workspace()
        if changed:
            self._show_header()
            if isinstance(screen, TrainScreen):
                screen.show_numbers()
        if self.run_watch is not None and self.run_watch.curves_due(ended) and isinstance(screen, TrainScreen):
            screen.show_curves()
        if ended and not changed:
            self._run_ended()

    def _run_ended(self) -> None:
        self._timer.pause()
        self._show_header()
        if self.view is not None and self.view.status in LIVE_STATUSES:
            self.tell("the training thread ended without a word; `layerlab resume` goes on with the run", wrong=True)
        if self._leaving:
            self.exit(0)

    def ask(self, name: str, value: float | int | None = None) -> None:
        """Ask something of the run under way."""
        if not self.live:
            self.tell("no run is live: ctrl+r starts one")
            return
        try:
            self._training.request(Request(name, value))
        except RequestError as error:
            self.tell(str(error), wrong=True)

    # ------------------------------------------------------------------ screens

    def workspace(self) -> Workspace | None:
        """The screen of panels that is in view, also while a dialogue stands over it."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Workspace)), None)

    def show(self) -> None:
        """Draw all of the screen in view."""
        screen = self.workspace()
        if screen is not None and screen.is_mounted:
            screen.show()
            self._show_notice()
            self._show_header()

    def _show_header(self) -> None:
        screen = self.workspace()
        if screen is not None and screen.is_mounted:
            screen.show_header(self.live)

    def tell(self, text: str, wrong: bool = False) -> None:
        """Say something above the keys, until there is something else to say."""
        self._notice = (text, wrong)
        self._show_notice()

    def _show_notice(self) -> None:
        screen = self.workspace()
        if screen is not None and screen.is_mounted:
            screen.show_notice(self._finding, self._notice)

    def action_compose_view(self) -> None:
        self.switch_mode("compose")

    def action_train_view(self) -> None:
        self.switch_mode("train")

    def action_help(self) -> None:
        self.push_screen(Help())

    def can_use(self, command: Command) -> bool:
        """Whether a command would do something now."""
        if command.when in (LIVE, IDLE):
            return self.live == (command.when == LIVE)
        if command.when == FIX:
            fix = self.problem.fix if self.problem is not None else None
            return bool(fix is not None and fix.action)
        return command.when != UNDO or self.draft.can_undo

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # What cannot be seen is not done.
        return action == "leave" or not too_small(self.size) or not action.startswith(COMMAND_IDS)

    def action_palette(self) -> None:
        """Find a command by name, those of the screen in view first."""
        screen = self.workspace()
        if screen is None or self.screen is not screen:
            return
        here = commands_for(screen.where)
        known = {command.label: command for command in (*here, *COMMANDS) if command.id != "palette"}
        entries = [
            Entry(label, command.shown, command.line, "" if self.can_use(command) else f"when {command.when}")
            for label, command in known.items()
        ]

        def chosen(label: str | None) -> None:
            if label is None:
                return
            command = known[label]
            if command not in here:
                self.switch_mode(command.where)
            # The dialogue goes and the other screen comes first.
            self.call_after_refresh(self.run_action, command.action)

        self.push_screen(Picker("Commands", entries), chosen)


def run(experiment_file: Path | None, *, store: Path, data_folder: Path, download: bool = False) -> int:
    """Open the application on an experiment, or on a preset; gives the exit status.

    Raises LayerlabError where the file cannot be read. Where the terminal goes away a run goes on to its end.
    """
    experiment = load_experiment(experiment_file) if experiment_file else presets.preset(FIRST_PRESET)
    training = EngineTraining(store, data_folder, download)
    with kept_terminal() as terminal:
        app = LayerlabApp(experiment, training, data_folder, terminal=terminal, file=experiment_file)
        with signals(app, terminal) as asked:
            status = app.run() or 0
            training.join()
    if asked:
        status = asked[0]
    if terminal.file.gone:
        return status
    if app.failure is not None:
        say(f"the application ended with an error: {app.failure}; what it printed is in {terminal.console}")
        status = 1
    farewell(app)
    return status
