"""RandomErasing: a rectangle of some images is painted over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from engine.data.augment_resized_crop import draw_windows, first_that_fits, require_window
from engine.data.augmentation import Augmentation, require_probability, whole_below
from engine.errors import RequestError


@dataclass(frozen=True)
class RandomErasing(Augmentation):
    """Paint a random rectangle of the image over, with probability `p`.

    Zhong et al., "Random Erasing Data Augmentation", https://arxiv.org/abs/1708.04896

    Args:
        p: the probability
        scale: the range of its share of the area
        ratio: the range of its height by its width
        value: a number, one for each channel, or 'random' for normal noise: pixels in [0, 1], before normalisation
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float | tuple[float, ...] | Literal["random"] = 0

    def __post_init__(self) -> None:
        require_probability("RandomErasing", self.p)
        require_window("RandomErasing", self.scale, self.ratio)
        if isinstance(self.value, str):
            if self.value != "random":
                raise RequestError(f"RandomErasing: value={self.value!r}; use a number, one a channel, or 'random'")
        elif not all(math.isfinite(number) for number in self._values()):
            raise RequestError(f"RandomErasing: value={self.value}; use finite numbers")

    def _values(self) -> tuple[float, ...]:
        if isinstance(self.value, str):
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As it is. Raises RequestError where `value` has not one number for each channel."""
        if isinstance(self.value, tuple) and len(self.value) not in (1, shape[0]):
            raise RequestError(
                f"RandomErasing: value={self.value} has {len(self.value)} numbers, but images have {shape[0]} channels"
            )
        return shape

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 4): top, left, height and width of the rectangle in whole pixels, all 0 where nothing is erased;
        with value='random' followed by the noise (n, 4 + C*H*W)."""
        height, width = shape[1:]
        erased = torch.rand(n, generator=generator, device=generator.device) < self.p
        # `ratio` is height by width here: the sides change places.
        widths, heights = draw_windows(n, height * width, self.scale, self.ratio, generator)
        w, h, found = first_that_fits(widths, heights, (heights < height) & (widths < width))
        top, left = whole_below(height - h + 1, generator), whole_below(width - w + 1, generator)
        box = torch.stack([top, left, h, w], dim=1) * (erased & found).unsqueeze(1)
        if self.value != "random":
            return box
        noise = torch.randn(n, math.prod(shape), generator=generator, device=generator.device)
        return torch.cat([box, noise], dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        inside = rectangle(drawn[:, :4], inputs.shape[2], inputs.shape[3])
        if self.value == "random":
            return torch.where(inside, drawn[:, 4:].view(inputs.shape), inputs)
        # Filled on the device: a copy from here would wait for it.
        values = [inputs.new_full((1, 1, 1, 1), number) for number in self._values()]
        return torch.where(inside, torch.cat(values, dim=1), inputs)


def rectangle(box: Tensor, height: int, width: int) -> Tensor:
    """bool (N, 1, H, W): what lies in the rectangles (N, 4) of top, left, height and width."""
    top, left, h, w = (column.view(-1, 1, 1, 1) for column in box.unbind(1))
    ys = torch.arange(height, device=box.device).view(1, 1, -1, 1)
    xs = torch.arange(width, device=box.device).view(1, 1, 1, -1)
    return (ys >= top) & (ys < top + h) & (xs >= left) & (xs < left + w)
