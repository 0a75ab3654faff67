"""The augmentations by name, and those of an experiment, checked against its data; see augmentation.py."""

from __future__ import annotations

from collections.abc import Sequence

from engine.calls import Call
from engine.data.augment_colour import ColorJitter, GaussianNoise
from engine.data.augment_erasing import RandomErasing
from engine.data.augment_geometry import (
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
)
from engine.data.augment_mix import CutMix, MixUp
from engine.data.augment_resized_crop import RandomResizedCrop
from engine.data.augment_trivial import TrivialAugment
from engine.data.augmentation import Augmentation, augmented
from engine.data.info import DataInfo
from engine.errors import RequestError

__all__ = [
    "AUGMENTATIONS", "Augmentation", "ColorJitter", "CutMix", "GaussianNoise", "MixUp", "RandomAffine", "RandomCrop",
    "RandomErasing", "RandomHorizontalFlip", "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip",
    "TrivialAugment", "augmented", "build_augmentations",
]  # fmt: skip

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.__name__: kind
    for kind in (
        RandomCrop, RandomResizedCrop, RandomHorizontalFlip, RandomVerticalFlip, RandomRotation, RandomAffine,
        ColorJitter, RandomErasing, TrivialAugment, MixUp, CutMix, GaussianNoise,
    )
}  # fmt: skip


def build_augmentations(calls: Sequence[Call], info: DataInfo) -> tuple[Augmentation, ...]:
    """The augmentations that the calls name, checked against the data. Raises RequestError."""
    # Here, for the catalogue lists what this module holds.
    from engine.catalogue import bind, find

    built: list[Augmentation] = []
    shape = info.input_shape
    for call in calls:
        entry = find("augmentations", call.name)
        augmentation: Augmentation = entry.target(**bind(entry, call))
        if info.input_dtype == "int64":
            raise RequestError(f"{call}: the inputs are whole numbers, which cannot be augmented; leave it out")
        if augmentation.images_only and not info.image:
            raise RequestError(f"{call} is for images, but a sample here has shape {info.input_shape}; leave it out")
        shape = augmentation.output_shape(shape)
        built.append(augmentation)
    if shape != info.input_shape:
        size, own = "x".join(map(str, shape[1:])), "x".join(map(str, info.input_shape[1:]))
        raise RequestError(
            f"augment makes training images {size}, but evaluation has {own}; keep the size, for instance with "
            f"RandomCrop({_text(info.input_shape[1:])}, padding=2)"
        )
    return tuple(built)


def _text(size: tuple[int, ...]) -> str:
    return str(size[0]) if size[0] == size[1] else f"({size[0]}, {size[1]})"
