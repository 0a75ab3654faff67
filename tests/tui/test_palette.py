"""Pictures on a terminal with 256 colours."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given
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


OF_256 = [tuple(Color.from_ansi(number).get_truecolor()) for number in range(16, 256)]


def test_each_of_the_256_can_be_had() -> None:
    """But the first sixteen, which the person's own terminal decides on. rich alone writes some greys for no grey."""
    [[found]] = in_256([[OF_256]])
    assert [written(pixel) for pixel in found] == OF_256
    assert written((238, 238, 238)) != (238, 238, 238)


@given(st.tuples(CHANNEL, CHANNEL, CHANNEL))
@example((238, 238, 242))
@example((90, 95, 99))
def test_none_of_the_256_is_nearer(pixel: Pixel) -> None:
    [[[found]]] = in_256([[[pixel]]])
    away = distance(written(found), pixel)
    assert away <= min(distance(other, pixel) for other in OF_256) + 1e-2


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
