"""Following a run by its folder: what to draw, and when, at the reader's own pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.console_tail import ConsoleTail
from tui.output import size

if TYPE_CHECKING:
    from engine.store.reader import RunReader, RunView

CURVE_SECONDS = 1.0
LINES_KEPT = 500
# A good run saves its best weights, and with them a checkpoint, many times a minute: not each is news.
SECONDS_BETWEEN_CHECKPOINTS = 60.0
# Whoever looks at a run as young as this sees its prints as they come.
JUST_BEGUN_SECONDS = 10.0
# The level of what the run itself did not say: prints of Python and of native code.
PRINTED = "printed"


@dataclass(frozen=True)
class LogLine:
    """A line of the log; `time` is in unix seconds."""

    time: float | None
    level: str
    text: str


class RunWatch:
    """Polls a run. Curves cost more than numbers, so they are due at most once in CURVE_SECONDS.

    `log` is what the run has said, what became of requests, and what was printed, in the order in which it was seen
    here. Prints have no time of their own, so they have that at which they were seen; what was printed before anybody
    looked has none.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        from engine.store.reader import RunReader

        self.path = path
        self.log: list[LogLine] = []
        self._reader: RunReader = RunReader(path)
        self._clock = clock
        self._now = now
        self._drawn = -CURVE_SECONDS
        self._stale = False
        self._logged: dict[str, Any] = {}
        self._ended: float | None = None
        self._saved = 0.0
        self._console = ConsoleTail(path / "console.log")
        self._looked = False
        self._unfinished: LogLine | None = None
        self._problem: str | None = None

    @property
    def view(self) -> RunView:
        return self._reader.view

    def poll(self) -> bool:
        """Read what is new; whether there was anything."""
        changed = self._reader.poll()
        printed = self._take_printed()
        if changed:
            self._write_log()
        if printed or changed:
            self._forget()
        self._stale = self._stale or changed
        return changed or printed

    def curves_due(self, ended: bool) -> bool:
        """Whether the curves are to be drawn now; after the end they are so at once."""
        now = self._clock()
        if not self._stale or not (ended or now - self._drawn >= CURVE_SECONDS):
            return False
        self._drawn, self._stale = now, False
        return True

    # ------------------------------------------------------------------ the log

    def _write_log(self) -> None:
        view, now = self.view, self._now()
        new: list[LogLine] = []
        asked = False
        controls = self._newer("controls", view.controls)
        times = view.controlled_at[len(view.controlled_at) - len(controls) :]
        for control, when in zip(controls, times, strict=True):
            asked = asked or control.request in ("checkpoint", "pin_checkpoint", "stop", "stop_epoch")
            text = told(control.request, control.value) + (f" by {control.by}" if control.by else "")
            new.append(LogLine(when, "info", text))
        for saved in self._newer("checkpoint", [view.checkpoint] if view.checkpoint else []):
            due = asked or view.ended or now - self._saved >= SECONDS_BETWEEN_CHECKPOINTS
            if saved.kind == "step" and due:
                self._saved = now
                text = f"checkpoint of step {saved.step:,} saved: {size(saved.bytes)}"
                new.append(LogLine(view.checkpoint_at, "info", text))
        said = [LogLine(m.time, m.level, m.text) for m in self._newer("messages", view.messages)]
        ended: list[LogLine] = []
        if view.ended != self._ended:
            self._ended = view.ended
            ended += [LogLine(view.ended, "info", _ending(view))] if view.ended else []
        if view.problem != self._problem:
            self._problem = view.problem
            # A run that is removed while it is shown, or that cannot be read any more.
            ended += [LogLine(now, "error", f"this run: {view.problem}")] if view.problem else []
        self.log += [*sorted([*said, *new], key=lambda line: line.time or now), *ended]

    def _take_printed(self) -> bool:
        """Put what was printed into the log; a line that has not ended is replaced by what becomes of it."""
        printed = self._console.poll()
        if printed is None:
            self._looked = True
            return False
        began = self.view.began
        fresh = self._looked or (began is not None and self._now() - began < JUST_BEGUN_SECONDS)
        now = self._now() if fresh else None
        self._looked = True
        if self._unfinished is not None:
            self.log[:] = [line for line in self.log if line is not self._unfinished]
        self.log += [LogLine(now, PRINTED, text) for text in printed.lines]
        self._unfinished = LogLine(now, PRINTED, printed.unfinished) if printed.unfinished else None
        if self._unfinished is not None:
            self.log.append(self._unfinished)
        return True

    def _forget(self) -> None:
        """Keep the newest lines; however much is printed, what the run has said stays longest."""
        extra = len(self.log) - LINES_KEPT
        if extra <= 0:
            return
        gone = [at for at, line in enumerate(self.log) if line.level == PRINTED][:extra]
        dropped = set(gone)
        self.log[:] = [line for at, line in enumerate(self.log) if at not in dropped]
        del self.log[:-LINES_KEPT]

    def _newer(self, name: str, items: list[Any]) -> list[Any]:
        """Those behind the last that was there before; old ones may have been dropped at the beginning."""
        last = self._logged.get(name)
        if not items or items[-1] is last:
            return []
        self._logged[name] = items[-1]
        found = next((at for at in range(len(items) - 1, -1, -1) if items[at] is last), -1)
        return items[found + 1 :]


def told(request: str, value: float | None) -> str:
    """A request that was acted on, in words."""
    if request == "set_lr" and value is not None:
        return f"learning rate set to {value:g}"
    if request == "add_epochs" and value is not None:
        return f"{value:.0f} {'epoch' if value == 1 else 'epochs'} added"
    words = {
        "pause": "paused",
        "resume": "resumed",
        "stop": "asked to stop now",
        "stop_epoch": "asked to stop after this epoch",
        "discard": "asked to stop without a checkpoint",
        "checkpoint": "asked for a checkpoint",
        "pin_checkpoint": "asked for a checkpoint that is kept for good",
    }
    return words.get(request, request)


def _ending(view: RunView) -> str:
    return view.status + (f": {view.reason}" if view.reason not in ("", view.status) else "")
