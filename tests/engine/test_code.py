"""The experiment as a script: it runs as it stands, on the samples and from the weights that a run has."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from engine.build import build_network, initial_networks
from engine.check import check
from engine.code import pytorch_code
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.errors import RequestError
from engine.presets import PRESETS, preset
from engine.spec import Experiment, with_settings
from engine.weights import load_weights
from tests.engine.training import epochs_of, train

NOWHERE = Path("nowhere")


def code_of(experiment: Experiment, folder: Path = NOWHERE) -> str:
    return pytorch_code(check(experiment, Place(folder)), folder)


def run(code: str) -> tuple[dict[str, Any], str]:
    """The names that the script leaves, and what it prints."""
    printed = io.StringIO()
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "script.py", "exec"), names)
    return names, printed.getvalue()


def tiny(*settings: str) -> Experiment:
    """Two moons and a small network: an epoch takes a hundredth of a second."""
    layers = "network.layers=[Linear(8), Tanh(), Linear(classes)]"
    experiment = with_settings(preset("mlp"), ["data.source=Moons(n=200)", layers, "epochs=2", "data.normalize=auto"])
    return with_settings(experiment, settings)


# Those of photographs want the photographs, and most of them weights: their scripts are tried on small networks.
@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("cats-dogs")])
def test_the_script_of_every_preset_runs_and_learns(name: str) -> None:
    names, printed = run(code_of(with_settings(preset(name), ["epochs=2"])))
    assert names["epoch"] == 2
    metrics = names["metrics"]
    assert metrics["val/loss"] < (1.5 if name == "regression" else math.log(10) + 0.05)
    assert f"best: {'val/loss' if name == 'regression' else 'val/accuracy'}" in printed


def test_the_script_learns_about_as_well_as_a_run() -> None:
    """The same weights, the same samples, another order: after three epochs about the same accuracy."""
    experiment = with_settings(preset("batchnorm"), ["epochs=3"])
    names, _ = run(code_of(experiment))
    wanted = epochs_of(train(experiment)[1])[-1].metrics["val/accuracy"]
    assert names["metrics"]["val/accuracy"] == pytest.approx(wanted, abs=0.05)


@pytest.mark.parametrize("name", ["resnet", "regression"])
def test_the_script_begins_with_the_weights_and_the_samples_of_a_run(name: str) -> None:
    experiment = with_settings(preset(name), ["seed=3", "data.validation=holdout(0.3)"])
    report = check(experiment, Place(NOWHERE))
    names, _ = run(pytorch_code(report).partition("# Loss, optimizer")[0])
    torch.manual_seed(3)
    network = build_network(report.propagations["model"])
    ours, theirs = network.state_dict(), names["network"].state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    prepared = prepare(
        experiment.data, seed=3, device="cpu", place=Place(NOWHERE), standardize_targets=name == "regression"
    )
    assert prepared.val is not None
    batch = next(iter(prepared.val.ordered(10_000)))
    torch.testing.assert_close(names["x_val"], batch.inputs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(names["y_val"], batch.targets, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        ["scheduler=OneCycleLR(max_lr=0.1)"],
        ["scheduler=OneCycleLR(max_lr=0.1)", "optimizer=Adagrad()", "accumulate=3"],
        ["scheduler=CosineAnnealingLR()"],
        ["scheduler=ReduceLROnPlateau(patience=1)"],
        ["scheduler=SequentialLR(schedulers=[LinearLR(), StepLR(7)], milestones=[1])"],
        ["scheduler=ChainedScheduler(schedulers=[ConstantLR(), ExponentialLR(0.9)])"],
        ["optimizer=LBFGS()", "clip_norm=1"],
        ["optimizer=Muon(lr=0.01)", "scheduler=StepLR(1)"],
        ["accumulate=3", "clip_norm=1", "clip_value=0.5", "ema=0.9", "early_stopping=1"],
        ["precision=bf16"],
        ["monitor=val/f1"],
        ["monitor=train/accuracy", "data.validation=none"],
        ["loss=CrossEntropyLoss(weight=(1, 2), label_smoothing=0.1)"],
        ["loss=BCEWithLogitsLoss()", "network.layers=[Linear(8), ReLU(), Linear(1)]"],
        ["loss=BCELoss()", "network.layers=[Linear(classes), Sigmoid()]"],
        ["loss=KLDivLoss()", "network.layers=[Linear(classes), LogSoftmax(dim=1)]"],
        ["loss=MSELoss()"],
        ["loss=SoftMarginLoss()"],
        ["loss=MultiLabelMarginLoss()"],
        ["data.source=Spirals(n=200, classes=3)", "data.normalize=[0, 1]"],
        ["data.source=Blobs(n=200)", "data.augment=[GaussianNoise(0.1)]"],
        ["network.init=xavier_uniform_(gain=2.0)", "network.layers=[Linear(8, frozen=True), Linear(classes)]"],
        ["network.layers=[Reshape(2, 1), LSTM(4), Flatten(), Linear(classes)]"],
        ["network.layers=[Reshape(2, 1), Linear(4), MultiheadAttention(2), Flatten(), Linear(classes)]"],
        [
            "network.layers=[Reshape(1, 2), TransformerEncoder(TransformerEncoderLayer(nhead=1), 2), Flatten(), "
            "Linear(classes)]"
        ],
        ["network.layers=[Parallel(Linear(4), Sequential(Linear(4), ReLU())), Linear(classes)]"],
    ],
)
def test_every_choice_of_the_recipe_is_written_out(settings: list[str]) -> None:
    names, printed = run(code_of(tiny(*settings)))
    assert all(math.isfinite(value) for value in names["metrics"].values())
    assert "best: " in printed


@pytest.mark.parametrize("settings", [["loss=GaussianNLLLoss()", "network.layers=[Linear(2)]"], ["monitor=val/r2"]])
def test_regression_is_written_out(settings: list[str]) -> None:
    names, _ = run(code_of(with_settings(preset("regression"), ["epochs=2", *settings])))
    assert 20 < names["metrics"]["val/mae"] < 300


def test_augmented_pictures_are_normalised_behind_it() -> None:
    augment = "data.augment=[RandomCrop(8, padding=1), RandomHorizontalFlip(), RandomRotation(10), GaussianNoise(0.1)]"
    names, _ = run(code_of(with_settings(preset("lenet"), ["epochs=1", augment, "data.normalize=auto"])))
    batch, _ = next(iter(names["train_loader"]))
    assert batch.shape[1:] == (1, 8, 8)
    assert abs(float(batch.mean())) < 0.5
    assert float(names["x_train"].min()) == 0.0


def test_a_weight_that_an_initialiser_fills_is_the_one_of_a_run() -> None:
    report = check(tiny("network.init=kaiming_normal_(nonlinearity='relu')"), Place(NOWHERE))
    names, _ = run(pytorch_code(report).partition("# Loss, optimizer")[0])
    torch.manual_seed(0)
    network = build_network(report.propagations["model"], report.experiment.network.init)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), names["network"].parameters(), strict=True))


def test_a_table_is_read_as_a_run_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["width", "colour", "kind"])
        writer.writerows([[i / 10, "red" if i % 3 else "blue", "cat" if i % 2 else "dog"] for i in range(60)])
    experiment = tiny(f'data.source=CSV("{path}", target="kind")')
    names, _ = run(code_of(experiment))
    loaded = prepare(experiment.data, seed=0, device="cpu", place=Place(tmp_path))
    assert loaded.val is not None
    batch = next(iter(loaded.val.ordered(100)))
    torch.testing.assert_close(names["x_val"], batch.inputs, rtol=1e-4, atol=1e-5)
    assert torch.equal(names["y_val"], batch.targets)


def test_arrays_of_pictures_are_read_with_their_test_split(tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    random = np.random.default_rng(0)
    arrays = {"x": random.integers(0, 256, (40, 8, 8), dtype=np.uint8), "y": np.arange(40) % 4}
    np.savez(path, x_test=arrays["x"][:8], y_test=arrays["y"][:8], **arrays)
    layers = "network.layers=[Flatten(), Linear(classes)]"
    names, printed = run(code_of(tiny(f'data.source=Tensors("{path}")', layers)))
    assert tuple(names["x_train"].shape) == (32, 1, 8, 8)
    assert "test:" in printed


def test_mnist_is_read_from_the_data_folder(data_folder: Path) -> None:
    layers = "network.layers=[Flatten(), Linear(classes)]"
    experiment = tiny("data.source=MNIST()", layers, "data.validation=test", "epochs=1", "data.batch_size=1000")
    names, _ = run(code_of(experiment, data_folder))
    assert names["metrics"]["val/accuracy"] > 0.6
    assert len(names["x_val"]) == 10_000


def test_what_cannot_be_trained_is_refused_in_words() -> None:
    with pytest.raises(RequestError, match=r"Flatten\(\)"):
        code_of(with_settings(preset("mlp"), ["network.layers=[Conv2d(8, 3), Linear(10)]"]))


def test_a_name_from_elsewhere_stays_within_its_comment() -> None:
    experiment = preset("mlp").with_(name='"""\u2028import os')
    first = code_of(experiment).splitlines()[0]
    assert first.startswith("# ")
    assert "\u2028" not in code_of(experiment)


