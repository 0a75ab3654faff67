"""Experiments to start from. All of them train on embedded data; the networks for images take 8 to 32 pixels a side."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import RequestError, did_you_mean
from engine.spec import Experiment, parse_experiment


@dataclass(frozen=True)
class Preset:
    """A named experiment as TOML text, with the line that lists show."""

    name: str
    line: str
    toml: str


_MLP = """\
name = "mlp"
task = "Classification()"
epochs = 20
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.01)"

[data]
source = "Digits()"
batch_size = 64
normalize = [0.5, 0.5]
validation = "holdout(0.2)"

[network]
layers = [
    "Flatten()",
    "Linear(300)",
    "Linear(100)",
    "Linear(classes)",
]
"""

_ACTIVATION = """\
name = "activation"
task = "Classification()"
epochs = 20
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.01)"

[data]
source = "Digits()"
batch_size = 64
normalize = [0.5, 0.5]
validation = "holdout(0.2)"

[network]
layers = [
    "Flatten()",
    "Linear(300)",
    "ReLU()",
    "Linear(100)",
    "ReLU()",
    "Linear(classes)",
]
"""

_BATCHNORM = """\
name = "batchnorm"
task = "Classification()"
epochs = 20
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.01)"

[data]
source = "Digits()"
batch_size = 64
normalize = [0.5, 0.5]
validation = "holdout(0.2)"

[network]
layers = [
    "Flatten()",
    "Linear(300)",
    "BatchNorm1d()",
    "ReLU()",
    "Linear(100)",
    "BatchNorm1d()",
    "ReLU()",
    "Linear(classes)",
]
"""

# Padding keeps small pictures from vanishing: 8 pixels a side leave 2, and 28 leave 7, before Flatten.
_CNN = """\
name = "cnn"
task = "Classification()"
epochs = 10
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.01, momentum=0.9)"

[data]
source = "Digits()"
batch_size = 64
normalize = [0.5, 0.5]
validation = "holdout(0.2)"

[network]
layers = [
    "Conv2d(16, 3, padding=1)",
    "BatchNorm2d()",
    "ReLU()",
    "MaxPool2d(2)",
    "Conv2d(32, 3, padding=1)",
    "BatchNorm2d()",
    "ReLU()",
    "MaxPool2d(2)",
    "Conv2d(64, 3, padding=1)",
    "BatchNorm2d()",
    "ReLU()",
    "Flatten()",
    "Linear(128)",
    "BatchNorm1d()",
    "ReLU()",
    "Linear(classes)",
]
"""

# LeCun et al., Gradient-based learning applied to document recognition, 1998. The second convolution is padded too,
# for pictures of 8 pixels a side.
_LENET = """\
name = "lenet"
task = "Classification()"
epochs = 20
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.05, momentum=0.9)"

[data]
source = "Digits()"
batch_size = 64
normalize = [0.5, 0.5]
validation = "holdout(0.2)"

[network]
layers = [
    "Conv2d(6, 5, padding=2)",
    "Tanh()",
    "AvgPool2d(2)",
    "Conv2d(16, 5, padding=2)",
    "Tanh()",
    "AvgPool2d(2)",
    "Flatten()",
    "Linear(120)",
    "Tanh()",
    "Linear(84)",
    "Tanh()",
    "Linear(classes)",
]
"""

# Three stages of 16, 32 and 64 channels as in section 4.2 of He et al., arXiv:1512.03385, two blocks each;
# normalisation and ReLU stand before each convolution, and nothing behind the addition, as in arXiv:1603.05027.
_RESNET = """\
name = "resnet"
task = "Classification()"
epochs = 10
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.05, momentum=0.9, weight_decay=0.0005)"
scheduler = "CosineAnnealingLR(T_max=epochs)"

[data]
source = "Digits()"
batch_size = 64
normalize = "auto"
validation = "holdout(0.2)"

[network]
layers = [
    "Conv2d(16, 3, padding=1, bias=False)",
    "Repeat(2, STAY16)",
    "DOWN32",
    "STAY32",
    "DOWN64",
    "STAY64",
    "BatchNorm2d()",
    "ReLU()",
    "AdaptiveAvgPool2d(1)",
    "Flatten()",
    "Linear(classes)",
]
"""


def _block(channels: int, stride: int = 1) -> str:
    """Two convolutions with the input added; with a stride the kept path is brought to the new shape."""
    convolution = f"Conv2d({channels}, 3, padding=1, bias=False)"
    first = convolution if stride == 1 else f"Conv2d({channels}, 3, stride={stride}, padding=1, bias=False)"
    shortcut = "" if stride == 1 else f", shortcut=Conv2d({channels}, 1, stride={stride}, bias=False)"
    return f"Residual(BatchNorm2d(), ReLU(), {first}, BatchNorm2d(), ReLU(), {convolution}{shortcut})"


def _resnet() -> str:
    text = _RESNET.replace("STAY16", _block(16))
    for channels in (32, 64):
        text = text.replace(f"DOWN{channels}", _block(channels, stride=2)).replace(f"STAY{channels}", _block(channels))
    return text


_REGRESSION = """\
name = "regression"
task = "Regression()"
epochs = 100
seed = 0
loss = "MSELoss()"
optimizer = "SGD(lr=0.01)"

[data]
source = "Diabetes()"
batch_size = 32
normalize = "auto"
validation = "holdout(0.2)"

[network]
layers = [
    "Linear(64)",
    "ReLU()",
    "Linear(32)",
    "ReLU()",
    "Linear(1)",
]
"""

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("mlp", "three linear layers without activations: where the tutorials begin", _MLP),
        Preset("activation", "the same with ReLU between them", _ACTIVATION),
        Preset("batchnorm", "with batch normalisation before each ReLU", _BATCHNORM),
        Preset("cnn", "three convolutions with batch normalisation, two poolings, two linear layers", _CNN),
        Preset("lenet", "LeNet-5 of 1998: tanh and average pooling", _LENET),
        Preset("resnet", "a small residual network, for pictures of 28 to 32 pixels", _resnet()),
        Preset(
            "regression", "an MLP that predicts a number: the course of diabetes from ten measurements", _REGRESSION
        ),
    )
}


def preset(name: str) -> Experiment:
    """The experiment of a preset. Raises RequestError where there is none of that name."""
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or f"there are {', '.join(PRESETS)}"
        raise RequestError(f"`{name}` is not a preset; {hint}")
    return parse_experiment(PRESETS[name].toml)
