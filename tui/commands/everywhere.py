"""The commands of every screen, and those of its panels."""

from __future__ import annotations

from tui.commands.declaration import EVERYWHERE, PANELS, Command

# For a newcomer, until the first change.
HINT = (
    "first time here? {compose.add} adds a layer, {compose.edit} edits it, {compose.presets} picks a preset, "
    "{everywhere.train_now} trains; {everywhere.help} tells the rest"
)

COMMANDS = (
    Command("train_now", "ctrl+r", "^r", "run", "Train what is composed; where a run is live, queue it", EVERYWHERE),
    Command("compose_view", "1", "1", "compose", "Show the network and its recipe", EVERYWHERE, False),
    Command("train_view", "2", "2", "train", "Show the run", EVERYWHERE, False),
    Command("runs_view", "3", "3", "runs", "Show all runs of the store", EVERYWHERE, False),
    Command("compare_view", "4", "4", "compare", "Show the marked runs side by side", EVERYWHERE, False),
    Command("next_panel", "tab", "tab", "panels", "Go to the next panel", PANELS, False),
    Command("previous_panel", "shift+tab", "shift+tab", "previous panel", "Go to the panel before", PANELS, False),
    Command("maximise", "m", "m", "maximise", "Give the whole screen to one panel, and back", PANELS, False),
    Command("jump", "ctrl+g", "^g", "jump", "Label every panel with a key, and go to one", PANELS, False),
    Command("read_on", "f3", "F3", "read on", "Show in full what is told above the keys", PANELS, False),
    Command("theme", "f2", "F2", "theme", "Choose colours: dark, light, or the terminal's sixteen", EVERYWHERE, False),
    Command("palette", "ctrl+p", "^p", "palette", "Find a command by name", EVERYWHERE),
    Command("help", "question_mark,f1", "?", "help", "Show all keys, and what has the focus", EVERYWHERE),
    Command("leave", "q,ctrl+q,ctrl+c", "q", "quit", "Quit; asks first where something would be lost", EVERYWHERE),
)
