"""Compare: the marked runs side by side, only what differs, their curves over each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from tui.commands import COMPARE, PANELS, bindings
from tui.compare import main_metric, metric_names
from tui.overlays import Overlays, OverlaysRead
from tui.screens.charts import Charts
from tui.screens.compare_with import CompareWith
from tui.widgets.compare_table import CompareTable
from tui.widgets.curve import Curve, Series
from tui.widgets.lines import Line, line
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from engine.store.reader import RunView
    from tui.compared import Compared, ComparedReader

# More than anybody looks at side by side; each is read in full.
MOST = 64
EMPTY = (
    "",
    "Nothing is marked yet. What is compared here are runs of the store:",
    "{everywhere.runs_view} shows them all, {runs.mark} marks one; or {compare.choose_runs} picks them here.",
)


def compared_reader(view: RunView) -> ComparedReader:
    """What is kept of a run that is compared. numpy comes with it: not with the first frame."""
    from tui.compared import ComparedReader

    return ComparedReader(view)


class CompareScreen(Charts):
    """The runs of `app.marks`, the baseline first."""

    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar = bindings(COMPARE, PANELS)
    where = COMPARE

    def __init__(self) -> None:
        super().__init__(curve="")
        self._overlays: Overlays[Compared] = Overlays(self.post_message, compared_reader, MOST)
        self._runs: list[Compared] = []

    def panels(self) -> Iterable[Panel]:
        yield Panel("Differences", CompareTable(id="compared"), id="differences")
        yield Panel("Curves", Curve(empty="", id="curve"), id="curve-panel")

    def on_mount(self) -> None:
        self.recall_charts()

    # ------------------------------------------------------------------ drawing

    def show(self) -> None:
        """Draw what is known of the marked runs, and have the others read."""
        self.rest_or_read()
        rows, marks = self.app.stored.rows, self.app.marks
        self._overlays.want({run: rows[run].path for run in marks.runs if run in rows})
        read = dict(self._overlays.read)
        first = marks.baseline
        ordered = sorted(marks.runs, key=lambda run: run != first)
        self._runs = [read[run] for run in ordered if run in read]
        waiting = len(marks) - len(self._runs)
        empty = tuple(map(self.app.settings.with_keys, EMPTY))
        if waiting and not self._runs:
            empty = (f"reading {waiting} {'run' if waiting == 1 else 'runs'}…",)
        from tui.compared import comparison

        styles = [f"series-{marks.colour(run.run)}" for run in self._runs]
        self.query_one(CompareTable).show(self._runs, comparison(self._runs), styles, empty)
        self.show_curves()

    def show_curves(self) -> None:
        """Draw one metric of all runs."""
        chart = self.query_one(Curve)
        name = self.shown_metric(chart)
        if not name:
            chart.draw((), 1, empty="the curves of the marked runs come here" if not self._runs else "no epoch yet")
            self.show_titles()
            return
        from tui.run_curves import span_of

        series, reach, total = [], 0.0, 0.0
        for run in self._runs:
            if run.curves is not None and name in run.curves.metrics:
                colour = self.app.marks.colour(run.run)
                x, y = run.curves.points(name, self.unit)
                series.append(Series(run.label, x, y, f"series-{colour}", colour))
                reach = max(reach, run.curves.reach(self.unit, [name]))
                total = max(total, run.curves.total(self.unit))
        chart.draw(series, span_of(reach, total), name, unit=self.unit, reach=reach, empty="no run has this metric")
        self.show_titles()

    def show_titles(self) -> None:
        chart, more = self.query_one(Curve), len(self.app.marks) - MOST
        self.title_chart(chart, self.shown_metric(chart) or "Curves", [f"{more} more not read"] if more > 0 else [])

    def known_metrics(self) -> list[str]:
        return metric_names([dict.fromkeys(run.curves.metrics, 0.0) for run in self._runs if run.curves is not None])

    def shown_metric(self, chart: Curve) -> str:
        """What was chosen, where some run has it; else what sums the runs up."""
        known, chosen = self.known_metrics(), self._chosen[chart.id or ""]
        if chosen in known:
            return chosen
        monitor = self._runs[0].monitor if self._runs else None
        return main_metric(dict.fromkeys(known, 0.0), monitor) or ""

    def subject(self) -> Line:
        baseline = self._runs[0].label if self._runs else ""
        return line(("baseline ", "dim"), baseline) if baseline else ()

    # ------------------------------------------------------------------ news

    def on_overlays_read(self, message: OverlaysRead) -> None:
        self.show()
        self.show_header()

    def marks_changed(self) -> None:
        self.show()

    def store_changed(self) -> None:
        rows = self.app.stored.rows
        self._overlays.want({run: rows[run].path for run in self.app.marks.runs if run in rows})
        if isinstance(self.app.screen, CompareWith) and self.app.screen.is_mounted:
            self.app.screen.renew()

    def on_compare_table_column_changed(self) -> None:
        self.show_header()

    # ------------------------------------------------------------------ what can be done

    @property
    def selected(self) -> Compared | None:
        """The run under the cursor."""
        column = self.query_one(CompareTable).column
        return self._runs[column] if column < len(self._runs) else None

    def action_baseline(self) -> None:
        if self.selected is not None:
            self.app.marks.set_baseline(self.selected.run)
            self.query_one(CompareTable).column = 0
            self.app.marks_changed()

    def action_unmark(self) -> None:
        if self.selected is not None:
            self.app.marks.toggle(self.selected.run)
            self.app.marks_changed()

    def _say(self, text: str) -> None:
        self.app.tell(self.app.settings.with_keys(text))

    def action_clear_marks(self) -> None:
        self.app.marks.clear()
        self.app.marks_changed()

    def action_copy(self) -> None:
        from tui.compared import markdown

        if self._runs:
            self.app.copy(markdown(self._runs), "the comparison (Markdown)")
        else:
            self._say("nothing to copy yet: {compare.choose_runs} chooses runs")

    def action_open(self) -> None:
        row = self.app.stored.rows.get(self.selected.run) if self.selected is not None else None
        if row is not None:
            self.app.open_run(row.path)

    def action_new(self) -> None:
        row = self.app.stored.rows.get(self.selected.run) if self.selected is not None else None
        if row is None:
            self._say("no run is under the cursor: {compare.choose_runs} chooses some")
            return
        experiment = self.app.filing.experiment_of(row)
        if experiment is not None:
            self.app.new_from(experiment)

    def action_choose_runs(self) -> None:
        self.app.stored.want()
        self.app.push_screen(CompareWith(""))
