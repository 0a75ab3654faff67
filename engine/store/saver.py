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


class Saver:
    """Saves the newest checkpoint of each kind that it was given; an older one that still waits is left out."""

    def __init__(self, path: Path, say: Callable[[Event], None]) -> None:
        self.problem: str | None = None
        self._path = path
        self._say = say
        self._waiting: dict[str, Checkpoint] = {}
        self._failed: set[int] = set()  # by id, of those in _waiting
        self._changed = threading.Condition()
        self._closing = False
        self._retry_at = 0.0
        self._thread: threading.Thread | None = None

    def put(self, checkpoint: Checkpoint) -> None:
        """Have it saved soon; never waits for the disk."""
        with self._changed:
            self._waiting[checkpoint.kind] = checkpoint
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="layerlab-saver", daemon=True)
                self._thread.start()
            self._changed.notify_all()

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
                # The best weights first: a step refers to them.
                ready = [item for kind in ("best", "step") if (item := self._waiting.get(kind)) is not None]
                if not self._closing and time.monotonic() < self._retry_at:
                    ready = [item for item in ready if id(item) not in self._failed]
                if ready:
                    return ready[0]
                if self._closing:
                    return None
                self._changed.wait(RETRY_SECONDS if self._waiting else None)

    def _run(self) -> None:
        while (checkpoint := self._next()) is not None:
            again = self._save(checkpoint)
            with self._changed:
                if again and not (self._closing and id(checkpoint) in self._failed):
                    self._failed.add(id(checkpoint))
                    self._retry_at = time.monotonic() + RETRY_SECONDS
                    continue
                self._failed.discard(id(checkpoint))
                if self._waiting.get(checkpoint.kind) is checkpoint:
                    del self._waiting[checkpoint.kind]

    def _save(self, checkpoint: Checkpoint) -> bool:
        """Save one; True where another try may help."""
        from engine.checkpoint import write_checkpoint

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
