"""The catalogue: nothing of torch is missing, both forms of a call are read, and errors say what to do."""

from __future__ import annotations

import inspect
import re
import sys

import pytest
import torch
from torch import nn

from engine import catalogue, rules
from engine.calls import Call, parse_call
from engine.catalogue import REQUIRED, bind, canonical_call, check_call, entries, find, shorten
from engine.errors import RequestError, SpecError
from engine.shapes import construct, propagate
from engine.spec import parse_experiment

FLAT, SEQUENCE, SIGNAL, IMAGE, VOLUME = (8,), (6, 8), (8, 12), (8, 12, 12), (8, 12, 12, 12)

# A call for every layer that cannot be written without arguments, and the shape of one sample for it.
CALLS = {
    **{f"Adaptive{kind}Pool{n}d": ("(2)", (4, *[9] * n)) for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"{kind}Pool{n}d": ("(2)", (4, *[8] * n)) for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"LPPool{n}d": ("(2, 2)", (4, *[8] * n)) for n in (1, 2, 3)},
    **{
        f"{kind}Pad{n}d": ("(1)", (4, *[5] * n))
        for kind in ("Circular", "Reflection", "Replication", "Zero")
        for n in (1, 2, 3)
    },
    **{f"ConstantPad{n}d": ("(1, 0.5)", (4, *[5] * n)) for n in (1, 2, 3)},
    **{f"Conv{kind}{n}d": ("(6, 3)", (4, *[8] * n)) for kind in ("", "Transpose") for n in (1, 2, 3)},
    **{f"{kind}Norm{n}d": ("()", (4, *[5] * n)) for kind in ("Batch", "Instance") for n in (1, 2, 3)},
    **{f"Dropout{n}d": ("()", (4, *[5] * n)) for n in (1, 2, 3)},
    **{f"FractionalMaxPool{n}d": ("(2, output_size=4)", (4, *[8] * n)) for n in (2, 3)},
    "ChannelShuffle": ("(2)", IMAGE),
    "CrossMapLRN2d": ("(3)", IMAGE),
    "Embedding": ("(10, 4)", FLAT),
    "EmbeddingBag": ("(10, 4)", FLAT),
    "Fold": ("((4, 5), (2, 2))", (12, 12)),
    "GRU": ("(5)", SEQUENCE),
    "GRUCell": ("(5)", FLAT),
    "GroupNorm": ("(2)", IMAGE),
    "LSTM": ("(5)", SEQUENCE),
    "LSTMCell": ("(5)", FLAT),
    "Linear": ("(5)", FLAT),
    "LocalResponseNorm": ("(3)", IMAGE),
    "MultiheadAttention": ("(2)", SEQUENCE),
    "Parallel": ("(ReLU(), Tanh())", FLAT),
    "PixelShuffle": ("(2)", IMAGE),
    "PixelUnshuffle": ("(2)", IMAGE),
    "RNN": ("(5)", SEQUENCE),
    "RNNCell": ("(5)", FLAT),
    "Repeat": ("(2, Linear(3))", FLAT),
    "Reshape": ("(2, 4)", FLAT),
    "Softmax2d": ("()", IMAGE),
    "Threshold": ("(0.1, 20)", FLAT),
    "TransformerEncoder": ("(TransformerEncoderLayer(2, 16), 2)", SEQUENCE),
    "Backbone": ("('squeezenet1_0', until='features.3')", (3, 32, 32)),
    "TransformerEncoderLayer": ("(2, 16)", SEQUENCE),
    "Unflatten": ("(1, (2, 4))", FLAT),
    "Unfold": ("(2)", IMAGE),
    "Upsample": ("(scale_factor=2)", IMAGE),
    "UpsamplingBilinear2d": ("(scale_factor=2)", IMAGE),
    "UpsamplingNearest2d": ("(scale_factor=2)", IMAGE),
}


def exported_layers() -> set[str]:
    """The module classes that torch.nn exports under their own names, losses apart."""
    return {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__name__ == name
        and not name.endswith(("Loss", "Loss2d"))
    } | {"AdaptiveLogSoftmaxWithLoss"}


def test_every_layer_of_torch_is_usable_adapted_or_refused() -> None:
    found = entries("layers", refused=True)
    assert exported_layers() == set(found) - {"Residual", "Parallel", "Repeat", "Reshape", "Backbone"}
    for name, entry in found.items():
        assert not (entry.adapted and entry.refused), name
        assert entry.line, name
        assert not {"\n", ":math:"} & set(entry.line.split(" ")), name
    named = set(rules.REFUSED) | set(rules.ADAPTED) | set(rules.INFERRED) | set(rules.RANKS)
    assert named <= set(found), "a rule names a layer that is not there"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(entries("layers")))
