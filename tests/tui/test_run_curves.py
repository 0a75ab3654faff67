"""What the curves of a run are drawn from, over each unit, and how far their axis goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui.run_curves import RunCurvesReader, names_of, span_of
from tui.widgets.look import UNITS, Look, Series
from tui.widgets.plot import plot
from tui.widgets.window import Window


def run(epochs: int, asked: int = 20, curve: list[tuple[int, float, float]] | None = None) -> Any:
    history = [row(number) for number in range(1, epochs + 1)]
    return SimpleNamespace(
        history=history, epochs=asked, curve=curve or [], epoch=epochs, batch=10, batches=10, step=epochs * 10,
        elapsed=epochs * 2.0, started={"train": 640},
    )  # fmt: skip


def row(number: int) -> Any:
    metrics = {"train/loss": 1 / number, "val/loss": 2 / number, "lr": 0.1}
    return SimpleNamespace(epoch=number, step=number * 10, metrics=metrics, seconds={"train": 2.0, "evaluate": 9.0})


def test_epochs_too_short_for_progress_are_drawn_by_their_mean() -> None:
    x, y = RunCurvesReader(run(3)).read().points("train/loss", "epoch")
    assert x.tolist() == [1, 2, 3]
    assert y.tolist() == pytest.approx([1, 1 / 2, 1 / 3])


def test_where_progress_was_told_it_is_drawn_and_the_other_epochs_are_filled_in() -> None:
    x, y = RunCurvesReader(run(3, 20, [(10, 1.25, 0.9), (16, 2.0, 0.6)])).read().points("train/loss", "epoch")
    assert x.tolist() == [1, 1.25, 2, 3]
    assert y.tolist() == pytest.approx([1, 0.9, 0.6, 1 / 3])


def test_steps_samples_and_training_time_stand_for_the_same_epochs() -> None:
    view = run(4)
    view.epoch, view.batch, view.step, view.elapsed = 5, 5, 45, 9.5
    view.curve = [(5, 0.5, 3.0), (45, 4.5, 1.0)]
    curves = RunCurvesReader(view).read()
    assert curves.points("val/loss", "step")[0].tolist() == [10, 20, 30, 40]
    assert curves.points("val/loss", "samples")[0].tolist() == [640, 1280, 1920, 2560]
    assert curves.points("val/loss", "time")[0].tolist() == [2, 4, 6, 8]
    assert curves.points("train/loss", "time")[0].tolist() == [1, 4, 6, 8, 9.5]
    assert curves.points("train/loss", "step")[0].tolist() == [5, 20, 30, 40, 45]
    assert curves.total("step") == 200
    assert curves.total("time") == 0


def test_reading_again_takes_in_what_was_added_merged_and_forgotten() -> None:
    view = run(2, 20, [(5, 0.5, 3.0), (10, 1.0, 2.0)])
    reader = RunCurvesReader(view)

    def same() -> bool:
        again, anew = reader.read(), RunCurvesReader(view).read()
        return all(
            again.points(name, unit)[at].tolist() == anew.points(name, unit)[at].tolist()
            for name in ("train/loss", "val/loss", "lr")
            for unit in ("epoch", "step", "time", "samples")
            for at in (0, 1)
        )

    assert same()
    view.curve.append((15, 1.5, 1.5))
    view.history.append(row(3))
    assert same()
    view.curve[:] = [(10, 1.0, 2.5), (20, 2.0, 1.5)]
    assert same()
    del view.history[1:]
    del view.curve[1:]
    assert same()
    view.history.append(row(2))
    assert same()


ANY = st.floats()
WHOLE = st.one_of(st.integers(-3, 20), st.integers(-(2**63), 2**63))


@given(
    st.lists(st.tuples(WHOLE, WHOLE, ANY, ANY), max_size=8),
    st.lists(st.tuples(WHOLE, st.floats(-1e18, 1e18), ANY), max_size=8),
    st.tuples(WHOLE, WHOLE, WHOLE, WHOLE, ANY),
    st.sampled_from(UNITS),
    st.booleans(),
)
@example([(1, 1, 1.0, 1.0), (2, 2, 1.0, 1.5000000000000002e308)], [], (2, 0, 1, 2, 1.0), "time", False)
def test_whatever_a_damaged_run_tells_is_drawn_somehow(
    rows: list[tuple[int, int, float, float]],
    curve: list[tuple[int, float, float]],
    now: tuple[int, int, int, int, float],
    unit: str,
    log: bool,
) -> None:
    epoch, batch, batches, step, elapsed = now
    history = [
        SimpleNamespace(epoch=number, step=at, metrics={"train/loss": loss, "val/loss": loss}, seconds={"train": spent})
        for number, at, loss, spent in rows
    ]
    view = SimpleNamespace(
        history=history, epochs=epoch, curve=curve, epoch=epoch, batch=batch, batches=batches, step=step,
        elapsed=elapsed, started={"train": abs(step)},
    )  # fmt: skip
    curves = RunCurvesReader(view).read()
    reach = curves.reach(unit, list(curves.metrics))
    span = span_of(reach, curves.total(unit))
    series = [Series(name, *curves.points(name, unit), "accent") for name in curves.metrics]
    for window in (Window(), Window(0.3)):
        drawn = plot(series, Look(0.9, log), 30, 8, window.bounds(reach, max(span, 1e-9)), "loss", unit)
        assert drawn is None or drawn.cells.shape == drawn.owners.shape == (8, 30)


def test_a_run_without_epochs_has_empty_curves() -> None:
    view = run(0)
    view.batches = view.epoch = 0
    curves = RunCurvesReader(view).read()
    for unit in ("epoch", "step", "time", "samples"):
        assert len(curves.points("train/loss", unit)[0]) == 0
        assert curves.reach(unit, ["train/loss"]) == 0


def test_a_chart_can_show_losses_first_and_the_rate_last() -> None:
    assert names_of([RunCurvesReader(run(1)).read()]) == ["loss", "lr"]


def test_the_axis_spans_what_was_trained_and_not_all_that_was_asked_for() -> None:
    assert span_of(183.4, 3000) == 200
    assert span_of(2900, 2950) == 2950
    assert span_of(0.2, 3000) == 1
    assert span_of(12, 10) == 12
    assert span_of(183.4, 0) == 200
