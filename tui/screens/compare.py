"""Compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from tui.commands import COMPARE, PANELS, bindings
from tui.screens.workspace import Workspace
from tui.widgets.lines import Line, Lines
from tui.widgets.panel import Panel


class CompareScreen(Workspace):
    """Compare."""

    BINDINGS: ClassVar = bindings(COMPARE, PANELS)
    where = COMPARE

    def panels(self) -> Iterable[Panel]:
        yield Panel("Compare", Lines(), id="compare-panel")

    def show(self) -> None:
        """Draw it."""

    def subject(self) -> Line:
        return ()
