"""Samples of the data as lines: pictures in half blocks, or in shades where there are no colours to mix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tui.widgets.lines import Line, Span, fit, line
from tui.widgets.palette import Pixel, in_256

if TYPE_CHECKING:
    from engine.data.samples import Sample, Samples

SHADES = " ░▒▓█"
# Cells of a picture, half as many rows, as a cell is two pixels high: in a list, and where there is room for a look.
SIDE = 10
LARGEST = 24
GAP = 1
# Beside each other at least, as far as that leaves pictures of SIDE.
ABREAST = 3


def side(width: int, height: int) -> int:
    """How many cells across a picture may be in a panel of so many cells: three beside each other, and two rows of them
    in half its height, as they are before and after augmentation."""
    return max(SIDE, min((width + GAP) // ABREAST - GAP, height // 4 * 2, LARGEST))


def strip(
    samples: Samples, width: int, *, colours: str | None, labelled: bool = True, across: int = SIDE
) -> list[Line]:
    """As many samples beside each other as fit, at most `across` cells wide, each above its label (or above the shares
    of the classes that are mixed in it); of a table its values, a line each. `colours` is what rich calls those of the
    terminal ("truecolor", "256"), None where pictures have to do without."""
    if not samples.samples or width < SIDE:
        return []
    if not samples.pictures:
        return [_values(sample, width) for sample in samples.samples[:3]]
    across = min(samples.samples[0].shape[2], across)
    shown = samples.samples[: max((width + GAP) // (across + GAP), 1)]
    pictures = [shrunk(sample, across) for sample in shown]
    if colours == "256":
        pictures = in_256(pictures)
    rows: list[Line] = []
    for upper in range(0, len(pictures[0]), 2):
        spans: list[Span] = []
        for picture in pictures:
            below = picture[upper + 1] if upper + 1 < len(picture) else [None] * across
            # Between pictures, not behind the last: a line that is longer than the terminal begins another.
            spans += [(" " * GAP, "")] if spans else []
            spans += [cell(top, bottom, colours is not None) for top, bottom in zip(picture[upper], below, strict=True)]
        rows.append(tuple(spans))
    for texts in _labels(shown, across) if labelled or any(sample.shares for sample in shown) else []:
        rows.append(line(((" " * GAP).join(texts), "dim")))
    return rows


def _labels(shown: Sequence[Sample], across: int) -> list[list[str]]:
    """What stands below pictures: a line of labels, or two of shares, of which the number is never cut off."""
    if not any(sample.shares for sample in shown):
        return [[fit(sample.label, across) for sample in shown]]
    lines: list[list[str]] = [[], []]
    for sample in shown:
        for texts, (name, share) in zip(lines, (*sample.shares, ("", 0.0), ("", 0.0)), strict=False):
            room = max(across - 4, 1)
            texts.append(fit(f"{fit(name, room)}{f'{share:.2f}'.lstrip('0'):>4}", across) if name else " " * across)
    return lines


def cell(top: Pixel, bottom: Pixel | None, colours: bool) -> Span:
    """Two pixels above each other as one character: `▀` in both colours, or the shade of their brightness."""
    if not colours:
        bright = [_grey(pixel) for pixel in (top, bottom) if pixel is not None]
        level = sum(bright) / len(bright) / 256
        return SHADES[min(int(level * len(SHADES)), len(SHADES) - 1)], ""
    upper = "#{:02x}{:02x}{:02x}".format(*top)
    return "▀", upper if bottom is None else f"{upper} on " + "#{:02x}{:02x}{:02x}".format(*bottom)


@lru_cache(maxsize=32)
def shrunk(sample: Sample, across: int) -> list[list[Pixel]]:
    """The picture with `across` pixels a row and as many rows as keep its form: each the mean of what it covers. It is
    remembered: pictures are drawn at every key, and change seldom."""
    # Here, for nothing imports numpy before the first frame; photographs have too many pixels for Python alone.
    import numpy as np

    channels, height, width = sample.shape
    down = max(round(height * across / width), 1)
    rows = np.arange(down + 1) * height // down
    columns = np.arange(across + 1) * width // across
    pixels = np.frombuffer(sample.pixels, np.uint8).reshape(height, width, channels).astype(np.int64)
    sums = np.add.reduceat(np.add.reduceat(pixels, rows[:-1], axis=0), columns[:-1], axis=1)
    means = sums // (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])
    coloured = means[:, :, :3] if channels >= 3 else means[:, :, [0, 0, 0]]
    return [[(red, green, blue) for red, green, blue in row] for row in coloured.tolist()]


def _grey(pixel: Pixel) -> float:
    """Brightness after ITU-R BT.601."""
    red, green, blue = pixel
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _values(sample: Sample, width: int) -> Line:
    values = "  ".join(f"{value:.4g}" for value in sample.values)
    label = f" → {sample.label}"
    return line((fit(values, max(width - len(label), 4)).rstrip(), "dim"), (label, ""))
