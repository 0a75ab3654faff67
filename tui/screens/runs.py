"""Runs: all runs of the store in a list that is filtered as one types, and the one under the cursor beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import ClassVar

from textual.content import Content
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Input

from engine.store.listing import Summary
from tui.commands import PANELS, RUN, RUNS, UNDO, bindings
from tui.commands.runs import FILTERED, QUEUED, RESUMABLE, RUN_LIVE
from tui.run_changes import RunChanges, RunsChanged
from tui.run_columns import DEFAULT, DEFAULT_SORT, FIXED, Column, called, column, known
from tui.run_list import RunList
from tui.run_picture import PictureRead, PictureReader
from tui.running import CAN_GO_ON
from tui.safe import safe
from tui.screens.column_chooser import ColumnChooser
from tui.screens.picker import Entry, Picker
from tui.screens.run_actions import RunActions
from tui.widgets.filter_line import FilterInput, FilterLine
from tui.widgets.lines import Line, line
from tui.widgets.panel import Panel
from tui.widgets.queue_table import QueueTable
from tui.widgets.rows import Rows
from tui.widgets.run_preview import RunPreview, wrapped
from tui.widgets.run_table import RunTable
from tui.widgets.status import Footer

# While the store is read for the first time its runs come in many batches: the first is drawn at once.
SECONDS_BETWEEN_DRAWS = 0.3
SECONDS_BETWEEN_READS = 1.0
SECONDS_BETWEEN_AGES = 20.0


class RunsScreen(RunActions):
    """What is shown follows from the store, the filter and the order; what is done to runs is in `run_actions`."""

    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar = bindings(RUNS, PANELS)
    where = RUNS

    def __init__(self) -> None:
        super().__init__()
        self._list = RunList()
        self._columns: list[Column] = []
        self._order = (column(DEFAULT_SORT[0]) or FIXED["when"], DEFAULT_SORT[1])
        self._taken = -1
        self._due = False

    def above(self) -> Iterable[Widget]:
        self._remembered()
        yield FilterLine(self._list.text, id="filter-line")

    def panels(self) -> Iterable[Panel]:
        marks = self.app.marks
        self.changes = RunChanges(self.app.store, self.post_message, self.app.settings.with_keys("{runs.undo}"))
        self._pictures = PictureReader(self.post_message)
        self.table = RunTable(lambda run: marks.colour(run) if run in marks else None, id="runs")
        self.table.wanted = self.app.state.text("runs.cursor")
        self.preview = RunPreview(id="preview")
        self.queue = QueueTable(id="queue")
        yield Panel("Runs", self.table, id="runs-panel")
        yield Panel("Run", self.preview, id="preview-panel")
        yield Panel("Queue", self.queue, id="queue-panel")

    def on_mount(self) -> None:
        self._following = self.set_interval(SECONDS_BETWEEN_READS, self._follow, pause=True)
        self.set_interval(SECONDS_BETWEEN_AGES, self._older)
        self._show_queue()
        super().on_mount()

    def on_unmount(self) -> None:
        self._pictures.end()
        self.changes.end()

    def panel_of(self, widget: Widget) -> Panel | None:
        if isinstance(widget, FilterInput):
            # What is typed narrows the list down: that is what a small terminal shows meanwhile.
            return self.query_one("#runs-panel", Panel)
        return super().panel_of(widget)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        # Other keys may hold there. What shows the panel is called as well, behind this.
        self.app_states()

    def show_header(self) -> None:
        super().show_header()
        if self.is_running and isinstance(self.focused, FilterInput):
            # Every other key is typed.
            self.query_one(Footer).show([("enter", "to the list", RUNS), ("esc", "show all runs", RUNS)])

    # ------------------------------------------------------------------ what is remembered

    def _remembered(self) -> None:
        state = self.app.state
        ids = state.names("runs.columns") or DEFAULT
        self._columns = [found for id in ids if (found := column(id)) is not None] or [FIXED[id] for id in DEFAULT]
        by = column(state.text("runs.sort") or DEFAULT_SORT[0])
        if by is not None:
            self._order = (by, state.flag("runs.descending", DEFAULT_SORT[1]))
        self._list.filter_by(state.text("runs.filter"), typing=False)

    # ------------------------------------------------------------------ news

    def show(self) -> None:
        self._take()
        self._show_queue()

    def store_changed(self) -> None:
        """Draw the first runs at once, and then not too often: there may be many batches."""
        if self._taken < 0 or self.app.stored.complete or not self._list.total:
            self._take()
        elif not self._due:
            self._due = True
            self.set_timer(SECONDS_BETWEEN_DRAWS, self._take)

    def marks_changed(self) -> None:
        self.table.at(self._now())

    def queue_changed(self) -> None:
        self._show_queue()

    def _take(self) -> None:
        """Bring list and preview up to the store."""
        self._due = False
        stored = self.app.stored
        if self._taken != stored.version:
            self._taken = stored.version
            self._list.take(stored.rows.values(), *self._order)
        self._draw()

    def _draw(self, narrowed: bool = False) -> None:
        by, descending = self._order
        found = self._list.found
        empty = () if found else self._empty()
        self.table.show(found, self._columns, (by.id, descending), self._now(), empty, narrowed=narrowed)
        order = f"{by.title} {'▼' if descending else '▲'}"
        self.query_one(FilterLine).show(len(self._list.found), self._list.total, order, self._list.problem)
        self._show_preview()

    def _now(self) -> float:
        return time.time()

    def _older(self) -> None:
        if self.app.workspace() is self:
            self.table.at(self._now())

    def _empty(self) -> list[Line]:
        """What stands in place of runs: why there are none, and which key changes that."""
        stored = self.app.stored
        with_keys = self.app.settings.with_keys
        key = with_keys(" {everywhere.train_now} ")
        begin = line((key, "accent"), ("trains what is composed; the run is listed here", "dim"))
        if self._list.total:
            key = with_keys(" {runs.clear_filter} ")
            unknown = [line((f" {text}", "dim")) for text in self._list.hint()]
            return [line(" no run fits the filter"), *unknown, line((key, "accent"), ("shows all again", "dim"))]
        if stored.problem and self.app.store.exists():
            told = wrapped(stored.problem, max(self.table.size.width - 3, 20), 4)
            other = line((" another store is named by --runs when the application begins", "dim"))
            return [*(line((f" {text}", "bad")) for text in told), (), other]
        if not stored.complete:
            return [line((" reading the store…", "dim"))]
        return [line(" no runs yet"), (), begin]

    # ------------------------------------------------------------------ the preview and the queue

    def selected(self) -> Summary | None:
        """The run under the cursor."""
        return self.table.selected

    def _show_preview(self) -> None:
        run = self.selected()
        self.preview.show(run, self._pictures.picture(run) if run is not None else None)
        panel = self.query_one("#preview-panel", Panel)
        title = Content(safe(called(run), 60) if run is not None else "Run")
        if panel.border_title != title:
            panel.border_title = title
        if run is not None and run.live:
            self._following.resume()
        else:
            self._following.pause()

    def _follow(self) -> None:
        """Read on in the run under the cursor, which is live."""
        run = self.selected()
        if run is not None and self.app.workspace() is self:
            self._pictures.want(run)

    def on_picture_read(self, message: PictureRead) -> None:
        self._pictures.keep(message.picture)
        run = self.selected()
        if run is not None and run.run == message.picture.run:
            self.preview.show(run, message.picture)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.rows is self.table:
            run = self.selected()
            self.app.state.put("runs.cursor", run.run if run is not None else "")
            self._show_preview()
            self.app_states()
            if event.twice:
                self.action_open()

    def _show_queue(self) -> None:
        queue = self.app.running.queue
        panel = self.query_one("#queue-panel", Panel)
        panel.set_class(not len(queue), "-absent")
        self.set_class(not len(queue), "-unqueued")
        if not len(queue) and panel.has_class("-shown"):
            self.show_panel(self.query_one("#runs-panel", Panel))
        self.queue.show(self.app.running)

    def states(self) -> set[str]:
        run = self.selected()
        holds = {
            RUN: run is not None,
            UNDO: self.changes.can_undo,
            RUN_LIVE: run is not None and run.live,
            RESUMABLE: run is not None and run.status in CAN_GO_ON,
            FILTERED: self._list.filtered,
            QUEUED: bool(len(self.app.running.queue)),
        }
        return (super().states() - {UNDO}) | {state for state, there in holds.items() if there}

    def app_states(self) -> None:
        """Name the keys that can be used now."""
        if self.app.workspace() is self:
            self.show_header()

    def subject(self) -> Line:
        return line((f"{self.app.store}", "dim"))

    def on_runs_changed(self, message: RunsChanged) -> None:
        self.app.tell(message.text, message.wrong)
        self.app.stored.want()
        self.app_states()

    # ------------------------------------------------------------------ filter

    def action_filter(self) -> None:
        self.query_one("#filter", FilterInput).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id != "filter" or event.value == self._list.text:
            return
        self._list.filter_by(event.value)
        self.app.state.put("runs.filter", event.value)
        self._draw(narrowed=True)

    def on_filter_input_left(self, event: FilterInput.Left) -> None:
        if event.clear:
            self.action_clear_filter()
        else:
            self._list.filter_by(self._list.text, typing=False)
            self._draw(narrowed=True)
            self.table.stay()
        self.table.focus()
        self.app_states()

    def action_clear_filter(self) -> None:
        self.query_one("#filter", FilterInput).value = ""

    # ------------------------------------------------------------------ order and columns

    def _sort_by(self, by: Column, descending: bool) -> None:
        self._order = (by, descending)
        self.app.state.put("runs.sort", by.id)
        self.app.state.put("runs.descending", descending)
        self._taken = -1
        self._take()

    def action_sort(self) -> None:
        ids = dict.fromkeys([*(shown.id for shown in self._columns), *known(self.app.stored.rows.values())])
        named = {f"{found.title}": found for id in ids if (found := column(id)) is not None}
        entries = [Entry(title, "", found.line) for title, found in named.items()]

        def chosen(title: str | None) -> None:
            if title is not None:
                self._sort_by(named[title], named[title].descending)

        self.app.push_screen(Picker("Sort by", entries), chosen)

    def action_sort_left(self) -> None:
        self._sort_beside(-1)

    def action_sort_right(self) -> None:
        self._sort_beside(1)

    def _sort_beside(self, step: int) -> None:
        ids = [shown.id for shown in self._columns]
        here = ids.index(self._order[0].id) if self._order[0].id in ids else 0
        by = self._columns[(here + step) % len(ids)]
        self._sort_by(by, by.descending)

    def action_reverse(self) -> None:
        self._sort_by(self._order[0], not self._order[1])

    def action_columns(self) -> None:
        def chosen(ids: list[str] | None) -> None:
            if ids:
                self.app.state.put("runs.columns", ids)
                self._columns = [found for id in ids if (found := column(id)) is not None]
                self._draw()

        shown = [each.id for each in self._columns]
        self.app.push_screen(ColumnChooser(shown, known(self.app.stored.rows.values())), chosen)
