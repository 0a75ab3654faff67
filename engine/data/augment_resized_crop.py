"""RandomResizedCrop: another window of each image, brought to one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from engine.data.augmentation import Augmentation, require_range, uniform, whole_below
from engine.errors import RequestError

TRIES = 10  # windows that are drawn before the one in the centre is taken, as torchvision has it


@dataclass(frozen=True)
class RandomResizedCrop(Augmentation):
    """Cut a window of random size and shape from the image and bring it to `size`, the image's own unless given.

    Scaling is antialiased where it makes smaller, as torchvision's `resized_crop(antialias=True)`.

    Args:
        size: pixels that come out, or (height, width); the image's own unless given
        scale: the range of its share of the area
        ratio: the range of its width by its height, drawn evenly in its logarithm
        interpolation: 'bilinear' mixes neighbouring pixels, 'nearest' takes one of them
    """

    size: int | tuple[int, int] | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self) -> None:
        given = self.size if isinstance(self.size, tuple) else (self.size,)
        if any(side is not None and side < 1 for side in given):
            raise RequestError(f"RandomResizedCrop({self.size}): sizes are 1 or more")
        require_window("RandomResizedCrop", self.scale, self.ratio)
        if self.interpolation not in ("bilinear", "nearest"):
            raise RequestError(f"RandomResizedCrop: interpolation={self.interpolation!r}; use 'bilinear' or 'nearest'")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, size, size)."""
        if self.size is None:
            return shape
        return (shape[0], *(self.size if isinstance(self.size, tuple) else (self.size, self.size)))

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 4): top, left, height and width of the window, in whole pixels."""
        height, width = shape[1:]
        heights, widths = draw_windows(n, height * width, self.scale, self.ratio, generator)
        fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
        h, w, found = first_that_fits(heights, widths, fits)
        # Where none of the tries fits: the largest window of an allowed shape, in the centre.
        least, most = self.ratio
        whole_h, whole_w = height, width
        if width / height < least:
            whole_h = max(1, round(width / least))
        elif width / height > most:
            whole_w = max(1, round(height * most))
        h, w = torch.where(found, h, float(whole_h)), torch.where(found, w, float(whole_w))
        top, left = whole_below(height - h + 1, generator), whole_below(width - w + 1, generator)
        top = torch.where(found, top, float((height - whole_h) // 2))
        left = torch.where(found, left, float((width - whole_w) // 2))
        return torch.stack([top, left, h, w], dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, size, size)."""
        _, out_height, out_width = self.output_shape(tuple(inputs.shape[1:]))
        top, left, height, width = drawn.unbind(1)
        if self.interpolation == "nearest":
            rows = _nearest(top, height, out_height)
            columns = _nearest(left, width, out_width)
            samples = torch.arange(len(inputs), device=inputs.device)[:, None, None]
            return inputs[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
        if out_height >= inputs.shape[2] and out_width >= inputs.shape[3]:
            # No window is larger than the result, so nothing is made smaller: two neighbours are enough.
            ys = (2 * _centres(top, height, out_height) + 1) / inputs.shape[2] - 1
            xs = (2 * _centres(left, width, out_width) + 1) / inputs.shape[3] - 1
            across = xs[:, None, :].expand(-1, out_height, -1)
            down = ys[:, :, None].expand(-1, -1, out_width)
            grid = torch.stack([across, down], dim=-1)
            return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="border", align_corners=False)
        rows = _weights(top, height, out_height, inputs.shape[2])
        columns = _weights(left, width, out_width, inputs.shape[3])
        return rows.unsqueeze(1) @ inputs @ columns.unsqueeze(1).transpose(2, 3)


def draw_windows(
    n: int, area: int, scale: tuple[float, float], ratio: tuple[float, float], generator: Generator
) -> tuple[Tensor, Tensor]:
    """float32 (n, TRIES) twice: shorter by taller sides of windows, rounded to whole pixels.

    The first has area x scale / ratio, the second area x scale x ratio below the root.
    """
    areas = area * uniform(n * TRIES, *scale, generator)
    ratios = torch.exp(uniform(n * TRIES, math.log(ratio[0]), math.log(ratio[1]), generator))
    first, second = torch.sqrt(areas / ratios).round(), torch.sqrt(areas * ratios).round()
    return first.view(n, TRIES), second.view(n, TRIES)


def first_that_fits(first: Tensor, second: Tensor, fits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n,) three times: the sides of the first try that fits, and whether there is one."""
    at = fits.to(torch.int32).argmax(1, keepdim=True)  # the first of equals
    return first.gather(1, at).squeeze(1), second.gather(1, at).squeeze(1), fits.any(1)


def require_window(name: str, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    """Raise RequestError unless `scale` are shares of an area and `ratio` is above 0."""
    require_range(name, "scale", scale, 0.0, 1.0)
    require_range(name, "ratio", ratio, 0.0)
    if ratio[0] == 0:
        raise RequestError(f"{name}: ratio={ratio}; width by height is above 0")


def _centres(begin: Tensor, length: Tensor, out: int) -> Tensor:
    """float32 (N, out): where in the image each pixel of the result lies, never beyond the window's outermost ones."""
    steps = torch.arange(out, device=begin.device, dtype=torch.float32) + 0.5
    inside = (steps * (length / out).unsqueeze(1) - 0.5).clamp(min=0)
    return begin.unsqueeze(1) + torch.minimum(inside, (length - 1).unsqueeze(1))


def _nearest(begin: Tensor, length: Tensor, out: int) -> Tensor:
    """int64 (N, out): the pixel that each of the result's is."""
    steps = torch.arange(out, device=begin.device, dtype=torch.float32)
    inside = torch.minimum((steps * (length / out).unsqueeze(1)).floor(), (length - 1).unsqueeze(1))
    return (begin.unsqueeze(1) + inside).to(torch.int64)


def _weights(begin: Tensor, length: Tensor, out: int, size: int) -> Tensor:
    """float32 (N, out, size): how much each pixel of the image has in each of the result's; rows add up to 1.

    A triangle about the centre of the result's pixel, as wide as two of its pixels in the image, at least two of the
    image's, cut off at the edges of the window: the antialiased bilinear filter of PIL and torch.
    """
    scale = (length / out).view(-1, 1, 1)
    reach = scale.clamp(min=1)
    steps = torch.arange(out, device=begin.device, dtype=torch.float32).view(1, -1, 1) + 0.5
    pixels = torch.arange(size, device=begin.device, dtype=torch.float32).view(1, 1, -1) - begin.view(-1, 1, 1)
    weights = (1 - (pixels + 0.5 - steps * scale).abs() / reach).clamp(min=0)
    weights = weights * ((pixels >= 0) & (pixels < length.view(-1, 1, 1)))
    return weights / weights.sum(2, keepdim=True)
