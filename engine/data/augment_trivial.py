"""TrivialAugment: one operation of fourteen for each image, with a strength that is drawn as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from engine.data import colours
from engine.data.augmentation import Augmentation, Operation, by_group, require_colours
from engine.data.warping import inverse_affine, warp
from engine.errors import RequestError

# Names in torchvision's order; the highest magnitude, and whether its sign is drawn. Of "Posterize" the bits (8 to 2),
# of "Solarize" the threshold (1 to 0) go down with the number drawn.
SPACE: tuple[tuple[str, float, bool], ...] = (
    ("Identity", 0.0, False),
    ("ShearX", 0.99, True),
    ("ShearY", 0.99, True),
    ("TranslateX", 32.0, True),
    ("TranslateY", 32.0, True),
    ("Rotate", 135.0, True),
    ("Brightness", 0.99, True),
    ("Color", 0.99, True),
    ("Contrast", 0.99, True),
    ("Sharpness", 0.99, True),
    ("Posterize", 8.0, False),
    ("Solarize", 1.0, False),
    ("AutoContrast", 0.0, False),
    ("Equalize", 0.0, False),
)


@dataclass(frozen=True)
class TrivialAugment(Augmentation):
    """Change each image by one operation drawn from fourteen, with a strength drawn from `num_magnitude_bins`.

    torchvision's TrivialAugmentWide on float images: shears, moves, turns, brightness, colour, contrast, sharpness,
    posterize, solarize, autocontrast, equalize. On images of bytes torchvision rounds to whole levels after each, and
    Posterize keeps the upper bits, 192/255 of white with two of them, where on floats it is 0.75. Müller and Hutter,
    "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", https://arxiv.org/abs/2103.10158

    Args:
        num_magnitude_bins: how many strengths there are to draw from
        interpolation: 'bilinear' mixes neighbouring pixels, 'nearest' takes one of them
    """

    num_magnitude_bins: int = 31
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        if self.num_magnitude_bins < 2:
            raise RequestError(f"TrivialAugment: num_magnitude_bins={self.num_magnitude_bins}; use 2 or more")
        if self.interpolation not in ("bilinear", "nearest"):
            raise RequestError(f"TrivialAugment: interpolation={self.interpolation!r}; use 'bilinear' or 'nearest'")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As it is. Raises RequestError unless there are 1 or 3 channels."""
        require_colours("TrivialAugment", shape)
        return shape

    def draw(self, n: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """float32 (n, 2): the number of the operation in SPACE and its magnitude, with its sign."""

        def below(count: int) -> Tensor:
            return torch.randint(count, (n,), generator=generator, device=generator.device)

        which, level, sign = below(len(SPACE)), below(self.num_magnitude_bins), below(2)
        magnitude = self._magnitudes(generator.device)[which, level]
        # Those with a sign stand in a row. (A table of them would have to be copied to the device.)
        signed = [number for number, (_, _, has_sign) in enumerate(SPACE) if has_sign]
        turned = (which >= signed[0]) & (which <= signed[-1]) & (sign == 1)
        return torch.stack([which.to(torch.float32), torch.where(turned, -magnitude, magnitude)], dim=1)

    def _magnitudes(self, device: torch.device) -> Tensor:
        """float32 (operations, bins)."""
        bins = self.num_magnitude_bins
        rows = []
        for name, most, _ in SPACE:
            if name == "Posterize":
                rows.append((8 - torch.arange(bins, device=device) / ((bins - 1) / 6)).round())
            elif name == "Solarize":
                rows.append(torch.linspace(most, 0.0, bins, device=device))
            else:
                rows.append(torch.linspace(0.0, most, bins, device=device))
        return torch.stack(rows)

    def apply(self, inputs: Tensor, drawn: Tensor) -> Tensor:
        """(N, C, H, W)."""
        height, width = inputs.shape[2:]
        corner = (-width / 2, -height / 2)

        def moved(column: int) -> Operation:
            def move(images: Tensor, amount: Tensor) -> Tensor:
                pixels = _column(amount.trunc(), column)
                return self._warped(images, torch.zeros_like(amount), pixels, torch.zeros_like(pixels))

            return move

        def sheared(column: int) -> Operation:
            def shear(images: Tensor, amount: Tensor) -> Tensor:
                # The magnitude is the tangent. torchvision shears about the corner.
                angle = _column(torch.rad2deg(torch.atan(amount)), column)
                return self._warped(images, torch.zeros_like(amount), torch.zeros_like(angle), angle, corner)

            return shear

        def turned(images: Tensor, amount: Tensor) -> Tensor:
            none = amount.new_zeros(len(amount), 2)
            return self._warped(images, -amount, none, none)

        operations: dict[str, Operation | None] = {
            "Identity": None,
            "ShearX": sheared(0),
            "ShearY": sheared(1),
            "TranslateX": moved(0),
            "TranslateY": moved(1),
            "Rotate": turned,
            "Brightness": lambda images, amount: colours.brightness(images, 1 + amount),
            "Color": lambda images, amount: colours.saturation(images, 1 + amount),
            "Contrast": lambda images, amount: colours.contrast(images, 1 + amount),
            "Sharpness": lambda images, amount: colours.sharpness(images, 1 + amount),
            "Posterize": colours.posterize,
            "Solarize": colours.solarize,
            "AutoContrast": lambda images, amount: colours.autocontrast(images),
            "Equalize": lambda images, amount: colours.equalize(images),
        }
        return by_group(inputs, drawn[:, 0], drawn[:, 1], [operations[name] for name, _, _ in SPACE])

    def _warped(
        self,
        images: Tensor,
        angle: Tensor,
        translate: Tensor,
        shear: Tensor,
        centre: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        inverse = inverse_affine(angle, translate, torch.ones_like(angle), shear, centre)
        return warp(images, inverse, self.interpolation)


def _column(values: Tensor, column: int) -> Tensor:
    """(N, 2) with `values` (N,) in one column and 0 in the other."""
    pair = [torch.zeros_like(values), torch.zeros_like(values)]
    pair[column] = values
    return torch.stack(pair, dim=1)
