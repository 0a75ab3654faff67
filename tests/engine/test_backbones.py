"""torchvision's networks as layers, against torchvision itself and against plain PyTorch written out."""

from __future__ import annotations

import copy
import functools
import math
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from engine import freezing
from engine.backbone_rows import single_value_norm
from engine.backbone_shapes import measure
from engine.backbones import (
    backbone_names,
    chosen_parameters,
    frozen_paths,
    head_paths,
    meta_model,
    smallest_size,
)
from engine.build import build_network, init_problem, initial_networks
from engine.calls import parse_call
from engine.catalogue import find
from engine.check import check
from engine.data.info import Batch, DataInfo, Place
from engine.nodes import construct
from engine.shapes import Propagation, propagate
from engine.spec import Experiment, parse_experiment, with_settings
from engine.stepping import Stepper, set_training
from engine.tasks import Classification, Setting

SYMBOLS = {"classes": 3, "channels": 3}
# The twelve families of transfer learning tutorials, with the smallest size that each takes (Inception's auxiliary
# head takes no less than what it was made for).
FAMILIES = {
    "resnet18": 32, "alexnet": 63, "vgg16": 32, "squeezenet1_0": 32, "densenet161": 32, "inception_v3": 299,
    "googlenet": 32, "shufflenet_v2_x1_0": 32, "mobilenet_v2": 32, "resnext50_32x4d": 32, "wide_resnet50_2": 32,
    "mnasnet1_0": 32,
}  # fmt: skip


SMALL_DIGITS = """
optimizer = "SGD(lr=0.01)"
[data]
source = "Digits()"
batch_size = 1
[network]
layers = ["Upsample(32)", "Conv2d(3, 1)", "Backbone('resnet18', weights=None)"]
"""


def sent(*layers: str, shape: tuple[int, ...] = (3, 64, 64)) -> Propagation:
    return propagate([parse_call(layer) for layer in layers], shape, symbols=SYMBOLS)


def built(*layers: str, shape: tuple[int, ...] = (3, 64, 64), seed: int = 0) -> nn.Sequential:
    found = sent(*layers, shape=shape)
    assert found.problem is None, found.problem
    torch.manual_seed(seed)
    return build_network(found)


def refusal(*layers: str, shape: tuple[int, ...] = (3, 64, 64)) -> str:
    problem = sent(*layers, shape=shape).problem
    assert problem is not None
    return problem.message


def plain(name: str, **options: object) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return model


# -- every model ------------------------------------------------------------------------------------------------------

SOME = sorted({*backbone_names()[::12], "densenet161", "efficientnet_v2_l", "swin_t", "vit_h_14"})


def size_of(name: str) -> int:
    if name.startswith("vit_"):  # what is stated is for the size of the first weights
        return int(next(iter(torchvision.models.get_model_weights(name))).meta["min_size"][0])
    return 299 if name == "inception_v3" else 224


def agrees_with_torchvision(name: str) -> None:
    """Parameters are those that torchvision states beside its weights, operations too where they are for this size."""
    drawn = torch.random.get_rng_state()
    found = propagate([parse_call(f"Backbone('{name}', weights=None)"), parse_call("Identity()")],
                      (3, size_of(name), size_of(name)), symbols={"classes": 1000})  # fmt: skip
    assert torch.equal(torch.random.get_rng_state(), drawn)  # dropout of a training may draw from it
    assert found.problem is None, found.problem
    meta = next(iter(torchvision.models.get_model_weights(name))).meta
    row = found.rows[0]
    if name != "inception_v3":  # what is stated includes its auxiliary head
        assert row.parameters == meta["num_params"]
    crop = next(iter(torchvision.models.get_model_weights(name))).transforms().crop_size[0]
    # Attention over windows is counted by its matrix products here, by another formula in what is stated for Swin v2.
    if crop == size_of(name) and not name.startswith("swin_v2"):
        assert row.macs / 1e9 == pytest.approx(meta["_ops"], rel=0.01, abs=0.001)
    assert found.output_shape == (1000,)


