"""The thread that saves checkpoints, so that a large one holds up neither training nor the events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.events import CheckpointSaved, Message

if TYPE_CHECKING:
    from engine.events import Checkpoint, Event

RETRY_SECONDS = 30.0


# Of those that a person pinned: each is a whole copy of the training's state, and a disk may stay full.
MAX_PINNED = 3


class Saver:
    """Saves checkpoints in the order that it was given them, so that none refers to best weights that are not there.

    An older one that still waits is left out once there is a newer one, unless a person pinned it.
    """

    def __init__(self, path: Path, say: Callable[[Event], None], settle: Callable[[], None] = lambda: None) -> None:
        """`settle` waits until the events before a checkpoint are on the disk."""
        self.problem: str | None = None
        self._path = path
        self._say = say
        self._settle = settle
        self._waiting: list[Checkpoint] = []
        self._failed: set[int] = set()  # by id, of those in _waiting
        self._saving: Checkpoint | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._retry_at = 0.0  # not before, where saving has failed
        self._thread: threading.Thread | None = None

    def put(self, checkpoint: Checkpoint) -> None:
        """Have it saved soon; never waits for the disk."""
        with self._changed:
            self._keep(_worth_saving([*self._waiting, checkpoint]))
            dropped = self._too_many()
            self._retry_at = 0.0  # a new one is a reason to try again
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="layerlab-saver", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if dropped is not None:
            text = f"the pinned checkpoint of step {dropped.step} is given up: too many wait for the disk"
            self._say(Message("error", text, dropped.step))

    def _keep(self, waiting: list[Checkpoint]) -> None:
        self._waiting = waiting
        # Another one may be given the id of one that is gone.
        self._failed &= {id(item) for item in waiting}

    def _too_many(self) -> Checkpoint | None:
        """The oldest pinned one, taken out, where more wait than memory should hold; never what is being written."""
        pinned = [item for item in self._waiting if item.pinned]
        if len(pinned) <= MAX_PINNED:
            return None
        dropped = next(item for item in pinned if item is not self._saving)
        self._keep(_worth_saving([item for item in self._waiting if item is not dropped]))
        return dropped

    def close(self) -> None:
        """Save what still waits, with one more try for what failed, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _next(self) -> Checkpoint | None:
        """The one to save now, once there is one; None at the end."""
        with self._changed:
            while True:
                if self._waiting and (self._closing or time.monotonic() >= self._retry_at):
                    self._saving = self._waiting[0]
                    return self._saving
                if self._closing:
                    return None
                self._changed.wait(RETRY_SECONDS if self._waiting else None)

    def _run(self) -> None:
        while (checkpoint := self._next()) is not None:
            again = self._save(checkpoint)
            with self._changed:
                self._saving = None
                if again and not (self._closing and id(checkpoint) in self._failed):
                    self._failed.add(id(checkpoint))
                    self._keep(self._waiting)
                    self._retry_at = time.monotonic() + RETRY_SECONDS
                    continue
                self._keep([item for item in self._waiting if item is not checkpoint])

    def _save(self, checkpoint: Checkpoint) -> bool:
        """Save one; True where another try may help."""
        from engine.checkpoint import write_checkpoint

        self._settle()
        try:
            written = write_checkpoint(self._path / "checkpoints", checkpoint)
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            text = f"the checkpoint of step {checkpoint.step} could not be saved: {reason}; earlier ones are untouched"
            if text != self.problem:
                self._say(Message("error", text, checkpoint.step))
            self.problem = text
            return isinstance(error, OSError)
        self.problem = None
        where = written.path.relative_to(self._path).as_posix()
        self._say(
            CheckpointSaved(
                checkpoint.step, checkpoint.epoch, checkpoint.kind, where, written.bytes, round(written.seconds, 3)
            )
        )
        return False


def _worth_saving(waiting: list[Checkpoint]) -> list[Checkpoint]:
    """Of checkpoints in the order that they were made: the newest step, the pinned ones, the newest best weights and
    those that any of these steps refers to."""
    steps = [item for item in waiting if item.kind == "step"]
    steps = [item for item in steps if item.pinned or item is steps[-1]]
    referred = {(item.state.get("best") or {}).get("step") for item in steps}
    bests = [item for item in waiting if item.kind == "best"]
    bests = [item for item in bests if item.step in referred or item is bests[-1]]
    return [item for item in waiting if any(item is other for other in (*steps, *bests))]
