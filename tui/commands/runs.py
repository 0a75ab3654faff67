"""The commands of Runs."""

from __future__ import annotations

from tui.commands.declaration import Command

COMMANDS: tuple[Command, ...] = ()
