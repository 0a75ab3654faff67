"""Jumping: every panel gets a letter, and the next key goes to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.widgets import Static

from tui.safe import safe
from tui.screens.dialogue import Dialogue

if TYPE_CHECKING:
    from tui.widgets.panel import Panel

LETTERS = "asdfghjkl"


class Jump(Dialogue[int | None]):
    """Gives the index of a panel, or None. Panels that are out of sight are listed in the middle."""

    CSS_PATH = "modals.tcss"
    BINDINGS: ClassVar = [Binding("escape", "leave", show=False)]

    def __init__(self, panels: Sequence[Panel]) -> None:
        super().__init__()
        self._panels = dict(
            zip(LETTERS, ((at, panel) for at, panel in enumerate(panels) if not panel.absent), strict=False)
        )

    def compose(self) -> ComposeResult:
        hidden = []
        for letter, (_, panel) in self._panels.items():
            if panel.display:
                # Over the corner: the name of the panel can still be read.
                label = Static(Content(f" {letter} "), classes="jump-label", markup=False)
                label.styles.offset = (panel.region.x, panel.region.y)
                yield label
            else:
                hidden.append(f" {letter}  {safe(str(panel.border_title))} ")
        if hidden:
            box = Vertical(Static(Content("\n".join(hidden)), markup=False), id="jump")
            box.border_title = Content("Go to")
            yield box

    def on_resize(self) -> None:
        # Elsewhere are other panels, or none.
        self.call_after_refresh(self.recompose)

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            # A key that is stopped here reaches no binding.
            return
        event.stop()
        at = self._panels.get(event.character or "")
        self.dismiss(at[0] if at is not None and not self.hidden else None)

    def action_leave(self) -> None:
        self.dismiss(None)
