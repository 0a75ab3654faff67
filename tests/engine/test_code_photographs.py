"""Photographs and their augmentation as a script: it runs as it stands, on the very pictures that a run has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from engine.check import check
from engine.code import pytorch_code
from engine.code_data import normalise_code
from engine.data.augment import AUGMENTATIONS
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.presets import preset
from engine.spec import Experiment, with_settings
from tests.engine.test_code import run

LAYERS = "network.layers=[Flatten(), Linear(classes)]"


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path, quality=90)


def flat(folder: Path, count: int = 12) -> Path:
    for number in range(count):
        picture(folder / f"{'cat' if number % 2 else 'dog'}.{number}.jpg", number, (40, 30) if number % 3 else (20, 50))
    return folder


def experiment(source: str, *settings: str) -> Experiment:
    usual = [f"data.source={source}", LAYERS, "epochs=1", "data.batch_size=4", "data.validation=holdout(0.25)"]
    return with_settings(preset("mlp"), [*usual, *settings])


def same_samples(asked: Experiment, place: Place) -> None:
    """The script holds what a run holds: each part to the byte of every pixel, in the same order."""
    names, printed = run(pytorch_code(check(asked, place), place.folder))
    prepared = prepare(asked.data, seed=asked.seed, device="cpu", place=place)
    for part, inputs, targets in ((prepared.val, "x_val", "y_val"), (prepared.test, "test_inputs", "test_targets")):
        if part is not None:
            batch = next(iter(part.ordered(1000)))
            torch.testing.assert_close(names[inputs], batch.inputs, rtol=1e-4, atol=1e-4)
            assert torch.equal(names[targets], batch.targets)
    assert "best: val/accuracy" in printed


@pytest.mark.parametrize(
    "options", ["", ", resize='squash'", ", resize='pad', colour=False", ", resize_size=20", ", on_error='skip'"]
)
def test_a_flat_folder_is_read_as_a_run_reads_it(tmp_path: Path, options: str) -> None:
    flat(tmp_path / "pets")
    if "skip" in options:
        (tmp_path / "pets" / "cat.99.jpg").write_bytes(b"none")
    same_samples(experiment(f"LabelledFiles('pets', size=16{options})", "data.normalize=auto"), Place(tmp_path))


def test_folders_of_parts_are_read_as_a_run_reads_them(tmp_path: Path) -> None:
    for part, count in (("Train", 3), ("valid", 2), ("test", 2)):
        for label in ("cat", "dog"):
            for number in range(count):
                picture(tmp_path / "pets" / part / label / f"{number}.png", number + count)
    same_samples(experiment("ImageFolder('pets', size=16)"), Place(tmp_path))
    for validation in ("test", "none"):
        asked = experiment("ImageFolder('pets', size=16)", f"data.validation={validation}")
        names, _ = run(pytorch_code(check(asked, Place(tmp_path)), tmp_path))
        assert len(names["x_train"]) == 6


def test_a_folder_a_class_is_read_as_a_run_reads_it(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / "pets" / ("cat", "dog")[number % 2] / ("a", ".")[number % 3 == 0] / f"{number}.JPG", number)
    same_samples(experiment("ImageFolder('pets', size=16)", "data.normalize=none"), Place(tmp_path))


ARGUMENTS = {
    "RandomCrop": "16, padding=2",
    "RandomRotation": "20",
    "RandomAffine": "10, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=5",
    "ColorJitter": "0.2, 0.2, 0.2, 0.05",
    "GaussianNoise": "0.1",
    "MixUp": "0.2",
    "CutMix": "1.0, p=0.5",
    "RandomErasing": "value='random'",
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_is_written_out(tmp_path: Path, name: str) -> None:
    flat(tmp_path / "pets")
    call = f"{name}({ARGUMENTS.get(name, '')})"
    asked = experiment("LabelledFiles('pets', size=16)", f"data.augment=[{call}]", "data.normalize=auto")
    names, _ = run(pytorch_code(check(asked, Place(tmp_path)), tmp_path))
    inputs, targets = next(iter(names["train_loader"]))
    assert inputs.shape == (4, 3, 16, 16)
    assert all(math.isfinite(value) for value in names["metrics"].values())
    if AUGMENTATIONS[name].mixes_targets:
        assert targets.shape == (4, 2)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
    else:
        assert targets.dtype == torch.int64


@pytest.mark.parametrize(
    "settings",
    [
        ["data.augment=[RandomHorizontalFlip(), MixUp(), RandomErasing(), CutMix(p=0.5), RandomCrop(16, padding=1)]"],
        ["data.augment=[MixUp()]", "loss=BCEWithLogitsLoss()"],
        ["data.augment=[MixUp()]", "loss=BCEWithLogitsLoss()", "network.layers=[Flatten(), Linear(1)]"],
        ["data.augment=[MixUp()]", "loss=MSELoss()", "accumulate=2"],
        ["data.augment=[CutMix()]", "loss=CrossEntropyLoss(weight=(1, 2), label_smoothing=0.1)"],
    ],
)
def test_mixed_targets_reach_every_loss_that_takes_them(tmp_path: Path, settings: list[str]) -> None:
    flat(tmp_path / "pets")
    asked = experiment("LabelledFiles('pets', size=16)", *settings)
    names, printed = run(pytorch_code(check(asked, Place(tmp_path)), tmp_path))
    assert all(math.isfinite(value) for value in names["metrics"].values())
    assert "best: " in printed


@pytest.mark.parametrize(
    "settings",
    [["data.augment=[GaussianNoise(0.1), MixUp(), GaussianNoise(0.2)]"], ["data.augment=[MixUp(0.4, p=0.5)]"]],
)
@pytest.mark.parametrize("source", ["Moons(n=60)", "Diabetes()"])
def test_rows_of_a_table_are_mixed_too(source: str, settings: list[str]) -> None:
    name = "regression" if source == "Diabetes()" else "mlp"
    asked = with_settings(preset(name), [f"data.source={source}", "network.layers=[Linear(1)]", "epochs=1", *settings])
    if name == "mlp":
        asked = with_settings(asked, ["network.layers=[Linear(classes)]", "data.normalize=auto"])
    names, _ = run(pytorch_code(check(asked, Place(Path("nowhere"))), Path("nowhere")))
    assert all(math.isfinite(value) for value in names["metrics"].values())


def test_the_mixture_of_the_script_is_that_of_the_augmentation(tmp_path: Path) -> None:
    """Means and spread of what stays of each sample, over many batches."""
    flat(tmp_path / "pets")
    asked = experiment("LabelledFiles('pets', size=16)", "data.augment=[CutMix(0.5, p=0.5)]", "data.normalize=none")
    names, _ = run(pytorch_code(check(asked, Place(tmp_path)), tmp_path).partition("# Network")[0])
    samples = [(torch.full((3, 16, 16), float(i % 2)), torch.tensor(i % 2)) for i in range(400)]
    inputs, targets = names["mixed"](samples)
    # A picture is 0 or 1 everywhere: its mean is the share of the area, which is the share of the target.
    torch.testing.assert_close(inputs.mean((1, 2, 3)), targets[:, 1], rtol=1e-4, atol=1e-4)
    ours = AUGMENTATIONS["CutMix"](alpha=0.5, p=0.5)  # type: ignore[call-arg]
    drawn = ours.draw(4000, (3, 16, 16), torch.Generator().manual_seed(0))[:, 4]
    mine = torch.where(torch.arange(400) % 2 == 0, targets[:, 0], targets[:, 1])
    assert abs(float(mine.mean()) - float(drawn.mean())) < 0.06
    assert abs(float(mine.std()) - float(drawn.std())) < 0.06


def test_what_the_weights_were_trained_with_is_what_inputs_are_normalised_by(tmp_path: Path) -> None:
    flat(tmp_path / "pets")
    asked = experiment("LabelledFiles('pets', size=16)", "data.normalize=auto")
    info = check(asked, Place(tmp_path)).info
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = torch.rand(5, 3, 16, 16)
    names: dict[str, Any] = {"torch": torch, "x_train": x, "x_val": x}
    exec(normalise_code(asked, info, ["x_train", "x_val"], (mean, std)), names)
    wanted = v2.functional.normalize(x, list(mean), list(std))
    torch.testing.assert_close(names["x_train"], wanted)
    torch.testing.assert_close(names["x_val"], wanted)
