"""Colours of pictures on a terminal with 256 of them, which is what SSH leaves where COLORTERM is not passed on.

rich rounds each of red, green and blue by itself, which makes dark browns and greens of photographs red, olive or
black. Here it is the nearest of the 256 for the eye, by the distance in CIELAB (CIE 15, D65).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pixel = tuple[int, int, int]
MOST_KNOWN = 1 << 16
_known: dict[Pixel, Pixel] = {}


def in_256(pictures: Sequence[Sequence[Sequence[Pixel]]]) -> list[list[list[Pixel]]]:
    """Pictures in colours that rich writes as the nearest of the 256."""
    wanted = {pixel for picture in pictures for row in picture for pixel in row}
    if len(_known) + len(wanted) > MOST_KNOWN:
        _known.clear()
    # They are drawn at every key, and change seldom.
    _find(sorted(wanted - _known.keys()))
    return [[[_known[pixel] for pixel in row] for row in picture] for picture in pictures]


def _find(pixels: Sequence[Pixel]) -> None:
    import numpy as np

    if pixels:
        asked, places = _palette()
        distances = ((_lab(np.array(pixels))[:, None, :] - places) ** 2).sum(-1)
        _known.update(zip(pixels, (asked[at] for at in distances.argmin(-1)), strict=True))


@cache
def _palette() -> tuple[list[Pixel], NDArray[Any]]:
    """The colours that rich writes to such a terminal: what to ask for to get each, and where each is in CIELAB."""
    import numpy as np
    from rich.color import Color, ColorSystem
    from rich.color_triplet import ColorTriplet

    cube = (0, 95, 135, 175, 215, 255)
    own = [Color.from_ansi(number).get_truecolor() for number in range(16, 256)]
    # rich rounds what is nearly grey on a scale of its own, which does not meet all of the terminal's greys: some come
    # out only where another grey is asked for, those of the colour cube only where it is tinted a little.
    greys = [(level, level, level) for level in range(256)]
    tinted = [(max(level - 19, 0), level, min(level + 19, 255)) for level in cube]
    asked: dict[Pixel, Pixel] = {}
    for wanted in (*own, *greys, *tinted):
        written = Color.from_triplet(ColorTriplet(*wanted)).downgrade(ColorSystem.EIGHT_BIT)
        # The first sixteen are what the person's own terminal makes of them.
        if written.number is not None and written.number >= 16:
            red, green, blue = written.get_truecolor()
            asked.setdefault((red, green, blue), (wanted[0], wanted[1], wanted[2]))
    return list(asked.values()), _lab(np.array(list(asked)))


def _lab(colours: NDArray[Any]) -> NDArray[Any]:
    """(N, 3) sRGB from 0 to 255 in CIELAB."""
    import numpy as np

    given = colours / 255
    linear = np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear.T
    # Relative to the white of D65.
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    x, y, z = (np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116) for part in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
