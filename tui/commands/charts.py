"""The commands of charts, wherever a screen has some."""

from __future__ import annotations

from tui.commands.declaration import TRAIN, Command

CURSOR = "the cursor is on a chart"
LOOK = "a chart does not look as it did at first"


def chart_commands(where: str) -> tuple[Command, ...]:
    """What can be done with the charts of this screen."""
    # On Train, l sets the learning rate.
    left, right = ("left,comma", "right,full_stop") if where == TRAIN else ("left,h,comma", "right,l,full_stop")
    return (
        Command("cursor", "c", "c", "read values", "Put a cursor on the charts, or take it away; ← → move it", where),
        Command("leave_cursor", "escape", "esc", "leave cursor", "Take the cursor away", where, False, when=CURSOR),
        Command("zoom_in", "z", "z", "zoom in", "Show half as much of the chart, or of all charts", where),
        Command("zoom_out", "Z", "Z", "zoom out", "Show twice as much of a chart", where, False),
        Command("pan_left", left, "←", "to the left", "What was before; move the cursor", where, False),
        Command("pan_right", right, "→", "to the right", "What came after; move the cursor", where, False),
        Command("smoothing", "w", "w", "smoothing", "Smooth the curves: not, 0.6, 0.9, 0.97", where, False),
        Command("logarithm", "y", "y", "logarithmic", "Make the y axis logarithmic, or linear again", where, False),
        Command("x_axis", "x", "x", "x axis", "Draw over epochs, steps, training time or samples", where, False),
        Command("next_metric", "v", "v", "next metric", "Show another metric in the chart", where, False),
        Command("choose_metric", "V", "V", "metric…", "Choose the metric of a chart by name", where, False),
        Command("reset_charts", "0", "0", "reset charts", "All of the curves, as they are", where, False, when=LOOK),
    )