def test_every_usable_layer_stands_in_a_chain(name: str) -> None:
    arguments, shape = CALLS.get(name, ("()", FLAT))
    call = parse_call(name + arguments)
    dtype = torch.int64 if name in rules.INDEX_LAYERS else torch.float32
    predicted = propagate([call], shape, dtype=dtype)
    assert predicted.problem is None, predicted.problem
    module = construct(predicted.nodes[0])
    inputs = torch.rand(3, *shape) if dtype.is_floating_point else torch.randint(10, (3, *shape))
    with torch.no_grad():
        outputs = module(inputs)
    assert tuple(outputs.shape) == (3, *predicted.output_shape)
    assert predicted.rows[0].parameters == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(set(entries("layers", refused=True)) - set(entries("layers"))))
def test_refused_layers_say_why(name: str) -> None:
    with pytest.raises(RequestError, match=f"`{name}` cannot be used: "):
        find("layers", name)


def test_losses_optimizers_schedulers_and_initialisers_are_all_there() -> None:
    losses = {name for name in vars(nn) if name.endswith("Loss") and name != "AdaptiveLogSoftmaxWithLoss"}
    assert set(entries("losses", refused=True)) == losses
    optimizers = {name for name in torch.optim.__all__ if name[0].isupper()} - {"Optimizer"}
    assert set(entries("optimizers", refused=True)) == optimizers
    schedulers = set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"} | {"SWALR"}
    assert set(entries("schedulers", refused=True)) == schedulers
    assert {"kaiming_normal_", "xavier_uniform_", "orthogonal_", "zeros_"} <= set(entries("initialisers"))
    assert "SparseAdam" not in entries("optimizers")
    assert not {"LambdaLR", "MultiplicativeLR"} & set(entries("schedulers"))
    for kind in catalogue.KINDS:
        assert entries(kind), kind
        assert all(entry.line for entry in entries(kind, refused=True).values()), kind


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_signatures_hold_names_and_never_addresses(kind: str) -> None:
    for entry in entries(kind, refused=True).values():
        assert " at 0x" not in entry.signature
        assert "<" not in entry.signature
    if kind == "layers":
        assert "activation=relu" in entries(kind, refused=True)["Transformer"].signature


def test_choices_are_all_that_torch_takes() -> None:
    parameter = find("optimizers", "Muon").parameter("adjust_lr_fn")
    named = set(re.findall('"(\\w+)"', parameter.doc))
    assert "original" in named
    assert named <= set(parameter.choices)


def test_what_is_said_of_an_argument_is_whole() -> None:
    conv = find("layers", "Conv2d")
    assert conv.parameter("padding").doc == "Padding added to all four sides of the input. Default: 0"
    assert conv.parameter("groups").doc.endswith("to output channels. Default: 1")
    assert "\n" not in "".join(parameter.doc for parameter in conv.parameters)


@pytest.mark.parametrize("kind", ["optimizers", "schedulers", "losses", "initialisers"])
def test_defaults_are_those_of_torch(kind: str) -> None:
    for entry in entries(kind).values():
        torchs = inspect.signature(entry.target).parameters
        for parameter in entry.parameters:
            default = torchs[parameter.name].default
            if rules.RUN_LENGTHS.get(entry.name) == parameter.name:
                assert parameter.default is None  # as long as the run
            else:
                assert parameter.default is (REQUIRED if default is inspect.Parameter.empty else default)
            assert parameter.name not in ("params", "optimizer", "tensor", "generator", "last_epoch", "size_average")


SHORT = [
    ("nn.Conv2d(1, 32, 3, padding=1)", "Conv2d(32, 3, padding=1)", {"in_channels": 1}),
    ("Conv2d(in_channels=3, out_channels=32, kernel_size=3)", "Conv2d(out_channels=32, kernel_size=3)",
     {"in_channels": 3}),
    ("torch.nn.Linear(784, 300)", "Linear(300)", {"in_features": 784}),
    ("Linear(300)", "Linear(300)", {}),
    ("BatchNorm1d(300)", "BatchNorm1d()", {"num_features": 300}),
    ("BatchNorm1d()", "BatchNorm1d()", {}),
    ("BatchNorm1d(0.001)", "BatchNorm1d(eps=0.001)", {}),
    ("nn.BatchNorm2d(32, 1, affine=False)", "BatchNorm2d(eps=1, affine=False)", {"num_features": 32}),
    ("GroupNorm(8)", "GroupNorm(8)", {}),
    ("GroupNorm(8, 32)", "GroupNorm(8)", {"num_channels": 32}),
    ("nn.GroupNorm(8, 32, 0.1)", "GroupNorm(8, eps=0.1)", {"num_channels": 32}),
    ("LayerNorm(16)", "LayerNorm()", {"normalized_shape": 16}),
    ("nn.LayerNorm([4, 16])", "LayerNorm(normalized_shape=(4, 16))", {"normalized_shape": (4, 16)}),
    ("nn.LSTM(28, 64, 2)", "LSTM(64, 2)", {"input_size": 28}),
    ("nn.MultiheadAttention(32, 4)", "MultiheadAttention(4)", {"embed_dim": 32}),
    ("nn.ReLU", "ReLU()", {}),
    ("nn.Linear(4, 2, init=nn.init.zeros_(), frozen=True)", "Linear(2, init=zeros_(), frozen=True)",
     {"in_features": 4}),
    ("Residual(nn.Conv2d(1, 2, 3), shortcut=nn.Conv2d(1, 2, 3))", "Residual(Conv2d(2, 3), shortcut=Conv2d(2, 3))", {}),
    ("Repeat(3, nn.Linear(4, 4), nn.ReLU())", "Repeat(3, Linear(4), ReLU())", {}),
]  # fmt: skip