@pytest.mark.parametrize("name", SOME)
def test_shapes_parameters_and_operations_are_those_that_torchvision_states(name: str) -> None:
    agrees_with_torchvision(name)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in backbone_names() if name not in SOME])
def test_every_other_model_agrees_with_torchvision(name: str) -> None:
    agrees_with_torchvision(name)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "googlenet", "regnet_y_400mf"])
def test_without_weights_the_network_is_torchvisions_to_the_bit(name: str) -> None:
    network = built(f"Backbone('{name}', weights=None)", seed=5)
    torch.manual_seed(5)
    wanted = plain(name, num_classes=3).state_dict()
    ours = {key.removeprefix("0."): value for key, value in network.state_dict().items()}
    assert list(ours) == list(wanted)
    assert all(torch.equal(ours[key], wanted[key]) for key in ours)


@pytest.mark.parametrize("name", ["regnet_y_400mf", "swin_t"])
def test_the_meta_device_holds_no_numbers_and_draws_none(name: str) -> None:
    before = torch.random.get_rng_state()
    model = meta_model(name, 7)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert sent("Backbone('mobilenet_v2', weights=None)").problem is None
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("resnet18", ("fc",)),
        ("vgg16", ("classifier.6",)),
        ("squeezenet1_0", ("classifier.1",)),
        ("inception_v3", ("AuxLogits.fc", "fc")),
        ("googlenet", ("aux1.fc2", "aux2.fc2", "fc")),
        ("maxvit_t", ("classifier.5",)),
        ("vit_b_16", ("heads.head",)),
    ],
)
def test_the_head_is_what_depends_on_the_number_of_classes(name: str, heads: tuple[str, ...]) -> None:
    assert head_paths(name) == heads


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        ("Backbone('resnet81')", (3, 64, 64), ["no model 'resnet81'", "did you mean 'resnet18'?"]),
        ("Backbone('resnet18')", (1, 28, 28), ["1 channel", "wants 3", "put Conv2d(3, 1) before it"]),
        ("Backbone('resnet18')", (64,), ["wants (N, channels, height, width)"]),
        ("Backbone('vgg16')", (3, 28, 28), ["(N, 3, 28, 28)", "32 × 32 at least; put Upsample(32) before it"]),
        ("Backbone('inception_v3')", (3, 75, 75), ["auxiliary head wants 299 × 299", "Identity()"]),
        ("Backbone('inception_v3', until='Mixed_5b')", (3, 16, 16), ["75 × 75 at least"]),
        (
            "Backbone('vit_b_16')",
            (3, 64, 64),
            ["weights are for 224 × 224 and nothing else; put Upsample(224) before it"],
        ),
        ("Backbone('vit_b_16', weights=None)", (3, 60, 60), ["multiple of 16", "64 × 64"]),
        ("Backbone('resnet18', until='layer5')", (3, 64, 64), ["no module 'layer5'", "did you mean 'layer"]),
        ("Backbone('resnet18', frozen='to:layr3')", (3, 64, 64), ["did you mean 'layer3'?"]),
        ("Backbone('resnet18', frozen=('layer1', 'stem'))", (3, 64, 64), ["no module 'stem'", "conv1, bn1"]),
        ("Backbone('resnet18', frozen='layer3')", (3, 64, 64), ["'to:layer3'", "('layer3',)"]),
        (
            "Backbone('resnet18', frozen=('layer1', 'relu'))",
            (3, 64, 64),
            ["'relu' of resnet18 has no weights; leave it out, or name others"],
        ),
        ("Backbone('resnet18', frozen=('conv1.wieght',))", (3, 64, 64), ["did you mean 'conv1.weight'?"]),
        ("Backbone('vit_b_32', None, frozen='to:class_token')", (3, 64, 64), ["no module 'class_token'"]),
        ("Backbone('resnet18', weights='IMAGENET1K_V9')", (3, 64, 64), ["no weights", "IMAGENET1K_V1"]),
        ("Backbone('resnet18', thaw={1: 'layer4'})", (3, 64, 64), ["epochs, from 2"]),
        ("Backbone('resnet18', thaw={3: ()})", (3, 64, 64), ["thaw wants modules"]),
        ("Backbone('resnet18', thaw={3: 'layer9'})", (3, 64, 64), ["no module 'layer9'"]),
        ("Backbone('resnet18', thaw={3: 'to:layer2'})", (3, 64, 64), ["did you mean 'layer2'?"]),
        ("Backbone('resnet18', lr_scale={'layer4': -1})", (3, 64, 64), ["above 0"]),
        (
            "Backbone('resnet18', lr_scale={'relu': 0.1})",
            (3, 64, 64),
            ["'relu' of resnet18 has no weights"],
        ),
        ("Backbone('resnet18', thaw={3: 'avgpool'})", (3, 64, 64), ["'avgpool' of resnet18 has no weights"]),
        (
            "Backbone('resnet18', until='layer3', lr_scale={'layer4': 0.1})",
            (3, 64, 64),
            ["resnet18 until 'layer3' has no module 'layer4'"],
        ),
        ("Backbone('resnet18', init={'layer4': 3})", (3, 64, 64), ["an initialiser", "layer4"]),
        ("Backbone('vit_b_32', until='encoder.layers.encoder_layer_0.self_attention')", (3, 224, 224), ["several"]),
    ],
)
def test_what_does_not_fit_is_said_in_words(layer: str, shape: tuple[int, ...], words: list[str]) -> None:
    message = refusal(layer, shape=shape)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "squeezenet1_1"])
