"""Changes of colour of whole batches, another factor for each image.

Images are (N, C, H, W) float32 in [0, 1] with 1 or 3 channels, factors (N,). With the same factors the results are
those of torchvision's functional transforms on float images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W): the luma of ITU-R 601-2, in the rounding that PIL and torchvision use."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def _blend(images: Tensor, others: Tensor | float, factor: Tensor) -> Tensor:
    """factor x image + (1 - factor) x other, within [0, 1]."""
    factor = factor.view(-1, 1, 1, 1)
    return (factor * images + (1 - factor) * others).clamp(0, 1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Between black (0), the image (1) and beyond."""
    return _blend(images, 0.0, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Between the mean grey of the image (0), the image (1) and beyond."""
    return _blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Between the image without colours (0), the image (1) and beyond; a grey image stays as it is."""
    return images if images.shape[1] == 1 else _blend(images, grey(images), factor)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """The hue turned by `shift` (N,) of the colour circle, -0.5 to 0.5; a grey image stays as it is.

    Through HSV (Smith, "Color gamut transform pairs", SIGGRAPH 1978): a channel is v - v s clamp(min(k, 4 - k), 0, 1)
    with k = (n + 6 h) mod 6 and n = 5, 3, 1 for red, green, blue.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    spread = value - least
    apart = torch.where(spread == 0, 1.0, spread)
    angle = torch.where(
        value == red,
        (green - blue) / apart,
        torch.where(value == green, 2 + (blue - red) / apart, 4 + (red - green) / apart),
    )
    angle = torch.remainder(angle / 6 + shift.view(-1, 1, 1), 1.0) * 6
    channels = []
    for n in (5, 3, 1):
        k = torch.remainder(n + angle, 6.0)
        channels.append(value - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1).clamp(0, 1)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Between a blurred image (0), the image (1) and beyond; the outermost pixels stay as they are."""
    channels, height, width = images.shape[1:]
    if height <= 2 or width <= 2:
        return images
    kernel = torch.full((3, 3), 1 / 13, dtype=images.dtype, device=images.device)
    kernel[1, 1] = 5 / 13
    blurred = F.conv2d(images, kernel.expand(channels, 1, 3, 3), groups=channels)
    inner = _blend(images[..., 1:-1, 1:-1], blurred, factor)
    out = images.clamp(0, 1)
    out[..., 1:-1, 1:-1] = inner
    return out


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Each channel rounded down to a multiple of 2⁻ᵇⁱᵗˢ, below 1."""
    levels = torch.exp2(bits).view(-1, 1, 1, 1)
    return torch.minimum((images * levels).floor().clamp(min=0), levels - 1) / levels


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverted where it is as bright as the threshold or brighter."""
    return torch.where(images >= threshold.view(-1, 1, 1, 1), 1 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel of each image stretched so that it fills [0, 1]; a channel of one value stays as it is."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = least == most
    least = torch.where(flat, 0.0, least)
    return ((images - least) / torch.where(flat, 1.0, most - least)).clamp(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Each channel of each image with its brightnesses spread evenly, over 256 levels, as PIL's ImageOps does it.

    PIL's step is (pixels below the brightest level) div 255, and a level becomes (pixels darker than it + step div 2)
    div step; where the step is 0 the channel stays as it is, but for its 256 levels.
    """
    # As torchvision makes bytes of floats: evenly, so that 1.0 is the last level.
    level = (images * (256 - 1e-3)).to(torch.int64).clamp(0, 255).flatten(2)
    counts = torch.zeros(*level.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, level, torch.ones_like(level))
    reached = counts.cumsum(2)
    brightest = counts.gather(2, level.amax(2, keepdim=True))
    step = (level.shape[2] - brightest) // 255
    # Pixels darker than a level are those that reached the level below it.
    table = ((reached - counts + step // 2) // step.clamp(min=1)).clamp(0, 255)
    spread = torch.where(step > 0, table.gather(2, level), level)
    return (spread.to(images.dtype) / 255).view(images.shape)
