"""What is frozen, thawed and trained at a share of the rate, as a script: with one batch an epoch its order does not
matter, and the script ends with the weights of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from engine.build import initial_networks
from engine.check import check
from engine.code import pytorch_code
from engine.data.info import Place
from engine.presets import preset
from engine.spec import Experiment, with_settings
from engine.weights import load_weights
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


@pytest.mark.parametrize(
    ("scheduler", "rate"),
    [
        ("ExponentialLR(0.9)", 0.1 * 0.9**4),
        ("CosineAnnealingLR(T_max=4, eta_min=0.02)", 0.02),
        ("CosineAnnealingWarmRestarts(T_0=8, eta_min=0.02)", 0.06),
        ("OneCycleLR(max_lr=0.1)", None),
        ("CyclicLR(base_lr=0.01, max_lr=0.3, step_size_up=2)", 0.01),
        ("SWALR(swa_lr=0.05, anneal_epochs=2)", 0.05),
        ("ReduceLROnPlateau(patience=0, factor=0.1, min_lr=0.04, threshold=9.0)", 0.04),
    ],
)
def test_all_that_trains_may_have_one_share(scheduler: str, rate: float | None) -> None:
    """Half of what the schedule makes of the whole rate, though nothing trains at the whole."""
    layers = "[Linear(8, frozen=True), Tanh(), Linear(8, lr_scale=0.5), Tanh(), Linear(classes, lr_scale=0.5)]"
    names = end_alike(moons(layers, "optimizer=SGD(lr=0.1)", f"scheduler={scheduler}"))
    [group] = names["optimizer"].param_groups
    assert rate is None or group["lr"] == pytest.approx(0.5 * rate)


@pytest.mark.parametrize("layers", ["[Linear(8, bias=False), Tanh(), Linear(classes, bias=False)]", "[BatchNorm1d()]"])
def test_an_optimizer_of_nothing_is_left_out(layers: str) -> None:
    names = end_alike(moons(layers, "optimizer=Muon(lr=0.02)", "scheduler=StepLR(2)"))
    assert "other_optimizer" not in names


def test_batches_that_are_added_up_count_by_their_samples() -> None:
    """48 samples of which the last batch of a group has fewer than the others."""
    end_alike(moons("[Linear(8), Tanh(), Linear(classes)]", "data.batch_size=40", "accumulate=2"))


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


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("'squeezenet1_1', weights=None, until='features', frozen='to:features.4'", ["ema=0.5"]),
        ("'vit_b_32', weights=None, until='encoder.layers.encoder_layer_1.ln_1', frozen='all'", ["epochs=1"]),
        ("'mobilenet_v3_small', weights=None, until='features.4.block.2.scale_activation'", ["epochs=1"]),
    ],
)
def test_a_model_is_cut_as_in_a_run(tmp_path: Path, backbone: str, settings: list[str]) -> None:
    usual = [pictures(tmp_path), "data.validation=none", "data.batch_size=12", "epochs=2", "optimizer=SGD(lr=0.02)"]
    layers = f"network.layers=[Backbone({backbone}), Flatten(), Linear(classes)]"
    names = end_alike(with_settings(preset("mlp"), [*usual, "data.normalize=auto", layers, *settings]), tmp_path)
    wanted = [] if "ema=0.5" not in settings else names["average"].module.state_dict()
    assert not any(torch.isnan(tensor).any() for tensor in (wanted.values() if wanted else ()))


@pytest.mark.parametrize(
    ("name", "file", "more"),
    [
        ("mnasnet0_5", "mnasnet0.5_top1_67.823-3ffadce67e.pth", ""),
        ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", ", init={'features.12': kaiming_normal_()}"),
    ],
)
def test_trained_weights_are_those_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, more: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(7)
    torch.save(torchvision.models.get_model(name, weights=None).state_dict(), tmp_path / "hub" / "checkpoints" / file)
    layers = f"network.layers=[Backbone('{name}', frozen='all'{more})]"
    settings = [pictures(tmp_path), "data.validation=none", "seed=3", layers]
    experiment = with_settings(preset("mlp"), settings)
    report = check(experiment, Place(tmp_path))
    names, _ = run(pytorch_code(report, tmp_path).partition("# Loss, optimizer")[0])
    weights = {"model": load_weights(report.propagations["model"], Place(tmp_path), None)}
    ours = initial_networks(experiment, report.propagations, torch.device("cpu"), weights)["model"].state_dict()
    theirs = names["network"].state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def test_names_are_those_of_the_largest_modules(tmp_path: Path) -> None:
    layers = "[Backbone('resnet18', weights=None, frozen='to:layer3', thaw={4: 'layer2.1'}, lr_scale={'layer4': 0.1})]"
    settings = [pictures(tmp_path), "data.validation=none", f"network.layers={layers}"]
    code = pytorch_code(check(with_settings(preset("mlp"), settings), Place(tmp_path)), tmp_path)
    assert 'if not name.startswith(("0.layer4.", "0.fc.")):' in code
    assert '    4: ("0.layer2.1.",),\n' in code
    assert 'SHARES = {"0.layer4.": 0.1}' in code