def test_the_smallest_size_is_the_smallest(name: str) -> None:
    size = smallest_size(name)
    layer = f"Backbone('{name}', weights=None)"
    assert sent(layer, shape=(3, size, size)).problem is None
    assert f"{size} × {size} at least" in refusal(layer, shape=(3, size - 1, size - 1))


def test_batches_of_one_are_refused_where_a_norm_layer_would_see_one_value() -> None:
    found = sent("Backbone('resnet18', weights=None)", shape=(3, 32, 32))
    assert single_value_norm(found.nodes[0]) == "0.layer4.0.bn1"
    frozen = sent("Backbone('resnet18', weights=None, frozen='all')", shape=(3, 32, 32))
    assert single_value_norm(frozen.nodes[0]) is None
    refused = check(parse_experiment(SMALL_DIGITS), Place(Path("nowhere"))).refusal
    assert refused is not None
    assert "2.layer4.0.bn1 cannot train on batches of one sample" in str(refused)


# -- until ------------------------------------------------------------------------------------------------------------


@functools.cache
def plain_of_seed_two(name: str) -> nn.Module:
    """A model that is only looked at: what is made of it has its parameters and leaves them as they are."""
    torch.manual_seed(2)
    return plain(name)


@pytest.mark.parametrize(
    ("name", "until", "size"),
    [
        ("resnet18", "layer3", 64),
        ("resnet18", "layer2.0.relu", 64),
        ("resnet18", "avgpool", 64),
        ("squeezenet1_0", "features.10.squeeze", 64),
        ("densenet121", "features.denseblock2", 64),
        ("squeezenet1_1", "features.3.expand1x1", 64),
        ("googlenet", "inception4a", 64),
        pytest.param("convnext_tiny", "features.3", 64, marks=pytest.mark.soak),
        pytest.param("swin_t", "features.1", 64, marks=pytest.mark.soak),
    ],
)
def test_a_cut_model_gives_what_torchvisions_feature_extraction_gives(name: str, until: str, size: int) -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    network = built(f"Backbone('{name}', weights=None, until='{until}')", shape=(3, size, size), seed=2)
    whole = plain_of_seed_two(name)
    wanted = create_feature_extractor(whole, {until: "features"})
    network.eval()
    wanted.eval()
    inputs = torch.rand(2, 3, size, size)
    outputs = network(inputs)
    if until == "layer2.0.relu":  # runs twice; it is cut after the first time, and torchvision's after the last
        assert outputs.shape == (2, 128, 8, 8)
    else:
        torch.testing.assert_close(outputs, wanted(inputs)["features"], rtol=0, atol=0)
        ours = {key.removeprefix("0.") for key, _ in network.named_parameters()}
        assert ours == {key for key, _ in wanted.named_parameters()}
    found = sent(f"Backbone('{name}', weights=None, until='{until}')", shape=(3, size, size))
    assert found.output_shape == tuple(outputs.shape[1:])
    assert found.rows[0].parameters == sum(parameter.numel() for parameter in network.parameters())


