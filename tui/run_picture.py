"""A run for its preview, read in a thread: what stood in its folder at one moment, as plain values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

if TYPE_CHECKING:
    from pathlib import Path

    from engine.store.listing import Summary
    from engine.store.reader import EpochRow, RunReader, RunView

# Whoever holds an arrow key down passes over runs: only where the cursor rests is anything read.
REST_SECONDS = 0.05
KEPT = 64
POINTS = 600


@dataclass(frozen=True)
class Picture:
    """`train` and `val` are (epochs so far, loss); `modules` are rows of the layer table as events tell them."""

    run: str
    train: tuple[tuple[float, float], ...]
    val: tuple[tuple[float, float], ...]
    modules: tuple[dict[str, Any], ...]
    said: tuple[tuple[str, str], ...]
    problem: str
    skipped_lines: int


class PictureRead(Message):
    """A run was read."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture


class PictureReader:
    """Reads the run that was wanted last, in a thread of its own, and posts a `PictureRead`; keeps those read last."""

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._wanted: Path | None = None
        self._news = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._kept: OrderedDict[str, tuple[Summary, Picture]] = OrderedDict()

    def picture(self, run: Summary) -> Picture | None:
        """What is known of the run by now. Where that is nothing, or the run has changed since, it is read."""
        kept = self._kept.get(run.run)
        if kept is None or kept[0] is not run:
            self.want(run)
        return kept[1] if kept is not None else None

    def want(self, run: Summary) -> None:
        """Read this run, now and not another."""
        self._summary = run
        self._wanted = run.path
        self._news.set()
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self._work, name="layerlab-preview", daemon=True)
            self._thread.start()

    def keep(self, picture: Picture) -> None:
        """Remember what was read; on the main thread."""
        if self._summary.run == picture.run:
            self._kept[picture.run] = (self._summary, picture)
            self._kept.move_to_end(picture.run)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def _work(self) -> None:
        reader: RunReader | None = None
        while True:
            self._news.wait()
            self._news.clear()
            while not self._ended and self._news.wait(REST_SECONDS):
                self._news.clear()
            if self._ended:
                return
            path = self._wanted
            if path is not None:
                reader = self._read(path, reader)

    def _read(self, path: Path, reader: RunReader | None) -> RunReader:
        # The curve is drawn with it, and to import it takes a moment.
        import numpy  # noqa: F401

        from engine.store.reader import RunReader

        new = reader is None or reader.path != path
        if reader is None or new:
            reader = RunReader(path)
        try:
            if reader.poll() or new:
                self._post(PictureRead(picture_of(reader.view)))
        except Exception as error:
            # Whatever stands in one folder, the next run is shown all the same.
            reason = f"it cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}"
            self._post(PictureRead(Picture(path.name, (), (), (), (), reason, 0)))
        return reader


def _losses(history: list[EpochRow], name: str) -> list[tuple[float, float]]:
    return [(float(row.epoch), row.metrics[name]) for row in history if name in row.metrics]


def picture_of(view: RunView) -> Picture:
    """The part of a run's view that a preview draws, in at most a few hundred points."""
    curve = [(float(point[1]), float(point[2])) for point in view.curve]
    step = max(len(curve) // POINTS, 1)
    thinned = curve[::step]
    if curve and thinned[-1] != curve[-1]:
        thinned.append(curve[-1])
    train = thinned or _losses(view.history, "train/loss")
    val = _losses(view.history, "val/loss")
    warnings = [(m.level, m.text) for m in view.messages if m.level != "info"][-3:]
    return Picture(
        run=view.run,
        train=tuple(train),
        val=tuple(val),
        modules=tuple(dict(row) for row in view.modules),
        said=tuple(warnings),
        problem=view.problem or "",
        skipped_lines=view.skipped_lines,
    )
