"""Keys that change how charts look: those of the chart with the focus, or of all where none has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual.content import Content

from tui.commands.charts import CURSOR, LOOK
from tui.overlays import Overlays
from tui.safe import safe
from tui.screens.picker import Entry, Picker
from tui.screens.workspace import Workspace
from tui.widgets.curve import Curve, Look
from tui.widgets.look import UNITS, WEIGHTS
from tui.widgets.panel import Panel

ZOOM = 0.5
PAN = 0.25
NO_METRIC = "no metric is known yet: they come with the first epoch"


class Charts(Workspace):
    """A workspace with charts. The x axis and the cursor are common to all of them; the part in view, smoothing and the
    scale are each chart's own. Smoothing, scale and x axis are remembered."""

    unit = UNITS[0]
    _overlays: Overlays[Any]

    def __init__(self, **metrics: str) -> None:
        """`metrics` are those that the charts show at first, by the chart's id; "" where the screen finds one."""
        super().__init__()
        self._chosen = metrics

    def on_unmount(self) -> None:
        self._overlays.end()

    def on_screen_suspend(self) -> None:
        self.rest_or_read()

    def rest_or_read(self) -> None:
        """Marked runs need not be read while the screen is not in view; behind a dialogue it is."""
        self._overlays.rest(self.app.mode_shown != self.where)

    def show_curves(self) -> None:
        """Draw the charts."""
        raise NotImplementedError

    def charts(self) -> list[Curve]:
        return list(self.query(Curve))

    def charts_meant(self) -> list[Curve]:
        """The chart with the focus, or all of them."""
        focused = self.focused
        return [focused] if isinstance(focused, Curve) else self.charts()

    def remember_charts(self) -> None:
        self.app.state.put(f"{self.where}.unit", self.unit)
        for chart in self.charts():
            self.app.state.put(f"{self.where}.{chart.id}.look", {"weight": chart.look.weight, "log": chart.look.log})

    def recall_charts(self) -> None:
        """Let the charts look as they did in the last sitting; what makes no sense is left out."""
        unit = self.app.state.text(f"{self.where}.unit")
        self.unit = unit if unit in UNITS else UNITS[0]
        for shown, name in self._chosen.items():
            self._chosen[shown] = self.app.state.text(f"{self.where}.{shown}.metric", name)
        for chart in self.charts():
            left = self.app.state.get(f"{self.where}.{chart.id}.look")
            left = left if isinstance(left, dict) else {}
            weight = left.get("weight")
            chart.look = Look(weight if weight in WEIGHTS else 0.0, left.get("log") is True)

    def title_chart(self, chart: Curve, name: str, more: Sequence[str] = ()) -> None:
        """Name a chart, and say what is not as usual with it."""
        panel = chart.parent
        text = safe(" · ".join([name, *chart.notes, *more]))
        if isinstance(panel, Panel) and str(panel.border_title) != text:
            panel.border_title = Content(text)

    def show_titles(self) -> None:
        """Say anew what is not as usual with the charts."""
        raise NotImplementedError

    def _changed(self) -> None:
        self.show_titles()
        self.remember_charts()
        self.show_header()

    def states(self) -> set[str]:
        charts = self.charts()
        held = {CURSOR} if any(chart.cursor is not None for chart in charts) else set()
        return super().states() | held | ({LOOK} if any(chart.look != Look() for chart in charts) else set())

    # ------------------------------------------------------------------ the cursor

    def _cursor(self) -> float | None:
        return next((chart.cursor for chart in self.charts() if chart.cursor is not None), None)

    def _put_cursor(self, x: float | None) -> None:
        for chart in self.charts():
            chart.point_at(x)
        self.show_titles()
        self.show_header()

    def action_cursor(self) -> None:
        if self._cursor() is not None:
            self._put_cursor(None)
            return
        places = [chart.next_point(-1) for chart in self.charts_meant()]
        x = next((place for place in places if place is not None), None)
        if x is None:
            self.app.tell("there is no curve yet to read values from")
        else:
            self._put_cursor(x)

    def action_leave_cursor(self) -> None:
        if self._cursor() is not None:
            self._put_cursor(None)

    # ------------------------------------------------------------------ what is in view

    def _move(self, step: int) -> None:
        if self._cursor() is not None:
            self._put_cursor(self.charts_meant()[0].next_point(step))
            return
        for chart in self.charts_meant():
            chart.pan(step * PAN)
        self._changed()

    def action_pan_left(self) -> None:
        self._move(-1)

    def action_pan_right(self) -> None:
        self._move(1)

    def _zoom(self, factor: float) -> None:
        for chart in self.charts_meant():
            chart.zoom(factor)
        self._changed()

    def action_zoom_in(self) -> None:
        self._zoom(ZOOM)

    def action_zoom_out(self) -> None:
        self._zoom(1 / ZOOM)

    def action_reset_charts(self) -> None:
        for chart in self.charts_meant():
            chart.look = Look()
        self._changed()

    # ------------------------------------------------------------------ how it is drawn

    def action_smoothing(self) -> None:
        meant = self.charts_meant()
        weight = WEIGHTS[(WEIGHTS.index(meant[0].look.weight) + 1) % len(WEIGHTS)]
        for chart in meant:
            chart.look = replace(chart.look, weight=weight)
        self._changed()

    def action_logarithm(self) -> None:
        meant = self.charts_meant()
        log = not meant[0].look.log
        for chart in meant:
            chart.look = replace(chart.look, log=log)
        self._changed()

    def action_x_axis(self) -> None:
        self.unit = UNITS[(UNITS.index(self.unit) + 1) % len(UNITS)]
        for chart in self.charts():
            # A place in epochs is none in seconds.
            chart.point_at(None)
            chart.look = replace(chart.look, window=Look().window)
        self.show_curves()
        self._changed()

    # ------------------------------------------------------------------ which metric

    def known_metrics(self) -> list[str]:
        """What a chart can show by now."""
        raise NotImplementedError

    def shown_metric(self, chart: Curve) -> str:
        """What a chart shows: what was chosen, where some run has it."""
        raise NotImplementedError

    def _chart_of_metric(self) -> Curve:
        """The chart with the focus, else the last one."""
        meant = self.charts_meant()
        return meant[0] if len(meant) == 1 else self.charts()[-1]

    def action_next_metric(self) -> None:
        known, chart = self.known_metrics(), self._chart_of_metric()
        if not known:
            self.app.tell(NO_METRIC)
            return
        now = self.shown_metric(chart)
        self._put_metric(chart, known[(known.index(now) + 1) % len(known)] if now in known else known[0])

    def action_choose_metric(self) -> None:
        known, chart = self.known_metrics(), self._chart_of_metric()
        if not known:
            self.app.tell(NO_METRIC)
            return
        now = self.shown_metric(chart)
        entries = [Entry(name, "", "shown now" if name == now else "") for name in known]
        self.app.push_screen(Picker("Metric", entries), lambda name: self._put_metric(chart, name) if name else None)

    def _put_metric(self, chart: Curve, name: str) -> None:
        self._chosen[chart.id or ""] = name
        self.app.state.put(f"{self.where}.{chart.id}.metric", name)
        self.show_curves()
