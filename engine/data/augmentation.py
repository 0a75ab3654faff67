"""What an augmentation is: a random change of whole batches, for which every sample draws its own parameters.

Drawing and applying are apart: `draw` takes the randomness from a generator, `apply` is a function of the batch and
what was drawn. Images are (N, C, H, W) float32 in [0, 1], before normalisation, as where torchvision's transforms stand
in front of Normalize; so what comes in from beyond the edge is black. Nothing here reads a number back from the device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from engine.errors import RequestError


class Augmentation(ABC):
    """A random change of inputs; frozen dataclasses whose fields are the arguments of the call."""

    images_only: ClassVar[bool] = True
    mixes_targets: ClassVar[bool] = False  # whether samples, and with them their targets, are mixed with one another

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

    def apply_targets(self, targets: Tensor, drawn: Tensor, classes: int) -> Tensor:
        """The targets that go with the changed batch: as they are, unless samples are mixed.

        `classes` is the number of classes where targets are class numbers, int64 (N,); these are mixed as float32
        (N, classes), any other targets (N, k) as they are.
        """
        return targets


def augmented(
    augmentations: Sequence[Augmentation], inputs: Tensor, targets: Tensor, generator: Generator, classes: int
) -> tuple[Tensor, Tensor]:
    """Inputs (N, ...) and targets of a batch after all augmentations, in their order; see `apply_targets`."""
    for augmentation in augmentations:
        drawn = augmentation.draw(len(inputs), tuple(inputs.shape[1:]), generator)
        inputs = augmentation.apply(inputs, drawn)
        targets = augmentation.apply_targets(targets, drawn, classes)
    return inputs, targets


Operation = Callable[[Tensor, Tensor], Tensor]


def by_group(images: Tensor, which: Tensor, parameters: Tensor, operations: Sequence[Operation | None]) -> Tensor:
    """Each image changed by the operation that `which` (N,) names; None leaves an image as it is.

    An operation takes images (n, C, H, W) and their rows of `parameters` (N, ...), and gives images of the same shape.
    On the CPU each image is computed once, by its own operation. Elsewhere every operation is computed for all images
    and the right one is taken: to know how many images are in a group, the step would have to wait for the device.
    """
    return (_grouped if images.device.type == "cpu" else for_all)(images, which, parameters, operations)


def _grouped(images: Tensor, which: Tensor, parameters: Tensor, operations: Sequence[Operation | None]) -> Tensor:
    out = images.clone()
    for number, operation in enumerate(operations):
        rows = (which == number).nonzero().squeeze(1)
        if operation is not None and len(rows):
            out[rows] = operation(images[rows], parameters[rows])
    return out


def for_all(images: Tensor, which: Tensor, parameters: Tensor, operations: Sequence[Operation | None]) -> Tensor:
    """`by_group` without a number read back from the device."""
    out = images
    for number, operation in enumerate(operations):
        if operation is not None:
            out = torch.where((which == number)[:, None, None, None], operation(images, parameters), out)
    return out


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """float32 (n,): uniform between two bounds, on the generator's device."""
    return low + (high - low) * torch.rand(n, generator=generator, device=generator.device)


def whole_below(count: Tensor, generator: Generator) -> Tensor:
    """float32, as `count`: a whole number from 0 to below each count, all equally probable."""
    drawn = torch.rand(count.shape, generator=generator, device=generator.device)
    # float32 may round up to the count itself.
    return torch.minimum((drawn * count).floor(), count - 1)


def require_probability(name: str, p: float) -> None:
    """Raise RequestError unless p is between 0 and 1."""
    if not 0 <= p <= 1:
        raise RequestError(f"{name}(p={p}): a probability is between 0 and 1")


def require_range(name: str, field: str, given: tuple[float, float], low: float, high: float = math.inf) -> None:
    """Raise RequestError unless `given` is (lowest, highest) within the bounds."""
    if not (all(math.isfinite(bound) for bound in given) and low <= given[0] <= given[1] <= high):
        bounds = f"between {low:g} and {high:g}" if math.isfinite(high) else f"of {low:g} or more"
        if low == -math.inf:
            bounds = "that are finite"
        raise RequestError(f"{name}: {field}={given}; use (lowest, highest) with numbers {bounds}")


def require_colours(name: str, shape: tuple[int, ...]) -> None:
    """Raise RequestError unless images (C, H, W) are grey or coloured."""
    if shape[0] not in (1, 3):
        raise RequestError(f"{name} is for images of 1 or 3 channels, but these have {shape[0]}; leave it out")
