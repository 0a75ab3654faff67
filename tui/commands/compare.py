"""The commands of Compare."""

from __future__ import annotations

from tui.commands.declaration import Command

COMMANDS: tuple[Command, ...] = ()
