"""Freezing and thawing modules of a Backbone: what its call says afterwards, in as few words as do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backbone_rows import measured
from engine.backbones import below
from engine.calls import parse_call
from engine.errors import RequestError
from engine.freezing import NEVER, Rule, _rules
from engine.shapes import propagate
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


SHAPES = {
    "vit_b_32": (3, 32, 32), "swin_t": (3, 64, 64), "convnext_tiny": (3, 32, 32), "maxvit_t": (3, 224, 224),
    "googlenet": (3, 32, 32), "vgg11": (3, 32, 32), "mobilenet_v3_small": (3, 32, 32),
}  # fmt: skip


class Held:
    """A Backbone as the check sees it after each change of its call."""

    def __init__(self, name: str, frozen: str) -> None:
        self.shape = SHAPES[name]
        self.call = parse_call(f"Backbone('{name}', weights=None, frozen={frozen})")
        self.look()

    def look(self) -> None:
        found = propagate([self.call], self.shape, symbols={"classes": 2})
        assert found.problem is None, found.problem
        self.heads = measured(found.nodes[0]).heads
        self.modules = [Module(row.path[2:], row.parameters, row.trainable) for row in found.rows[1:]]
        self.all = dict(measured(found.nodes[0]).parameters)
        rules = dict(_rules(found.nodes, Rule("")))
        self.frozen = {path for path in self.all if rules[f"0.{path}"].begins == NEVER}
        assert found.rows[0].trainable == sum(size for path, size in self.all.items() if path not in self.frozen)

    def toggle(self, path: str) -> None:
        self.call = toggled(self.call, self.modules, path, self.heads)
        self.look()


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_what_is_frozen_of_a_real_model_is_what_was_asked_for_and_nothing_else(name: str, data: st.DataObject) -> None:
    start = st.sampled_from(["'none'", "'all'", "'to:classifier'" if name in ("vgg11", "maxvit_t") else "'all'"])
    held = Held(name, data.draw(start))
    paths = [module.path for module in held.modules if module.parameters]
    # Modules of the first level twice as often: they are what sequences of keys meet.
    some = [*paths, *(path for path in paths if "." not in path)]
    for path in data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=6)):
        here = {one for one in held.all if below(one, (path,))}
        before = held.frozen
        held.toggle(path)
        assert held.frozen == (before - here if here <= before else before | here), held.call
        once = held.call
        held.toggle(path)
        again = held.frozen
        if here <= before or not here & before:  # all of it was frozen, or none
            assert again == before
        held.toggle(path)
        assert held.call == once


def test_tokens_and_positions_stay_frozen_beside_a_module_that_trains() -> None:
    held = Held("vit_b_32", "'all'")
    begin = held.call
    held.toggle("encoder.ln")
    assert held.call.get("frozen") == ("class_token", "conv_proj", "encoder.pos_embedding", "encoder.layers")
    held.toggle("encoder.ln")
    assert held.call == begin
    held.toggle("class_token")
    assert held.call.get("frozen") == ("conv_proj", "encoder")
    held.toggle("encoder")
    held.toggle("conv_proj")
    assert held.call.get("frozen") is None


def test_what_ends_within_a_row_is_not_lost_by_a_key_on_another() -> None:
    held = Held("vgg11", "('features.0.weight', 'features.3')")
    held.toggle("classifier")
    assert held.call.get("frozen") == ("features.3", "classifier", "features.0.weight")
    held = Held("swin_t", "'to:features.1.0.attn.qkv'")
    with pytest.raises(RequestError, match=r"frozen='to:features\.1\.0\.attn\.qkv' ends within features\.1:"):
        held.toggle("norm")
    held.toggle("features.1")
    assert held.call.get("frozen") == ("features.0", "features.1")
    held = Held("swin_t", "'to:features.1.1.mlp'")  # all that the row of features.1 holds
    held.toggle("norm")
    assert held.call.get("frozen") == ("features.0", "features.1", "norm")


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


@pytest.mark.parametrize(
    ("frozen", "thaw", "refused"),
    [
        ("('layer2.0',)", "{5: 'layer2'}", True),
        ("('layer2',)", "{5: 'layer2'}", False),
        ("'to:layer2.0'", "{5: 'layer2'}", True),
        ("'to:layer2'", "{5: ('layer1', 'layer2')}", False),
        ("'all'", "{5: 'layer2'}", False),
    ],
)
def test_another_module_does_not_begin_to_train_at_another_time(frozen: str, thaw: str, refused: bool) -> None:
    call = parse_call(f"Backbone('resnet18', frozen={frozen}, thaw={thaw})")
    rows = modules({"conv1"})
    if not refused:
        toggled(call, rows, "conv1", ("fc",))
        return
    with pytest.raises(RequestError, match="a part of layer2 alone is frozen until epoch 5"):
        toggled(call, rows, "conv1", ("fc",))
    assert "thaw" not in str(toggled(call, rows, "layer2", ("fc",)))


def test_of_a_module_that_thaws_in_part_the_rest_stays_frozen() -> None:
    call = parse_call("Backbone('resnet18', frozen='all', thaw={3: 'layer2.0.downsample'})")
    rows = modules(set(LEAVES) - {"fc", "layer2.0"})
    with pytest.raises(RequestError, match=r"a part of layer2\.0 alone thaws with epoch 3"):
        toggled(call, rows, "conv1", ("fc",))
    assert "thaw" not in str(toggled(call, rows, "layer2.0", ("fc",)))
