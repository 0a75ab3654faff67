"""Smoothing: against the average written out point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.smoothing import smooth


def adam_average(values: list[float], weight: float) -> list[float]:
    """The moving average of Adam with its bias taken out, one step after the other."""
    out, moment = [], 0.0
    for step, value in enumerate(values, 1):
        moment = weight * moment + (1 - weight) * value
        out.append(moment / (1 - weight**step))
    return out


def by_distance(x: list[float], y: list[float], weight: float) -> list[float]:
    """The average whose memory fades with the distance, one point after the other."""
    distances = np.diff(x)
    usual = float(np.median(distances)) if len(distances) else 0.0
    out, total, sum_of_weights = [], 0.0, 0.0
    for at, value in enumerate(y):
        decay = weight if at == 0 or usual <= 0 else weight ** max(distances[at - 1] / usual, 1e-3)
        total = decay * total + (1 - decay) * value
        sum_of_weights = decay * sum_of_weights + (1 - decay)
        out.append(total / sum_of_weights)
    return out


@pytest.mark.parametrize("weight", [0.6, 0.9, 0.97])
def test_evenly_spaced_points_have_the_average_of_adam(weight: float) -> None:
    y = np.random.default_rng(0).normal(size=1000)
    assert smooth(np.arange(1000.0), y, weight) == pytest.approx(adam_average(y.tolist(), weight), rel=1e-9, abs=1e-12)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=50),
    st.sampled_from([0.6, 0.9, 0.97]),
)
def test_the_weight_follows_the_distance(points: list[tuple[float, float]], weight: float) -> None:
    points.sort()
    x, y = ([float(point[at]) for point in points] for at in (0, 1))
    assert smooth(np.array(x), np.array(y), weight) == pytest.approx(by_distance(x, y, weight), rel=1e-6, abs=1e-3)


def test_what_is_not_finite_stays_and_touches_nothing_else() -> None:
    x = np.arange(5.0)
    smoothed = smooth(x, np.array([1.0, math.nan, 3.0, math.inf, 5.0]), 0.9)
    assert math.isnan(smoothed[1])
    assert smoothed[3] == math.inf
    assert smoothed[[0, 2, 4]].tolist() == smooth(x[[0, 2, 4]], np.array([1.0, 3.0, 5.0]), 0.9).tolist()


def test_the_first_point_is_itself_and_a_level_line_stays_level() -> None:
    assert smooth(np.array([3.0]), np.array([7.0]), 0.97).tolist() == [pytest.approx(7.0)]
    assert smooth(np.arange(100.0), np.full(100, 0.25), 0.97) == pytest.approx(np.full(100, 0.25))


def test_without_a_weight_the_values_are_as_they_were() -> None:
    y = np.array([1.0, 2.0])
    assert smooth(np.array([0.0, 1.0]), y, 0.0) is y
