"""Experiments to start from.

Most train on embedded data, and their networks for images take 8 to 32 pixels a side. Those called cats-dogs train on
photographs in the data folder's cats-dogs, named as Kaggle's Dogs vs. Cats names them: cat.0.jpg, dog.0.jpg, ...
"""

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
{augment}validation = "holdout(0.2)"
{features}
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
    augment: tuple[str, ...] = (),
    cache_features: bool = False,
) -> str:
    """The experiment as a person would write it."""
    head = _HEAD.format(
        name=name, task=task, epochs=epochs, loss=loss, optimizer=optimizer, source=source, batch_size=batch_size,
        normalize=normalize, scheduler=f'scheduler = "{scheduler}"\n' if scheduler else "",
        augment="augment = [\n" + "".join(f'    "{call}",\n' for call in augment) + "]\n" if augment else "",
        features="cache_features = true\n" if cache_features else "",
    )  # fmt: skip
    return head + "".join(f'    "{layer}",\n' for layer in layers) + "]\n"


def _block(channels: int, stride: int = 1) -> str:
    """Two convolutions, each behind its norm and ReLU, with the input added; with a stride the kept path is brought to
    the new shape. This order is that of He et al., Identity mappings in deep residual networks, arXiv:1603.05027."""
    convolution = f"Conv2d({channels}, 3, padding=1, bias=False)"
    first = convolution if stride == 1 else f"Conv2d({channels}, 3, stride={stride}, padding=1, bias=False)"
    shortcut = "" if stride == 1 else f", shortcut=Conv2d({channels}, 1, stride={stride}, bias=False)"
    return f"Residual(BatchNorm2d(), ReLU(), {first}, BatchNorm2d(), ReLU(), {convolution}{shortcut})"


def _vgg16(name: str, cache_features: bool) -> str:
    """VGG16's convolutions as they were pretrained, with scores of its own on top."""
    return _toml(
        name,
        "Backbone('vgg16', until='features', frozen='all')",
        "Flatten()",
        "Linear(256)",
        "ReLU()",
        "Dropout(0.5)",
        "Linear(classes)",
        epochs=10,
        optimizer="Adam(lr=0.0001)",
        source="LabelledFiles('cats-dogs', size=224)",
        batch_size=32,
        normalize='"auto"',
        cache_features=cache_features,
    )


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
    Preset(
        "cats-dogs-cnn",
        "a small network of its own for photographs of cats and dogs, 64 pixels a side",
        _toml(
            "cats-dogs-cnn",
            *(
                layer
                for channels in (16, 32, 64, 128)
                for layer in (f"Conv2d({channels}, 3, padding=1)", "BatchNorm2d()", "ReLU()", "MaxPool2d(2)")
            ),
            "Flatten()",
            "Dropout(0.5)",
            "Linear(128)",
            "ReLU()",
            "Linear(classes)",
            epochs=15,
            optimizer="AdamW(lr=0.001, weight_decay=0.01)",
            scheduler="OneCycleLR(max_lr=0.003)",
            source="LabelledFiles('cats-dogs', size=64)",
            batch_size=32,
            normalize='"auto"',
            augment=("RandomHorizontalFlip()", "RandomCrop(64, padding=6)"),
        ),
    ),
    # Two rates: the last stage, which was pretrained, changes a tenth as fast as the head, which was not.
    Preset(
        "cats-dogs-resnet18",
        "a pretrained ResNet18 on the same: its last stage and a new head are trained",
        _toml(
            "cats-dogs-resnet18",
            "Backbone('resnet18', frozen='to:layer3', lr_scale={'layer4': 0.1})",
            epochs=5,
            optimizer="SGD(lr=0.01, momentum=0.9)",
            scheduler="CosineAnnealingLR(T_max=epochs)",
            source="LabelledFiles('cats-dogs', size=224)",
            batch_size=32,
            normalize='"auto"',
            augment=("RandomHorizontalFlip()",),
        ),
    ),
    Preset(
        "cats-dogs-vgg16",
        "a pretrained VGG16 that stays as it is, with a head of its own",
        _vgg16("cats-dogs-vgg16", cache_features=False),
    ),
    Preset(
        "cats-dogs-vgg16-cached",
        "the same, what VGG16 makes of each photograph computed once and kept",
        _vgg16("cats-dogs-vgg16-cached", cache_features=True),
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Experiment:
    """The experiment of a preset. Raises RequestError where there is none of that name."""
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or f"there are {', '.join(PRESETS)}"
        raise RequestError(f"`{name}` is not a preset; {hint}")
    return parse_experiment(PRESETS[name].toml)
