"""A built network has the weights of the same layers written out in PyTorch, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from engine.build import build_network
from engine.calls import parse_call
from engine.errors import RequestError, RunError
from engine.presets import PRESETS, preset
from engine.shapes import propagate


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.body(inputs) + self.shortcut(inputs)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.PReLU(8), nn.MaxPool2d(2), nn.Dropout(0.5),
        nn.ConvTranspose2d(8, 4, 3, stride=2), nn.Flatten(), nn.LayerNorm(4 * 27 * 27), nn.Linear(4 * 27 * 27, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), Block(8, 16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


def lstm() -> nn.Module:
    class Last(nn.LSTM):
        def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(inputs)[0]

    return nn.Sequential(nn.Flatten(1, 2), Last(28, 16, 2, batch_first=True), nn.Flatten(), nn.Linear(448, 10))


STACKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "mlp": (mlp, ["Flatten()", "Linear(300)", "BatchNorm1d()", "ReLU()", "Linear(classes)"]),
    "cnn": (
        cnn,
        ["Conv2d(8, 3)", "GroupNorm(4)", "PReLU(8)", "MaxPool2d(2)", "Dropout(0.5)", "ConvTranspose2d(4, 3, stride=2)",
         "Flatten()", "LayerNorm()", "Linear(classes)"],
    ),
    "resnet": (
        resnet,
        ["Conv2d(8, 3, padding=1)",
         "Residual(Conv2d(16, 3, stride=2, padding=1, bias=False), BatchNorm2d(), ReLU(), "
         "Conv2d(16, 3, padding=1, bias=False), BatchNorm2d(), shortcut=Conv2d(16, 1, stride=2))",
         "ReLU()", "AdaptiveAvgPool2d(1)", "Flatten()", "Linear(classes)"],
    ),
    "lstm": (lstm, ["Flatten(1, 2)", "LSTM(16, 2)", "Flatten()", "Linear(classes)"]),
}  # fmt: skip


def built(texts: list[str], shape: tuple[int, ...] = (1, 28, 28), init: str = "") -> nn.Sequential:
    predicted = propagate([parse_call(text) for text in texts], shape, symbols={"classes": 10})
    return build_network(predicted, parse_call(init) if init else None)


@pytest.mark.parametrize("name", STACKS)
def test_weights_outputs_and_names_are_those_of_plain_torch(name: str) -> None:
    plain, texts = STACKS[name]
    torch.manual_seed(3)
    network = built(texts)
    torch.manual_seed(3)
    expected = plain()
    ours, torchs = network.state_dict(), expected.state_dict()
    assert list(ours) == list(torchs)
    assert all(torch.equal(ours[key], torchs[key]) for key in torchs)
    inputs = torch.rand(5, 1, 28, 28)
    torch.manual_seed(4)
    outputs = network(inputs)
    torch.manual_seed(4)
    assert torch.equal(outputs, expected(inputs))
    assert network.training


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if not name.startswith("cats-dogs")))
def test_every_preset_fits_and_builds(name: str) -> None:
    experiment = preset(name)
    shape = (10,) if name == "regression" else (1, 28, 28)
    symbols = {"classes": 10, "features": 1, "channels": 1}
    predicted = propagate(experiment.network.layers, shape, symbols=symbols)
    assert predicted.problem is None, predicted.problem
    network = build_network(predicted, experiment.network.init)
    assert network(torch.rand(2, *shape)).shape == (2, *predicted.output_shape)


def test_an_initialiser_for_all_fills_weights_and_leaves_norms_and_biases() -> None:
    torch.manual_seed(5)
    network = built(STACKS["cnn"][1], init="kaiming_normal_(nonlinearity='relu')")
    torch.manual_seed(5)
    expected = cnn()
    for module in expected:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torchs = expected.state_dict()
    assert all(torch.equal(value, torchs[name]) for name, value in network.state_dict().items())


def test_a_layers_own_initialiser_goes_before_that_for_all() -> None:
    network = built(
        ["Flatten()", "Linear(4)", "Sequential(Linear(3), Linear(3, init=constant_(7)), init=ones_())"],
        init="zeros_()",
    )
    weights = {name: set(value.flatten().tolist()) for name, value in network.named_parameters() if "weight" in name}
    assert weights == {"1.weight": {0.0}, "2.0.weight": {1.0}, "2.1.weight": {7.0}}


def test_an_initialiser_that_cannot_fill_a_layer_names_it() -> None:
    with pytest.raises(RequestError, match=r"`eye_\(\)` cannot fill the weights .* of layer 0 `Conv2d\(4, 3\)`"):
        built(["Conv2d(4, 3)"], init="eye_()")
    with pytest.raises(RequestError, match=r"of layer 1\.body\.0 `Linear\(784, init=dirac_\(\)\)`"):
        built(["Flatten()", "Residual(Linear(784, init=dirac_()))"])


def test_frozen_layers_want_no_gradients() -> None:
    network = built(["Conv2d(4, 3, frozen=True)", "Residual(Conv2d(4, 1), frozen=True)", "Flatten()", "Linear(2)"])
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trained == ["3.weight", "3.bias"]


def test_a_stack_with_a_problem_is_not_built() -> None:
    with pytest.raises(RequestError, match="put Flatten"):
        built(["Conv2d(4, 3)", "Linear(2)"])


def test_a_network_that_no_memory_holds_is_told_in_words() -> None:
    with pytest.raises(RunError, match="no memory for a network of 785,000,000,000,000 parameters"):
        built(["Flatten()", "Linear(1000000000000)"])
