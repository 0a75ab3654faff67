"""From values as stored to what a network sees: scaled to [0, 1], then normalised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.errors import RequestError

# Rows at a time where all of a data set is gone through: enough to keep every core busy, little enough for the cache.
_CHUNK_BYTES = 8 * 1024**2
# What weights were trained with: mean and deviation of each channel, or inputs in [0, 1] as they come.
TrainedWith = tuple[Sequence[float], Sequence[float]] | Literal["none"]


@dataclass(frozen=True)
class Normalise:
    """x.float().div(scale).sub(mean).div(std), in the order (and to the bit) of torchvision's ToTensor and Normalize.

    `scale` has no dimension, or is None for no scaling; `mean` and `std` are (C, 1, ...) so that they fit one sample,
    or None. All on the device of the data: CUDA multiplies by the reciprocal of a Python number, and a tensor on the
    device makes it divide, as the CPU does.
    """

    scale: Tensor | None
    mean: Tensor | None
    std: Tensor | None

    def scaled(self, inputs: Tensor) -> Tensor:
        """Inputs in [0, 1] where they have a scale; int64 inputs stay what they are."""
        return inputs if self.scale is None else inputs.to(torch.float32).div(self.scale)

    def normalised(self, inputs: Tensor) -> Tensor:
        """Scaled inputs less the mean, divided by the standard deviation."""
        return inputs if self.mean is None or self.std is None else inputs.sub(self.mean).div(self.std)

    def ready(self, inputs: Tensor) -> Tensor:
        """Scaled and normalised; what is copied on the way is changed in place, with the same bits."""
        if self.scale is None or inputs.dtype == torch.float32:
            return self.normalised(self.scaled(inputs))
        copied = inputs.to(torch.float32).div_(self.scale)
        return copied if self.mean is None or self.std is None else copied.sub_(self.mean).div_(self.std)

    @property
    def nothing(self) -> bool:
        """Whether inputs leave as they come."""
        return self.scale is None and self.mean is None


def statistics(inputs: Tensor, index: Tensor | None, scale: float, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 (C,), of each column (N, C) or channel (N, C, ...).

    Of the samples in `index`, or all; divided by `scale`, worked out in float64, with N (not N - 1) in the
    denominator. A constant column has standard deviation 1, so that it becomes 0 rather than NaN. Where inputs are
    uint8 and `sums`, int64 (N, C, 2), has the sum and the sum of squares of each sample, no sample is read.
    """
    if sums is not None:
        chosen = sums if index is None else sums.index_select(0, index)
        mean, std = _whole_moments(len(chosen) * inputs[0, 0].numel(), *chosen.sum(0).unbind(1))
    else:
        mean, std = _moments(inputs, index)
    # What rounding leaves of a constant column is not a spread.
    std = torch.where(std <= 1e-12 * mean.abs(), torch.full_like(std, scale), std)
    return (mean / scale).to(torch.float32), (std / scale).to(torch.float32)


def _moments(inputs: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
    n = len(inputs) if index is None else len(index)
    count = n * inputs[0, 0].numel()
    rows = max(1, _CHUNK_BYTES // (8 * inputs[0].numel()))

    def each(term: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Tensor:
        """The sum of a term over everything but the columns."""
        total = torch.zeros(inputs.shape[1], dtype=dtype)
        for begin in range(0, n, rows):
            end = min(begin + rows, n)
            part = inputs[begin:end] if index is None else inputs.index_select(0, index[begin:end])
            total += term(part.movedim(1, -1).flatten(0, -2)).sum(0, dtype=dtype)
        return total

    if inputs.dtype == torch.uint8:
        squares = each(lambda part: part.to(torch.int32).square(), torch.int64)
        return _whole_moments(count, each(lambda part: part, torch.int64), squares)
    mean = each(lambda part: part.to(torch.float64), torch.float64) / count
    return mean, (each(lambda part: (part.to(torch.float64) - mean).square(), torch.float64) / count).sqrt()


def _whole_moments(count: int, sums: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """In whole numbers one pass is exact: the variance is (n sum(x²) - sum(x)²) / n²."""
    totals = list(zip(sums.tolist(), squares.tolist(), strict=True))
    variances = [(count * square - total**2) / count**2 for total, square in totals]
    mean = torch.tensor([total / count for total, _ in totals], dtype=torch.float64)
    return mean, torch.tensor(variances, dtype=torch.float64).sqrt()


def fixed(given: tuple[object, object], channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, float32 (C,), from one number for all channels or one for each.

    Raises RequestError for another count, for what is not finite, and for a standard deviation that is not above 0.
    """
    mean, std = (_per_channel(name, value, channels) for name, value in zip(("mean", "std"), given, strict=True))
    if min(std) <= 0:
        raise RequestError(f"normalize: a standard deviation of {min(std)}; use numbers above 0")
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _per_channel(name: str, value: object, channels: int) -> list[float]:
    numbers = list(value) if isinstance(value, tuple | list) else [value] * channels
    if len(numbers) != channels:
        raise RequestError(
            f"normalize: {len(numbers)} numbers as {name}, but a sample has {channels} channel{'s' * (channels != 1)}; "
            f"give one number, or {channels}"
        )
    floats = []
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise RequestError(f"normalize: {name} holds {number!r}, which is not a finite number")
        floats.append(float(number))
    return floats
