"""When to make the next checkpoint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

# Between two checkpoints at the ends of epochs: this long, and so long that they cost at most about 5 % of the time.
# Writing, hashing and reading back take some ten times as long as copying.
SECONDS = 10.0
COPIES = 200


class CheckpointPlan:
    """At the end of an epoch where copying the state takes little, or of every so many epochs; in any case after so
    many minutes, which is what bounds the work that a crash can cost."""

    def __init__(self, minutes: float, epochs: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`epochs`: at the end of every so many of them, instead of where it costs little."""
        self._longest = minutes * 60
        self._epochs = epochs
        self._clock = clock
        self._made(0.0)

    def _made(self, copying: float) -> None:
        now = self._clock()
        self._due = now + self._longest
        self._due_after_epoch = now + min(self._longest, max(SECONDS, COPIES * copying))

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """Around the making of a checkpoint, which is the moment that the next one is counted from."""
        began = self._clock()
        yield
        self._made(self._clock() - began)

    def hasten(self) -> None:
        """Something was asked for that a crash must not lose: have a checkpoint within ten seconds.

        Not at once: a learning rate that breaks the training shows first, and such a state is never saved.
        """
        self._due = min(self._due, self._clock() + SECONDS)

    @property
    def due(self) -> bool:
        """Whether one is due, wherever the epoch stands."""
        return self._clock() >= self._due

    def due_after(self, epoch: int) -> bool:
        """Whether one is due at the end of an epoch, the first of which is 1."""
        if self._epochs is not None:
            return epoch % self._epochs == 0 or self.due
        return self._clock() >= self._due_after_epoch
