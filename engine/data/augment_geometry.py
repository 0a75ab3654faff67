"""Augmentations that move pixels: crops, flips, turns and affine maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from engine.data.augmentation import Augmentation, require_probability, require_range, uniform
from engine.data.warping import inverse_affine, warp
from engine.errors import RequestError


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Cut a window from a random place of the image, after black padding on all sides.

    Args:
        size: pixels of the window, or (height, width); the image's own size keeps the network as it is
        padding: pixels on each side
    """

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
            own = shape[1] if shape[1] == shape[2] else (shape[1], shape[2])
            raise RequestError(
                f"RandomCrop: a window of {window[0]}x{window[1]} does not fit into images of "
                f"{shape[1]}x{shape[2]} with padding={self.padding}; a window of their own size, "
                f"RandomCrop({own}, padding={self.padding}), does"
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


class _Flip(Augmentation):
    """Mirror some of the images along one dimension."""

    p: float
    _dimension: int

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """bool (n,): which images are mirrored."""
        return torch.rand(n, generator=generator, device=generator.device) < self.p

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        return torch.where(drawn[:, None, None, None], inputs.flip(self._dimension), inputs)


@dataclass(frozen=True)
class RandomHorizontalFlip(_Flip):
    """Mirror the image, left to right, with probability `p`.

    Args:
        p: the probability
    """

    p: float = 0.5

    _dimension = -1

    def __post_init__(self) -> None:
        require_probability("RandomHorizontalFlip", self.p)


@dataclass(frozen=True)
class RandomVerticalFlip(_Flip):
    """Mirror the image, top to bottom, with probability `p`.

    Args:
        p: the probability
    """

    p: float = 0.5

    _dimension = -2

    def __post_init__(self) -> None:
        require_probability("RandomVerticalFlip", self.p)


@dataclass(frozen=True)
class RandomRotation(Augmentation):
    """Turn the image about its centre by an angle between -degrees and +degrees, or between two angles.

    Corners that come in from outside are black.

    Args:
        degrees: the largest angle, or (lowest, highest), counter-clockwise as torchvision's
        interpolation: 'bilinear' mixes neighbouring pixels, 'nearest' takes one of them
    """

    degrees: float | tuple[float, float]
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        _check_angles("RandomRotation", self.degrees)
        _check_interpolation("RandomRotation", self.interpolation)

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n,): angles in degrees."""
        return uniform(n, *_angles(self.degrees), generator)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        none = drawn.new_zeros(len(drawn), 2)
        return warp(inputs, inverse_affine(-drawn, none, torch.ones_like(drawn), none), self.interpolation)


@dataclass(frozen=True)
class RandomAffine(Augmentation):
    """Shear, turn, scale and move the image at random, about its centre; what comes in from outside is black.

    As torchvision's.

    Args:
        degrees: turned by at most this angle, or (lowest, highest), clockwise
        translate: moved by at most these shares of width and height, in whole pixels, such as (0.1, 0.2)
        scale: the range of sizes, such as (0.8, 1.2)
        shear: the largest angle along x, (lowest, highest), or those of x and y in four numbers
        interpolation: 'bilinear' mixes neighbouring pixels, 'nearest' takes one of them
    """

    degrees: float | tuple[float, float]
    translate: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    shear: float | tuple[float, float] | tuple[float, float, float, float] | None = None
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        _check_angles("RandomAffine", self.degrees)
        _check_interpolation("RandomAffine", self.interpolation)
        if self.translate is not None and not all(0 <= share <= 1 for share in self.translate):
            raise RequestError(
                f"RandomAffine: translate={self.translate}; use the largest shares of width and height, from 0 to 1"
            )
        if self.scale is not None:
            require_range("RandomAffine", "scale", self.scale, 0.0)
            if self.scale[0] == 0:
                raise RequestError(f"RandomAffine: scale={self.scale}; an image of size 0 shows nothing: use above 0")
        for low, high in self._shears():
            if not (-90 < low <= high < 90):
                raise RequestError(
                    f"RandomAffine: shear={self.shear}; use one angle, (lowest, highest) or four numbers, "
                    "within -90 and 90 degrees"
                )

    def _shears(self) -> tuple[tuple[float, float], tuple[float, float]]:
        given = self.shear
        if given is None:
            return (0.0, 0.0), (0.0, 0.0)
        if not isinstance(given, tuple):
            return (-given, given), (0.0, 0.0)
        return (given[0], given[1]), (0.0, 0.0) if len(given) == 2 else (given[2], given[3])

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 6): angle, move along x and y in whole pixels, scale, shear along x and y."""
        most = [share * size for share, size in zip(self.translate or (0.0, 0.0), (shape[2], shape[1]), strict=True)]
        columns = [uniform(n, *_angles(self.degrees), generator)]
        columns += [uniform(n, -pixels, pixels, generator).round() for pixels in most]
        columns.append(uniform(n, *(self.scale or (1.0, 1.0)), generator))
        columns += [uniform(n, *bounds, generator) for bounds in self._shears()]
        return torch.stack(columns, dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        return warp(inputs, inverse_affine(drawn[:, 0], drawn[:, 1:3], drawn[:, 3], drawn[:, 4:6]), self.interpolation)


def _angles(degrees: float | tuple[float, float]) -> tuple[float, float]:
    return degrees if isinstance(degrees, tuple) else (-degrees, degrees)


def _check_angles(name: str, degrees: float | tuple[float, float]) -> None:
    low, high = _angles(degrees)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise RequestError(f"{name}({degrees}): use one angle of 0 or more, or (lowest, highest)")


def _check_interpolation(name: str, interpolation: str) -> None:
    if interpolation not in ("bilinear", "nearest"):
        raise RequestError(f"{name}: interpolation={interpolation!r}; use 'bilinear' or 'nearest'")
