"""What a person can do in the application: one declaration a command, for keys, footer, palette and help."""

from __future__ import annotations

from collections.abc import Collection

from textual.binding import Binding, BindingType

from tui.commands import compare, compose, everywhere, runs, train
from tui.commands.declaration import (
    COMPARE,
    COMPOSE,
    EVERYWHERE,
    FIX,
    IDLE,
    LIVE,
    MARKED,
    PANELS,
    REDO,
    RUN,
    RUNS,
    SHOWN,
    TRAIN,
    UNDO,
    Command,
)

__all__ = [
    "COMMANDS",
    "COMPARE",
    "COMPOSE",
    "EVERYWHERE",
    "FIX",
    "IDLE",
    "LIVE",
    "MARKED",
    "PANELS",
    "REDO",
    "RUN",
    "RUNS",
    "SCREENS",
    "SHOWN",
    "TRAIN",
    "UNDO",
    "Command",
    "bindings",
    "commands_for",
    "find_command",
    "footer",
]

SCREENS = (COMPOSE, TRAIN, RUNS, COMPARE)
COMMANDS = (*compose.COMMANDS, *train.COMMANDS, *runs.COMMANDS, *compare.COMMANDS, *everywhere.COMMANDS)
_BY_NAME = {f"{command.where}.{command.id}": command for command in COMMANDS}


def find_command(name: str) -> Command | None:
    """The command that the settings file calls so, such as `compose.add`."""
    return _BY_NAME.get(name)


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
            id=f"{command.where}.{command.id}",
        )
        for command in COMMANDS
        if command.where in scopes and command.keys
    ]


def footer(where: str, states: Collection[str] = ()) -> list[Command]:
    """What the last line of a screen names where these states hold, in order."""
    known = commands_for(where)
    first = [command for command in known if command.first in states]
    rest = [command for command in known if command.footer and command not in first]
    return [command for command in (*first, *rest) if not command.when or command.when in states]
