"""Affine maps of whole batches of images, another one for each image.

Pixels are counted from the centre of the image, x to the right and y downwards; a map says where each pixel of the
result comes from. With the same numbers the result is that of torchvision's functional `affine` and `rotate`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def inverse_affine(
    angle: Tensor, translate: Tensor, scale: Tensor, shear: Tensor, centre: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """float32 (N, 2, 3): where each pixel comes from when images are sheared, turned, scaled and moved, in this order.

    `angle` (N,) and `shear` (N, 2: along x, along y) in degrees, clockwise; `translate` (N, 2) in pixels; `scale` (N,);
    turned about `centre`, in pixels from the centre of the image. The forward map is T C R S Shy Shx C⁻¹ with
    Shx = [[1, -tan sx], [0, 1]] and Shy = [[1, 0], [-tan sy, 1]]; this is its inverse.
    """
    # Sums of products of sines and cosines: in float32 a pixel on the border between two would fall to either side.
    exact = torch.float32 if angle.device.type == "mps" else torch.float64
    turn = torch.deg2rad(angle.to(exact))
    lean = torch.tan(torch.deg2rad(shear.to(exact)))
    cos, sin = torch.cos(turn), torch.sin(turn)
    x, y, size = lean[:, 0], lean[:, 1], scale.to(exact)
    both = 1 + x * y
    a, b = (both * cos - x * sin) / size, (both * sin + x * cos) / size
    c, d = (y * cos - sin) / size, (y * sin + cos) / size
    dx, dy = translate[:, 0].to(exact) + centre[0], translate[:, 1].to(exact) + centre[1]
    rows = [a, b, centre[0] - a * dx - b * dy, c, d, centre[1] - c * dx - d * dy]
    return torch.stack(rows, dim=1).view(-1, 2, 3).to(torch.float32)


def warp(images: Tensor, inverse: Tensor, interpolation: str) -> Tensor:
    """Images (N, C, H, W) by the maps (N, 2, 3) of `inverse_affine`; what comes from outside is black (0)."""
    height, width = images.shape[2:]
    xs = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    ys = torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    pixels = torch.stack([grid_x, grid_y, torch.ones_like(grid_x)], dim=-1).view(1, -1, 3)
    scaled = torch.stack([inverse[:, 0] / (width / 2), inverse[:, 1] / (height / 2)], dim=2)
    grid = pixels.expand(len(images), -1, -1).bmm(scaled)
    grid = grid.view(-1, height, width, 2)
    return F.grid_sample(images, grid, mode=interpolation, padding_mode="zeros", align_corners=False)
