"""The commands of Compose."""

from __future__ import annotations

from tui.commands.declaration import COMPOSE, FIX, UNDO, Command

COMMANDS = (
    Command("add", "a", "a", "add", "Add a layer after the selected one", COMPOSE),
    Command("edit", "enter,s", "enter", "edit", "Edit the selected layer or setting as text", COMPOSE),
    Command("delete", "x,delete", "x", "delete", "Delete the selected layer", COMPOSE),
    Command("undo", "u", "u", "undo", "Undo the last change", COMPOSE, when=UNDO),
    Command("apply_fix", "full_stop", ".", "apply fix", "Apply the proposed fix", COMPOSE, when=FIX),
    Command("presets", "p", "p", "presets", "Begin from a preset", COMPOSE),
    Command("save", "ctrl+s", "^s", "save", "Save the experiment to its file, or to a new one", COMPOSE, False),
    Command("open_file", "o,ctrl+o", "o", "open", "Open an experiment from a file", COMPOSE, False),
    Command("duplicate", "d", "d", "duplicate", "Duplicate the selected layer", COMPOSE, False),
    Command("move_up", "K", "K", "move up", "Move the selected layer up", COMPOSE, False),
    Command("move_down", "J", "J", "move down", "Move the selected layer down", COMPOSE, False),
)
