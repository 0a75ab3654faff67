"""The four screens, each imported as it is first shown: the first frame does not wait for those that come later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from textual.screen import Screen

from tui.commands import COMPARE, COMPOSE, RUNS, TRAIN


def _compose() -> Screen[Any]:
    from tui.screens.compose import ComposeScreen

    return ComposeScreen()


def _train() -> Screen[Any]:
    from tui.screens.train import TrainScreen

    return TrainScreen()


def _runs() -> Screen[Any]:
    from tui.screens.runs import RunsScreen

    return RunsScreen()


def _compare() -> Screen[Any]:
    from tui.screens.compare import CompareScreen

    return CompareScreen()


MODES: Mapping[str, Callable[[], Screen[Any]]] = MappingProxyType(
    {COMPOSE: _compose, TRAIN: _train, RUNS: _runs, COMPARE: _compare}
)
