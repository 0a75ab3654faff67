"""The commands of Runs."""

from __future__ import annotations

from tui.commands.declaration import MARKED, RUN, RUNS, UNDO, Command

# What holds on this screen alone.
RESUMABLE = "the run selected ended before its time"
RUN_LIVE = "the run selected is live"
FILTERED = "a filter is set"
QUEUED = "something waits in the queue"

COMMANDS = (
    Command("open", "enter", "enter", "open", "Show the selected run on Train", RUNS, when=RUN),
    Command("mark", "space", "space", "mark", "Mark the selected run for comparison, or unmark it", RUNS, when=RUN),
    Command("compare", "c", "c", "compare marked", "Compare the marked runs", RUNS, when=MARKED),
    Command("new", "n", "n", "new from this", "Begin a new experiment from the selected run", RUNS, when=RUN),
    Command("filter", "slash", "/", "filter", "Filter by name, tag, status, metric or field, as you type", RUNS),
    Command("tag", "t", "t", "tag", "Edit the tags of the run; of the marked ones where it is marked", RUNS, when=RUN),
    Command("delete", "x,delete", "x", "delete", "Delete the run, or take it out of the queue", RUNS, when=RUN),
    Command("undo", "u", "u", "undo", "Undo the last deletion, name, note, tag, pin or star", RUNS, when=UNDO),
    Command("note", "e", "e", "note", "Write a note on the run", RUNS, False, when=RUN),
    Command("rename", "r", "r", "rename", "Give the run another name", RUNS, False, when=RUN),
    Command("pin", "p", "p", "pin", "Pin the run to the top of the list, or unpin it", RUNS, False, when=RUN),
    Command("star", "asterisk", "*", "star", "Star the run, or take its star", RUNS, False, when=RUN),
    Command("sort", "o", "o", "sort", "Choose what the runs are sorted by", RUNS, False),
    Command("sort_left", "less_than_sign", "<", "sort left", "Sort by the column to the left", RUNS, False),
    Command("sort_right", "greater_than_sign", ">", "sort right", "Sort by the column to the right", RUNS, False),
    Command("reverse", "O", "O", "reverse", "Reverse the order", RUNS, False),
    Command("columns", "C", "C", "columns", "Choose the columns and their order", RUNS, False),
    Command("mark_all", "A", "A", "mark all", "Mark all runs that the filter has found", RUNS, False, when=RUN),
    Command("clear_marks", "M", "M", "clear marks", "Unmark all runs", RUNS, False, when=MARKED),
    Command("resume", "R", "R", "resume", "Go on with a run that was stopped", RUNS, False, when=RESUMABLE),
    Command("again", "Q", "Q", "queue again", "Train the same experiment once more", RUNS, False, when=RUN),
    Command("stop", "S", "S", "stop…", "Stop the selected run", RUNS, False, when=RUN_LIVE),
    Command("copy_id", "y", "y", "copy id", "Copy the id of the run", RUNS, False, when=RUN),
    Command("clear_filter", "escape", "esc", "clear filter", "Show all runs again", RUNS, False, when=FILTERED),
    Command("move_up", "K", "K", "sooner", "Let the experiment under the cursor run sooner", RUNS, False, when=QUEUED),
    Command("move_down", "J", "J", "later", "Let the experiment under the cursor run later", RUNS, False, when=QUEUED),
    Command("hold", "H", "H", "hold queue", "Hold the queue, or let it go on", RUNS, False, when=QUEUED),
)
