"""Layers within layers: every edit against plain nested lists, and paths against the modules that are built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls import Call, parse_call
from engine.errors import RequestError
from tui import layer_tree
from tui.layer_tree import Span, chain_at, listed, read, span_of, written

LEAVES = ("ReLU()", "Linear(7)", "Dropout(0.5)", "Conv2d(8, 3, padding=1)")


def container(inside: st.SearchStrategy[Call]) -> st.SearchStrategy[Call]:
    some = st.lists(inside, max_size=3).map(tuple)
    return st.one_of(
        st.builds(lambda args: Call("Sequential", args), some),
        st.builds(lambda args: Call("Parallel", args, (("merge", "add"),)), some),
        st.builds(lambda n, args: Call("Repeat", (n, *args)), st.integers(1, 3), some),
        st.builds(lambda args: Call("Residual", args), some),
        st.builds(lambda args, side: Call("Residual", args, (("shortcut", side),)), some, inside),
    )


CALLS = st.recursive(st.sampled_from(LEAVES).map(parse_call), container, max_leaves=6)
NETWORKS = st.lists(CALLS, max_size=5).map(tuple)


# The oracle: a network is a list of leaves (texts) and of lists [head, chain, chain ...], each chain a list again.


def plain(calls: tuple[Call, ...]) -> list[Any]:
    return [plain_call(call) for call in calls]


def plain_call(call: Call) -> Any:
    if call.name in ("Sequential", "Parallel"):
        return [str(Call(call.name, (), call.kwargs)), plain(call.args)]
    if call.name == "Repeat":
        return [f"Repeat({call.args[0]})", plain(call.args[1:])]
    if call.name == "Residual":
        side = call.get("shortcut")
        return ["Residual()", plain(call.args), plain((side,) if isinstance(side, Call) else ())]
    return str(call)


def plain_chain(network: list[Any], chain: str) -> list[Any]:
    """The list that a chain's path leads to."""
    found, parts = network, chain.split(".") if chain else []
    while parts:
        one = found[int(parts.pop(0))]
        if one[0] == "Residual()":
            found = one[1 if parts.pop(0) == "body" else 2]
        elif one[0].startswith("Repeat"):
            assert parts.pop(0) == "0"
            found = one[1]
        else:
            found = one[1]
    return found


def spans(layers: tuple[Call, ...]) -> list[Span]:
    chains = {span_of(one.path).chain for one in listed(layers)}
    return [
        Span(chain, first, last)
        for chain in sorted(chains)
        for first in range(len(chain_at(layers, chain)))
        for last in range(first, len(chain_at(layers, chain)))
    ]


@given(NETWORKS)
def test_every_path_leads_to_the_layer_that_is_listed_there_and_to_its_place_in_nested_lists(
    layers: tuple[Call, ...],
) -> None:
    for one in listed(layers):
        assert layer_tree.at(layers, one.path) is one.call
        chain, _, index = one.path.rpartition(".")
        assert plain_chain(plain(layers), chain)[int(index)] == plain_call(one.call)
        assert layer_tree.shown_path(layers, one.path) == one.path
        assert parse_call(str(one.call)) == one.call


@settings(deadline=None)
@given(NETWORKS, st.data())
def test_a_sequence_of_edits_is_that_of_nested_lists_and_keeps_the_texts(
    layers: tuple[Call, ...], data: st.DataObject
) -> None:
    for _ in range(6):
        known = spans(layers)
        if not known:
            layers = layer_tree.insert(layers, "", 0, read("ReLU(), Tanh()")).layers
            continue
        span = data.draw(st.sampled_from(known))
        change = data.draw(st.sampled_from(["insert", "remove", "duplicate", "wrap", "replace", "freeze"]))
        expected = plain(layers)
        chain = plain_chain(expected, span.chain)
        calls = read("Tanh(), GELU()")
        end = span.last + 1
        chosen = chain[span.first : end]
        if change == "insert":
            edit = layer_tree.insert(layers, span.chain, span.first, calls)
            chain[span.first : span.first] = ["Tanh()", "GELU()"]
        elif change == "remove":
            edit = layer_tree.remove(layers, span)
            del chain[span.first : end]
        elif change == "duplicate":
            edit = layer_tree.duplicate(layers, span)
            chain[end:end] = chosen
        elif change == "wrap":
            edit = layer_tree.wrap(layers, span, parse_call("Repeat(2)"))
            chain[span.first : end] = [["Repeat(2)", chosen]]
        elif change == "replace":
            edit = layer_tree.replace(layers, span, calls)
            chain[span.first : end] = ["Tanh()", "GELU()"]
        else:
            edit = layer_tree.freeze(layers, span)
            again = layer_tree.freeze(edit.layers, edit.span)
            assert all(call.get("frozen") is True for call in layer_tree.selected(edit.layers, edit.span))
            assert plain(again.layers) == plain(layers)
            edit = again
        if span.chain.endswith("shortcut") and len(chain) > 1:
            chain[:] = [["Sequential()", list(chain)]]
        assert plain(edit.layers) == expected
        assert all(parse_call(str(call)) == call for call in edit.layers)
        known_paths = {one.path for one in listed(edit.layers)}
        assert set(edit.span.paths) <= known_paths
        if change == "insert":
            assert layer_tree.selected(edit.layers, edit.span) == calls
        layers = edit.layers


