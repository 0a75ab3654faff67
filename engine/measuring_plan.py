"""When to measure what the layers do: often at first, then every few seconds, and never for much of the time."""

from __future__ import annotations

import math
import time

# Where training goes wrong it often does so within the first steps, so steps 1, 2 and 4 are measured, and 8, 16 ... as
# long as that takes no more than an eye notices.
FIRST_STEPS, EARLY_STEPS = 4, 512
EARLY_SECONDS = 0.02
# Then every two seconds, which is as often as people look; after some minutes of training in longer and longer pauses,
# of half a minute at most, so that what a day of training records stays small.
SECONDS = 2.0
SLOWING_AFTER, SLOWEST = 400.0, 15.0  # seconds of training, and times as long
SHARE = 0.005


class MeasuringPlan:
    """Says of each occasion, a step or an evaluation, whether to measure it."""

    def __init__(self, seconds: float = SECONDS, share: float = SHARE) -> None:
        """At most every `seconds`, and for at most this share of the time: (0, inf) is always, (inf, 0) never."""
        self._seconds, self._share = seconds, share
        self._occasions = self._measured = 0
        self._spent = 0.0
        self._began = self._due = -math.inf

    def next(self) -> bool:
        """Another one is about to come: whether to measure it."""
        self._occasions += 1
        if math.isinf(self._seconds):
            return False
        number = self._occasions
        early = number <= FIRST_STEPS or (number <= EARLY_STEPS and self._spent <= EARLY_SECONDS)
        if early and number & (number - 1) == 0:
            return True
        return time.monotonic() >= self._due

    def took(self, seconds: float) -> None:
        """It was measured, in this time."""
        now = time.monotonic()
        if not self._measured:
            # The first one waits for memory and kernels that the later ones find in place: it tells nothing of them.
            self._began, seconds = now, 0.0
        self._measured += 1
        self._spent += seconds
        pause = self._seconds * min(max((now - self._began) / SLOWING_AFTER, 1.0), SLOWEST)
        self._due = now + max(pause, seconds / self._share)
