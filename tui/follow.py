"""Progress of a run on the command line: bars where there is a terminal, otherwise one line for each epoch.

All of it is read from the run folder, so it looks the same whether the run is trained here or elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tui.compare import is_main, main_metric
from tui.output import count, duration, error_console, metric, number, say
from tui.safe import safe

if TYPE_CHECKING:
    from rich.progress import Progress

    from engine.store.reader import EpochRow, MessageRow, RunReader, RunView

OVER = ("finished", "stopped", "failed", "interrupted", "damaged")
_INTERVAL = 0.25
# A launcher may be gone a moment before the last lines of its run can be read.
_GRACE = 5.0


class Shows(Protocol):
    """Something that draws a run again whenever there is something new."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *error: Any) -> None: ...
    def show(self, view: RunView) -> None: ...
    def tell(self, text: str) -> None: ...


def follow(
    reader: RunReader, *, alive: Callable[[], bool] | None = None, each_look: Callable[[], str | None] | None = None
) -> RunView:
    """Show a run on standard error until it is over, and give what it came to.

    Args:
        reader: reads the run folder; what it has polled already is not shown again.
        alive: whether the launcher still trains it; where it does not and the run has no final status after a few
            seconds, following ends all the same.
        each_look: called before each look at the run, four times a second; what it gives is told to the person.
    """
    shown: Shows = Bars(reader.view) if sys.stderr.isatty() else Lines(reader.view)
    # A run that is resumed by another process still has its old final status until that process has claimed it.
    segment = reader.view.segment
    gone_since: float | None = None
    with shown:
        while True:
            note = each_look() if each_look is not None else None
            if note:
                shown.tell(note)
            trained = alive is None or alive()
            if reader.poll():
                shown.show(reader.view)
            claimed = alive is None or reader.view.segment > segment
            if reader.view.status in OVER and (claimed or not trained):
                return reader.view
            if not trained:
                gone_since = gone_since or time.monotonic()
                if time.monotonic() - gone_since > _GRACE:
                    return reader.view
            time.sleep(_INTERVAL)


class Lines:
    """One line for each epoch, and each message once: for logs and pipes."""

    def __init__(self, seen: RunView) -> None:
        self._epochs = len(seen.history)
        self._last = seen.messages[-1] if seen.messages else None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def show(self, view: RunView) -> None:
        for message in messages_after(self._last, view):
            self.tell(message_text(message))
            self._last = message
        for row in view.history[self._epochs :]:
            say(f"{safe(view.name, 40)}  {epoch_line(row, view.epochs)}")
        self._epochs = len(view.history)

    def tell(self, text: str) -> None:
        say(text)


class Bars:
    """Two bars: the epochs with the time left and the best metric, the batches of this epoch with the rate."""

    def __init__(self, seen: RunView) -> None:
        self._progress: Progress | None = None
        self._run: Any = None
        self._epoch: Any = None
        self._last = seen.messages[-1] if seen.messages else None

    def __enter__(self) -> Bars:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=error_console(),
            auto_refresh=False,
        )
        self._progress.__enter__()
        self._run = self._progress.add_task("starting", total=None, detail="")
        self._epoch = self._progress.add_task("", total=None, detail="", visible=False)
        self._progress.refresh()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__(*error)

    def show(self, view: RunView) -> None:
        progress = self._progress
        assert progress is not None
        for message in messages_after(self._last, view):
            self.tell(message_text(message))
            self._last = message
        done = view.done
        total = max(view.epochs, 1)
        within = view.batch / view.batches if view.batches and view.epoch > done else 0.0
        progress.update(
            self._run,
            description=safe(view.name, 24),
            total=total,
            completed=min(done + within, total),
            detail=run_detail(view),
        )
        progress.update(
            self._epoch,
            description=f"  epoch {view.epoch}",
            total=max(view.batches, 1),
            completed=view.batch,
            detail=epoch_detail(view),
            visible=view.batches > 0 and view.status not in OVER,
        )
        progress.refresh()

    def tell(self, text: str) -> None:
        """Above the bars, which stay where they are."""
        assert self._progress is not None
        self._progress.console.print(safe(text))


def run_detail(view: RunView) -> str:
    """What stands behind the bar of a run: epochs, time left, the best metric so far."""
    parts = [f"{view.done}/{view.epochs} epochs"]
    if view.status not in ("starting", "running"):
        parts.append(view.status)
    elif view.seconds_left is not None:
        parts.append(f"{duration(view.seconds_left)} left")
    best = best_text(view)
    if best:
        parts.append(best)
    return "  ".join(parts)


def epoch_detail(view: RunView) -> str:
    """What stands behind the bar of an epoch: batches, rate, the loss of the last stretch."""
    parts = [f"{view.batch}/{view.batches}"]
    if view.samples_per_second is not None:
        parts.append(f"{count(view.samples_per_second)} samples/s")
    if view.curve:
        parts.append(f"loss {number(view.curve[-1][2])}")
    return "  ".join(parts)


def best_text(view: RunView) -> str:
    """The best epoch so far, by the metric that the experiment is after: "best val/accuracy 98.12 % (epoch 7)"."""
    if not view.best:
        return ""
    metrics = view.best["metrics"]
    name = main_metric(metrics, view.experiment.monitor if view.experiment is not None else None)
    return f"best {safe(name, 40)} {metric(name, metrics[name])} (epoch {view.best['epoch']})" if name else ""


def epoch_line(row: EpochRow, epochs: int) -> str:
    """An epoch on one line: "epoch 3/20  train/loss 0.0681  val/accuracy 98.12 %  3.2 s"."""
    parts = [f"epoch {row.epoch}/{epochs}"]
    parts += [f"{safe(name, 40)} {metric(name, value)}" for name, value in row.metrics.items() if is_main(name)]
    parts.append(duration(sum(row.seconds.values())))
    if row.best:
        parts.append("(best)")
    return "  ".join(parts)


def messages_after(last: MessageRow | None, view: RunView) -> list[MessageRow]:
    """The messages that came after `last`; a view keeps only the newest thousand, so they are not counted."""
    new: list[MessageRow] = []
    for message in reversed(view.messages):
        if message is last:
            break
        new.append(message)
    return new[::-1]


def message_text(message: MessageRow) -> str:
    """A message of a run on one line, with its level unless that is "info"; of a traceback the last line."""
    text = message.text.strip()
    if text.startswith("Traceback"):
        text = text.rsplit("\n", 1)[-1]
    shown = safe(text, 2000)
    return shown if message.level in ("", "info") else f"{safe(message.level, 20)}: {shown}"
