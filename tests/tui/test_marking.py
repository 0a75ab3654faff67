"""The runs that are compared: their order, their baseline and their colours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.marking import COLOURS, Marks


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60))
def test_a_run_keeps_its_colour_while_it_is_marked_and_none_is_taken_twice_before_all_are(toggled: list[str]) -> None:
    marks = Marks()
    colours: dict[str, int] = {}
    for run in toggled:
        if marks.toggle(run):
            colours[run] = marks.colour(run)
        else:
            del colours[run]
        assert {run: marks.colour(run) for run in marks.runs} == colours
        assert list(marks.runs) == list(colours)
        if toggled.count(run) == len(toggled) == 1 or len(set(toggled)) <= COLOURS:
            assert len(set(colours.values())) == len(colours)


def test_the_baseline_is_the_first_unless_another_was_chosen_and_is_still_marked() -> None:
    marks = Marks()
    assert marks.baseline is None
    for run in "abc":
        marks.toggle(run)
    assert marks.baseline == "a"
    marks.set_baseline("c")
    assert marks.baseline == "c"
    marks.set_baseline("unknown")
    assert marks.baseline == "c"
    marks.toggle("c")
    assert marks.baseline == "a"
    assert marks.keep({"b"})
    assert (marks.runs, marks.baseline) == (("b",), "b")
    assert not marks.keep({"b", "x"})