def test_a_frozen_layer_without_parameters_stays_as_it_is_in_the_script() -> None:
    norm = "BatchNorm1d(affine=False, frozen=True)"
    layers = f"[{norm}, Linear(8), Sequential(Dropout(0.5), {norm}, frozen=True), Tanh(frozen=True), Linear(classes)]"
    names, _ = run(code_of(tiny(f"network.layers={layers}")))
    network = names["network"]
    assert [module.training for module in network] == [False, True, False, False, True]
    assert not network[2][0].training
    for module in (network[0], network[2][1]):
        assert module.num_batches_tracked == 0
    # Without a moving average the last evaluation would have left them in evaluation mode, too.
    names, _ = run(code_of(tiny(f"network.layers={layers}", "ema=0.9")))
    assert [module.training for module in names["network"]] == [False, True, False, False, True]


@pytest.mark.parametrize(
    "layers",
    [
        "[Upsample(32), Conv2d(3, 1), Backbone('squeezenet1_1', weights=None, frozen='to:features.4')]",
        "[Upsample(32), Conv2d(3, 1, frozen=True), Backbone('mnasnet0_5', weights=None, frozen='all')]",
        pytest.param(
            "[Upsample(32), Conv2d(3, 1), Backbone('googlenet', weights=None, frozen='to:inception5a')]",
            marks=pytest.mark.soak,
        ),
        "[Upsample(32), Conv2d(3, 1), Backbone('squeezenet1_1', weights=None, until='features.3'), Flatten(), "
        "Linear(classes)]",
    ],
)
def test_a_backbone_is_written_as_plain_torchvision_code(layers: str) -> None:
    experiment = with_settings(preset("lenet"), ["seed=3", "epochs=1", f"network.layers={layers}"])
    report = check(experiment, Place(NOWHERE))
    code = pytorch_code(report)
    names, _ = run(code.partition("# Loss, optimizer")[0])
    torch.manual_seed(3)
    network = build_network(report.propagations["model"])
    ours, theirs = network.state_dict(), names["network"].state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in names["network"].named_parameters() if p.requires_grad}
    # Three batches of it are trained on.
    few = "x_train, y_train, x_val, y_val = x_train[:12], y_train[:12], x_val[:4], y_val[:4]\nBATCH_SIZE = 4\n"
    short = code.replace("train_loader = DataLoader(", f"{few}train_loader = DataLoader(")
    names, printed = run(short)
    assert "best: " in printed
    before, after = network.state_dict(), names["network"].state_dict()
    still = {name.rpartition(".")[0] for name, _ in network.named_parameters()} - {
        name.rpartition(".")[0] for name in trained
    }
    assert all(torch.equal(before[key], after[key]) for key in before if key.rpartition(".")[0] in still)


