"""When to make the next checkpoint."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

# Between two checkpoints at the ends of epochs: this long, and so long that they cost at most about 5 % of the time.
# Writing, hashing and reading back take some ten times as long as copying.
SECONDS = 10.0
COPIES = 200


class CheckpointPlan:
    """At the end of an epoch where copying the state takes little; in any case after so many minutes."""

    def __init__(self, minutes: float) -> None:
        self._longest = minutes * 60
        self._made(0.0)

    def _made(self, copying: float) -> None:
        now = time.monotonic()
        self._due = now + self._longest
        self._due_after_epoch = now + min(self._longest, max(SECONDS, COPIES * copying))

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """Around the making of a checkpoint, which is the moment that the next one is counted from."""
        began = time.monotonic()
        yield
        self._made(time.monotonic() - began)

    @property
    def due(self) -> bool:
        """Whether one is due, wherever the epoch stands."""
        return time.monotonic() >= self._due

    @property
    def due_after_epoch(self) -> bool:
        """Whether one is due at the end of an epoch."""
        return time.monotonic() >= self._due_after_epoch