def test_copies_of_a_cut_model_stand_alone() -> None:
    network = built("Backbone('resnet18', weights=None, until='layer1')", "Flatten()", "Linear(classes)")
    twin = copy.deepcopy(network)
    inputs = torch.rand(2, 3, 64, 64)
    before = network(inputs)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(inputs), before, rtol=0, atol=0)
    assert torch.equal(network(inputs), torch.zeros_like(before))
    whole = type(plain("resnet18"))
    assert isinstance(twin[0], whole)
    assert type(twin[0]) is not whole, "other models of the class are left as they are"


def test_every_parameter_of_a_cut_model_has_a_gradient() -> None:
    network = built("Backbone('vit_b_32', weights=None, until='conv_proj')", "Flatten()", "Linear(classes)")
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert "0.class_token" not in network.state_dict()


# -- frozen -----------------------------------------------------------------------------------------------------------


def trained(network: nn.Module) -> set[str]:
    """The children of the Backbone that have something to train."""
    return {name.split(".")[1] for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("frozen", "wanted"),
    [
        ("'none'", {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}),
        ("'all'", {"fc"}),
        ("'to:layer3'", {"layer4", "fc"}),
        ("'to:maxpool'", {"layer1", "layer2", "layer3", "layer4", "fc"}),
        ("('conv1', 'layer2', 'fc')", {"bn1", "layer1", "layer3", "layer4"}),
    ],
)
def test_frozen_in_its_four_forms(frozen: str, wanted: set[str]) -> None:
    layer = f"Backbone('resnet18', weights=None, frozen={frozen})"
    network = built(layer)
    assert trained(network) == wanted
    rows = {row.path: row for row in sent(layer).rows}
    for path, row in rows.items():
        parameters = list(network.get_submodule(path).parameters())
        assert row.parameters == sum(p.numel() for p in parameters)
        assert row.trainable == sum(p.numel() for p in parameters if p.requires_grad)


def test_up_to_a_module_within_a_module() -> None:
    model = plain("resnet18")
    frozen = frozen_paths(model, "to:layer3.0", ("fc",))
    assert {path.split(".")[0] for path in frozen} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert not any(path.startswith("layer3.1") for path in frozen)


def test_new_heads_train_with_all_that_is_frozen_before_them() -> None:
    """Auxiliary heads lie before the last of what is frozen, and their numbers are as random as the head's."""
    for name, last, size in (
        ("inception_v3", "Mixed_7c", 299),
        ("googlenet", "dropout", 64),
        ("vgg11", "classifier", 64),
    ):
        with torch.device("meta"):
            model = construct(sent(f"Backbone('{name}', None, frozen='to:{last}')", shape=(3, size, size)).nodes[0])
        still = {path for path, parameter in model.named_parameters() if not parameter.requires_grad}
        heads = {f"{head}.{kind}" for head in head_paths(name) for kind in ("weight", "bias")}
        assert {path for path, _ in model.named_parameters()} - still == heads
        everything = chosen_parameters(
            [path for path, _ in model.named_parameters()], [path for path, _ in model.named_modules()],
            f"to:{head_paths(name)[-1]}", head_paths(name), name,
        )  # fmt: skip
        assert set(everything) == still | heads  # as it was asked for


