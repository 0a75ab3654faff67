"""Curves in braille: against dots worked out one by one."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.braille import limits, round_up, ticks, trace

# Unicode's numbering of the eight dots of a braille cell, by (column, row).
DOTS = {(0, 0): 1, (0, 1): 2, (0, 2): 4, (1, 0): 8, (1, 1): 16, (1, 2): 32, (0, 3): 64, (1, 3): 128}


def dots_of(cells: np.ndarray) -> set[tuple[int, int]]:
    """The (column, row) of every dot that is set, counted in dots from the top left."""
    height, width = cells.shape
    return {
        (2 * column + x, 4 * row + y)
        for row in range(height)
        for column in range(width)
        for (x, y), bit in DOTS.items()
        if cells[row, column] & bit
    }


def draw(x: list[float], y: list[float], width: int = 10, height: int = 4, **options: bool) -> set[tuple[int, int]]:
    return dots_of(trace(np.array(x), np.array(y), width, height, (0.0, 1.0), (0.0, 1.0), **options))


def test_corners_are_drawn_in_the_corners() -> None:
    assert draw([0.0], [1.0]) == {(0, 0)}
    assert draw([1.0], [0.0]) == {(19, 15)}
    assert draw([1.0], [1.0]) == {(19, 0)}


def test_a_level_line_is_one_dot_high_and_as_wide_as_its_points_are_apart() -> None:
    assert draw([0.0, 1.0], [0.0, 0.0]) == {(x, 15) for x in range(20)}


def test_a_diagonal_goes_through_its_ends_and_misses_no_column() -> None:
    dots = draw([0.0, 1.0], [0.0, 1.0], 8, 4)
    assert {x for x, _ in dots} == set(range(16))
    assert (0, 15) in dots
    assert (15, 0) in dots
    assert all(abs((15 - y) - x) <= 1 for x, y in dots)


def test_a_peak_between_two_columns_is_not_lost() -> None:
    x = np.linspace(0, 1, 10_000)
    y = np.zeros(10_000)
    y[5_001] = 1.0
    dots = dots_of(trace(x, y, 10, 4, (0.0, 1.0), (0.0, 1.0)))
    assert min(y for _, y in dots) == 0


def test_points_that_are_not_finite_leave_the_others_as_they_are() -> None:
    assert draw([0.0, 0.5, 1.0], [0.0, math.nan, 0.0]) == draw([0.0, 1.0], [0.0, 0.0])
    assert draw([0.5], [math.inf]) == set()


def test_a_dashed_line_has_gaps_where_no_colour_tells_it_from_another() -> None:
    whole, dashed = draw([0.0, 1.0], [0.5, 0.5]), draw([0.0, 1.0], [0.5, 0.5], dashed=True)
    assert dashed < whole
    assert len(dashed) == len(whole) / 2


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    st.integers(1, 30),
    st.integers(1, 10),
)
def test_every_column_between_the_first_and_the_last_point_is_drawn_and_connected(
    points: list[tuple[float, float]], width: int, height: int
) -> None:
    points = sorted(points)
    x, y = (np.array(values) for values in zip(*points, strict=True))
    bounds = limits(y)
    assert bounds is not None
    dots = dots_of(trace(x, y, width, height, (0.0, 1.0), bounds))
    columns: dict[int, list[int]] = {}
    for column, row in dots:
        columns.setdefault(column, []).append(row)
    first, last = round(x[0] * (2 * width - 1)), round(x[-1] * (2 * width - 1))
    assert set(columns) == set(range(first, last + 1))
    for column in range(first, last):
        here, there = columns[column], columns[column + 1]
        assert max(here) + 1 >= min(there)
        assert max(there) + 1 >= min(here)


def test_limits_of_equal_values_leave_room_and_of_none_are_none() -> None:
    assert limits(np.array([])) is None
    assert limits(np.array([math.nan, math.inf])) is None
    low, high = limits(np.array([2.0, 2.0])) or (0.0, 0.0)
    assert low < 2.0 < high


@given(st.floats(0.01, 1e6), st.integers(1, 20))
def test_ticks_are_round_and_no_more_than_asked_for(high: float, most: int) -> None:
    marks = ticks(0.0, high, most)
    assert marks[0] == 0
    assert len(marks) <= most + 1
    assert all(0 <= mark <= high * (1 + 1e-9) for mark in marks)


@given(st.floats(0, 1e7))
def test_an_axis_is_rounded_up_to_a_number_that_is_whole_and_never_far_away(value: float) -> None:
    rounded = round_up(value)
    assert rounded == int(rounded)
    assert value <= rounded <= max(1.51 * value, 2.0)


def test_an_axis_ends_at_a_round_number() -> None:
    assert [round_up(value) for value in (0, 1, 1.2, 7, 12, 183, 3000, 3001)] == [1, 1, 2, 8, 15, 200, 3000, 4000]
