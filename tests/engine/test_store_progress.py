"""How far a run is, where it was resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.events import Opened
from engine.store.view import RunView
from tests.engine.run_folders import ended, progress, started


@pytest.mark.parametrize(
    ("resumed", "over", "expected"),
    [
        (12, 1, (2, 2, 12)),  # where it was stopped, in the middle of the second epoch
        (10, 1, (1, 0, 10)),  # before that
    ],
)
def test_a_run_goes_on_in_the_epoch_in_which_it_was_stopped(
    resumed: int, over: int, expected: tuple[int, int, int]
) -> None:
    view = RunView(Path("run"))
    view.apply(started(), 1.0)
    for event in (progress(10), ended(1), progress(12)):
        view.apply(event, 1.0)
    view.apply(Opened(1, {}, resumed), 2.0)
    view.apply(started(start_step=resumed, start_epoch=over), 2.0)
    assert (view.epoch, view.batch, view.step) == expected
    view.apply(progress(13), 3.0)
    assert (view.epoch, view.batch, view.step) == (2, 3, 13)