def test_single_parameters_are_frozen_thawed_and_given_a_rate_by_name() -> None:
    layer = (
        "Backbone('vit_b_32', None, frozen=('class_token', 'encoder.pos_embedding', 'conv_proj.bias'), "
        "thaw={3: 'encoder.pos_embedding'}, lr_scale={'class_token': 0.1, 'conv_proj.weight': 0.5})"
    )
    network = built(layer)
    rules = freezing.rules(network, sent(layer))
    still = {name: rule.begins for name, rule in rules.items() if rule.begins > 1}
    assert still == {"0.class_token": math.inf, "0.encoder.pos_embedding": 3, "0.conv_proj.bias": math.inf}
    shares = {name: rule.lr_scale for name, rule in rules.items() if rule.lr_scale != 1}
    assert shares == {"0.class_token": 0.1, "0.conv_proj.weight": 0.5}
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == set(still)
    assert list(freezing.thaw(network, sent(layer), 3)) == ["0.encoder.pos_embedding"]


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t", "maxvit_t", "googlenet", "inception_v3", "squeezenet1_1"])
def test_every_parameter_stands_in_a_row_that_holds_no_other_row(name: str) -> None:
    """Of all that there is, each is frozen by the row that it stands in, and in the order of the model."""
    size = 299 if name == "inception_v3" else 224
    found = sent(f"Backbone('{name}', None)", shape=(3, size, size))
    paths = [row.path.removeprefix("0.") for row in found.rows[1:]]
    leaves = {path for path in paths if not any(other.startswith(f"{path}.") for other in paths)}
    sizes = {row.path.removeprefix("0."): row.parameters for row in found.rows}
    assert sum(sizes[leaf] for leaf in leaves) == found.rows[0].parameters
    with torch.device("meta"):
        model = construct(found.nodes[0])
    order = [path for path, _ in model.named_modules()]
    modules = [path for path in paths if path in order]
    assert modules == sorted(modules, key=order.index)
    loose = {row.path: row.output_shape for row in found.rows if row.path.removeprefix("0.") not in order}
    assert {row.call for row in found.rows if row.path in loose and row.path != "0"} <= {"Parameter()"}
    loose.pop("0")
    wanted = {"0.class_token": (1, 1, 768), "0.encoder.pos_embedding": (1, 50, 768)}
    assert loose == (wanted if name == "vit_b_32" else {})


def test_what_is_thawed_later_counts_as_trainable() -> None:
    rows = sent("Backbone('resnet18', weights=None, frozen='all', thaw={5: 'layer4'})").rows
    by_path = {row.path: row for row in rows}
    assert by_path["0.layer4"].trainable == by_path["0.layer4"].parameters > 0
    assert by_path["0.layer3"].trainable == 0
    assert by_path["0"].trainable == by_path["0.layer4"].parameters + by_path["0.fc"].parameters


def test_a_frozen_container_freezes_the_backbone_in_it() -> None:
    layers = ("Sequential(Backbone('squeezenet1_1', weights=None), frozen=True)", "Linear(classes)")
    assert sent(*layers).rows[0].trainable == 0
    assert {name.split(".")[0] for name, p in built(*layers).named_parameters() if p.requires_grad} == {"1"}


def test_frozen_statistics_stay_as_they_are_and_the_others_move() -> None:
    network = built("Backbone('resnet18', weights=None, frozen='to:layer3')")
    set_training(network)
    before = copy.deepcopy(dict(network.named_buffers()))
    for _ in range(3):
        network(torch.rand(4, 3, 64, 64)).sum().backward()
    moved = {name.split(".")[1] for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == {"layer4"}


def test_single_modules_are_filled_anew() -> None:
    network = built("Backbone('resnet18', weights=None, init={'layer4': zeros_()})")
    assert all(not p.any() for n, p in network[0].layer4.named_parameters() if "conv" in n)
    assert all(p.any() for n, p in network[0].layer3.named_parameters() if "conv" in n)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("{'relu': kaiming_normal_()}", ["'relu' of resnet18 has no weights", "conv1, layer1", "layer4, fc"]),
        ("{'layer4': zeros_(), 'layer1.0.bn1': ones_()}", ["init={'layer1.0.bn1': ones_()} does nothing"]),
        ("{'layer1.0.conv1': ones_(), 'fc': zeros_()}", []),
    ],
)
def test_a_module_that_has_nothing_to_fill_is_refused_at_the_check(init: str, words: list[str]) -> None:
    text = SMALL_DIGITS.replace("weights=None", f"weights=None, init={init}").replace("size = 1", "size = 8")
    assert init in text
    refused = check(parse_experiment(text, "mine.toml"), Place(Path("nowhere"))).refusal
    message = "" if refused is None else str(refused)
    assert all(word in message for word in words), message
    assert message.startswith("mine.toml:" if words else "")
    assert bool(message) == bool(words)


