"""The commands of Train."""

from __future__ import annotations

from tui.commands.declaration import LIVE, TRAIN, Command

CURSOR = "the cursor is on a chart"
LOOK = "a chart does not look as it did at first"

COMMANDS = (
    Command("pause", "space", "space", "pause", "Pause the run, or go on", TRAIN, when=LIVE),
    Command("stop", "S,s", "S", "stop…", "Stop the run: after this epoch, now, or not at all", TRAIN, when=LIVE),
    Command("checkpoint", "k", "k", "checkpoint", "Save a checkpoint now", TRAIN, when=LIVE),
    Command("set_lr", "l", "l", "learning rate", "Set the learning rate of the run", TRAIN, when=LIVE),
    Command("add_epochs", "plus", "+", "epochs", "Add epochs to the run", TRAIN, when=LIVE),
    Command("compare_with", "slash", "/", "compare with", "Choose runs whose curves lie over those of this one", TRAIN),
    Command("cursor", "c", "c", "read values", "Put a cursor on the charts, or take it away; ← → move it", TRAIN),
    Command("leave_cursor", "escape", "esc", "leave cursor", "Take the cursor away", TRAIN, False, when=CURSOR),
    Command("zoom_in", "z", "z", "zoom in", "Show half as much of a chart, or of all where none has the focus", TRAIN),
    Command("zoom_out", "Z", "Z", "zoom out", "Show twice as much of a chart", TRAIN, False),
    Command("pan_left", "left,comma", "←", "to the left", "Show what was before; move the cursor", TRAIN, False),
    Command("pan_right", "right,full_stop", "→", "to the right", "Show what came after; move the cursor", TRAIN, False),
    Command("smoothing", "w", "w", "smoothing", "Smooth the curves: not, 0.6, 0.9, 0.97", TRAIN, False),
    Command("logarithm", "y", "y", "logarithmic", "Make the y axis logarithmic, or linear again", TRAIN, False),
    Command("x_axis", "x", "x", "x axis", "Draw over epochs, steps, training time or samples", TRAIN, False),
    Command("next_metric", "v", "v", "next metric", "Show another metric in a chart, else the lower one", TRAIN, False),
    Command("choose_metric", "V", "V", "metric…", "Choose the metric of a chart by name", TRAIN, False),
    Command("reset_charts", "0", "0", "reset charts", "Show all of the curves, as they are", TRAIN, False, when=LOOK),
)