@pytest.mark.parametrize(("classes", "until"), [(1000, ""), (3, ""), (1000, ", until='features'")])
def test_the_script_begins_with_weights_and_a_head_as_a_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, until: str
) -> None:
    """A thousand classes are as many as the weights were trained for, and others."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.manual_seed(7)
    trained = torchvision.models.squeezenet1_1(weights=None).state_dict()
    torch.save(trained, hub / "squeezenet1_1-b8a52dc0.pth")
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (classes, 3, 17, 17), dtype=np.uint8)
    np.savez(tmp_path / "pictures.npz", x=pictures, y=np.arange(classes))
    experiment = with_settings(
        preset("lenet"),
        [
            f"data.source=Tensors('{tmp_path / 'pictures.npz'}')",
            "data.validation=none",
            "seed=3",
            f"network.layers=[Backbone('squeezenet1_1'{until}), Flatten(), Linear(classes)]",
        ],
    )
    report = check(experiment, Place(tmp_path))
    names, _ = run(pytorch_code(report).partition("# Loss, optimizer")[0])
    found = report.propagations["model"]
    ours = initial_networks(
        experiment, report.propagations, torch.device("cpu"), {"model": load_weights(found, Place(tmp_path), None)}
    )["model"].state_dict()
    theirs = names["network"].state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert torch.equal(theirs["0.features.0.weight"], trained["features.0.weight"])
    assert until or not torch.equal(theirs["0.classifier.1.weight"], trained["classifier.1.weight"][:classes])


@pytest.mark.parametrize(
    ("name", "file", "more"),
    [
        ("googlenet", "googlenet-1378be20.pth", ""),
        ("googlenet", "googlenet-1378be20.pth", ", Identity()"),
        pytest.param("inception_v3", "inception_v3_google-0cc3c7bd.pth", "", marks=pytest.mark.soak),
    ],
)
def test_auxiliary_heads_of_the_script_begin_as_those_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, more: str
) -> None:
    """A run reads them from the file, all but their last layers; where something follows, there are none."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.manual_seed(7)
    trained = torchvision.models.get_model(name, weights=None, init_weights=False).state_dict()
    torch.save(trained, hub / file)
    size = 32 if name == "googlenet" else 299
    np.savez(tmp_path / "pictures.npz", x=np.zeros((6, 3, size, size), dtype=np.uint8), y=np.arange(6) % 3)
    settings = [f"data.source=Tensors('{tmp_path / 'pictures.npz'}')", f"network.layers=[Backbone('{name}'){more}]"]
    experiment = with_settings(preset("lenet"), ["data.validation=none", "seed=3", *settings])
    report = check(experiment, Place(tmp_path))
    names, _ = run(pytorch_code(report).partition("# Loss, optimizer")[0])
    weights = {"model": load_weights(report.propagations["model"], Place(tmp_path), None)}
    ours = initial_networks(experiment, report.propagations, torch.device("cpu"), weights)["model"].state_dict()
    theirs = names["network"].state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    auxiliary = [key for key in theirs if key.startswith(("0.aux", "0.AuxLogits")) and ".fc2." not in key]
    assert bool(auxiliary) == (not more)
    for key in auxiliary:
        if not key.startswith("0.AuxLogits.fc."):
            assert torch.equal(theirs[key], trained[key.removeprefix("0.")]), key


def test_an_initialiser_around_trained_weights_is_refused() -> None:
    """A run reads the weights after it, which keeps them; the script has read them by then."""
    layers = "network.layers=[Upsample(32), Conv2d(3, 1), Backbone('squeezenet1_1', weights={})]"
    for weights, refused in (("'DEFAULT'", True), ("None", False)):
        settings = [layers.format(weights), "network.init=kaiming_normal_()"]
        report = check(with_settings(preset("lenet"), settings), Place(NOWHERE, download=True))
        if refused:
            with pytest.raises(RequestError, match="init around a Backbone"):
                pytorch_code(report)
        else:
            assert "kaiming_normal_" in pytorch_code(report)
