"""The commands of Compose."""

from __future__ import annotations

from tui.commands.declaration import COMPOSE, FIX, REDO, UNDO, Command

INTERRUPTED = "a run was interrupted"
# What holds on this screen alone.
MODULES = "a layer with modules of its own is selected"
RECIPE = "keys go to the recipe"
AUGMENTED = "keys go to the recipe, and samples are changed by chance"

COMMANDS = (
    Command("add", "a", "a", "add", "Add a layer after the selected one", COMPOSE),
    Command("edit", "enter", "enter", "edit", "Edit the selected layer or setting in a form", COMPOSE, first=RECIPE),
    Command(
        "delete", "x,delete", "x", "delete", "Delete the selected layers; put a setting back", COMPOSE, first=RECIPE
    ),
    Command("wrap", "w", "w", "wrap", "Wrap the selected layers into a container", COMPOSE),
    Command("undo", "u", "u", "undo", "Undo the last change", COMPOSE, when=UNDO),
    Command("apply_fix", "full_stop", ".", "apply fix", "Apply the proposed fix", COMPOSE, when=FIX),
    Command("presets", "p", "p", "presets", "Begin from a preset", COMPOSE),
    Command("new_network", "n", "n", "new", "Begin with a network without layers", COMPOSE, False),
    Command("save", "ctrl+s", "^s", "save", "Save the experiment to its file, or to a new one", COMPOSE, False),
    Command("open_file", "o,ctrl+o", "o", "open", "Open an experiment from a file", COMPOSE, False),
    Command("add_before", "A", "A", "add before", "Add a layer before the selected one", COMPOSE, False),
    Command("add_inside", "i", "i", "add inside", "Add a layer to the selected container", COMPOSE, False),
    Command("edit_text", "e,equals_sign", "e", "edit text", "Edit what is selected as text", COMPOSE, False),
    Command(
        "step_up",
        "plus",
        "+",
        "step up",
        "The next value of a setting: a number, a choice",
        COMPOSE,
        False,
        first=RECIPE,
    ),
    Command("step_down", "minus", "-", "step down", "The value before of a setting", COMPOSE, False),
    Command("save_as", "ctrl+a", "^a", "save as", "Save the experiment to another file", COMPOSE, False),
    Command("as_toml", "t", "t", "as TOML", "Edit the whole experiment as text", COMPOSE, False),
    Command("as_code", "T", "T", "as PyTorch", "Read and copy the experiment as a PyTorch script", COMPOSE, False),
    Command(
        "draw_again",
        "r",
        "r",
        "draw again",
        "Let chance change the shown samples anew",
        COMPOSE,
        False,
        first=AUGMENTED,
    ),
    Command("duplicate", "d", "d", "duplicate", "Duplicate the selected layers", COMPOSE, False),
    Command("move_up", "K", "K", "move up", "Move the selected layers up, into and out of containers", COMPOSE, False),
    Command("move_down", "J", "J", "move down", "Move the selected layers down", COMPOSE, False),
    Command("unwrap", "W", "W", "unwrap", "Put what a container holds in its place", COMPOSE, False),
    Command("select_several", "v", "v", "select", "Select several neighbours with the arrows", COMPOSE, False),
    Command("cut", "X", "X", "cut", "Cut the selected layers", COMPOSE, False),
    Command("copy", "y", "y", "copy", "Copy the selected layers", COMPOSE, False),
    Command("paste", "P", "P", "paste", "Paste what was cut or copied after the selected layer", COMPOSE, False),
    Command("freeze", "f", "f", "freeze", "Freeze what is selected, or train it", COMPOSE, False, first=MODULES),
    Command("unfold", "space", "space", "modules", "Show or hide a Backbone's modules", COMPOSE, False, first=MODULES),
    Command("redo", "U,ctrl+y", "U", "redo", "Redo the change that was undone last", COMPOSE, False, when=REDO),
    Command("resume", "R", "R", "resume", "Go on with the run that was interrupted", COMPOSE, False, when=INTERRUPTED),
    Command("go_to_problem", "exclamation_mark", "!", "go to problem", "Go to the layer that fails", COMPOSE, False),
)
