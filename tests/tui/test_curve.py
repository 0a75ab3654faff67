"""Curves in braille: against dots worked out one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui.widgets.axes import x_label, y_label
from tui.widgets.braille import DASHES, limits, round_up, ticks, trace
from tui.widgets.look import UNITS, WEIGHTS, Look, Series
from tui.widgets.plot import RAW, beside, nearest, plot

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


def draw(x: list[float], y: list[float], width: int = 10, height: int = 4, **options: int) -> set[tuple[int, int]]:
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


# ---------------------------------------------------------------------- what a chart shows

ANY = st.one_of(st.floats(), st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e308, -1e308, 5e-324, math.nan, math.inf]))
WINDOWS = st.tuples(st.floats(0, 1e4), st.floats(1e-6, 1e4)).map(lambda pair: (pair[0], pair[0] + pair[1]))
LOOKS = st.builds(Look, st.sampled_from(WEIGHTS), st.booleans())


def of(points: list[tuple[float, float]], dashed: int = 0) -> Series:
    points = sorted(points, key=lambda point: point[0])
    x, y = (np.array([point[at] for point in points], dtype=np.float64) for at in (0, 1))
    return Series("train", x, y, "accent", dashed)


@given(
    st.lists(st.lists(st.tuples(st.floats(0, 2e4), ANY), max_size=30), max_size=4),
    LOOKS,
    st.integers(0, 40),
    st.integers(0, 12),
    WINDOWS,
    st.sampled_from(["loss", "accuracy"]),
    st.sampled_from(UNITS),
)
def test_any_curves_in_any_part_of_the_axis_fill_exactly_their_cells(
    curves: list[list[tuple[float, float]]],
    look: Look,
    columns: int,
    rows: int,
    window: tuple[float, float],
    metric: str,
    unit: str,
) -> None:
    series = [of(points, index) for index, points in enumerate(curves)]
    picture = plot(series, look, columns, rows, window, metric, unit)
    if picture is None:
        return
    assert picture.cells.shape == picture.owners.shape == (rows, columns)
    assert ((picture.cells > 0) == (picture.owners != -1)).all()
    assert all(0 <= row < rows for row in picture.y_marks)
    assert all(0 <= column < columns for column in picture.x_marks)
    assert all(label.isprintable() for label in (*picture.y_marks.values(), *picture.x_marks.values()))


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-1e6, 1e6)), min_size=2, max_size=200),
    st.integers(1, 30),
    st.integers(1, 10),
    st.integers(0, len(DASHES) - 1),
    st.floats(0, 0.9),
    st.floats(0.05, 0.1),
)
@example([(0.0, 0.0), (0.0, 2606.0), (0.0, 0.0), (0.078125, -2927.0)], 2, 2, 2, 0.0, 0.078125)
def test_the_highest_and_the_lowest_point_in_view_are_drawn_whatever_the_zoom_and_the_dashes(
    points: list[tuple[float, float]], width: int, height: int, dashed: int, low: float, share: float
) -> None:
    item = of(points, dashed)
    window = (low, low + share)
    inside = item.y[(item.x >= window[0]) & (item.x <= window[1])]
    if not len(inside):
        return
    bounds = limits(item.y)
    assert bounds is not None
    dots = dots_of(trace(item.x, item.y, width, height, window, bounds, dashed))
    rows = [row for _, row in dots]

    def row_of(value: float) -> int:
        return round((bounds[1] - value) / (bounds[1] - bounds[0]) * (4 * height - 1))

    # Gaps between dashes are no higher than two dots.
    assert min(rows, default=row_of(inside.max())) <= row_of(inside.max()) + 2
    assert max(rows, default=row_of(inside.min())) >= row_of(inside.min()) - 2


@pytest.mark.parametrize("dashed", range(len(DASHES)))
def test_a_peak_is_seen_wherever_the_gaps_between_the_dashes_are(dashed: int) -> None:
    x = np.arange(60.0)
    for place in range(60):
        y = np.zeros(60)
        y[place] = 1.0
        dots = dots_of(trace(x, y, 30, 4, (0.0, 59.0), (0.0, 1.0), dashed))
        assert min(row for _, row in dots) == 0, place


def test_a_piece_of_a_line_between_two_points_is_drawn_where_only_it_is_in_view() -> None:
    cells = trace(np.array([0.0, 10.0]), np.array([0.0, 10.0]), 8, 4, (4.0, 6.0), (4.0, 6.0))
    assert {x for x, _ in dots_of(cells)} == set(range(16))
    assert {(0, 15), (15, 0)} <= dots_of(cells)


def test_a_logarithmic_axis_leaves_out_what_is_not_positive_and_counts_it() -> None:
    item = of([(0, 100.0), (1, 0.0), (2, -1.0), (3, 1.0)])
    picture = plot([item], Look(log=True), 20, 9, (0.0, 3.0))
    assert picture is not None
    assert picture.left_out == 2
    assert list(picture.y_marks.values()) == ["1", "10", "100"]
    assert plot([of([(0, -1.0)])], Look(log=True), 20, 9, (0.0, 3.0)) is None


def test_equal_factors_are_equally_far_apart_on_a_logarithmic_axis() -> None:
    x = np.linspace(0, 1, 200)
    straight = plot([Series("", x, 10 ** (3 * x), "")], Look(log=True), 30, 8, (0.0, 1.0))
    linear = plot([Series("", x, 3 * x, "")], Look(), 30, 8, (0.0, 1.0))
    assert straight is not None
    assert linear is not None
    assert (straight.cells == linear.cells).all()


def test_values_stand_behind_the_smooth_line() -> None:
    x = np.arange(400.0)
    y = np.random.default_rng(0).normal(size=400)
    picture = plot([Series("", x, y, "accent")], Look(0.97), 40, 10, (0.0, 399.0))
    assert picture is not None
    assert {RAW, 0} <= set(picture.owners.flatten().tolist())
    bare = plot([Series("", x, y, "accent")], Look(), 40, 10, (0.0, 399.0))
    assert bare is not None
    # Where the smooth line does not run, all of the values are there.
    behind = picture.owners == RAW
    assert (picture.cells[behind] == bare.cells[behind]).all()


@given(st.lists(st.tuples(st.floats(0, 1e6), ANY), max_size=60), st.floats(0, 1e6))
def test_the_cursor_reads_the_recorded_value_that_is_nearest(points: list[tuple[float, float]], x: float) -> None:
    item = of(points)
    good = np.isfinite(item.y)
    at = nearest(item, x)
    if at is None:
        assert not good.any()
        return
    assert good[at]
    assert abs(item.x[at] - x) == np.abs(item.x[good] - x).min()


def test_the_cursor_reads_nothing_of_a_curve_that_has_ended_before_it() -> None:
    item = of([(float(epoch), 1.0) for epoch in range(1, 9)])
    assert nearest(item, 9.0, 0.1) == 7
    assert nearest(item, 9.1, 0.1) is None
    assert nearest(item, 9.4, 0.5) is None
    assert nearest(item, -0.1, 0.1) is None
    assert nearest(item, 17.0) == 7


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0, 100), st.floats(0, 20))
def test_the_cursor_goes_onto_points_and_always_onward(places: list[float], x: float, least: float) -> None:
    item = of([(place, 1.0) for place in places])
    for step in (-1, 1):
        found = beside([item], x, step, least)
        onward = [place for place in places if (place - x) * step > 0]
        if onward:
            assert found in onward
            wanted = x + step * least
            assert abs(found - wanted) == min(abs(place - wanted) for place in onward)
        else:
            assert found == x


@pytest.mark.parametrize(
    ("value", "unit", "apart", "text"),
    [
        (3, "epoch", 1, "3"),
        (0.2, "epoch", 0.2, "0.2"),
        (90, "time", 30, "1:30"),
        (3725, "time", 300, "1:02:05"),
        (0.4, "time", 0.1, "0.4 s"),
        (20_000, "step", 10_000, "20.0 K"),
        (12_345, "step", 1, "12,345"),
    ],
)
def test_places_on_the_x_axis_are_written_in_their_unit(value: float, unit: str, apart: float, text: str) -> None:
    assert x_label(value, unit, apart) == text


@pytest.mark.parametrize(
    ("value", "metric", "apart", "text"),
    [
        (0.5, "loss", 0.5, "0.5"),
        (2, "loss", 0.2, "2.0"),
        (0.955, "accuracy", 0.005, "95.5 %"),
        (1e-6, "loss", 1e-6, "1e-06"),
    ],
)
def test_values_on_the_y_axis_have_the_digits_that_tell_them_apart(
    value: float, metric: str, apart: float, text: str
) -> None:
    assert y_label(value, metric, apart) == text