@pytest.mark.parametrize(
    ("layer", "refused"),
    [
        ("Backbone('resnet18', init=zeros_())", True),
        ("Backbone('resnet18', 'file:mine.pt', init=zeros_())", True),
        ("Sequential(Backbone('resnet18', weights='run:mine', until='layer3', init=zeros_()))", True),
        ("Backbone('resnet18', init={'layer4': zeros_()})", False),
        ("Backbone('resnet18', weights=None, init=zeros_())", False),
        ("Sequential(Backbone('resnet18'), init=zeros_())", False),
    ],
)
def test_an_initialiser_that_trained_weights_would_replace_is_refused(layer: str, refused: bool) -> None:
    problem = init_problem(sent(layer), None)
    assert (problem is not None) == refused
    if problem is not None:
        assert problem.path == ("0.0" if "Sequential" in layer else "0")
        assert "init=zeros_() would be undone" in problem.message
        last = "layer3" if "until" in layer else "layer4"  # the head is new
        assert f"init={{{last!r}: zeros_()}} fills a module anew" in problem.message
        assert "weights=None" in problem.message
    assert init_problem(sent(layer), parse_call("ones_()")) == problem


def test_the_initialiser_of_the_network_fills_the_new_head_and_leaves_trained_weights() -> None:
    spec = with_settings(experiment_of("Backbone('squeezenet1_1')"), ["network.init=constant_(0.25)"])
    found = sent("Backbone('squeezenet1_1')", "Linear(3)", shape=(3, 32, 32))
    trained = plain("squeezenet1_1").state_dict()
    state = {key: value for key, value in trained.items() if not key.startswith("classifier.1.")}
    network = initial_networks(spec, {"model": found}, torch.device("cpu"), {"model": {"0": state}})["model"]
    for name, tensor in network.state_dict().items():
        if name in ("0.classifier.1.weight", "1.weight"):
            assert torch.equal(tensor, torch.full_like(tensor, 0.25)), name
        elif name.removeprefix("0.") in state:
            assert torch.equal(tensor, state[name.removeprefix("0.")]), name


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_backbone_has_rows_down_to_two_levels() -> None:
    found = sent("Upsample(64)", "Backbone('resnet18', weights=None)", shape=(3, 32, 32))
    backbone = found.rows[1]
    assert (backbone.path, backbone.depth, backbone.output_shape) == ("1", 0, (3,))
    inside = found.rows[2:]
    assert {row.depth for row in inside} == {1, 2}
    assert [row.path for row in inside if row.depth == 1] == [
        f"1.{name}" for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool",
                                 "fc")
    ]  # fmt: skip
    top = [row for row in inside if row.depth == 1]
    assert backbone.parameters == sum(row.parameters for row in top)
    assert backbone.macs == sum(row.macs for row in top)
    assert backbone.activation_bytes == pytest.approx(sum(row.activation_bytes for row in top), abs=64)
    network = built("Upsample(64)", "Backbone('resnet18', weights=None)", shape=(3, 32, 32))
    shapes: dict[str, tuple[int, ...]] = {}
    for row in inside:
        network.get_submodule(row.path).register_forward_hook(
            lambda module, inputs, output, path=row.path: shapes.update({path: tuple(output.shape[1:])})
        )
    network(torch.rand(2, 3, 32, 32))
    assert shapes == {row.path: row.output_shape for row in inside}


