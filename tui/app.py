"""The application: modes, theme and settings, and what the screens share; how anything is drawn they know alone.

Workers post messages; only handlers on the main thread change what is kept here. What a run does is read from its
folder a few times a second, and nothing is drawn where nothing changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.events import Key

from engine.spec import Experiment
from tui.checker import Answer, Check, Checked, Checker, engine_check, findings
from tui.commands import COMMANDS, EVERYWHERE, RUN, Command, bindings
from tui.commands.everywhere import HINT
from tui.draft import Draft
from tui.event_loop import all_is_imported
from tui.filing import Filing, content
from tui.leaving import leave
from tui.left_behind import LeftBehind, left_behind
from tui.live import Training
from tui.marking import Marks
from tui.palette import open_palette
from tui.running import RunBegan, Running, RunRead
from tui.screens.dialogue import Dialogue
from tui.screens.modes import MODES
from tui.screens.workspace import Workspace, too_small
from tui.settings import Settings
from tui.state import State
from tui.store_watch import StoreChanged, StoreWatch
from tui.theme import OWN, change_theme, chosen, install
from tui.type_ahead import TypeAhead
from tui.watching import RunWatch

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from engine.store.reader import RunView
    from tui.terminal import KeptTerminal

COMMAND_IDS = tuple(command.id for command in COMMANDS)
POLLS_PER_SECOND = 3


class LayerlabApp(TypeAhead):
    """`training` starts runs, `check` looks at what is composed: the engine's own, or a test's."""

    TITLE = "layerlab"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = bindings(EVERYWHERE)
    MODES: ClassVar = dict(MODES)

    def __init__(
        self,
        experiment: Experiment,
        training: Training,
        data_folder: Path,
        *,
        store: Path,
        check: Check = engine_check,
        terminal: KeptTerminal | None = None,
        file: Path | None = None,
        settings: Settings | None = None,
        state: State | None = None,
    ) -> None:
        super().__init__(driver_class=terminal.driver() if terminal else None)
        self.animation_level = "none"
        self.settings = settings or Settings()
        self._hint = self.settings.with_keys(HINT)
        self.state = state or State(None)
        self.data_folder = data_folder
        self.store = store
        self.draft = Draft(experiment, file, content(file) if file is not None else None)
        self.filing = Filing(self)
        self.running = Running(self, training)
        # By an earlier sitting, as the first look at the store has found it.
        self.left: LeftBehind | None = None
        self.marks = Marks()
        self.stored = StoreWatch(store, self.post_message)
        self.report: Any = None
        self.checked = False
        self.mode_shown = "compose"
        self._terminal = terminal
        self._checker = Checker(data_folder, self._answered, check, self.stored.looked)
        self._question = 0
        self._leaving = False
        self._notice = ("", False)
        # What the check has to say stays until it says something else; notices come and go beneath it.
        self._finding = ("", False)
        self._placed: Any = None

    # ------------------------------------------------------------------ beginning and end

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # The style sheets are read before the theme is set.
        return OWN

    def on_mount(self) -> None:
        if self._terminal is not None:
            self._terminal.take_prints()
        install(self, chosen(self.settings.theme, self.state))
        self.set_keymap(self.settings.keys)
        self._timer = self.set_interval(1 / POLLS_PER_SECOND, self._tick, pause=True)
        self.running.take_up(self.state.get("queue"))
        self.marks.put(tuple(self.state.names("marks")), self.state.text("baseline") or None)
        self.show_mode("compose")
        # What is wrong with the settings comes first.
        if not self.state.flag("met") and not self._notice[0]:
            self.tell(self._hint)
        # The first screen first, then what the store holds, and only then torch, which the check imports.
        self.call_after_refresh(self.stored.want)
        self.call_after_refresh(self._check_draft)

    def on_unmount(self) -> None:
        self._checker.end()
        self.stored.end()
        self.state.put("queue", self.running.waiting())
        self.state.flush()

    @property
    def failure(self) -> Exception | None:
        """The error in the application's own code that ended it, if one did."""
        return self._exception

    def action_leave(self) -> None:
        leave(self)

    def end_for_signal(self) -> None:
        """Stop the run at its next step, keep the checkpoint, leave."""
        self._leaving = True
        self.running.queue.held = True
        if self.running.live:
            self.running.ask_own("stop")
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
        self.state.put("met", True)
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
        answer: Answer = message.answer
        all_is_imported()
        if answer.number != self._question:
            return
        self.report, self._placed, self.checked = answer.report, answer.problem, True
        self._finding = (answer.error, bool(answer.error))
        if answer.report is not None and self.problem is None:
            self._finding = (findings(answer.report), False)
        self.stored.want()
        self.show()

    def new_from(self, experiment: Experiment) -> None:
        """Begin another experiment, and show it; undo brings back the one that was there."""
        self.draft.begin(experiment)
        self.show_mode("compose")
        self.draft_changed()

    # ------------------------------------------------------------------ the run

    @property
    def run_watch(self) -> RunWatch | None:
        """The run that Train shows."""
        return self.running.shown

    @property
    def view(self) -> RunView | None:
        """That run as its folder tells it."""
        return self.running.shown.view if self.running.shown is not None else None

    def action_train_now(self) -> None:
        """Train the draft, in a thread of this process; behind what is trained already."""
        if self.problem is not None:
            self.tell(f"cannot train this: {self.problem.message}", wrong=True)
            return
        self.state.put("met", True)
        self.running.train(self.draft.experiment)

    def on_run_began(self, message: RunBegan) -> None:
        if not self.is_running:
            return
        if self.running.began(message):
            assert message.path is not None
            # Whoever goes on composing is left alone.
            stays = self.mode_shown == "compose" and not self.running.awaited
            self.running.tell(f"{message.item.name} has begun" if stays else "")
            if self.running.own and self.mode_shown == "compose" and not stays:
                self.show_mode("train")
            if self._leaving:
                self.running.ask_own("stop")
        self._timer.resume()
        self.stored.want()
        self.queue_changed()

    def open_run(self, path: Path) -> None:
        """Show a run on Train."""
        self.running.open(path)
        self._timer.resume()
        self.show_mode("train")
        self.show()

    def on_run_read(self, message: RunRead) -> None:
        if self.running.take(message):
            self.tell("")
            self._timer.resume()
            self.show()
            self.run_changed(curves=True)

    def _tick(self) -> None:
        """Read what is new of the run that is shown, and draw it; begin with the next when one has ended."""
        # Asked first: whatever a run has said by its end is read after that.
        ended = self.running.ended_now()
        over = not self.running.shown_live
        changed = self.running.poll()
        if changed:
            self.run_changed(curves=False)
        if self.run_watch is not None and self.run_watch.curves_due(over):
            self.run_changed(curves=True)
        if ended:
            self._run_ended()
        if over and not changed and not self.running.live:
            self._timer.pause()

    def _run_ended(self) -> None:
        self.stored.want()
        if self.running.own and self.view is not None and self.view.live:
            self.tell("the training thread ended without a word; `layerlab resume` goes on with the run", wrong=True)
        if self._leaving:
            self.exit(0)
        else:
            self.running.next()
        self.queue_changed()

    # ------------------------------------------------------------------ news for the screen in view

    def workspace(self) -> Workspace | None:
        """The screen of panels that is in view, also while a dialogue stands over it.

        None while the application is being taken down: timers and threads have news then, and no screen holds anything.
        """
        if not self.is_running:
            return None
        found = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Workspace)), None)
        return found if found is not None and found.is_mounted else None

    def show(self) -> None:
        """Draw all of the screen in view."""
        screen = self.workspace()
        if screen is not None:
            screen.show()
            screen.show_notice(*self.notices())
            screen.show_header()

    def notices(self) -> tuple[tuple[str, bool], ...]:
        # What the check found is about what is composed.
        return (self._finding, self._notice) if self.mode_shown == "compose" else (self._notice,)

    def tell(self, text: str, wrong: bool = False) -> None:
        """Say something above the keys, until there is something else to say."""
        self._notice = (text, wrong)
        screen = self.workspace()
        if screen is not None:
            screen.show_notice(*self.notices())

    def run_changed(self, curves: bool) -> None:
        """The run that is shown has told something new."""
        screen = self.workspace()
        if screen is not None:
            screen.run_changed(curves)
            screen.show_header()

    def on_store_changed(self, message: StoreChanged) -> None:
        self.stored.take(message)
        shown = self.running.shown
        if shown is not None and any(row.run == shown.path.name for row in message.changes.changed):
            # Somebody went on with it, or ended it.
            self._timer.resume()
        if self.stored.complete and self.marks.keep(set(self.stored.rows)):
            self.marks_changed()
        if self.stored.complete and self.left is None:
            self.left = left_behind(self.stored.rows.values())
            self._tell_what_was_left()
        screen = self.workspace()
        if screen is not None:
            screen.store_changed()
            screen.show_header()

    def _tell_what_was_left(self) -> None:
        """Where the person has begun with something else by now, it stays untold: Runs has it."""
        assert self.left is not None
        told = self.left.words(self.settings, len(self.running.queue))
        if told and self.mode_shown == "compose" and self.running.path is None and not self.running.live:
            # What is wrong with the settings stays in view.
            notice, wrong = self._notice
            self.tell(f"{notice}\n{told}" if wrong else told, wrong)

    @property
    def interrupted(self) -> Summary | None:
        """The run that was cut short in an earlier sitting, as long as nobody has gone on with it."""
        for run in self.left.interrupted if self.left is not None else ():
            now = self.stored.rows.get(run.run)
            if now is not None and now.status == run.status and run.path != self.running.path:
                return now
        return None

    def marks_changed(self) -> None:
        """Other runs are marked, or another is the baseline."""
        self.state.put("marks", list(self.marks.runs))
        self.state.put("baseline", self.marks.baseline or "")
        screen = self.workspace()
        if screen is not None:
            screen.marks_changed()
            screen.show_header()

    def queue_changed(self) -> None:
        """Something else waits, or is trained."""
        self.state.put("queue", self.running.waiting())
        screen = self.workspace()
        if screen is not None:
            screen.queue_changed()
            screen.show_header()

    def copy(self, text: str, what: str = "text") -> None:
        """Put a text into the clipboard of the terminal (OSC 52)."""
        self.copy_to_clipboard(text)
        self.tell(f"{what} copied, where the terminal takes it (OSC 52; in tmux: set-clipboard on)")

    # ------------------------------------------------------------------ screens and commands

    def show_mode(self, mode: str) -> None:
        """Show a screen; what was said on another one goes."""
        if mode != self.mode_shown:
            self._notice = ("", False)
        self.mode_shown = mode
        self.switch_mode(mode)

    def action_compose_view(self) -> None:
        self.show_mode("compose")

    def action_train_view(self) -> None:
        # What goes on from an earlier sitting, or elsewhere, is shown where nothing else is.
        if self.running.shown is None and not self.running.live and self.left is not None and self.left.live:
            self.open_run(self.left.live[0].path)
        else:
            self.show_mode("train")

    def action_runs_view(self) -> None:
        self.stored.want()
        self.show_mode("runs")

    def action_compare_view(self) -> None:
        self.stored.want()
        self.show_mode("compare")

    def action_help(self) -> None:
        from tui.screens.help import Help

        screen = self.workspace()
        if screen is not None and self.screen is screen:
            self.push_screen(Help(screen.where, screen.focused))

    def action_palette(self) -> None:
        open_palette(self)

    def action_theme(self) -> None:
        """The next of the themes."""
        self.tell(change_theme(self, self.settings.theme, self.state))
        # Pictures are drawn in other characters where there are sixteen colours.
        self.show()

    def can_use(self, command: Command) -> bool:
        """Whether a command would do something now."""
        screen = self.workspace()
        if screen is None or not command.when:
            return True
        # What is selected on a screen that is not in view is known there alone.
        return command.when in screen.states() or (command.when == RUN and command.where != screen.where)

    def on_key(self, event: Key) -> None:
        # Keys come here that nothing took: those typed before a dialogue had the focus among them.
        if self.is_running and isinstance(self.screen, Dialogue):
            self.screen.type_early(event)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # What cannot be seen is not done.
        return action == "leave" or not too_small(self.size) or not action.startswith(COMMAND_IDS)
