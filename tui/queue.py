"""Experiments that wait to be trained, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spec import Experiment


@dataclass(frozen=True)
class Waiting:
    """One that waits: `number` tells it from others of the same name. With `resume` it is a run to go on with."""

    number: int
    experiment: Experiment
    resume: Path | None = None

    @property
    def name(self) -> str:
        return self.resume.name if self.resume is not None else self.experiment.name


class Queue:
    """What waits, the next one first. While `held` nothing is begun: it was left behind by an earlier sitting, or the
    person stopped what was trained."""

    def __init__(self) -> None:
        self.items: list[Waiting] = []
        self.held = False
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self.items)

    def add(self, experiment: Experiment, resume: Path | None = None) -> Waiting:
        """Put one at the end."""
        item = Waiting(next(self._numbers), experiment, resume)
        self.items.append(item)
        return item

    def move(self, index: int, step: int) -> bool:
        """Whether the one at `index` could go `step` places on."""
        target = index + step
        if not (0 <= index < len(self.items) and 0 <= target < len(self.items)):
            return False
        self.items.insert(target, self.items.pop(index))
        return True

    def remove(self, index: int) -> bool:
        """Whether there was one at `index`."""
        if not 0 <= index < len(self.items):
            return False
        del self.items[index]
        return True

    def take(self) -> Waiting | None:
        """The next one, which waits no longer; None where nothing may begin."""
        return self.items.pop(0) if self.items and not self.held else None