@given(NETWORKS, st.data())
def test_a_layer_that_was_moved_can_be_moved_back_and_none_is_lost(
    layers: tuple[Call, ...], data: st.DataObject
) -> None:
    known = [span for span in spans(layers) if "shortcut" not in span.chain]
    if not known:
        return
    span = data.draw(st.sampled_from(known))
    step = data.draw(st.sampled_from([-1, 1]))
    calls = layer_tree.selected(layers, span)
    edit = layer_tree.move(layers, span, step)
    if edit is None:
        assert span.chain == ""
        assert span.first == 0 or span.last == len(layers) - 1
        return
    assert layer_tree.selected(edit.layers, edit.span) == calls
    assert len(list(listed(edit.layers))) == len(list(listed(layers)))
    back = layer_tree.move(edit.layers, edit.span, -step)
    assert back is not None
    assert back.layers == layers
    assert back.span == span


@given(NETWORKS, st.data())
def test_what_was_wrapped_is_unwrapped_again(layers: tuple[Call, ...], data: st.DataObject) -> None:
    known = [span for span in spans(layers) if not span.chain.endswith("shortcut")]
    if not known:
        return
    span = data.draw(st.sampled_from(known))
    for text in ("Sequential()", "Residual()", "Repeat(3)", "Parallel(merge='add')"):
        wrapped = layer_tree.wrap(layers, span, parse_call(text))
        assert wrapped.span == Span(span.chain, span.first, span.first)
        back = layer_tree.unwrap(wrapped.layers, wrapped.span.path)
        assert back.layers == layers
        assert back.span == span


def test_paths_are_the_names_of_the_modules_that_are_built() -> None:
    from engine.build import build_network
    from engine.shapes import propagate

    layers = read(
        "Conv2d(4, 1), Residual(ReLU(), Sequential(Conv2d(4, 1), ReLU()), shortcut=Sequential(Conv2d(4, 1), Tanh())),"
        "Repeat(2, GELU(), Parallel(ReLU(), Sequential(Tanh(), GELU()), merge='add'))"
    )
    network = build_network(propagate(layers, (1, 8, 8)))
    for one in listed(layers):
        assert type(network.get_submodule(one.path)).__name__ == one.call.name
    copies = {name for name, _ in network.named_modules() if name.startswith("2.1.")}
    assert {layer_tree.shown_path(layers, name) for name in copies} == {
        "2", "2.0.0", "2.0.1", "2.0.1.0", "2.0.1.1", "2.0.1.1.0", "2.0.1.1.1"
    } - {"2"}  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "index", "source"),
    [
        ("", 0, ""),
        ("", 1, "0"),
        ("1.body", 0, "0"),
        ("1.body", 1, "1.body.0"),
        ("1.shortcut", 0, "0"),
        ("2", 0, "1"),
        ("2", 1, "1"),
        ("2.1", 0, "1"),
        ("3.0", 0, "2"),
        ("3.0.0", 0, "2"),
        ("3.0.0", 1, "3.0.0.0"),
    ],
)
def test_what_comes_into_a_place_comes_from_the_layer_that_runs_before_it(chain: str, index: int, source: str) -> None:
    layers = read(
        "Flatten(), Residual(ReLU(), shortcut=Tanh()), Parallel(ReLU(), Sequential(Tanh())),"
        "Repeat(2, Sequential(ReLU()))"
    )
    assert layer_tree.source_of(layers, chain, index) == source


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("Linear(3)", ["Linear(3)"]),
        ("Conv2d(32, 3), ReLU()", ["Conv2d(32, 3)", "ReLU()"]),
        (
            "nn.Flatten(),\n    nn.Linear(784, 300),\n    nn.ReLU(),\n",
            ["nn.Flatten()", "nn.Linear(784, 300)", "nn.ReLU()"],
        ),
        ("Flatten()\nLinear(3)\n\nReLU", ["Flatten()", "Linear(3)", "ReLU()"]),
    ],
)
def test_pasted_text_is_read_as_layers(text: str, calls: list[str]) -> None:
    assert [str(call) for call in read(text)] == calls
    assert read(written(read(text))) == read(text)


@pytest.mark.parametrize("text", ["", "3", "Linear(", "Linear(3), 4", "x = 3", "import os\nos.system('ls')"])
def test_text_that_holds_anything_but_layers_is_refused_in_words(text: str) -> None:
    with pytest.raises(RequestError, match="is not a call"):
        read(text)


def test_a_call_with_something_else_than_layers_in_it_is_left_alone() -> None:
    layers = read("Sequential(3), Repeat(ReLU()), Residual(Linear(2), 4), Linear(2)")
    assert [one.path for one in listed(layers)] == ["0", "1", "2", "3"]
    with pytest.raises(RequestError, match="holds no layers"):
        layer_tree.unwrap(layers, "3")
