"""Blocks of layers that people build from: a name for each, and the layers for what comes in. Without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tui.matching import score


@dataclass(frozen=True)
class Block:
    """`text` are the layers, with `{size}` for the channels (or features) that come in and `{double}` for twice that;
    `ranks` the numbers of dimensions of a sample that they take."""

    name: str
    line: str
    text: str
    ranks: tuple[int, ...] = (3,)


BLOCKS = (
    Block("conv block", "convolution, normalisation, activation", "Conv2d(32, 3, padding=1), BatchNorm2d(), ReLU()"),
    Block("dense block", "linear, normalisation, activation", "Linear(128), BatchNorm1d(), ReLU()", (1,)),
    Block(
        "residual block",
        "two convolutions with what comes in added (ResNet)",
        "Residual(Conv2d({size}, 3, padding=1), BatchNorm2d(), ReLU(), "
        "Conv2d({size}, 3, padding=1), BatchNorm2d()), ReLU()",
    ),
    Block(
        "residual downsampling block",
        "half the size, twice the channels (ResNet)",
        "Residual(Conv2d({double}, 3, stride=2, padding=1), BatchNorm2d(), ReLU(), "
        "Conv2d({double}, 3, padding=1), BatchNorm2d(), shortcut=Conv2d({double}, 1, stride=2)), ReLU()",
    ),
    Block(
        "residual dense block",
        "two linear layers with what comes in added",
        "Residual(Linear({size}), ReLU(), Linear({size}))",
        (1, 2),
    ),
    Block(
        "inception block",
        "convolutions of several sizes side by side",
        "Parallel(Conv2d(16, 1), Conv2d(16, 3, padding=1), Conv2d(16, 5, padding=2))",
    ),
    Block("downsampling block", "half the size", "Conv2d({double}, 3, stride=2, padding=1), ReLU()"),
    Block(
        "attention block",
        "self-attention with what comes in added (Transformer)",
        "Residual(LayerNorm(), MultiheadAttention(1)), Residual(LayerNorm(), Linear({size}), GELU(), Linear({size}))",
        (2,),
    ),
    Block("classifier head", "scores of the classes", "Flatten(), Linear(classes)", (1, 2, 3, 4)),
    Block("pooled head", "the mean of each channel, scores", "AdaptiveAvgPool2d(1), Flatten(), Linear(classes)"),
)


def blocks(typed: str, shape: tuple[int, ...] | None) -> Iterator[tuple[int, bool, Block, str]]:
    """The blocks that may be meant: how far the name is from what was typed, whether the block suits what comes in, and
    its layers as text. Without a shape that comes in, 32 channels are assumed."""
    for block in BLOCKS:
        at = score(typed, block.name)
        if at is None or at > 3:
            continue
        fits = shape is None or len(shape) in block.ranks
        size = 32
        if shape:
            size = shape[0] if len(shape) >= 3 else shape[-1]
        # A picture's channels are too few to work with.
        size = max(size, 8) if "{double}" in block.text else size
        yield at, fits, block, block.text.replace("{size}", str(size)).replace("{double}", str(2 * size))
