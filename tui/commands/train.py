"""The commands of Train."""

from __future__ import annotations

from tui.commands.charts import chart_commands
from tui.commands.declaration import LIVE, TRAIN, Command

ENDED_EARLY = "the run shown ended before its time"

COMMANDS = (
    Command("pause", "space", "space", "pause", "Pause the run, or go on", TRAIN, when=LIVE),
    Command("stop", "S,s", "S", "stop…", "Stop the run: after this epoch, now, or not at all", TRAIN, when=LIVE),
    Command("checkpoint", "k", "k", "checkpoint", "Save a checkpoint now", TRAIN, when=LIVE),
    Command("pin_checkpoint", "K", "K", "pin", "Save a checkpoint now that is kept for good", TRAIN, False, when=LIVE),
    Command("set_lr", "l", "l", "learning rate", "Set the learning rate of the run", TRAIN, when=LIVE),
    Command("add_epochs", "plus", "+", "epochs", "Add epochs to the run", TRAIN, when=LIVE),
    Command("resume", "R", "R", "resume", "Go on with the run shown, which was stopped", TRAIN, when=ENDED_EARLY),
    Command("compare_with", "slash", "/", "compare with", "Choose runs whose curves lie over those of this one", TRAIN),
    *chart_commands(TRAIN),
)
