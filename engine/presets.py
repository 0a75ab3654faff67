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


_HEAD = """\
name = "{name}"
task = "{task}"
epochs = {epochs}
seed = 0
loss = "{loss}"
optimizer = "{optimizer}"
{scheduler}
[data]
source = "{source}"
batch_size = {batch_size}
normalize = {normalize}
validation = "holdout(0.2)"

[network]
layers = [
"""


def _toml(
    name: str,
    *layers: str,
    epochs: int = 20,
    optimizer: str = "SGD(lr=0.01)",
    scheduler: str = "",
    task: str = "Classification()",
    loss: str = "CrossEntropyLoss()",
    source: str = "Digits()",
    batch_size: int = 64,
    normalize: str = "[0.5, 0.5]",
) -> str:
    """The experiment as a person would write it."""
    head = _HEAD.format(
        name=name, task=task, epochs=epochs, loss=loss, optimizer=optimizer, source=source, batch_size=batch_size,
        normalize=normalize, scheduler=f'scheduler = "{scheduler}"\n' if scheduler else "",
    )  # fmt: skip
    return head + "".join(f'    "{layer}",\n' for layer in layers) + "]\n"


def _block(channels: int, stride: int = 1) -> str:
    """Two convolutions, each behind its norm and ReLU, with the input added; with a stride the kept path is brought to
    the new shape. This order is that of He et al., Identity mappings in deep residual networks, arXiv:1603.05027."""
    convolution = f"Conv2d({channels}, 3, padding=1, bias=False)"
    first = convolution if stride == 1 else f"Conv2d({channels}, 3, stride={stride}, padding=1, bias=False)"
    shortcut = "" if stride == 1 else f", shortcut=Conv2d({channels}, 1, stride={stride}, bias=False)"
    return f"Residual(BatchNorm2d(), ReLU(), {first}, BatchNorm2d(), ReLU(), {convolution}{shortcut})"


_ALL = (
    Preset(
        "mlp",
        "three linear layers without activations: where the tutorials begin",
        _toml(
            "mlp",
            "Flatten()",
            "Linear(300)",
            "Linear(100)",
            "Linear(classes)",
        ),
    ),
    Preset(
        "activation",
        "the same with ReLU between them",
        _toml(
            "activation",
            "Flatten()",
            "Linear(300)",
            "ReLU()",
            "Linear(100)",
            "ReLU()",
            "Linear(classes)",
        ),
    ),
    Preset(
        "batchnorm",
        "with batch normalisation before each ReLU",
        _toml(
            "batchnorm",
            "Flatten()",
            "Linear(300)",
            "BatchNorm1d()",
            "ReLU()",
            "Linear(100)",
            "BatchNorm1d()",
            "ReLU()",
            "Linear(classes)",
        ),
    ),
    # Padding keeps small pictures from vanishing: 8 pixels a side leave 2, and 28 leave 7, before Flatten.
    Preset(
        "cnn",
        "three convolutions with batch normalisation, two poolings, two linear layers",
        _toml(
            "cnn",
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
            epochs=10,
            optimizer="SGD(lr=0.01, momentum=0.9)",
        ),
    ),
    # LeCun et al., Gradient-based learning applied to document recognition, 1998. The second convolution is padded too,
    # for pictures of 8 pixels a side.
    Preset(
        "lenet",
        "LeNet-5 of 1998: tanh and average pooling",
        _toml(
            "lenet",
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
            optimizer="SGD(lr=0.05, momentum=0.9)",
        ),
    ),
    # Three stages of 16, 32 and 64 channels as in section 4.2 of He et al., arXiv:1512.03385, two blocks each.
    Preset(
        "resnet",
        "a small residual network, for pictures of 28 to 32 pixels",
        _toml(
            "resnet",
            "Conv2d(16, 3, padding=1, bias=False)",
            f"Repeat(2, {_block(16)})",
            _block(32, stride=2),
            _block(32),
            _block(64, stride=2),
            _block(64),
            "BatchNorm2d()",
            "ReLU()",
            "AdaptiveAvgPool2d(1)",
            "Flatten()",
            "Linear(classes)",
            epochs=10,
            optimizer="SGD(lr=0.05, momentum=0.9, weight_decay=0.0005)",
            scheduler="CosineAnnealingLR(T_max=epochs)",
            normalize='"auto"',
        ),
    ),
    Preset(
        "regression",
        "an MLP that predicts a number: the course of diabetes from ten measurements",
        _toml(
            "regression",
            "Linear(64)",
            "ReLU()",
            "Linear(32)",
            "ReLU()",
            "Linear(1)",
            epochs=100,
            task="Regression()",
            loss="MSELoss()",
            source="Diabetes()",
            batch_size=32,
            normalize='"auto"',
        ),
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Experiment:
    """The experiment of a preset. Raises RequestError where there is none of that name."""
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or f"there are {', '.join(PRESETS)}"
        raise RequestError(f"`{name}` is not a preset; {hint}")
    return parse_experiment(PRESETS[name].toml)