def test_modules_that_were_left_half_way_have_rows() -> None:
    rows = {row.path: row for row in sent("Backbone('resnet18', weights=None, until='layer2.0')").rows}
    assert rows["0.layer2"].output_shape == rows["0.layer2.0"].output_shape == (128, 8, 8)
    assert rows["0.layer2"].macs == rows["0.layer2.0"].macs > 0
    assert "0.layer2.1" not in rows
    assert "0.layer3" not in rows


@pytest.mark.parametrize("layer", ["Repeat(2, {})", "Residual({})", "Parallel({}, Identity())"])
def test_backbones_stand_inside_of_other_layers(layer: str) -> None:
    """One that keeps three channels: its first convolution stage, brought back by another convolution."""
    inner = "Sequential(Backbone('squeezenet1_1', weights=None, until='features.1'), Conv2d(3, 1), Upsample(32))"
    layers = (layer.format(inner), "Flatten()", "Linear(classes)")
    network = built(*layers, shape=(3, 32, 32))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    for row in sent(*layers, shape=(3, 32, 32)).rows:
        parameters = network.get_submodule(row.path).parameters()
        assert row.parameters == sum(parameter.numel() for parameter in parameters), row.path


def test_the_catalogue_tells_what_a_backbone_takes() -> None:
    entry = find("layers", "Backbone")
    names = [parameter.name for parameter in entry.parameters]
    assert names == ["name", "weights", "until", "frozen", "thaw", "lr_scale", "init"]
    assert all(parameter.doc for parameter in entry.parameters)


# -- training ---------------------------------------------------------------------------------------------------------


def experiment_of(layer: str) -> Experiment:
    return parse_experiment(f"""
    loss = "CrossEntropyLoss()"
    optimizer = "SGD(lr=0.01, momentum=0.9)"
    [data]
    source = "Digits()"
    [network]
    layers = ["{layer}"]
    """)


def step(network: nn.Module, layer: str, batch: Batch, outputs: int = 3) -> float:
    """One step as a session takes it; its loss."""
    experiment = experiment_of(layer)
    device = torch.device("cpu")
    info = DataInfo(tuple(batch.inputs.shape[1:]), "float32", "classes", ("a", "b", "c"), 3, 4, None, True)
    task = Classification()
    task.set_up({"model": network}, Setting(info, experiment.loss, device, outputs))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9)
    losses: list[float] = []
    stepper = Stepper(experiment, network, [optimizer], task.objectives()[0], None, device, False)
    assert stepper.step([batch], lambda outcome: losses.append(outcome.loss.item()))
    return losses[0]


def some(size: int, count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(count, 3, size, size, generator=generator), torch.arange(count) % 3, 0)


def steps_frozen_and_thawed(name: str, size: int) -> None:
    for frozen in ("all", "none"):
        layer = f"Backbone('{name}', weights=None, frozen='{frozen}')"
        # A seed with which SqueezeNet's head fires: a ReLU is behind it, at 32 pixels over a single place.
        network = built(layer, shape=(3, size, size), seed=1)
        before = copy.deepcopy(network.state_dict())
        set_training(network)
        assert step(network, layer, some(size)) > 0
        after = network.state_dict()
        moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
        parameters = {key for key, _ in network.named_parameters()}
        if frozen == "all":
            heads = tuple(f"0.{path}." for path in head_paths(name))
            assert moved
            assert all(key.startswith(heads) for key in moved)
        else:
            # A unit that never fires has no gradient; nearly all of a network moves.
            assert len(moved & parameters) > 0.6 * len(parameters)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0", "mnasnet1_0"])
def test_a_step_frozen_and_a_step_thawed(name: str) -> None:
    steps_frozen_and_thawed(name, FAMILIES[name])


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if name not in ("resnet18", "shufflenet_v2_x1_0", "mnasnet1_0")]
)
def test_a_step_frozen_and_a_step_thawed_of_the_other_families(name: str) -> None:
    steps_frozen_and_thawed(name, FAMILIES[name])


