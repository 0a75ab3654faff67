"""The presets: canonical text, and networks that fit the data that they are meant for."""

from __future__ import annotations

import pytest

from engine.errors import RequestError
from engine.presets import PRESETS, preset
from engine.spec import with_settings


def test_the_presets_are_those_that_people_ask_for() -> None:
    assert list(PRESETS) == ["mlp", "activation", "batchnorm", "cnn", "lenet", "resnet", "regression"]
    with pytest.raises(RequestError, match="did you mean `batchnorm`"):
        preset("batchnrm")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_own_canonical_text(name: str) -> None:
    experiment = preset(name)
    assert experiment.name == name
    assert experiment.to_toml() == PRESETS[name].toml
    assert with_settings(experiment, ["data.source=MNIST()"]).network == experiment.network


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "regression"])
def test_networks_for_pictures_take_digits_mnist_and_cifar(name: str, shape: tuple[int, int, int]) -> None:
    torch = pytest.importorskip("torch")
    from engine.build import build_network
    from engine.catalogue import validate
    from engine.shapes import propagate

    experiment = validate(preset(name))
    propagation = propagate(experiment.network.layers, shape, symbols={"classes": 10, "channels": shape[0]})
    assert propagation.problem is None
    assert build_network(propagation)(torch.rand(3, *shape)).shape == (3, 10)


def test_the_tutorials_networks_have_the_parameters_that_plain_pytorch_gives_them() -> None:
    from engine.shapes import propagate

    def parameters(name: str) -> int:
        rows = propagate(preset(name).network.layers, (1, 28, 28), symbols={"classes": 10}).rows
        return sum(row.parameters for row in rows if row.depth == 0)

    linear = (784 + 1) * 300 + (300 + 1) * 100 + (100 + 1) * 10
    assert parameters("mlp") == parameters("activation") == linear
    assert parameters("batchnorm") == linear + 2 * 300 + 2 * 100
