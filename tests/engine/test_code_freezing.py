"""What is frozen, thawed and trained at a share of the rate, as a script: with one batch an epoch its order does not
matter, and the script ends with the weights of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.check import check
from engine.code import pytorch_code
from engine.data.info import Place
from engine.presets import preset
from engine.spec import Experiment, with_settings
from tests.engine.test_code import NOWHERE, run
from tests.engine.test_freezing import last_weights
from tests.engine.training import train


def moons(layers: str, *settings: str) -> Experiment:
    usual = ["data.source=Moons(n=60)", "data.batch_size=64", "epochs=4", "data.normalize=auto", "seed=2"]
    return with_settings(preset("mlp"), [*usual, f"network.layers={layers}", *settings])


def script(experiment: Experiment, folder: Path = NOWHERE) -> dict[str, Any]:
    """The names that the script leaves with its last epoch, before it takes the best weights back."""
    code = pytorch_code(check(experiment, Place(folder)), folder)
    names, _ = run(code.partition('print(f"best')[0])
    return names


def end_alike(experiment: Experiment, folder: Path = NOWHERE) -> dict[str, Any]:
    names = script(experiment, folder)
    _, events = train(experiment, folder)
    ours, theirs = last_weights(events), names["network"].state_dict()
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        torch.testing.assert_close(
            theirs[key], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    return names


LAYERS = (
    "[Linear(16, lr_scale=0.1), BatchNorm1d(thaw=3), Tanh(), Residual(Linear(16), Tanh(), Linear(16, lr_scale=1.0), "
    "lr_scale=0.25, thaw=2), Linear(8, frozen=True), BatchNorm1d(frozen=True), Tanh(), Linear(classes)]"
)


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer=SGD(lr=0.2, momentum=0.9, weight_decay=0.01)"],
        ["optimizer=AdamW()", "scheduler=CosineAnnealingLR(T_max=epochs, eta_min=0.0005)"],
        ["optimizer=Adam(lr=0.02)", "scheduler=OneCycleLR(max_lr=0.1)"],
        ["optimizer=SGD(lr=0.2)", "scheduler=ReduceLROnPlateau(patience=0, min_lr=0.05)"],
        ["optimizer=SGD(lr=0.2)", "scheduler=SequentialLR([LinearLR(), StepLR(1)], milestones=[2])", "clip_norm=0.5"],
        ["optimizer=Muon(lr=0.02)", "scheduler=StepLR(2)"],
        ["optimizer=SGD(lr=0.2)", "accumulate=2", "scheduler=CyclicLR(base_lr=0.01, max_lr=0.3, step_size_up=2)"],
    ],
)
def test_thawing_and_shares_end_with_the_weights_of_a_run(settings: list[str]) -> None:
    end_alike(moons(LAYERS, *settings))


def test_all_that_trains_may_have_one_share() -> None:
    layers = "[Linear(8, frozen=True), Tanh(), Linear(8, lr_scale=0.5), Tanh(), Linear(classes, lr_scale=0.5)]"
    names = end_alike(moons(layers, "optimizer=SGD(lr=0.1)", "scheduler=ExponentialLR(0.9)"))
    [group] = names["optimizer"].param_groups
    assert group["lr"] == pytest.approx(0.1 * 0.5 * 0.9**4)


def test_layers_without_parameters_are_thawed_with_their_epoch() -> None:
    """A Dropout that drops all tells by the loss whether it is at work."""
    layers = "[Linear(8), Sequential(Dropout(1.0, thaw=3), Tanh(frozen=True), thaw=2), Linear(classes)]"
    experiment = moons(layers, "optimizer=SGD(lr=0.1)")
    names = end_alike(experiment)
    network = names["network"]
    assert (network[1].training, network[1][0].training, network[1][1].training) == (True, True, False)
    earlier = end_alike(with_settings(experiment, ["epochs=2"]))["network"]
    assert (earlier[1].training, earlier[1][0].training, earlier[1][1].training) == (True, False, False)


def pictures(folder: Path) -> str:
    random = np.random.default_rng(0)
    np.savez(folder / "pictures.npz", x=random.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8), y=np.arange(12) % 3)
    return f"data.source=Tensors('{folder / 'pictures.npz'}')"


@pytest.mark.parametrize(
    "arguments",
    [
        "frozen='to:layer3', lr_scale={'layer4': 0.1}",
        "frozen='all', thaw={2: 'layer4', 3: ('layer3.1', 'bn1.weight')}, lr_scale={'layer4': 0.1, 'layer4.1': 1.0}",
        "frozen=('conv1',), thaw={3: 'all'}, lr_scale=0.5",
    ],
)
def test_a_backbone_ends_with_the_weights_of_a_run(tmp_path: Path, arguments: str) -> None:
    settings = [pictures(tmp_path), "data.validation=none", "data.batch_size=12", "epochs=3", "optimizer=SGD(lr=0.02)"]
    layers = f"network.layers=[Backbone('resnet18', weights=None, {arguments})]"
    end_alike(with_settings(preset("mlp"), [*settings, "data.normalize=auto", layers]), tmp_path)


def test_names_are_those_of_the_largest_modules(tmp_path: Path) -> None:
    layers = "[Backbone('resnet18', weights=None, frozen='to:layer3', thaw={4: 'layer2.1'}, lr_scale={'layer4': 0.1})]"
    settings = [pictures(tmp_path), "data.validation=none", f"network.layers={layers}"]
    code = pytorch_code(check(with_settings(preset("mlp"), settings), Place(tmp_path)), tmp_path)
    assert 'if not name.startswith(("0.layer4.", "0.fc.")):' in code
    assert '    4: ("0.layer2.1.",),\n' in code
    assert 'SHARES = {"0.layer4.": 0.1}' in code