@pytest.mark.parametrize(("pasted", "short", "given"), SHORT)
def test_pasted_calls_are_shortened_and_keep_the_given_size(pasted: str, short: str, given: dict[str, object]) -> None:
    call = parse_call(pasted)
    assert shorten("layers", call)[1] == given
    assert str(canonical_call("layers", call)) == short
    assert canonical_call("layers", parse_call(short)) == parse_call(short), "the short form stays as it is"


ERRORS = [
    ("layers", "BatchNorm1()", "`BatchNorm1` is not a layer; did you mean `BatchNorm1d`?"),
    ("layers", "Linear(784, 300)",
     "`Linear(784, 300)`: bias wants True or False, found 300; "
     "PyTorch's own form is nn.Linear(784, 300), here Linear(300) is enough"),
    ("layers", "Linear(3, bais=True)", "Linear has no argument `bais`; did you mean `bias`?"),
    ("layers", "Linear()", "`Linear()`: out_features is missing"),
    ("layers", "Conv2d()", "out_channels and kernel_size are missing"),
    ("layers", "Linear('300')", "out_features wants a whole number, found the text '300'"),
    ("layers", "Linear(True)", "out_features wants a whole number, found `True`"),
    ("layers", "Linear(3.5)", "out_features wants a whole number, found 3.5"),
    ("layers", "ReLU(True, False)", "1 argument at most"),
    ("layers", "Tanh(3)", "no arguments at most"),
    ("layers", "Conv2d(8, (3, 3, 3))", "kernel_size wants a whole number or a tuple of 2"),
    ("layers", "Conv2d(8, 3, padding='sam')", "'valid' or 'same', found the text 'sam'"),
    ("layers", "Conv2d(8, 3, padding_mode='mirror')", "'zeros', 'reflect', 'replicate' or 'circular'"),
    ("layers", "Conv2d(8, 3, out_channels=4)", "out_channels is given twice"),
    ("layers", "MaxPool2d(2, return_indices=True)", "return_indices has to be False"),
    ("layers", "LSTM(8, batch_first=False)", "batch_first has to be True"),
    ("layers", "LSTM(8, 100000000)", "num_layers wants a whole number from 1 to 1000"),
    ("layers", "Repeat(0, ReLU())", "n wants a whole number from 1 to 1000"),
    ("layers", "Parallel(ReLU(), merge='mean')", "merge wants 'cat' or 'add', found the text 'mean'"),
    ("layers", "Residual(3)", "layers wants a call, found 3"),
    ("layers", "Residual(Linaer(3))", "`Linaer` is not a layer; did you mean `Linear`?"),
    ("layers", "Linear(3, frozen=1)", "frozen wants True or False"),
    ("layers", "Linear(3, init='zeros_')", "init wants an initialiser such as kaiming_normal_"),
    ("layers", "Linear(3, init=kaiming_norm_())",
     "`kaiming_norm_` is not an initialiser; did you mean `kaiming_normal_`?"),
    ("layers", "LazyLinear(3)", "write Linear(...): sizes are inferred"),
    ("optimizers", "SGD(lr='fast')", "lr wants a number"),
    ("optimizers", "Adam(betas=(0.9,))", "betas wants a tuple of 2"),
    ("optimizers", "SparseAdam()", "only sparse gradients"),
    ("schedulers", "StepLR()", "step_size is missing"),
    ("schedulers", "SequentialLR((StepRL(1),), (4,))", "`StepRL` is not a scheduler; did you mean `StepLR`?"),
    ("schedulers", "LambdaLR(3)", "a Python function"),
    ("initialisers", "kaiming_normal_(nonlinearity='rellu')", "nonlinearity wants"),
    ("losses", "CrossEntropyLoss(label_smoothing='a')", "label_smoothing wants a number"),
    ("validations", "holdout('a')", "fraction wants a number"),
    ("validations", "hold(0.2)", "`hold` is not a way to validate; "),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "message"), ERRORS)
