"""Augmentation of whole batches: every sample draws its own parameters.

Drawing and applying are apart: `draw` takes the randomness from a generator, `apply` is a function of the batch and
what was drawn. Images are (N, C, H, W) float32 in [0, 1], before normalisation, as where torchvision's transforms stand
in front of Normalize; so what comes in from beyond the edge is black.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from engine.calls import Call
from engine.data.info import DataInfo
from engine.errors import RequestError


class Augmentation(ABC):
    """A random change of inputs; frozen dataclasses whose fields are the arguments of the call."""

    images_only: ClassVar[bool] = True

    def __call__(self, inputs: Tensor, generator: Generator) -> Tensor:
        """A changed copy of a batch (N, ...), on the device of batch and generator."""
        return self.apply(inputs, self.draw(len(inputs), tuple(inputs.shape[1:]), generator))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a sample afterwards. Raises RequestError where the shape cannot be augmented so."""
        return shape

    @abstractmethod
    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Random parameters of n samples of this shape, first dimension n, on the generator's device."""

    @abstractmethod
    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """The batch changed by what was drawn; the batch itself stays as it is."""


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Cut a window of `size` pixels from a random place of the image, after black padding on all sides."""

    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        height, width = self._window()
        if height < 1 or width < 1 or self.padding < 0:
            raise RequestError(
                f"RandomCrop({self.size}, padding={self.padding}): sizes are 1 or more, padding 0 or more"
            )

    def _window(self) -> tuple[int, int]:
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, size, size). Raises RequestError where the window is larger than the padded image."""
        window, padded = self._window(), (shape[1] + 2 * self.padding, shape[2] + 2 * self.padding)
        if window[0] > padded[0] or window[1] > padded[1]:
            raise RequestError(
                f"RandomCrop: a window of {window[0]}x{window[1]} does not fit into images of "
                f"{shape[1]}x{shape[2]} with padding={self.padding}"
            )
        return (shape[0], *window)

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """int64 (n, 2): top and left edge of the window in the padded image, in pixels."""
        _, height, width = self.output_shape(shape)
        places = (shape[1] + 2 * self.padding - height + 1, shape[2] + 2 * self.padding - width + 1)
        edges = [torch.randint(count, (n,), generator=generator, device=generator.device) for count in places]
        return torch.stack(edges, dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, size, size)."""
        height, width = self._window()
        padded = F.pad(inputs, (self.padding,) * 4)
        # A view of every window there is; indexing copies one a sample.
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        samples = torch.arange(len(inputs), device=inputs.device)
        return windows[samples, :, drawn[:, 0], drawn[:, 1]]


@dataclass(frozen=True)
class RandomHorizontalFlip(Augmentation):
    """Mirror the image, left to right, with probability `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise RequestError(f"RandomHorizontalFlip(p={self.p}): a probability is between 0 and 1")

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """bool (n,): which images are mirrored."""
        return torch.rand(n, generator=generator, device=generator.device) < self.p

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        return torch.where(drawn[:, None, None, None], inputs.flip(-1), inputs)


@dataclass(frozen=True)
class RandomRotation(Augmentation):
    """Turn the image about its centre by an angle between -degrees and +degrees, or between two angles.

    Angles count counter-clockwise, as torchvision's do; corners that come in from outside are black.
    """

    degrees: float | tuple[float, float]
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        low, high = self._range()
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise RequestError(f"RandomRotation({self.degrees}): use one angle of 0 or more, or (lowest, highest)")
        if self.interpolation not in ("bilinear", "nearest"):
            raise RequestError(f"RandomRotation: interpolation={self.interpolation!r}; use 'bilinear' or 'nearest'")

    def _range(self) -> tuple[float, float]:
        return self.degrees if isinstance(self.degrees, tuple) else (-self.degrees, self.degrees)

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n,): angles in degrees."""
        low, high = self._range()
        return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        height, width = inputs.shape[2:]
        angle = torch.deg2rad(drawn)
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        # Where each output pixel comes from, in coordinates from -1 to 1: the ratio keeps oblong images unsheared.
        rows = [cos, -sin * (height / width), zero, sin * (width / height), cos, zero]
        theta = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(inputs.shape), align_corners=False)
        return F.grid_sample(inputs, grid, mode=self.interpolation, padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class GaussianNoise(Augmentation):
    """Add normal noise to every value, with standard deviation `std`.

    For images `std` is a share of the brightest value (pixels are in [0, 1]), added before normalisation and not
    clipped; for tables it is in standard deviations of the column, added after it.
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


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.__name__: kind for kind in (RandomCrop, RandomHorizontalFlip, RandomRotation, GaussianNoise)
}


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
