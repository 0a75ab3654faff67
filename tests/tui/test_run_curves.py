"""What the curves of a run are drawn from, and how far their axis goes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tui.screens.train import span_of, training_loss


def run(epochs: int, asked: int, curve: list[tuple[int, float, float]]) -> SimpleNamespace:
    history = [SimpleNamespace(epoch=n, metrics={"train/loss": 1 / n, "val/loss": 2 / n}) for n in range(1, epochs + 1)]
    return SimpleNamespace(history=history, epochs=asked, curve=curve)


def test_epochs_too_short_for_progress_are_drawn_by_their_mean() -> None:
    series = training_loss(run(3, 20, []))
    assert series.x.tolist() == [1, 2, 3]
    assert series.y.tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_where_progress_was_told_it_is_drawn_and_the_other_epochs_are_filled_in() -> None:
    series = training_loss(run(3, 20, [(10, 1.25, 0.9), (16, 2.0, 0.6)]))
    assert series.x.tolist() == [1, 1.25, 2, 3]
    assert series.y.tolist() == pytest.approx([1, 0.9, 0.6, 1 / 3])


def test_the_axis_spans_what_was_trained_and_not_all_that_was_asked_for() -> None:
    assert span_of(run(183, 3000, []), 183.4) == 200
    assert span_of(run(2900, 2950, []), 0) == 2950
    assert span_of(run(0, 3000, []), 0.2) == 1
    assert span_of(run(12, 10, []), 0) == 12
