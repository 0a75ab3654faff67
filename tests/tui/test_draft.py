"""The experiment under the person's hands: each change can be taken back, and a wrong one changes nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.presets import preset
from tui.draft import Draft, wrong_call, wrong_setting

CHANGES = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 8), st.sampled_from(["ReLU()", "Dropout(0.5)"])),
    st.tuples(st.just("replace"), st.integers(0, 3), st.just("Linear(20)")),
    st.tuples(st.just("duplicate"), st.integers(-1, 9)),
    st.tuples(st.just("delete"), st.integers(-1, 3)),
    st.tuples(st.just("move"), st.integers(-1, 9), st.sampled_from([-1, 1])),
    st.tuples(st.just("set"), st.just("epochs"), st.sampled_from(["3", "4"])),
)


@given(st.lists(CHANGES, max_size=20))
def test_undo_takes_back_every_change_in_turn(changes: list[tuple[object, ...]]) -> None:
    draft = Draft(preset("batchnorm"))
    seen = [draft.experiment]
    for name, *arguments in changes:
        with contextlib.suppress(RequestError, IndexError):
            getattr(draft, str(name))(*arguments)
        if draft.experiment != seen[-1]:
            seen.append(draft.experiment)
    for experiment in reversed(seen):
        assert draft.experiment == experiment
        draft.undo()
    assert not draft.undo()
    assert not draft.changed


def test_a_text_that_does_not_parse_changes_nothing() -> None:
    draft = Draft(preset("mlp"))
    with pytest.raises(RequestError):
        draft.insert(0, "Linear(")
    with pytest.raises(RequestError):
        draft.set("epochs", "many")
    assert not draft.changed
    assert not draft.undo()


def test_what_is_wrong_is_said_without_a_place() -> None:
    assert wrong_setting(preset("mlp"), "epochs", "many") == (
        'found "many"; a whole number from 1 to 1,000,000 stands here'
    )
    assert wrong_setting(preset("mlp"), "epochs", "7") == ""
    assert wrong_call("Linear(300)") == ""
    assert wrong_call("Linear(300") != ""
