"""The part of an axis that is in view: follows at the right edge, stays where it was moved to."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tui.widgets.window import Window

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("zoom"), st.sampled_from([0.5, 2.0, 0.1, 10.0]), st.one_of(st.none(), st.floats(0, 1))),
        st.tuples(st.just("pan"), st.sampled_from([-0.25, 0.25, -3.0, 3.0]), st.none()),
        st.tuples(st.just("hold"), st.floats(0, 1), st.none()),
    ),
    max_size=30,
)


def test_the_newest_part_follows_the_run() -> None:
    window = Window().zoomed(0.5, None, 100, 100).zoomed(0.5, None, 100, 100)
    assert window.bounds(100, 100) == (75, 100)
    low, high = window.bounds(200, 200)
    assert (low, high) == (150, 200)


def test_what_was_moved_away_from_the_edge_stays_there_and_back_at_the_edge_follows() -> None:
    window = Window().zoomed(0.5, None, 100, 100).panned(-0.5, 100, 100)
    assert window.bounds(100, 100) == window.bounds(300, 300) == (25, 75)
    back = window.panned(5, 100, 100)
    assert back.bounds(100, 100) == (50, 100)
    assert back.bounds(200, 200) == (100, 200)


def test_a_zoom_around_the_cursor_keeps_the_cursor_where_it_was() -> None:
    low, high = Window().zoomed(0.5, 20, 100, 100).bounds(100, 100)
    assert (low, high) == (10, 60)
    assert (20 - low) / (high - low) == 0.2


@given(MOVES, st.floats(1e-3, 1e9), st.floats(1, 2))
@example([("zoom", 0.5, None), ("hold", 0.0, None)], 1.0, 1.9999999999999998)
@example([("zoom", 0.5, None), ("hold", 0.0625, None)], 1.0, 1.875)
@example([("zoom", 0.5, None), ("hold", 0.46875, None)], 1.0, 1.0625)
def test_any_moves_leave_something_in_view_within_the_axis(
    moves: list[tuple[str, float, float | None]], reach: float, more: float
) -> None:
    span = reach * more
    window = Window()
    for name, amount, about in moves:
        if name == "zoom":
            window = window.zoomed(amount, None if about is None else about * reach, reach, span)
        elif name == "pan":
            window = window.panned(amount, reach, span)
        else:
            window = window.holding(amount * reach, reach, span)
            low, high = window.bounds(reach, span)
            assert low - 1e-6 * span <= amount * reach <= high + 1e-6 * span
        low, high = window.bounds(reach, span)
        assert low < high
        assert low >= -1e-6 * span
        assert high <= span * (1 + 1e-6)


@given(st.floats(0.01, 0.9), st.floats(1, 1e6), st.floats(1, 1.5))
def test_the_newest_point_is_always_in_the_newest_part(part: float, reach: float, more: float) -> None:
    low, high = Window(part).bounds(reach, reach * more)
    assert low <= reach <= high
