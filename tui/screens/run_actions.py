"""What a person does to runs, and to the queue, from the list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.errors import LayerlabError
from engine.store.listing import Summary
from tui.run_changes import RunChanges, told
from tui.run_columns import called
from tui.running import CAN_GO_ON
from tui.safe import safe
from tui.screens.choice import Choice
from tui.screens.note_editor import NoteEditor
from tui.screens.prompt import Prompt
from tui.screens.tag_prompt import TagPrompt
from tui.screens.workspace import Workspace

if TYPE_CHECKING:
    from tui.run_list import RunList
    from tui.widgets.queue_table import QueueTable
    from tui.widgets.run_table import RunTable

MOST_MARKED = 60
STOPS = (
    ("e", "after this epoch", "stop_epoch"),
    ("n", "now, and keep a checkpoint", "stop"),
    ("d", "now, and discard what was learned since the last checkpoint", "discard"),
    ("c", "not at all: continue", ""),
)


class RunActions(Workspace):
    """The commands of Runs that act on a run, on the marked ones, or on what waits."""

    table: RunTable
    queue: QueueTable
    changes: RunChanges
    _list: RunList

    def selected(self) -> Summary | None:
        """The run under the cursor."""
        return self.table.selected

    def _with_targets(self, what: str, act: Callable[[Sequence[Summary]], None]) -> None:
        """Act on the run under the cursor. Where it is one of several that are marked, ask which are meant."""
        run, rows = self.selected(), self.app.stored.rows
        if run is None:
            return
        marked = [rows[name] for name in self.app.marks.runs if name in rows]
        if len(marked) < 2 or run.run not in self.app.marks:
            act([run])
            return
        answers = (
            ("o", f"only {safe(called(run), 40)}", "one"),
            ("m", f"the {len(marked)} marked runs", "marked"),
        )

        def answered(answer: str | None) -> None:
            if answer is not None:
                act(marked if answer == "marked" else [run])

        self.app.push_screen(Choice(what, f"{what}: which runs?", answers), answered)

    # ------------------------------------------------------------------ looking and comparing

    def action_open(self) -> None:
        run = self.selected()
        if run is None or self.focused is self.queue:
            return
        if not run.path.is_dir():
            self.app.tell(f"the run {run.run} is gone", wrong=True)
            self.app.stored.want()
            return
        self.app.open_run(run.path)

    def action_mark(self) -> None:
        run = self.selected()
        if run is not None:
            self.app.marks.toggle(run.run)
            self.app.marks_changed()

    def action_mark_all(self) -> None:
        found = self._list.found
        if len(found) > MOST_MARKED:
            self.app.tell(f"{len(found):,} runs are too many to compare; filter them down to {MOST_MARKED}")
            return
        for run in found:
            if run.run not in self.app.marks:
                self.app.marks.toggle(run.run)
        self.app.marks_changed()

    def action_clear_marks(self) -> None:
        self.app.marks.clear()
        self.app.marks_changed()

    def action_compare(self) -> None:
        self.app.action_compare_view()

    def action_copy_id(self) -> None:
        run = self.selected()
        if run is not None:
            self.app.copy(run.run, "id")

    # ------------------------------------------------------------------ training

    def action_new(self) -> None:
        run = self.selected()
        experiment = self.app.filing.experiment_of(run) if run is not None else None
        if experiment is not None:
            self.app.new_from(experiment)

    def action_again(self) -> None:
        run = self.selected()
        experiment = self.app.filing.experiment_of(run) if run is not None else None
        if experiment is not None:
            self.app.running.train(experiment)

    def action_resume(self) -> None:
        run = self.selected()
        if run is None:
            return
        if run.status not in CAN_GO_ON:
            self.app.tell(f"{run.label} is {run.status}: only a run that ended before its time can go on", wrong=True)
            return
        experiment = self.app.filing.experiment_of(run)
        if experiment is not None:
            self.app.running.train(experiment, resume=run.path)

    def action_stop(self) -> None:
        run = self.selected()
        if run is None:
            return
        if not run.live:
            self.app.tell(f"{run.label} is {run.status}: there is nothing to stop")
            return

        def answered(name: str | None) -> None:
            if name:
                self._ask(run, name)

        self.app.push_screen(Choice("Stop", f"How shall {called(run)[:60]} end?", STOPS), answered)

    def _ask(self, run: Summary, name: str) -> None:
        running = self.app.running
        if running.path == run.path and running.training.alive:
            running.ask_own(name)
            return
        from engine.control import Request
        from engine.store.requests import send

        try:
            send(run.path, Request(name))
        except LayerlabError as error:
            self.app.tell(str(error), wrong=True)
        else:
            self.app.tell(f"asked {run.label} to {name.replace('_', ' ')}")

    # ------------------------------------------------------------------ notes

    def action_rename(self) -> None:
        run = self.selected()
        if run is None:
            return
        shown = safe(run.label)

        def given(text: str | None) -> None:
            if text is not None and text != shown:
                self.changes.note([run], f"named {text or run.name}", name=text or None)

        self.app.push_screen(Prompt("Name; none gives its own back", shown, _too_long, replace=True), given)

    def action_tag(self) -> None:
        known = {tag for run in self.app.stored.rows.values() for tag in run.notes.tags}

        def ask(runs: Sequence[Summary]) -> None:
            common = [tag for tag in runs[0].notes.tags if all(tag in run.notes.tags for run in runs)]
            there = {safe(tag): tag for tag in common}

            def given(text: str | None) -> None:
                if text is None:
                    return
                words = list(dict.fromkeys(text.split()))
                added = [word for word in words if word not in there]
                removed = [tag for shown, tag in there.items() if shown not in words]
                if added or removed:
                    what = " ".join([*(f"+{word}" for word in added), *(f"-{tag}" for tag in removed)])
                    self.changes.note(runs, f"tags of {told(runs)}: {what}", add_tags=added, remove_tags=removed)

            self.app.push_screen(TagPrompt(f"Tags of {safe(told(runs), 40)}", list(there), known), given)

        self._with_targets("Tag", ask)

    def action_note(self) -> None:
        run = self.selected()
        if run is None:
            return

        def given(text: str | None) -> None:
            if text is not None and text != run.notes.text.rstrip():
                self.changes.note([run], f"note on {run.label}", text=text)

        self.app.push_screen(NoteEditor(called(run), run.notes.text), given)

    def action_pin(self) -> None:
        def pin(runs: Sequence[Summary]) -> None:
            pinned = not all(run.notes.pinned for run in runs)
            self.changes.note(runs, f"{'pinned' if pinned else 'unpinned'} {told(runs)}", pinned=pinned)

        self._with_targets("Pin", pin)

    def action_star(self) -> None:
        def star(runs: Sequence[Summary]) -> None:
            starred = not all(run.notes.starred for run in runs)
            self.changes.note(runs, f"{'starred' if starred else 'no star any more:'} {told(runs)}", starred=starred)

        self._with_targets("Star", star)

    def action_undo(self) -> None:
        self.changes.undo()

    # ------------------------------------------------------------------ deleting, and the queue

    def action_delete(self) -> None:
        if self.focused is self.queue:
            if self.app.running.queue.remove(self.queue.place):
                self.app.queue_changed()
            return
        self._with_targets("Delete", self.changes.delete)

    def action_move_up(self) -> None:
        self._move(-1)

    def action_move_down(self) -> None:
        self._move(1)

    def _move(self, step: int) -> None:
        if self.focused is not self.queue:
            told = "{runs.move_up} and {runs.move_down} move what waits in the queue; {panels.next_panel} goes there"
            self.app.tell(self.app.settings.with_keys(told))
        elif self.app.running.queue.move(self.queue.place, step):
            self.app.queue_changed()
            self.queue.move_with(step)

    def action_hold(self) -> None:
        running = self.app.running
        running.queue.held = not running.queue.held
        if not running.queue.held:
            running.next()
        self.app.queue_changed()


def _too_long(text: str) -> str:
    from engine.store.notes import MAX_NAME

    return f"a name has at most {MAX_NAME} characters, this has {len(text)}" if len(text) > MAX_NAME else ""
