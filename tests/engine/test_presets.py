"""The presets: canonical text, and networks that fit the data that they are meant for."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.errors import RequestError
from engine.presets import PRESETS, preset
from engine.spec import with_settings


def test_the_presets_are_those_that_people_ask_for() -> None:
    assert list(PRESETS) == [
        "mlp", "activation", "batchnorm", "cnn", "lenet", "resnet", "regression",
        "cats-dogs-cnn", "cats-dogs-resnet18", "cats-dogs-vgg16", "cats-dogs-vgg16-cached",
    ]  # fmt: skip
    with pytest.raises(RequestError, match="did you mean `batchnorm`"):
        preset("batchnrm")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_own_canonical_text(name: str) -> None:
    experiment = preset(name)
    assert experiment.name == name
    assert experiment.to_toml() == PRESETS[name].toml
    assert with_settings(experiment, ["data.source=MNIST()"]).network == experiment.network


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", ["mlp", "activation", "batchnorm", "cnn", "lenet", "resnet"])
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


def test_the_network_for_photographs_is_the_tutorials() -> None:
    """Blocks of convolution, ReLU and pooling, and two linear layers: parameters counted by hand."""
    from engine.shapes import propagate

    channels = (3, 16, 32, 64, 128)
    blocks = sum((9 * before + 1) * after + 2 * after for before, after in itertools.pairwise(channels))
    rows = propagate(preset("cats-dogs-cnn").network.layers, (3, 64, 64), symbols={"classes": 2}).rows
    assert sum(row.parameters for row in rows) == blocks + (128 * 4 * 4 + 1) * 128 + (128 + 1) * 2


def test_vgg16_with_and_without_kept_features_are_the_same_but_for_that() -> None:
    live, cached = preset("cats-dogs-vgg16"), preset("cats-dogs-vgg16-cached")
    assert cached == live.with_(name=cached.name, data=live.data.with_(cache_features=True))
    assert not live.data.augment


@pytest.mark.soak
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_network_from_scratch_tells_cats_from_dogs_in_fifteen_epochs(
    seed: int, data_folder: Path, tmp_path: Path
) -> None:
    from engine.launch import prepare_run, start
    from engine.store.reader import RunReader

    if not (data_folder / "cats-dogs").is_dir():
        pytest.skip(f"no photographs in {data_folder / 'cats-dogs'}")
    experiment = with_settings(preset("cats-dogs-cnn"), [f"seed={seed}"])
    assert experiment.epochs == 15
    run = prepare_run(experiment, tmp_path, data_folder)
    start(run, launcher="thread", data_folder=data_folder).join()
    reader = RunReader(run)
    reader.poll()
    assert reader.view.status == "finished", reader.view.reason
    assert reader.view.best is not None
    assert reader.view.best["metrics"]["val/accuracy"] >= 0.70
