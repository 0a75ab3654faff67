"""What of a layer trains, in words."""

from __future__ import annotations

import pytest

from tui.widgets.trained import rate, spoken


@pytest.mark.parametrize(
    ("parameters", "trainable", "thaws", "words"),
    [
        (0, 0, (), ""),
        (10, 10, (), "yes"),
        (10, 0, (), "❄ no"),
        (200, 150, (), "◐ 75 %"),  # that share trains: behind a ❄ it would be read as frozen
        (2000, 1, (), "◐ < 1 %"),
        (10, 10, ((5, 10),), "❄ from epoch 5"),
        (10, 10, ((5, 4),), "◐ 60 %"),
    ],
)
def test_a_share_is_that_which_trains(parameters: int, trainable: int, thaws: tuple[tuple[int, int], ...], words: str):
    assert spoken(parameters, trainable, thaws) == words


@pytest.mark.parametrize(
    ("shares", "words"), [((), ""), ((0.1,), "rate ×0.1"), ((1e-4, 0.1, 1.0), "rate ×0.0001 to ×1")]
)
def test_a_share_of_the_rate_is_told(shares: tuple[float, ...], words: str) -> None:
    assert rate(shares).strip() == words
