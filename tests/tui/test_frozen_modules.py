"""Freezing and thawing modules of a Backbone: what its call says afterwards, in as few words as do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calls import parse_call
from engine.errors import RequestError
from tui.frozen_modules import Module, is_frozen, toggled, with_frozen

SIZES = {
    "conv1": 10, "bn1": 2, "relu": 0, "layer1": 30, "layer1.0": 10, "layer1.1": 20,
    "layer2": 50, "layer2.0": 30, "layer2.1": 20, "fc": 5,
}  # fmt: skip
LEAVES = [path for path, size in SIZES.items() if size and not any(other.startswith(f"{path}.") for other in SIZES)]


def names(frozen: object) -> set[str]:
    """The leaves that a value of `frozen` names, by its definition."""
    if frozen in ("none", None):
        return set()
    if frozen == "all":
        return {leaf for leaf in LEAVES if leaf != "fc"}
    if isinstance(frozen, str):
        tops = [path for path in SIZES if "." not in path]
        upto = tops[: tops.index(frozen.removeprefix("to:")) + 1]
        return {leaf for leaf in LEAVES if leaf.split(".")[0] in upto}
    assert isinstance(frozen, tuple)
    return {leaf for leaf in LEAVES for path in frozen if leaf == path or leaf.startswith(f"{path}.")}


def modules(frozen: set[str]) -> list[Module]:
    def trained(path: str) -> int:
        return sum(SIZES[leaf] for leaf in LEAVES if (leaf + ".").startswith(f"{path}.") and leaf not in frozen)

    return [Module(path, size, trained(path)) for path, size in SIZES.items()]


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("Backbone('resnet18')", "layer2", "Backbone('resnet18', frozen=('layer2',))"),
        ("Backbone('resnet18', frozen=('layer2',))", "layer2", "Backbone('resnet18')"),
        ("Backbone('resnet18', frozen='all')", "layer2", "Backbone('resnet18', frozen='to:layer1')"),
        ("Backbone('resnet18', frozen='to:layer1')", "layer2", "Backbone('resnet18', frozen='all')"),
        ("Backbone('resnet18', frozen='to:layer1')", "layer2.0",
         "Backbone('resnet18', frozen=('conv1', 'bn1', 'layer1', 'layer2.0'))"),
        ("Backbone('resnet18', frozen='all')", "fc", "Backbone('resnet18', frozen='to:fc')"),
        ("Backbone('resnet18', None, None, 'all')", "bn1",
         "Backbone('resnet18', weights=None, until=None, frozen=('conv1', 'layer1', 'layer2'))"),
        ("Backbone('resnet18', frozen=('layer1.1.conv1',))", "conv1",
         "Backbone('resnet18', frozen=('conv1', 'layer1.1.conv1'))"),
    ],
)  # fmt: skip
def test_the_call_says_in_few_words_what_is_frozen(before: str, path: str, after: str) -> None:
    call = parse_call(before)
    frozen = call.args[3] if len(call.args) > 3 else call.get("frozen")
    assert str(toggled(call, modules(names(frozen)), path, ("fc",))) == after


@given(st.lists(st.sampled_from([path for path, size in SIZES.items() if size]), max_size=12))
def test_any_order_of_freezing_and_thawing_freezes_what_was_meant(paths: list[str]) -> None:
    call, wanted = parse_call("Backbone('resnet18')"), set()
    for path in paths:
        here = {leaf for leaf in LEAVES if (leaf + ".").startswith(f"{path}.")}
        call = toggled(call, modules(wanted), path, ("fc",))
        wanted = wanted - here if here <= wanted else wanted | here
        assert names(call.get("frozen")) == wanted
    assert parse_call(str(call)) == call


def test_what_a_module_has_beside_its_own_modules_is_frozen_with_all_of_it_alone() -> None:
    parts = [Module("encoder", 12, 12), Module("encoder.layers", 10, 10), Module("heads", 3, 3)]
    call = parse_call("Backbone('vit_b_16')")
    inside = toggled(call, parts, "encoder.layers", ("heads",))
    assert inside.get("frozen") == ("encoder.layers",)
    assert toggled(call, parts, "encoder", ("heads",)).get("frozen") == "all"


def test_a_module_without_parameters_cannot_be_frozen() -> None:
    with pytest.raises(RequestError, match="relu has no parameters"):
        toggled(parse_call("Backbone('resnet18')"), modules(set()), "relu", ("fc",))


def test_a_whole_layer_is_frozen_in_its_own_words() -> None:
    assert str(with_frozen(parse_call("Linear(3)"), True)) == "Linear(3, frozen=True)"
    backbone = with_frozen(parse_call("Backbone('vgg16', frozen='to:features')"), True)
    assert str(backbone) == "Backbone('vgg16', frozen='all')"
    assert is_frozen(backbone)
    assert str(with_frozen(backbone, False)) == "Backbone('vgg16')"


def test_what_is_frozen_by_hand_is_no_longer_thawed_by_the_schedule() -> None:
    call = parse_call("Backbone('resnet18', frozen='all', thaw={3: 'layer2', 5: ('layer1', 'bn1')})")
    now = modules(names("all") - names(("layer2", "layer1", "bn1")))
    assert str(toggled(call, now, "layer2", ("fc",)).get("thaw")) == "{5: ('layer1', 'bn1')}"
    assert str(toggled(call, now, "bn1", ("fc",)).get("thaw")) == "{3: 'layer2', 5: ('layer1',)}"
    alone = parse_call("Backbone('resnet18', frozen='all', thaw={3: 'layer2'})")
    assert str(toggled(alone, modules(names("to:layer1")), "layer2", ("fc",))) == "Backbone('resnet18', frozen='all')"
    with pytest.raises(RequestError, match="thaws in epoch 3"):
        toggled(alone, modules(names("to:layer1")), "layer2.0", ("fc",))
