"""What the screens share: a header, panels of which a small terminal shows one at a time, a notice, the keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantFocus, Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.commands import COMMANDS, FIX, IDLE, LIVE, MARKED, REDO, SHOWN, UNDO, footer
from tui.widgets.lines import Line
from tui.widgets.panel import Panel
from tui.widgets.status import Footer, Header
from tui.widgets.wrapped import READ_ON, wrapped

if TYPE_CHECKING:
    from tui.app import LayerlabApp
    from tui.commands import Command

SMALLEST = (80, 24)
NEXT_PANEL = next(command for command in COMMANDS if command.id == "next_panel")
ONE_PANEL_BELOW = 110
# Lines that there is always room for above the keys; a sixth of the screen where that is more, a third for errors.
LEAST_TOLD = 4


def too_small(size: Size) -> bool:
    """Whether a terminal of this size cannot hold the application."""
    return size.width < SMALLEST[0] or size.height < SMALLEST[1]


class Workspace(Screen[None]):
    """A screen of panels. `where` is its name in commands.py; the first panel has the focus at the beginning."""

    app: LayerlabApp
    where = ""
    AUTO_FOCUS = ""
    _maximised = False
    _said: Content | None = None
    _had_focus: Widget | None = None

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield from self.above()
        with Container(id="panels"):
            yield from self.panels()
        yield Static("", id="notice", markup=False)
        yield Footer(id="footer")
        yield Static("", id="too-small", markup=False)

    def above(self) -> Iterable[Widget]:
        """What stands between the header and the panels."""
        return ()

    def panels(self) -> Iterable[Panel]:
        """The panels in the order of the tab key."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self._maximised = self.app.state.flag(f"{self.where}.maximised")
        left = self.app.state.text(f"{self.where}.panel")
        for panel in self._all_panels():
            panel.set_class(panel.id == left, "-shown")
        self.shown_panel().focus_inside()

    def on_screen_resume(self) -> None:
        # Whatever changed while another screen was in view, the size of the terminal included.
        self.fit(self.app.size)

    def on_resize(self, event: Resize) -> None:
        self.fit(event.size)

    def fit(self, size: Size) -> None:
        """Arrange the screen for a terminal of this size, or say that it is too small."""
        small = too_small(size)
        if small:
            text = f"layerlab needs {SMALLEST[0]} × {SMALLEST[1]}\nthis terminal has {size.width} × {size.height}"
            self.query_one("#too-small", Static).update(Content(text))
        self.set_class(small, "-too-small")
        self._arrange(size.width)
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        if not self.app.is_running:
            return
        self.app.show()
        if self.has_class("-too-small"):
            self.set_focus(None)
        elif self.focused is None:
            # What is not displayed has lost the focus.
            if self._had_focus is not None and self._had_focus.focusable:
                self._had_focus.focus()
            else:
                self.shown_panel().focus_inside()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self.has_class("-too-small")

    def _arrange(self, width: int) -> None:
        self.set_class(width < ONE_PANEL_BELOW or self._maximised, "-one")
        # What is not displayed cannot take the focus.
        self.shown_panel().add_class("-shown")

    # ------------------------------------------------------------------ panels

    def _all_panels(self) -> list[Panel]:
        return list(self.query(Panel))

    def shown_panel(self) -> Panel:
        """The panel with the focus, or the one that a small terminal shows."""
        panels = self._all_panels()
        return next((panel for panel in panels if panel.has_class("-shown")), panels[0])

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._had_focus = event.widget
        shown = self.panel_of(event.widget)
        for panel in self._all_panels():
            panel.set_class(panel is shown, "-shown")
        if shown is not None:
            self.app.state.put(f"{self.where}.panel", shown.id)

    def panel_of(self, widget: Widget) -> Panel | None:
        """The panel that a small terminal shows while this widget has the focus."""
        return next((panel for panel in self._all_panels() if panel in widget.ancestors), None)

    def _go(self, step: int) -> None:
        panels = [panel for panel in self._all_panels() if not panel.absent]
        here = panels.index(self.shown_panel()) if self.shown_panel() in panels else 0
        self.show_panel(panels[(here + step) % len(panels)])

    def action_next_panel(self) -> None:
        self._go(1)

    def action_previous_panel(self) -> None:
        self._go(-1)

    def action_maximise(self) -> None:
        self._maximised = not self._maximised
        self.app.state.put(f"{self.where}.maximised", self._maximised)
        self._arrange(self.size.width)
        self.show_header()

    def show_panel(self, panel: Panel) -> None:
        """Go to a panel."""
        for each in self._all_panels():
            each.set_class(each is panel, "-shown")
        # A panel that was not displayed can take the focus only after it is.
        self.app.after_drawing(panel.focus_inside)

    def wrong_here(self) -> str:
        """What is wrong with what the screen shows, where that may have been cut; "" where nothing is."""
        return ""

    def action_read_on(self) -> None:
        """Show all that is told now, and what is wrong here."""
        # A dialogue knows of workspaces.
        from tui.screens.told import Told

        texts = [text for text, _ in self.app.notices() if text]
        wrong = self.wrong_here()
        if wrong and not any(wrong in text for text in texts):
            texts.insert(0, wrong)
        if texts:
            self.app.push_screen(Told(texts))
        else:
            self.app.tell("nothing is told at the moment")

    def action_jump(self) -> None:
        """Label every panel with a letter, and go to the one whose letter comes next."""
        # A dialogue knows of workspaces.
        from tui.screens.jump import Jump

        panels = self._all_panels()

        def chosen(index: int | None) -> None:
            if index is not None:
                self.show_panel(panels[index])

        self.app.push_screen(Jump(panels), chosen)

    # ------------------------------------------------------------------ news

    def store_changed(self) -> None:
        """Runs have come, gone or changed."""

    def marks_changed(self) -> None:
        """Other runs are marked, or another is the baseline."""

    def queue_changed(self) -> None:
        """Something else waits to be trained."""

    def run_changed(self, curves: bool) -> None:
        """The run on Train has told something new; with `curves` these are to be drawn, otherwise all else."""

    def states(self) -> set[str]:
        """Which of the states that commands ask for hold now."""
        app, draft = self.app, self.app.draft
        problem = app.problem
        holds = {
            LIVE: app.running.shown_live,
            IDLE: not app.running.live,
            SHOWN: app.running.shown is not None,
            FIX: problem is not None and problem.fix is not None and bool(problem.fix.action),
            UNDO: draft.can_undo,
            REDO: draft.can_redo,
            MARKED: bool(app.marks.runs),
        }
        return {state for state, there in holds.items() if there}

    # ------------------------------------------------------------------ lines

    def show(self) -> None:
        """Draw everything that the screen knows."""
        raise NotImplementedError

    def subject(self) -> Line:
        """What the screen is about, for the header."""
        raise NotImplementedError

    def label_of(self, command: Command) -> str:
        """What the footer says that a command does now."""
        return command.label

    def show_header(self) -> None:
        app = self.app
        if not app.is_running:
            # News that came while the application ends: nothing holds anything any more.
            return
        counts = {"runs": len(app.stored.rows), "compare": len(app.marks), "train": len(app.running.queue)}
        self.query_one(Header).show(self.where, self.subject(), app.running.live, counts)
        states = self.states()
        commands = footer(self.where, states)
        if self.has_class("-one"):
            # The others are out of sight: which key leads to them comes first.
            commands = [NEXT_PANEL, *commands]
        self.query_one(Footer).show(
            [(app.settings.shown_key(command), self.label_of(command), command.where) for command in commands]
        )

    def show_notice(self, *notices: tuple[str, bool]) -> None:
        """Say something above the keys: texts, and whether each tells of something wrong. Without one the line goes;
        where they are more than there is room for, a key shows the rest."""
        given = [(("✗ " if wrong else "") + text, wrong) for text, wrong in notices if text]
        # What is wrong is read before anything else is done.
        share = 3 if any(wrong for _, wrong in given) else 6
        width, room = self.size.width - 2, max(self.size.height // share, LEAST_TOLD)
        read_on = self.app.settings.with_keys(READ_ON)
        said: list[tuple[str, bool]] = []
        for index, (text, wrong) in reversed(list(enumerate(given))):
            # What was told last matters most: of the others at least a line is left.
            lines = wrapped(text, width, max(room - index, 1), read_on)
            said[:0] = [(row, wrong) for row in lines]
            room -= len(lines)
        content = Content("\n").join(Content.styled(text, "$error" if wrong else "") for text, wrong in said)
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(said), "-said")
        if content != self._said:
            self._said = content
            notice.update(content)
