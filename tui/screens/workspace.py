"""What the screens share: a header, panels of which a small terminal shows one at a time, a notice, the keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantFocus, Resize
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.commands import footer
from tui.safe import safe_lines
from tui.widgets.lines import Line
from tui.widgets.panel import Panel
from tui.widgets.status import Footer, Header

if TYPE_CHECKING:
    from tui.app import LayerlabApp

SMALLEST = (80, 24)
ONE_PANEL_BELOW = 110


class Workspace(Screen[None]):
    """A screen of panels. `where` is its name in commands.py; the first panel has the focus at the beginning."""

    app: LayerlabApp
    where = ""
    AUTO_FOCUS = ""
    _maximised = False

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield from self.above()
        with Container(id="panels"):
            yield from self.panels()
        yield Static("", id="notice", markup=False)
        yield Footer(footer(self.where), id="footer")
        yield Static("", id="too-small", markup=False)

    def above(self) -> Iterable[Widget]:
        """What stands between the header and the panels."""
        return ()

    def panels(self) -> Iterable[Panel]:
        """The panels in the order of the tab key."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.shown_panel().focus_inside()

    def on_screen_resume(self) -> None:
        # Whatever changed while another screen was in view.
        self.call_after_refresh(self.app.show)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self.app.show)
        width, height = event.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self.set_class(small, "-too-small")
        if small:
            text = f"layerlab needs {SMALLEST[0]} × {SMALLEST[1]} characters; this terminal has {width} × {height}."
            self.query_one("#too-small", Static).update(Content(text))
        self._arrange(width)

    def _arrange(self, width: int) -> None:
        self.set_class(width < ONE_PANEL_BELOW or self._maximised, "-one")

    # ------------------------------------------------------------------ panels

    def _all_panels(self) -> list[Panel]:
        return list(self.query(Panel))

    def shown_panel(self) -> Panel:
        """The panel with the focus, or the one that a small terminal shows."""
        panels = self._all_panels()
        return next((panel for panel in panels if panel.has_class("-shown")), panels[0])

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        for panel in self._all_panels():
            panel.set_class(event.widget in panel.children, "-shown")

    def _go(self, step: int) -> None:
        panels = self._all_panels()
        here = panels.index(self.shown_panel())
        target = panels[(here + step) % len(panels)]
        for panel in panels:
            panel.set_class(panel is target, "-shown")
        # A panel that was not displayed can take the focus only after it is.
        self.call_after_refresh(target.focus_inside)

    def action_next_panel(self) -> None:
        self._go(1)

    def action_previous_panel(self) -> None:
        self._go(-1)

    def action_maximise(self) -> None:
        self._maximised = not self._maximised
        self._arrange(self.size.width)

    # ------------------------------------------------------------------ lines

    def show(self) -> None:
        """Draw everything that the screen knows."""
        raise NotImplementedError

    def subject(self) -> Line:
        """What the screen is about, for the header."""
        raise NotImplementedError

    def show_header(self, live: bool) -> None:
        self.query_one(Header).show(self.where, self.subject(), live)

    def show_notice(self, text: str, wrong: bool) -> None:
        """Say something above the keys; an empty text takes the line away."""
        notice = self.query_one("#notice", Static)
        mark = "✗ " if wrong and text else ""
        notice.set_class(bool(text), "-said")
        notice.set_class(wrong, "-wrong")
        notice.update(Content(mark + safe_lines(text)))
