"""Train: what a run does, drawn from its folder and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from textual.widget import Widget

from engine.control import Request
from engine.errors import RequestError
from tui.commands import PANELS, TRAIN, bindings
from tui.output import metric
from tui.screens.choice import Choice
from tui.screens.prompt import Prompt
from tui.screens.workspace import Workspace
from tui.widgets.curve import Curve, Series
from tui.widgets.lines import Line, line
from tui.widgets.log import Log
from tui.widgets.memory import MemoryMeter
from tui.widgets.metrics_table import MetricsTable
from tui.widgets.module_tree import ModuleTree
from tui.widgets.panel import Panel
from tui.widgets.status import MARKS, Progress

STOPS = (
    ("e", "after this epoch", "stop_epoch"),
    ("n", "now, and keep a checkpoint", "stop"),
    ("d", "now, and discard what was learned since the last checkpoint", "discard"),
    ("c", "not at all: continue", ""),
)


class TrainScreen(Workspace):
    """Draws the application's RunView. Curves cost more than numbers and are drawn less often."""

    CSS_PATH = "train.tcss"
    BINDINGS: ClassVar = bindings(TRAIN, PANELS)
    where = TRAIN

    def above(self) -> Iterable[Widget]:
        yield Progress(id="progress")

    def panels(self) -> Iterable[Panel]:
        waiting = "the curve begins with the first steps of a run"
        yield Panel("Loss", Curve(empty=waiting, id="loss"), id="loss-panel")
        yield Panel("Epochs", MetricsTable(id="epochs"), id="epochs-panel")
        yield Panel("Accuracy", Curve(empty="a point an epoch stands here", id="score"), id="score-panel")
        yield Panel("Modules", ModuleTree(id="modules"), id="modules-panel")
        yield Panel("Memory", MemoryMeter(id="memory"), id="memory-panel")
        yield Panel("Log", Log(id="log"), id="log-panel")

    def show(self) -> None:
        self.show_numbers()
        self.show_curves()

    def subject(self) -> Line:
        view = self.app.view
        if view is None:
            return ()
        mark, style = MARKS.get(view.status, ("?", ""))
        return line((f"{mark} ", style), (view.run, ""))

    def show_numbers(self) -> None:
        """Draw all but the curves; where there is no run yet, how to begin one."""
        view = self.app.view
        self.query_one(Progress).show(view)
        best = best_epoch(view) if view else None
        self.query_one(MetricsTable).show(view.history if view else (), best)
        self.query_one(ModuleTree).show(view.modules if view else ())
        self.query_one(MemoryMeter).show(view.telemetry if view else ())
        self.query_one(Log).show(self.app.run_watch.log if self.app.run_watch is not None else ())
        panel = self.query_one("#epochs-panel", Panel)
        if view and view.best and best is not None:
            name = monitor(view.best["metrics"])
            subtitle = f"★ {best}: {metric(name, view.best['metrics'].get(name))}" if name else f"★ {best}"
            if str(panel.border_subtitle) != subtitle:
                panel.border_subtitle = subtitle
        elif panel.border_subtitle:
            panel.border_subtitle = ""

    def show_curves(self) -> None:
        """Draw loss and score over epochs."""
        view = self.app.view
        loss, score = self.query_one("#loss", Curve), self.query_one("#score", Curve)
        if view is None:
            loss.draw((), 1)
            score.draw((), 1)
            return
        train = training_loss(view)
        span = span_of(view, float(train.x[-1]) if len(train.x) else 0.0)
        loss.draw((train, of_epochs(view.history, "val/loss", "val", dashed=True)), span)
        name = score_of(view.history[-1].metrics) if view.history else ""
        panel = self.query_one("#score-panel", Panel)
        title = name.replace("_", " ").capitalize() if name else "Accuracy"
        if str(panel.border_title) != title:
            panel.border_title = title
        both = (of_epochs(view.history, f"{part}/{name}", part, dashed=part == "val") for part in ("train", "val"))
        score.draw(tuple(both), span, name)

    # ------------------------------------------------------------------ control

    def action_pause(self) -> None:
        view = self.app.view
        self.app.ask("resume" if view is not None and view.status == "paused" else "pause")

    def action_stop(self) -> None:
        if not self.app.live:
            self.app.tell("no run is live: ctrl+r starts one")
            return
        self.app.push_screen(
            Choice("Stop", "How shall the run end?", STOPS), lambda name: self.app.ask(name) if name else None
        )

    def action_checkpoint(self) -> None:
        self.app.ask("checkpoint")

    def action_set_lr(self) -> None:
        lr = self.app.view.lr if self.app.view is not None else None
        self._ask_number("learning rate", "set_lr", float, "" if lr is None else f"{lr:g}")

    def action_add_epochs(self) -> None:
        self._ask_number("epochs to add", "add_epochs", int, "")

    def _ask_number(self, title: str, request: str, kind: Callable[[str], float | int], text: str) -> None:
        if not self.app.live:
            self.app.tell("no run is live: ctrl+r starts one")
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
            lambda given: self.app.ask(request, kind(given)) if given else None,
        )


def training_loss(view: Any) -> Series:
    """The training loss as it was told within epochs; of an epoch too short for that, its mean, at its end."""
    import numpy as np

    points = [(at, value) for _, at, value in view.curve]
    told = {math.ceil(at) for at, _ in points}
    means = [
        (float(row.epoch), row.metrics["train/loss"])
        for row in view.history
        if row.epoch not in told and "train/loss" in row.metrics
    ]
    values = np.array(sorted(points + means) if means else points, dtype=np.float64).reshape(-1, 2)
    return Series("train", values[:, 0], values[:, 1], "accent")


def span_of(view: Any, reached: float) -> float:
    """How many epochs the axis spans: what has been trained, rounded up, but no more than was asked for."""
    from tui.widgets import braille

    reached = max(reached, float(view.history[-1].epoch) if view.history else 0.0)
    return max(min(braille.round_up(reached), float(view.epochs or 1)), reached)


def of_epochs(history: Sequence[Any], name: str, label: str, dashed: bool) -> Series:
    """One metric as a curve: a point at the end of each epoch that has it."""
    import numpy as np

    points = [(row.epoch, row.metrics[name]) for row in history if name in row.metrics]
    values = np.array(points, dtype=np.float64).reshape(-1, 2)
    return Series(label, values[:, 0], values[:, 1], "second" if dashed else "accent", dashed)


def score_of(metrics: dict[str, float]) -> str:
    """What the second curve shows: accuracy, or the first metric that is not the loss."""
    names = [name.split("/", 1)[1] for name in metrics if name.startswith(("val/", "train/"))]
    return next((name for name in ("accuracy", "mae") if name in names), next((n for n in names if n != "loss"), ""))


def best_epoch(view: Any) -> int | None:
    """The epoch that is marked as best, or None."""
    return int(view.best["epoch"]) if view.best else None


def monitor(metrics: dict[str, float]) -> str:
    """The metric by which a person knows the best epoch."""
    known = ("val/accuracy", "val/mae", "val/loss", "train/loss")
    return next((name for name in known if name in metrics), "")
