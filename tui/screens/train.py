"""Train: what a run does, drawn from its folder and from nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content
from textual.widget import Widget

from engine.control import Request
from engine.errors import RequestError
from tui.commands import PANELS, TRAIN, bindings
from tui.commands.train import ENDED_EARLY
from tui.compare import main_metric
from tui.output import metric
from tui.running import CAN_GO_ON, NOT_LIVE
from tui.screens.choice import Choice
from tui.screens.prompt import Prompt
from tui.screens.train_charts import TrainCharts
from tui.watching import CURVE_SECONDS
from tui.widgets.curve import Curve
from tui.widgets.lines import Line, line
from tui.widgets.log import Log
from tui.widgets.memory import MemoryMeter
from tui.widgets.metrics_table import MetricsTable
from tui.widgets.module_tree import ModuleTree
from tui.widgets.panel import Panel
from tui.widgets.status import MARKS, Progress

if TYPE_CHECKING:
    from tui.commands import Command

STOPS = (
    ("e", "after this epoch", "stop_epoch"),
    ("n", "now, and keep a checkpoint", "stop"),
    ("d", "now, and discard what was learned since the last checkpoint", "discard"),
    ("c", "not at all: continue", ""),
)


class TrainScreen(TrainCharts):
    """Draws the application's RunView. Curves cost more than numbers and are drawn less often."""

    CSS_PATH = "train.tcss"
    BINDINGS: ClassVar = bindings(TRAIN, PANELS)
    where = TRAIN
    _epochs_drawn = 0.0

    def above(self) -> Iterable[Widget]:
        yield Progress(id="progress")

    def panels(self) -> Iterable[Panel]:
        yield Panel("Loss", Curve(empty="", id="loss"), id="loss-panel")
        yield Panel("Epochs", MetricsTable(id="epochs"), id="epochs-panel")
        yield Panel("Accuracy", Curve(empty="", id="score"), id="score-panel")
        yield Panel("Modules", ModuleTree(id="modules"), id="modules-panel")
        yield Panel("Memory", MemoryMeter(id="memory"), id="memory-panel")
        yield Panel("Log", Log(id="log"), id="log-panel")

    def show(self) -> None:
        self.show_numbers()
        self._show_epochs()
        self.show_curves()

    def subject(self) -> Line:
        view = self.app.view
        if view is None:
            return ()
        mark, style = MARKS.get(view.status, ("?", ""))
        source = view.experiment.data.source.name if view.experiment is not None else ""
        about = "".join(f"   {text}" for text in (source, view.device) if text)
        # Without the time that an id begins with.
        return line((f"{mark} ", style), (view.run.split("-", 1)[-1], ""), (about, "dim"))

    def run_changed(self, curves: bool) -> None:
        # Where epochs are short the table scrolls with every look at the run, which is most of what a terminal is sent.
        if curves or time.monotonic() - self._epochs_drawn >= CURVE_SECONDS:
            self._show_epochs()
        if curves:
            self.show_curves()
        else:
            self.show_numbers()

    def show_numbers(self) -> None:
        """Draw all but the curves; where there is no run yet, how to begin one."""
        view = self.app.view
        self.query_one(Progress).show(view)
        modules, measured = (view.modules, view.measured) if view else ((), None)
        self.query_one(ModuleTree).show(modules, measured, max(view.epoch, 1) if view else 1)
        self.query_one(MemoryMeter).show(view.telemetry if view else ())
        self.query_one(Log).show(self.app.run_watch.log if self.app.run_watch is not None else ())

    def _show_epochs(self) -> None:
        view = self.app.view
        if view is not None and view.history:
            self._epochs_drawn = time.monotonic()
        best = int(view.best["epoch"]) if view and view.best else None
        monitored = main_metric(view.best["metrics"], _monitor(view)) or "" if view and view.best else ""
        self.query_one(MetricsTable).show(view.history if view else (), best, monitored)
        panel = self.query_one("#epochs-panel", Panel)
        subtitle = f"★ {best}" if best is not None else ""
        if view and view.best and monitored:
            subtitle += f": {metric(monitored, view.best['metrics'].get(monitored))}"
        if str(panel.border_subtitle or "") != subtitle:
            panel.border_subtitle = Content(subtitle)

    # ------------------------------------------------------------------ control

    def action_pause(self) -> None:
        view = self.app.view
        self.app.running.ask("resume" if view is not None and view.status == "paused" else "pause")

    def wrong_here(self) -> str:
        view = self.app.view
        return view.reason if view is not None and view.reason != view.status else ""

    def label_of(self, command: Command) -> str:
        view = self.app.view
        paused = command.id == "pause" and view is not None and view.status == "paused"
        return "go on" if paused else super().label_of(command)

    def states(self) -> set[str]:
        view = self.app.view
        early = view is not None and not self.app.running.shown_live and view.status in CAN_GO_ON
        return super().states() | ({ENDED_EARLY} if early else set())

    def action_resume(self) -> None:
        view = self.app.view
        if view is None or ENDED_EARLY not in self.states():
            self.app.tell("only a run that ended before its time can go on")
        elif view.experiment is None:
            self.app.tell(f"{view.run}: {view.problem}", wrong=True)
        else:
            self.app.running.train(view.experiment, resume=view.path)

    def action_stop(self) -> None:
        if not self.app.running.shown_live:
            self.app.tell(self.app.settings.with_keys(NOT_LIVE))
            return
        self.app.push_screen(
            Choice("Stop", "How shall the run end?", STOPS), lambda name: self.app.running.ask(name) if name else None
        )

    def action_checkpoint(self) -> None:
        self.app.running.ask("checkpoint")

    def action_pin_checkpoint(self) -> None:
        self.app.running.ask("pin_checkpoint")

    def action_set_lr(self) -> None:
        lr = self.app.view.lr if self.app.view is not None else None
        self._ask_number("Learning rate", "set_lr", float, "" if lr is None else f"{lr:g}")

    def action_add_epochs(self) -> None:
        self._ask_number("Epochs to add", "add_epochs", int, "")

    def _ask_number(self, title: str, request: str, kind: Callable[[str], float | int], text: str) -> None:
        if not self.app.running.shown_live:
            self.app.tell(self.app.settings.with_keys(NOT_LIVE))
            return

        def wrong(text: str) -> str:
            try:
                Request(request, kind(text))
            except ValueError:
                return f"{'a whole' if kind is int else 'a'} number is wanted, not `{text}`"
            except RequestError as error:
                return str(error)
            return ""

        self.app.push_screen(
            Prompt(title, text, wrong, replace=True),
            lambda given: self.app.running.ask(request, kind(given)) if given else None,
        )


def _monitor(view: Any) -> str | None:
    """The metric that decides which epoch is best, where the experiment names one."""
    return view.experiment.monitor if view.experiment is not None else None
