"""MixUp and CutMix: samples are mixed with one another, and their targets with them.

Each sample is mixed with the one before it in the batch (the first with the last), as torchvision does it: batches are
shuffled, so that is a partner drawn at random. How much is drawn for each sample by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from engine.data.augment_erasing import rectangle
from engine.data.augmentation import Augmentation, require_probability, whole_below
from engine.errors import RequestError


@dataclass(frozen=True)
class MixUp(Augmentation):
    """Mix a sample with another one of the batch: share x sample + (1 - share) x other, targets alike, with
    probability `p`.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", https://arxiv.org/abs/1710.09412

    Args:
        alpha: the share is Beta(alpha, alpha): near 0 or 1 where alpha is small, even at 1
        p: the probability
    """

    alpha: float = 1.0
    p: float = 1.0
    images_only: ClassVar[bool] = False
    mixes_targets: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check("MixUp", self.alpha, self.p)

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n,): how much of each sample stays, 1 for those that are not mixed."""
        share = _symmetric_beta(n, self.alpha, generator)
        mixed = torch.rand(n, generator=generator, device=generator.device) < self.p
        return torch.where(mixed, share, 1.0)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, ...)."""
        return _mixed(inputs, drawn)

    def apply_targets(self, targets: Tensor, drawn: Tensor, classes: int) -> Tensor:
        """float32 (N, classes) of class numbers, (N, k) of other targets."""
        return _mixed(_soft(targets, classes), drawn)


@dataclass(frozen=True)
class CutMix(Augmentation):
    """Put a rectangle of another image of the batch into the image, with probability `p`; targets are mixed by area.

    The rectangle has 1 - share of the area, with a share of Beta(alpha, alpha), about a point drawn evenly; what is
    beyond the edge is cut off. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", https://arxiv.org/abs/1905.04899

    Args:
        alpha: the share is Beta(alpha, alpha): near 0 or 1 where alpha is small, even at 1
        p: the probability
    """

    alpha: float = 1.0
    p: float = 1.0
    mixes_targets: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check("CutMix", self.alpha, self.p)

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 5): top, left, height and width of the rectangle in whole pixels, and how much of the image
        stays."""
        height, width = shape[1:]
        half = 0.5 * torch.sqrt(1 - _symmetric_beta(n, self.alpha, generator))
        x = whole_below(torch.full((n,), float(width), device=generator.device), generator)
        y = whole_below(torch.full((n,), float(height), device=generator.device), generator)
        mixed = torch.rand(n, generator=generator, device=generator.device) < self.p
        across, down = (half * width).floor(), (half * height).floor()
        left, right = (x - across).clamp(min=0), (x + across).clamp(max=width)
        top, bottom = (y - down).clamp(min=0), (y + down).clamp(max=height)
        box = torch.stack([top, left, bottom - top, right - left], dim=1) * mixed.unsqueeze(1)
        area = height * width
        return torch.cat([box, ((area - box[:, 2] * box[:, 3]) / area).unsqueeze(1)], dim=1)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        return torch.where(rectangle(drawn[:, :4], inputs.shape[2], inputs.shape[3]), inputs.roll(1, 0), inputs)

    def apply_targets(self, targets: Tensor, drawn: Tensor, classes: int) -> Tensor:
        """float32 (N, classes) of class numbers, (N, k) of other targets."""
        return _mixed(_soft(targets, classes), drawn[:, 4])


def _check(name: str, alpha: float, p: float) -> None:
    if not (math.isfinite(alpha) and alpha > 0):
        raise RequestError(f"{name}(alpha={alpha}): use a number above 0; 0.2 mixes a little, 1 evenly")
    require_probability(name, p)


def _soft(targets: Tensor, classes: int) -> Tensor:
    """Class numbers (N,) as float32 (N, classes); any other targets as they are."""
    return targets if targets.is_floating_point() else F.one_hot(targets, classes).to(torch.float32)


def _mixed(values: Tensor, share: Tensor) -> Tensor:
    share = share.view(-1, *[1] * (values.ndim - 1))
    return values.roll(1, 0) * (1 - share) + values * share


def _symmetric_beta(n: int, alpha: float, generator: Generator) -> Tensor:
    """float32 (n,): Beta(alpha, alpha), on any device that has uniform numbers.

    1/2 + 1/2 c / sqrt(c² + r / (1 - r)) with c = cos(2πv), r = u^(1/alpha): the ratio of uniforms of Devroye, "Random
    variate generation in one line of code" (Winter Simulation Conference 1996), from Bailey's Student t.
    """
    u, v = torch.rand(2, n, generator=generator, device=generator.device)
    cosine = torch.cos(2 * math.pi * v)
    odds = 1 / torch.expm1(-torch.log(u) / alpha)
    return 0.5 + 0.5 * cosine / torch.sqrt(cosine.square() + odds)
