"""Samples of the data as lines: pictures in half blocks, or in shades where there are no colours to mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.widgets.lines import Line, Span, fit, line

if TYPE_CHECKING:
    from engine.data.samples import Sample, Samples

SHADES = " ░▒▓█"
# Cells of a picture at most; half as many rows, as a cell is two pixels high.
SIDE = 10
GAP = 1
Pixel = tuple[int, int, int]


def strip(samples: Samples, width: int, *, colours: bool) -> list[Line]:
    """As many samples beside each other as fit, each above its label; of a table its values, a line each."""
    if not samples.samples or width < SIDE:
        return []
    if not samples.pictures:
        return [_values(sample, width) for sample in samples.samples[:3]]
    across = min(samples.samples[0].shape[2], SIDE)
    shown = samples.samples[: max((width + GAP) // (across + GAP), 1)]
    pictures = [shrunk(sample, across) for sample in shown]
    rows: list[Line] = []
    for upper in range(0, len(pictures[0]), 2):
        spans: list[Span] = []
        for picture in pictures:
            below = picture[upper + 1] if upper + 1 < len(picture) else [None] * across
            spans += [cell(top, bottom, colours) for top, bottom in zip(picture[upper], below, strict=True)]
            spans.append((" " * GAP, ""))
        rows.append(tuple(spans))
    rows.append(line(*((fit(sample.label, across) + " " * GAP, "dim") for sample in shown)))
    return rows


def cell(top: Pixel, bottom: Pixel | None, colours: bool) -> Span:
    """Two pixels above each other as one character: `▀` in both colours, or the shade of their brightness."""
    if not colours:
        bright = [_grey(pixel) for pixel in (top, bottom) if pixel is not None]
        level = sum(bright) / len(bright) / 256
        return SHADES[min(int(level * len(SHADES)), len(SHADES) - 1)], ""
    upper = "#{:02x}{:02x}{:02x}".format(*top)
    return "▀", upper if bottom is None else f"{upper} on " + "#{:02x}{:02x}{:02x}".format(*bottom)


def shrunk(sample: Sample, across: int) -> list[list[Pixel]]:
    """The picture with `across` pixels a row and as many rows as keep its form: each the mean of what it covers."""
    _, height, width = sample.shape
    down = max(round(height * across / width), 1)
    rows = []
    for y in range(down):
        top, end_y = y * height // down, max((y + 1) * height // down, y * height // down + 1)
        row = []
        for x in range(across):
            left, end_x = x * width // across, max((x + 1) * width // across, x * width // across + 1)
            row.append(_mean(sample, top, end_y, left, end_x))
        rows.append(row)
    return rows


def _mean(sample: Sample, top: int, bottom: int, left: int, right: int) -> Pixel:
    channels, _, width = sample.shape
    means = []
    for channel in range(3):
        source = channel if channels >= 3 else 0
        values = [
            sample.pixels[(y * width + x) * channels + source] for y in range(top, bottom) for x in range(left, right)
        ]
        means.append(sum(values) // len(values))
    return means[0], means[1], means[2]


def _grey(pixel: Pixel) -> float:
    """Brightness after ITU-R BT.601."""
    red, green, blue = pixel
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _values(sample: Sample, width: int) -> Line:
    values = "  ".join(f"{value:.4g}" for value in sample.values)
    label = f" → {sample.label}"
    return line((fit(values, max(width - len(label), 4)).rstrip(), "dim"), (label, ""))
