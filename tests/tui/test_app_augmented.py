"""Samples before and after augmentation, on Compose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.data.samples import Sample, Samples
from engine.presets import preset
from engine.spec import with_settings
from tests.tui.fake_training import application, screen_text, until
from tui.screens.recipe_side import RecipeSide
from tui.widgets.samples import side, strip


def photographs(folder: Path) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        pixels = random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{('cat', 'dog')[number % 2]}.{number}.png")
    return folder


def row_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines()) if words in line)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_samples_are_shown_before_and_after(tmp_path: Path, size: tuple[int, int]) -> None:
    source = f"data.source=LabelledFiles('{photographs(tmp_path / 'pets')}', pattern='{{label}}.{{id}}.png', size=32)"
    asked = with_settings(preset("mlp"), [source, "data.augment=[RandomRotation(30)]"])
    app, _ = application(tmp_path, asked)
    async with app.run_test(size=size) as pilot:
        if size[0] < 100:
            # What is found out while the recipe is hidden is there when it is shown.
            await until(pilot, lambda: app.screen.facts.facts is not None)  # type: ignore[attr-defined]
            await pilot.pause()
            await pilot.press("tab")
        await until(pilot, lambda: "draws again" in screen_text(app), 20)
        text = screen_text(app)
        assert row_of(text, "▀▀▀▀") < row_of(text, "cat  ") < row_of(text, "augmented by chance: r draws")
        screen = app.screen
        assert isinstance(screen, RecipeSide)
        facts = screen.facts.facts
        assert facts is not None
        assert facts.changed is not None
        first = facts.changed.samples[0].pixels
        assert first != facts.samples.samples[0].pixels  # type: ignore[union-attr]
        await pilot.press("r")
        await until(pilot, lambda: screen.facts.facts.changed.samples[0].pixels != first)  # type: ignore[union-attr]


async def test_a_change_of_the_list_shows_at_once(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["data.augment=[RandomHorizontalFlip(1.0)]"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "draws again" in screen_text(app), 20)
        screen = app.screen
        assert isinstance(screen, RecipeSide)
        facts = screen.facts.facts
        assert facts is not None
        assert facts.samples is not None
        assert facts.changed is not None
        for before, after in zip(facts.samples.samples, facts.changed.samples, strict=True):
            mirrored = np.frombuffer(before.pixels, np.uint8).reshape(8, 8)[:, ::-1]
            np.testing.assert_array_equal(np.frombuffer(after.pixels, np.uint8).reshape(8, 8), mirrored)
        app.draft.set("data.augment", "[MixUp(1.0)]")
        app.draft_changed()
        await until(pilot, lambda: bool(screen.facts.facts.changed.samples[0].shares))  # type: ignore[union-attr]
        await pilot.pause()
        shares = screen.facts.facts.changed.samples[0].shares  # type: ignore[union-attr]
        assert f"{shares[0][0]:4}" in screen_text(app)
        assert f"{shares[0][1]:.2f}".lstrip("0") in screen_text(app)
        app.draft.set("data.augment", "[]")
        app.draft_changed()
        await until(pilot, lambda: "draws again" not in screen_text(app))
        await pilot.press("r")
        await until(pilot, lambda: "augment has no entry" in screen_text(app))


async def test_the_cursor_stays_in_the_list_when_augmentations_are_taken_out(tmp_path: Path) -> None:
    app, _ = application(
        tmp_path, with_settings(preset("mlp"), ["data.augment=[RandomHorizontalFlip(), RandomVerticalFlip()]"])
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "draws again" in screen_text(app), 20)
        await pilot.press("tab")
        screen = app.screen
        assert isinstance(screen, RecipeSide)
        while screen.recipe.field != "data.augment.0":
            await pilot.press("down")
        # The keys that are named are those of the recipe.
        assert "enter edit  x put back  + step up  r draw again" in screen_text(app).splitlines()[-1]
        for left, field in (["RandomVerticalFlip()"], "data.augment.0"), ([], "data.augment"), ([], "data.augment"):
            await pilot.press("x")
            await pilot.pause()
            await until(pilot, lambda: app.checked)
            assert [str(call) for call in app.draft.experiment.data.augment] == left
            assert screen.recipe.field == field
        assert "draw again" not in screen_text(app).splitlines()[-1]


def test_shares_are_told_in_full_where_names_are_not() -> None:
    shares = (("Newfoundland", 0.7), ("Chihuahua", 0.3))
    mixed = Sample("Newfoundland", (3, 20, 20), bytes(1200), shares=shares)
    whole = Sample("dog", (3, 20, 20), bytes(1200), shares=(("dog", 1.0),))
    rows = strip(Samples((mixed, whole)), 40, colours=None)[-2:]
    texts = ["".join(text for text, _ in row) for row in rows]
    assert texts == ["Newfo… .70 dog   1.00", "Chihu… .30           "]


@given(width=st.integers(10, 300), height=st.integers(1, 100), pixels=st.integers(1, 64))
def test_pictures_are_as_large_as_a_panel_lets_two_rows_of_three_be(width: int, height: int, pixels: int) -> None:
    across = side(width, height)
    samples = Samples(tuple(Sample("cat", (3, pixels, pixels), bytes(3 * pixels**2)) for _ in range(12)))
    rows = strip(samples, width, colours="truecolor", across=across)
    cells = min(across, pixels)
    assert len(rows) == -(-cells // 2) + 1
    assert {sum(len(text) for text, _ in row) for row in rows} == {
        min((width + 1) // (cells + 1), 12) * (cells + 1) - 1
    }
    assert across == 10 or (3 * across + 2 <= width and 2 * across <= height)
