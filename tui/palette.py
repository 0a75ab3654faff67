"""Finding a command by name, whichever screen it belongs to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tui.commands import COMMANDS, commands_for
from tui.screens.picker import Entry, Picker

if TYPE_CHECKING:
    from tui.app import LayerlabApp
    from tui.commands import Command


def open_palette(app: LayerlabApp) -> None:
    """List the commands, those of the screen in view first, and do the one that is picked."""
    screen = app.workspace()
    if screen is None or app.screen is not screen:
        return
    here = commands_for(screen.where)
    known = {_title(command, here): command for command in (*here, *COMMANDS) if command.id != "palette"}
    entries = [
        Entry(
            label, app.settings.shown_key(command), command.line, "" if app.can_use(command) else f"when {command.when}"
        )
        for label, command in known.items()
    ]

    def chosen(label: str | None) -> None:
        if label is None:
            return
        command = known[label]
        if command not in here:
            app.show_mode(command.where)
        # The dialogue goes and the other screen comes first.
        app.after_drawing(partial(app.call_later, app.run_action, command.action))

    app.push_screen(Picker("Commands", entries), chosen)


def _title(command: Command, here: list[Command]) -> str:
    return command.label if command in here else f"{command.where}: {command.label}"
