"""Augmentations of colour, and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from engine.data import colours
from engine.data.augmentation import Augmentation, by_group, require_colours, require_range, uniform
from engine.errors import RequestError


@dataclass(frozen=True)
class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue at random, in an order that is drawn for each image.

    Saturation and hue leave grey images as they are. As torchvision's.

    Args:
        brightness: b for factors from max(0, 1 - b) to 1 + b, or (lowest, highest)
        contrast: the same, of the distance from the image's mean grey
        saturation: the same, of the distance from grey
        hue: h for turns from -h to h of the colour circle, at most 0.5, or (lowest, highest)
    """

    brightness: float | tuple[float, float] = 0
    contrast: float | tuple[float, float] = 0
    saturation: float | tuple[float, float] = 0
    hue: float | tuple[float, float] = 0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue"):
            given = getattr(self, name)
            if not isinstance(given, tuple) and not (math.isfinite(given) and given >= 0):
                raise RequestError(f"ColorJitter: {name}={given}; use a number of 0 or more, or (lowest, highest)")
        for name, bounds in zip(("brightness", "contrast", "saturation"), self._ranges()[:3], strict=True):
            require_range("ColorJitter", name, bounds, 0.0)
        require_range("ColorJitter", "hue", self._ranges()[3], -0.5, 0.5)

    def _ranges(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest factor of the four operations."""
        factors = [
            given if isinstance(given, tuple) else (max(0.0, 1.0 - given), 1.0 + given)
            for given in (self.brightness, self.contrast, self.saturation)
        ]
        return (*factors, self.hue if isinstance(self.hue, tuple) else (-self.hue, self.hue))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As it is. Raises RequestError unless there are 1 or 3 channels."""
        require_colours("ColorJitter", shape)
        return shape

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 8): the factors of brightness, contrast, saturation and hue, and these four (0 to 3) in the order
        in which they are applied."""
        factors = [uniform(n, low, high, generator) for low, high in self._ranges()]
        order = torch.rand(n, 4, generator=generator, device=generator.device).argsort(1)
        return torch.cat([torch.stack(factors, dim=1), order.to(torch.float32)], dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        grey = inputs.shape[1] == 1
        operations = (
            lambda images, factors: colours.brightness(images, factors[:, 0]),
            lambda images, factors: colours.contrast(images, factors[:, 1]),
            None if grey else lambda images, factors: colours.saturation(images, factors[:, 2]),
            None if grey else lambda images, factors: colours.hue(images, factors[:, 3]),
        )
        neutral = ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.0, 0.0))
        used = [
            operation if bounds != nothing else None
            for operation, bounds, nothing in zip(operations, self._ranges(), neutral, strict=True)
        ]
        if all(operation is None for operation in used):
            return inputs.clone()
        for place in range(4, 8):
            inputs = by_group(inputs, drawn[:, place], drawn[:, :4], used)
        return inputs


@dataclass(frozen=True)
class GaussianNoise(Augmentation):
    """Add normal noise to every value, with standard deviation `std`.

    On images it is added before normalisation and not clipped, on tables after it.

    Args:
        std: for images a share of the brightest value (pixels are in [0, 1]), for tables in standard deviations of the
            column
    """

    std: float
    images_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.std) and self.std >= 0):
            raise RequestError(f"GaussianNoise(std={self.std}): a standard deviation is 0 or more")

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, *shape): standard normal."""
        return torch.randn((n, *shape), generator=generator, device=generator.device)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, ...)."""
        return inputs + self.std * drawn
