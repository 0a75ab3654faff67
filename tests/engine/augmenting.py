"""What tests of augmentations share."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from engine.rng import generator


def pictures(n: int = 24, channels: int = 3, height: int = 18, width: int = 15, seed: int = 0) -> Tensor:
    """float32 (n, channels, height, width) of 256 levels, as decoded photographs are."""
    levels = torch.randint(256, (n, channels, height, width), generator=torch.Generator().manual_seed(seed))
    return levels.to(torch.float32) / 255


def random(number: int = 1) -> Generator:
    return generator("cpu", 3, number)


def independent(values: Tensor, n: int) -> bool:
    """Whether neighbours in a batch have nothing to do with one another: |correlation| below 5 / sqrt(n)."""
    pairs = torch.stack([values[:-1].double(), values[1:].double()])
    return abs(float(torch.corrcoef(pairs)[0, 1])) < 5 / n**0.5