def auxiliary_step_is_plain_pytorchs(name: str, size: int, shares: tuple[float, ...]) -> None:
    layer = f"Backbone('{name}', weights=None)"
    network = built(layer, shape=(3, size, size), seed=4)
    torch.manual_seed(4)
    model = plain(name, num_classes=3)
    batch = some(size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    torch.manual_seed(9)  # dropout
    main, *others = model(batch.inputs)
    loss = nn.functional.cross_entropy(main, batch.targets)
    for share, other in zip(shares, others, strict=True):
        loss = loss + share * nn.functional.cross_entropy(other, batch.targets)
    loss.backward()
    optimizer.step()
    torch.manual_seed(9)
    set_training(network)
    assert step(network, layer, batch) == loss.item()
    for ours, theirs in zip(network.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    network.eval()
    assert network(batch.inputs).shape == (2, 3)


def test_the_losses_of_googlenets_auxiliary_heads_are_added() -> None:
    auxiliary_step_is_plain_pytorchs("googlenet", 32, (0.3, 0.3))


@pytest.mark.soak
def test_the_loss_of_inceptions_auxiliary_head_is_added() -> None:
    auxiliary_step_is_plain_pytorchs("inception_v3", 299, (0.4,))


def test_auxiliary_heads_are_left_out_where_something_follows() -> None:
    found = sent("Backbone('googlenet', weights=None)", "Identity()")
    assert not [row.path for row in found.rows if "aux" in row.path]
    network = built("Backbone('googlenet', weights=None)", "Identity()")
    assert isinstance(network(torch.rand(2, 3, 64, 64)), torch.Tensor)


def test_weights_of_inception_come_with_the_transform_of_its_input() -> None:
    # Measured once: of whichever weights, the node differs in their name alone.
    node = sent("Backbone('googlenet', weights='DEFAULT')", "Identity()", shape=(3, 32, 32)).nodes[0]
    assert node.arguments["weights"] == "DEFAULT"
    for weights, wanted in (("DEFAULT", True), ("run:some", True), ("file:mine.pt", False), (None, False)):
        told = replace(node, arguments=node.arguments | {"weights": weights})
        with torch.device("meta"):
            assert construct(told).transform_input is wanted


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_activations_are_about_what_a_step_keeps(name: str) -> None:
    kept: dict[int, int] = {}
    network = built(f"Backbone('{name}', weights=None)")
    weights = {parameter.data_ptr() for parameter in network.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(torch.rand(2, 3, 64, 64))
    assert output.requires_grad
    forecast = 2 * sent(f"Backbone('{name}', weights=None)").rows[0].activation_bytes
    assert forecast == pytest.approx(sum(kept.values()), rel=0.35)


def test_what_is_frozen_before_anything_trains_is_not_kept() -> None:
    def activations(frozen: str) -> int:
        text = SMALL_DIGITS.replace("weights=None", f"weights=None, frozen='{frozen}'").replace("= 1", "= 10")
        return check(
            parse_experiment(text.replace("Conv2d(3, 1)", "Conv2d(3, 1, frozen=True)")), Place(Path("nowhere"))
        ).memory["activations"]

    whole = sent("Upsample(32)", "Conv2d(3, 1)", "Backbone('resnet18', weights=None)", shape=(1, 8, 8))
    bytes_of = {row.path: row.activation_bytes for row in whole.rows}
    # What the first layer that trains is given is kept as well.
    assert activations("none") == pytest.approx(10 * (bytes_of["1"] + bytes_of["2"]), rel=0.02)
    assert activations("all") == pytest.approx(10 * max(bytes_of[f"2.layer{n}"] for n in (1, 2, 3, 4)), rel=0.02)


def test_measuring_the_same_again_takes_no_time() -> None:
    layer = "Backbone('densenet121', weights=None, frozen='to:features.denseblock2')"
    sent("Backbone('densenet121', weights=None)")
    before = measure.cache_info()
    began = time.thread_time()
    assert sent(layer).problem is None
    assert time.thread_time() - began < 0.2
    after = measure.cache_info()
    assert after.hits > before.hits
    assert after.misses == before.misses