def test_errors_say_what_was_found_and_what_would_be_right(kind: str, text: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_call(kind, parse_call(text))
    assert message in str(caught.value)


RIGHT = [
    ("layers", "PReLU(init=0.3)"),
    ("layers", "AdaptiveAvgPool2d((None, 1))"),
    ("layers", "AvgPool2d(2, None)"),
    ("layers", "Dropout(0)"),
    ("layers", "Linear(classes)"),
    ("layers", "Conv2d(8, (3, 5), padding='same')"),
    ("optimizers", "Adam(1, betas=(0.9, 0.99))"),
    ("optimizers", "LBFGS(line_search_fn='strong_wolfe')"),
    ("schedulers", "SequentialLR([LinearLR(), StepLR(3)], [4])"),
    ("schedulers", "OneCycleLR(0.1, total_steps=steps)"),
    ("losses", "CrossEntropyLoss(weight=(1, 2.5))"),
    ("validations", "holdout(0.2, stratify=False)"),
    ("validations", "test()"),
]


@pytest.mark.parametrize(("kind", "text"), RIGHT)
def test_right_calls_pass(kind: str, text: str) -> None:
    check_call(kind, parse_call(text))


def test_bind_replaces_symbols_and_refuses_unknown_ones() -> None:
    call = parse_call("Linear(classes, bias=False)")
    entry = find("layers", "Linear")
    assert bind(entry, call, {"classes": 10}) == {"out_features": 10, "bias": False}
    with pytest.raises(RequestError, match="what `classes` stands for is not known"):
        bind(entry, call, {})


def test_dotted_names_are_imported_only_where_allowed(tmp_path, monkeypatch) -> None:
    (tmp_path / "ownblocks.py").write_text(
        "from torch import nn\n"
        "class Squeeze(nn.Module):\n"
        "    '''Multiplies by a number.'''\n"
        "    def __init__(self, factor: int):\n"
        "        super().__init__()\n"
        "        self.factor = factor\n"
        "    def forward(self, x):\n"
        "        return x * self.factor\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(catalogue, "ALLOWED_MODULES", set())
    call = Call("ownblocks:Squeeze", (3,))
    with pytest.raises(RequestError, match="--allow ownblocks"):
        find("layers", call.name)
    assert "ownblocks" not in sys.modules
    catalogue.allow("ownblocks")
    predicted = propagate([call], (4,))
    assert predicted.output_shape == (4,)
    assert construct(predicted.nodes[0]).factor == 3
    with pytest.raises(RequestError, match=r"no torch\.nn\.Module named Missing"):
        find("layers", "ownblocks:Missing")
    with pytest.raises(RequestError, match="could not be imported"):
        catalogue.allow("ownblocks_missing") or find("layers", "ownblocks_missing:A")


EXPERIMENT = """
optimizer = "torch.optim.SGD(lr=0.01)"
[network]
init = "nn.init.kaiming_normal_()"
layers = [
    "nn.Flatten()",
    "nn.Linear(64, 30)",
    "{}(classes)",
]
"""


def test_validate_names_file_line_and_field() -> None:
    with pytest.raises(SpecError) as caught:
        catalogue.validate(parse_experiment(EXPERIMENT.format("Lineer"), "mine.toml"))
    assert str(caught.value) == "mine.toml:8: network.layers.2: `Lineer` is not a layer; did you mean `Linear`?"


def test_validate_keeps_given_sizes_and_canonical_drops_them() -> None:
    experiment = parse_experiment(EXPERIMENT.format("Linear"))
    assert catalogue.validate(experiment) is experiment
    short = catalogue.canonical(experiment)
    assert [str(call) for call in short.networks["model"].layers] == ["Flatten()", "Linear(30)", "Linear(classes)"]
    assert (str(short.networks["model"].init), str(short.optimizer)) == ("kaiming_normal_()", "SGD(lr=0.01)")
    assert catalogue.canonical(short) == short
    assert parse_experiment(short.to_toml()) == short


@pytest.mark.parametrize("kind", ["sources", "augmentations"])
def test_every_argument_of_photographs_and_augmentations_is_explained(kind: str) -> None:
    for entry in catalogue.entries(kind).values():
        if kind == "augmentations" or entry.name in ("ImageFolder", "LabelledFiles"):
            assert [parameter.name for parameter in entry.parameters if not parameter.doc] == [], entry.name
