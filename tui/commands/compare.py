"""The commands of Compare."""

from __future__ import annotations

from tui.commands.charts import chart_commands
from tui.commands.declaration import COMPARE, MARKED, Command

COMMANDS = (
    Command("baseline", "b", "b", "baseline", "Compare the others with the run under the cursor", COMPARE, when=MARKED),
    Command("unmark", "d,delete", "d", "take out", "Take the run under the cursor out", COMPARE, when=MARKED),
    Command("copy", "Y", "Y", "copy", "Copy the comparison as Markdown", COMPARE, when=MARKED),
    Command("open", "enter", "enter", "open", "Show the run under the cursor on Train", COMPARE, when=MARKED),
    Command(
        "new", "n", "n", "new from this", "Begin an experiment from the run under the cursor", COMPARE, when=MARKED
    ),
    Command("choose_runs", "slash,a", "/", "choose runs", "Choose the runs to compare", COMPARE),
    Command("clear_marks", "M", "M", "clear", "Take all runs out", COMPARE, False, when=MARKED),
    *chart_commands(COMPARE),
)
