"""Pictures on a terminal with 256 colours."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.color_triplet import ColorTriplet

from tests.tui.test_theme import lab, linear
from tui.widgets import palette
from tui.widgets.palette import Pixel, in_256

CHANNEL = st.integers(0, 255)


def written(pixel: Pixel) -> Pixel:
    """What a terminal shows where rich is asked for a colour."""
    shown = Color.from_triplet(ColorTriplet(*pixel)).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
    return shown.red, shown.green, shown.blue


def distance(one: Pixel, other: Pixel) -> float:
    return math.dist(*(lab(linear("#{:02x}{:02x}{:02x}".format(*pixel))) for pixel in (one, other)))


@given(st.tuples(CHANNEL, CHANNEL, CHANNEL))
def test_no_colour_that_can_be_had_is_nearer(pixel: Pixel) -> None:
    [[[found]]] = in_256([[[pixel]]])
    away = distance(written(found), pixel)
    assert away <= distance(written(pixel), pixel) + 1e-2
    others = (tuple(Color.from_ansi(number).get_truecolor()) for number in range(16, 256))
    assert away <= min(distance(written(other), pixel) for other in others) + 1e-2


def test_greys_stay_grey_and_dark_browns_do_not_turn_red() -> None:
    greys = [(level, level, level) for level in range(256)]
    for red, green, blue in (written(pixel) for pixel in in_256([[greys]])[0][0]):
        assert red == green == blue
    red, green, _ = written(in_256([[[(70, 40, 25)]]])[0][0][0])
    assert red - green < 60
    assert written((70, 40, 25)) == (95, 0, 0)  # what rich makes of it


def test_pictures_keep_their_form_and_what_is_known_is_bounded() -> None:
    random = np.random.default_rng(0)
    pictures = [[[tuple(pixel) for pixel in row] for row in random.integers(0, 256, (4, 7, 3)).tolist()]]
    for _ in range(2):
        found = in_256(pictures)
        assert [[len(row) for row in picture] for picture in found] == [[7] * 4]
        assert found[0][1][2] == in_256([[[pictures[0][1][2]]]])[0][0][0]
    palette._known.update({(number, 0, 0): (0, 0, 0) for number in range(1000, 1000 + palette.MOST_KNOWN)})
    in_256(pictures)
    assert len(palette._known) <= 28
