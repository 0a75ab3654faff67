"""What an earlier sitting left behind: runs that go on in another process, and runs that were cut short."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tui.run_columns import called
from tui.safe import safe

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from tui.settings import Settings


@dataclass(frozen=True)
class LeftBehind:
    """The newest first. `interrupted` are those that were cut short after all else in the store had ended: whoever has
    trained something since has had them before their eyes."""

    live: tuple[Summary, ...] = ()
    interrupted: tuple[Summary, ...] = ()

    def words(self, settings: Settings, waiting: int) -> str:
        """What to tell at the beginning, with the keys that lead on; "" where nothing was left behind. `waiting` is
        how many experiments the queue has kept."""
        told: list[str] = []
        if self.live:
            told.append(f"{_named(self.live)} being trained" + settings.with_keys(": {everywhere.train_view} shows it"))
        if self.interrupted:
            newest = self.interrupted[0]
            epochs = f" after {newest.epoch} of {newest.epochs} epochs" if newest.epochs else ""
            keys = settings.with_keys(": {compose.resume} goes on with it")
            told.append(f"{_named(self.interrupted, 'was', 'were')} interrupted{epochs}{keys}")
        if told and waiting:
            keys = settings.with_keys(": {runs.hold} on Runs lets the queue go on")
            told.append(f"{waiting} {'experiment waits' if waiting == 1 else 'experiments wait'} in the queue{keys}")
        return "\n".join(told)


def left_behind(runs: Iterable[Summary]) -> LeftBehind:
    """Sort out the runs of a store."""
    live: list[Summary] = []
    cut: list[tuple[float, Summary]] = []
    last_end = 0.0
    for run in runs:
        if run.live:
            live.append(run)
        elif run.status == "interrupted":
            cut.append((_last_sign(run), run))
        else:
            last_end = max(last_end, _when(run.ended))
    live.sort(key=lambda run: run.run, reverse=True)
    cut.sort(key=lambda pair: (pair[0], pair[1].run), reverse=True)
    return LeftBehind(tuple(live), tuple(run for when, run in cut if when > last_end))


def _named(runs: tuple[Summary, ...], one: str = "is", several: str = "are") -> str:
    name = safe(called(runs[0]), 40)
    others = len(runs) - 1
    return f"{name} {one}" if not others else f"{name} and {others} {'other' if others == 1 else 'others'} {several}"


def _last_sign(run: Summary) -> float:
    """When its process last said that it lives, in unix seconds: a resumed run has begun long before."""
    try:
        return (run.path / "owner.json").stat(follow_symlinks=False).st_mtime
    except OSError:
        return _when(run.started)


def _when(moment: str | None) -> float:
    try:
        return datetime.fromisoformat(moment or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
