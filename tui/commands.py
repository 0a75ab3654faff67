"""What a person can do in the application: one declaration a command, for keys, footer, palette and help."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType

EVERYWHERE = "everywhere"
PANELS = "panels"
COMPOSE = "compose"
TRAIN = "train"

# What has to be there for a command to be of use.
LIVE = "a run is live"
IDLE = "no run is live"
FIX = "a fix is proposed"
UNDO = "something was changed"


@dataclass(frozen=True)
class Command:
    """`id` names the action (`action_<id>` on the application or the screen), `keys` are Textual's names of keys
    separated by commas, `shown` is how the first is written, `label` stands in the footer, `line` in the
    help; `when` is the state in which it can be used, "" in all."""

    id: str
    keys: str
    shown: str
    label: str
    line: str
    where: str
    footer: bool = True
    when: str = ""

    @property
    def action(self) -> str:
        return f"app.{self.id}" if self.where == EVERYWHERE else f"screen.{self.id}"


COMMANDS = (
    Command("add", "a", "a", "add", "Add a layer after the selected one", COMPOSE),
    Command("edit", "enter,s", "enter", "edit", "Edit the selected layer or setting as text", COMPOSE),
    Command("delete", "x,delete", "x", "delete", "Delete the selected layer", COMPOSE),
    Command("undo", "u", "u", "undo", "Undo the last change", COMPOSE, when=UNDO),
    Command("apply_fix", "full_stop", ".", "apply fix", "Apply the proposed fix", COMPOSE, when=FIX),
    Command("presets", "p", "p", "presets", "Begin from a preset", COMPOSE),
    Command("save", "ctrl+s", "^s", "save", "Save the experiment to its file, or to a new one", COMPOSE),
    Command("open_file", "o,ctrl+o", "o", "open", "Open an experiment from a file", COMPOSE),
    Command("duplicate", "d", "d", "duplicate", "Duplicate the selected layer", COMPOSE),
    Command("move_up", "K", "K", "move up", "Move the selected layer up", COMPOSE, False),
    Command("move_down", "J", "J", "move down", "Move the selected layer down", COMPOSE, False),
    Command("pause", "space", "space", "pause", "Pause the run, or go on", TRAIN, when=LIVE),
    Command("stop", "S,s", "S", "stop…", "Stop the run: after this epoch, now, or not at all", TRAIN, when=LIVE),
    Command("checkpoint", "k", "k", "checkpoint", "Save a checkpoint now", TRAIN, when=LIVE),
    Command("set_lr", "l", "l", "learning rate", "Set the learning rate of the run", TRAIN, when=LIVE),
    Command("add_epochs", "plus", "+", "epochs", "Add epochs to the run", TRAIN, when=LIVE),
    Command("train_now", "ctrl+r", "^r", "run", "Train what is composed", EVERYWHERE, when=IDLE),
    Command("compose_view", "1", "1", "compose", "Show the network and its recipe", EVERYWHERE, False),
    Command("train_view", "2", "2", "train", "Show the run", EVERYWHERE, False),
    Command("next_panel", "tab", "tab", "panels", "Go to the next panel", PANELS),
    Command("previous_panel", "shift+tab", "shift+tab", "previous panel", "Go to the panel before", PANELS, False),
    Command("maximise", "m", "m", "maximise", "Give the whole screen to one panel, and back", PANELS, False),
    Command("palette", "ctrl+p", "^p", "palette", "Find a command by name", EVERYWHERE),
    Command("help", "question_mark,f1", "?", "help", "Show all keys", EVERYWHERE),
    Command("leave", "q,ctrl+q,ctrl+c", "q", "quit", "Quit; asks first where something would be lost", EVERYWHERE),
)


def commands_for(where: str) -> list[Command]:
    """The commands of one screen: its own, those of its panels, those that hold everywhere."""
    return [command for scope in (where, PANELS, EVERYWHERE) for command in COMMANDS if command.where == scope]


def bindings(*scopes: str) -> list[BindingType]:
    """Textual's bindings of the commands that are declared for these scopes."""
    return [
        # The action is without a namespace: it is the node with the binding that has it.
        Binding(
            command.keys,
            command.id,
            command.label,
            key_display=command.shown,
            tooltip=command.line,
            show=False,
            id=command.id,
        )
        for command in COMMANDS
        if command.where in scopes
    ]


def footer(where: str) -> list[Command]:
    """What the last line of a screen names, in order."""
    return [command for command in commands_for(where) if command.footer]
