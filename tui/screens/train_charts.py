"""The charts of Train: the curves of the run that is shown, over those of the runs that are marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.overlays import MOST, Overlays, OverlaysRead
from tui.screens.charts import Charts
from tui.screens.compare_with import CompareWith, names_of_runs
from tui.widgets.curve import Curve, Series

if TYPE_CHECKING:
    from engine.store.reader import RunView
    from tui.run_curves import RunCurves, RunCurvesReader

# The second pattern is that of validation; each run compared has one of those that follow.
FIRST_DASH = 2


def curves_reader(view: RunView) -> RunCurvesReader:
    """What is kept of an overlaid run. numpy comes with it: not with the first frame."""
    from tui.run_curves import RunCurvesReader

    return RunCurvesReader(view)


class TrainCharts(Charts):
    """Two charts, `loss` and `score`; both can show any metric."""

    def __init__(self) -> None:
        super().__init__(loss="loss", score="")
        self._overlays: Overlays[RunCurves] = Overlays(self.post_message, curves_reader)
        self._reader: RunCurvesReader | None = None
        self._run: RunCurves | None = None
        self._names: dict[str, str] = {}

    def on_mount(self) -> None:
        self.recall_charts()

    def show_curves(self) -> None:
        """Draw the charts: this run, and behind it those that are marked."""
        view = self.app.view
        self.rest_or_read()
        if view is None and not self.app.marks.runs:
            self._reader = self._run = None
            for chart in self.charts():
                chart.draw((), 1, empty=self._empty(chart, chart.id == "loss"))
            self.show_titles()
            return
        # numpy: it comes with the first run, not with the first frame.
        from tui.run_curves import RunCurvesReader, span_of

        if view is None:
            self._reader = self._run = None
        else:
            if self._reader is None or self._reader.view is not view:
                self._reader = RunCurvesReader(view)
            self._run = self._reader.read()
        self._want_overlays()
        read = dict(self._overlays.read)
        for chart in self.charts():
            name = self.shown_metric(chart)
            series: list[Series] = []
            reach = 0.0
            for run, curves in read.items():
                part = next((part for part in (f"val/{name}", f"train/{name}", name) if part in curves.metrics), "")
                if run in self._names and part:
                    colour = self.app.marks.colour(run)
                    x, y = curves.points(part, self.unit)
                    series.append(Series(self._names[run], x, y, f"series-{colour}", FIRST_DASH + colour))
                    reach = max(reach, curves.reach(self.unit, [part]))
            total = 0.0
            if self._run is not None:
                series += self._own(self._run, name)
                reach = max(reach, self._run.reach(self.unit, ["train/loss", *self._run.metrics]))
                total = self._run.total(self.unit)
            empty = self._empty(chart, name == "loss")
            chart.draw(series, span_of(reach, total), name, unit=self.unit, reach=reach, empty=empty)
        self.show_titles()

    def _empty(self, chart: Curve, loss: bool) -> str:
        """What would come where there is no curve, and what brings it."""
        coming = "the curve begins with the first steps" if loss else "a point an epoch comes here"
        if self._run is not None:
            return coming
        key = "{everywhere.train_now} trains" if chart.id == "loss" else "{everywhere.runs_view} shows other runs"
        return f"{coming}: {self.app.settings.with_keys(key)}"

    def _own(self, run: RunCurves, name: str) -> list[Series]:
        """The curves of the run that is shown: training, and dashed over it validation."""
        shown = self.app.view.run if self.app.view is not None else ""
        # A run has one colour everywhere, as long as it is marked.
        marked = f"series-{self.app.marks.colour(shown)}" if shown in self.app.marks.runs else ""
        found = []
        for part, label, style in (("train/", "train", "accent"), ("val/", "val", "second"), ("", name, "accent")):
            x, y = run.points(part + name, self.unit)
            if len(x):
                found.append(Series(label, x, y, marked or style, int(label == "val")))
        return found

    def _want_overlays(self) -> None:
        """Have the marked runs read, but for the one that is shown."""
        shown = self.app.view.run if self.app.view is not None else ""
        rows = self.app.stored.rows
        runs = [run for run in self.app.marks.runs if run != shown and run in rows][:MOST]
        self._names = names_of_runs({run: rows[run] for run in runs})
        self._overlays.want({run: rows[run].path for run in runs})

    def shown_metric(self, chart: Curve) -> str:
        """What a chart shows: what was chosen, where some run has it; else the loss, below it the score."""
        names = self.known_metrics()
        chosen = self._chosen[chart.id or ""]
        if chosen in names:
            return chosen
        if chart.id == "loss":
            return "loss"
        scores = [name for name in names if name not in ("loss", "lr")]
        return next((name for name in ("accuracy", "mae") if name in scores), scores[0] if scores else "")

    def known_metrics(self) -> list[str]:
        if self._run is None and not self._overlays.read:
            return []
        from tui.run_curves import names_of

        return names_of([*([self._run] if self._run is not None else []), *self._overlays.read.values()])

    def show_titles(self) -> None:
        more = len([run for run in self.app.marks.runs if self.app.view is None or run != self.app.view.run]) - MOST
        for chart in self.charts():
            there = self._run is not None or self._overlays.read
            name = self.shown_metric(chart) if there else ""
            title = name.replace("_", " ").capitalize() if name and name != "lr" else "Learning rate" if name else ""
            beyond = [f"{more} of the marked runs not drawn"] if more > 0 else []
            self.title_chart(chart, title or ("Loss" if chart.id == "loss" else "Accuracy"), beyond)

    def on_overlays_read(self, message: OverlaysRead) -> None:
        self.show_curves()

    def marks_changed(self) -> None:
        self.show_curves()

    def store_changed(self) -> None:
        self._want_overlays()
        if isinstance(self.app.screen, CompareWith) and self.app.screen.is_mounted:
            self.app.screen.renew()

    def action_compare_with(self) -> None:
        self.app.stored.want()
        self.app.push_screen(CompareWith(self.app.view.run if self.app.view is not None else ""))
