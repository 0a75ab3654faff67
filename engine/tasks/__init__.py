"""Tasks: how a batch becomes losses. One file a family."""

from __future__ import annotations

from engine.tasks.base import Objection, Objective, Outcome, Setting, Task
from engine.tasks.classification import Classification
from engine.tasks.regression import Regression

TASKS: dict[str, type[Task]] = {"Classification": Classification, "Regression": Regression}

__all__ = ["TASKS", "Classification", "Objection", "Objective", "Outcome", "Regression", "Setting", "Task"]
