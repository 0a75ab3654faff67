"""What a command is: declared once, it feeds key, footer, palette and help."""

from __future__ import annotations

from dataclasses import dataclass

EVERYWHERE = "everywhere"
PANELS = "panels"
COMPOSE = "compose"
TRAIN = "train"
RUNS = "runs"
COMPARE = "compare"

# What has to hold for a command to be of use; `Workspace.states` says which of these do.
LIVE = "the run shown is live"
IDLE = "no run is live"
SHOWN = "a run is shown"
FIX = "a fix is proposed"
UNDO = "something was changed"
REDO = "something was undone"
MARKED = "runs are marked"
RUN = "a run is selected"


@dataclass(frozen=True)
class Command:
    """`id` names the action (`action_<id>` on the application or the screen), `keys` are Textual's names of keys
    separated by commas, "" where only the palette leads to it; `shown` is how the first is written, `label` stands in
    the footer, `line` in the help; `when` is the state in which it can be used, "" in all. `footer`: whether it is one
    of the few that matter most on its screen; `first` is a state in which it comes before them."""

    id: str
    keys: str
    shown: str
    label: str
    line: str
    where: str
    footer: bool = True
    when: str = ""
    first: str = ""

    @property
    def action(self) -> str:
        return f"app.{self.id}" if self.where == EVERYWHERE else f"screen.{self.id}"
