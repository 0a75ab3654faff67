"""The experiment under the person's hands: each change can be taken back, and a wrong one changes nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.presets import preset
from engine.spec import load_experiment
from tui import layer_tree
from tui.draft import Draft, wrong_calls, wrong_setting
from tui.layer_tree import INPUT, Span, read

CHANGES = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 8), st.sampled_from(["ReLU()", "Sequential(ReLU(), Dropout(0.5))"])),
    st.tuples(st.sampled_from(["remove", "duplicate", "freeze", "wrap"]), st.integers(0, 9), st.integers(0, 2)),
    st.tuples(st.just("move"), st.integers(0, 9), st.sampled_from([-1, 1])),
    st.tuples(st.just("set"), st.just("epochs"), st.sampled_from(["3", "4"])),
    st.tuples(st.just("blank")),
)


def change(draft: Draft, name: str, *arguments: object) -> None:
    first, second = (*arguments, 0, 0)[:2]
    layers = draft.layers
    if name == "set":
        draft.set(str(first), str(second))
    elif name == "blank":
        draft.begin_blank()
    elif name == "insert":
        draft.edit(layer_tree.insert(layers, "", min(int(str(first)), len(layers)), read(str(second))))
    elif int(str(first)) < len(layers):
        index, more = int(str(first)), int(str(second))
        draft.selection = Span("", index, index if name == "move" else min(index + more, len(layers) - 1))
        if name == "move":
            edit = layer_tree.move(layers, draft.selection, more)
        elif name == "wrap":
            edit = layer_tree.wrap(layers, draft.selection, read("Residual()")[0])
        else:
            edit = getattr(layer_tree, name)(layers, draft.selection)
        if edit is not None:
            draft.edit(edit)


@given(st.lists(CHANGES, max_size=20))
def test_undo_takes_back_every_change_in_turn_and_redo_makes_it_again(changes: list[tuple[object, ...]]) -> None:
    draft = Draft(preset("batchnorm"))
    seen = [draft.experiment]
    for name, *arguments in changes:
        with contextlib.suppress(RequestError):
            change(draft, str(name), *arguments)
        if draft.experiment != seen[-1]:
            seen.append(draft.experiment)
    for experiment in reversed(seen):
        while draft.experiment != experiment:
            assert draft.undo()
    while draft.undo():
        assert draft.experiment == seen[0]
    assert not draft.changed
    for experiment in seen:
        while draft.experiment != experiment:
            assert draft.redo()
    while draft.redo():
        assert draft.experiment == seen[-1]


def test_undo_and_redo_bring_the_selection_back() -> None:
    draft = Draft(preset("mlp"))
    draft.selection = Span("", 1, 2)
    draft.edit(layer_tree.wrap(draft.layers, draft.selection, read("Residual()")[0]))
    assert draft.selection == Span("", 1, 1)
    draft.undo()
    assert draft.selection == Span("", 1, 2)
    draft.redo()
    assert draft.selection == Span("", 1, 1)


def test_a_change_after_undo_leaves_nothing_to_redo() -> None:
    draft = Draft(preset("mlp"))
    draft.set("epochs", "3")
    draft.undo()
    assert draft.can_redo
    draft.set("epochs", "4")
    assert not draft.can_redo
    assert not draft.redo()


def test_thousands_of_changes_are_taken_back_one_by_one() -> None:
    draft = Draft(preset("batchnorm"))
    for number in range(3000):
        draft.set("seed", str(number + 1))
    for _ in range(3000):
        assert draft.undo()
    assert not draft.changed
    assert not draft.undo()


def test_a_blank_network_keeps_data_and_recipe_and_can_be_saved_and_opened(tmp_path: Path) -> None:
    draft = Draft(preset("batchnorm"), Path("mine.toml"))
    draft.begin_blank()
    assert draft.layers == ()
    assert draft.selection == INPUT
    assert draft.file is None
    assert draft.experiment.data == preset("batchnorm").data
    (tmp_path / "blank.toml").write_text(draft.experiment.to_toml())
    assert load_experiment(tmp_path / "blank.toml") == draft.experiment
    draft.undo()
    assert draft.experiment == preset("batchnorm")
    assert draft.file == Path("mine.toml")


def test_a_text_that_does_not_parse_changes_nothing() -> None:
    draft = Draft(preset("mlp"))
    with pytest.raises(RequestError):
        draft.set("epochs", "many")
    assert not draft.changed
    assert not draft.undo()


def test_layers_that_could_not_be_read_again_are_refused() -> None:
    draft = Draft(preset("mlp"))

    def wrap() -> None:
        draft.edit(layer_tree.wrap(draft.layers, Span("", 0, 0), read("Sequential()")[0]))

    for _ in range(31):
        wrap()
    before = draft.experiment
    with pytest.raises(RequestError, match="nested"):
        wrap()
    assert draft.experiment == before
    assert read(str(draft.layers[0])) == draft.layers[:1]


def test_what_is_wrong_is_said_without_a_place() -> None:
    assert wrong_setting(preset("mlp"), "epochs", "many") == (
        'found "many"; a whole number from 1 to 1,000,000 stands here'
    )
    assert wrong_setting(preset("mlp"), "epochs", "7") == ""
    assert wrong_calls("Linear(300") != ""
    assert wrong_calls("Linear(300), ReLU()") == ""
    assert wrong_calls("Linear(300), 3") != ""
