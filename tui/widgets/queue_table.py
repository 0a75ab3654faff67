"""What is trained here now, and what waits behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import VIM_KEYS, Rows

if TYPE_CHECKING:
    from engine.spec import Experiment
    from tui.running import Running


class QueueTable(Rows):
    """A row for the run that is live, which the cursor leaves out, and one for each that waits."""

    HELP = """What is trained here, and what waits. The next begins when the one before has ended, also where that
    failed. {runs.move_up} and {runs.move_down} move the experiment under the cursor, {runs.delete} takes it out,
    {runs.hold} holds the queue."""
    BINDINGS: ClassVar = list(VIM_KEYS)
    with_cursor = True
    frame_hint = "{runs.move_up} {runs.move_down} move   {runs.delete} takes out   {runs.hold} holds"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._above = 1
        self._drawn_from: Running | None = None
        self.selectable = lambda index: index >= self._above

    @property
    def place(self) -> int:
        """The place in the queue that the cursor is on."""
        return self.cursor - self._above

    def show(self, running: Running) -> None:
        """Draw the queue as it is now."""
        self._drawn_from = running
        room = max(self.size.width - 6, 8)
        rows: list[Line] = [self._first(running, room)]
        for number, item in enumerate(running.queue.items, 1):
            what = " goes on from its checkpoint" if item.resume is not None else _asked(item.experiment)
            name = fit(item.name, max(room - len(what) - 2, 12)).rstrip()
            rows.append(line((f" {number:>2} ", "dim"), name, ("  " + what.strip(), "dim")))
        self.set_rows(rows, ())
        if self.cursor < self._above < len(rows):
            self.cursor = self._above

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        if self._drawn_from is not None:
            self.show(self._drawn_from)

    def move_with(self, step: int) -> None:
        """Let the cursor follow the one that was moved."""
        self.move_to(self.cursor + step, step)

    def _first(self, running: Running, room: int) -> Line:
        if running.queue.held:
            return line((" ‖ ", "accent"), ("held: ", "accent"), (self.with_keys("{runs.hold} lets it go on"), "dim"))
        if running.starting is not None:
            return line((" ● ", "accent"), fit(running.starting.name, room - 10).rstrip(), (" is starting", "dim"))
        if running.live and running.path is not None:
            # Without the time that an id begins with.
            name = running.path.name.split("-", 1)[-1]
            return line((" ● ", "accent"), fit(name, room - 15).rstrip(), (" is trained now", "dim"))
        return line((" nothing is trained now", "dim"))


def _asked(experiment: Experiment) -> str:
    source, epochs = str(experiment.data.source), experiment.epochs
    return f"{source.removesuffix('()')}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
