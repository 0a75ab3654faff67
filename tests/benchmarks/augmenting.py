"""Augmenting a batch at once against torchvision's transform called image by image, as in a data set."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from engine.data.augment import (
    Augmentation,
    ColorJitter,
    CutMix,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    TrivialAugment,
)
from engine.rng import generator
from tests.benchmarks.bars import Bar

ROUNDS = 7
BATCH, SIZE = 32, 96


def measure() -> list[Bar]:
    """Ratios of medians, interleaved: 32 coloured images of 96 pixels, MixUp and CutMix a batch to a batch."""
    images = torch.rand(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(BATCH) % 10
    pairs: dict[str, tuple[Augmentation, Callable[[Tensor], Tensor], float]] = {
        "RandomCrop": (RandomCrop(SIZE, 4), v2.RandomCrop(SIZE, 4), 1.5),
        "RandomHorizontalFlip": (RandomHorizontalFlip(), v2.RandomHorizontalFlip(), 2.0),
        "RandomVerticalFlip": (RandomVerticalFlip(), v2.RandomVerticalFlip(), 2.0),
        "RandomResizedCrop": (RandomResizedCrop(), v2.RandomResizedCrop(SIZE), 1.5),
        "RandomRotation": (RandomRotation(15), v2.RandomRotation(15, InterpolationMode.BILINEAR), 1.5),
        "RandomAffine": (
            RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 5.0, "bilinear"),
            v2.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 5.0, InterpolationMode.BILINEAR),
            1.5,
        ),
        "ColorJitter": (ColorJitter(0.4, 0.4, 0.4, 0.1), v2.ColorJitter(0.4, 0.4, 0.4, 0.1), 1.5),
        "RandomErasing": (RandomErasing(), v2.RandomErasing(), 1.5),
        "TrivialAugment": (TrivialAugment(), v2.TrivialAugmentWide(), 1.5),
        "MixUp": (MixUp(), lambda batch: v2.MixUp(num_classes=10)(batch, labels)[0], 1.5),
        # torchvision copies one rectangle for the whole batch; here each image has its own.
        "CutMix": (CutMix(), lambda batch: v2.CutMix(num_classes=10)(batch, labels)[0], 4.0),
    }
    bars = []
    for name, (ours, theirs, most) in pairs.items():
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(ROUNDS):
            random = generator("cpu", 0, number)
            began = time.perf_counter()
            ours(images, random)
            seconds["ours"].append(time.perf_counter() - began)
            began = time.perf_counter()
            theirs(images) if ours.mixes_targets else torch.stack([theirs(image) for image in images])
            seconds["theirs"].append(time.perf_counter() - began)
        ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["theirs"])
        bars.append(
            Bar(
                f"{name} of a batch : torchvision ({statistics.median(seconds['theirs']) * 1e3:.1f} ms)",
                ratio,
                at_most=most,
            )
        )
    return bars
