"""Flips, affine maps and resized crops against torchvision's functional transforms, and what is drawn for them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as vision

from engine.data.augment import (
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from engine.errors import RequestError
from tests.engine.augmenting import independent, pictures, random

MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}


def test_vertical_flip_equals_torchvision_to_the_bit():
    flip, images = RandomVerticalFlip(0.5), pictures()
    drawn = flip.draw(len(images), (3, 18, 15), random())
    expected = [vision.vflip(image) if yes else image for image, yes in zip(images, drawn, strict=True)]
    assert 0 < int(drawn.sum()) < len(images)
    assert torch.equal(flip.apply(images, drawn), torch.stack(expected))


@given(st.floats(0.05, 0.95), st.sampled_from([RandomHorizontalFlip, RandomVerticalFlip]))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_flips_come_as_often_as_asked_for(p, kind):
    drawn = kind(p).draw(4000, (1, 2, 2), random())
    assert stats.binomtest(int(drawn.sum()), 4000, p).pvalue > 1e-4
    assert independent(drawn, 4000)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(16, 16), (18, 15), (9, 20)])
def test_affine_equals_torchvision_for_the_same_numbers(mode, shape):
    images = pictures(30, 3, *shape)
    affine = RandomAffine((-60, 80), (0.2, 0.3), (0.7, 1.6), (-20.0, 25.0, -10.0, 15.0), mode)
    drawn = affine.draw(30, (3, *shape), random())
    expected = torch.stack(
        [
            vision.affine(image, row[0], [int(row[1]), int(row[2])], row[3], row[4:6], MODES[mode])
            for image, row in zip(images, drawn.tolist(), strict=True)
        ]
    )
    found = affine.apply(images, drawn)
    if mode == "bilinear":
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    else:
        # A source on the border between two pixels, to the last bit of float32, may fall to either.
        assert float((found != expected).float().mean()) < 1e-3


def test_nearest_rotation_equals_torchvision():
    images, rotation = pictures(30), RandomRotation((-180.0, 180.0), "nearest")
    drawn = rotation.draw(30, (3, 18, 15), random())
    expected = [vision.rotate(image, angle) for image, angle in zip(images, drawn.tolist(), strict=True)]
    assert float((rotation.apply(images, drawn) != torch.stack(expected)).float().mean()) < 1e-3


def test_affine_of_nothing_leaves_images_as_they_are():
    images = pictures()
    for mode in ("nearest", "bilinear"):
        affine = RandomAffine(0, interpolation=mode)
        torch.testing.assert_close(affine(images, random()), images, atol=5e-6, rtol=0)


def test_affine_draws_evenly_from_each_range_and_each_apart():
    affine = RandomAffine((-30, 50), (0.25, 0.5), (0.8, 1.3), (-5.0, 5.0, 10.0, 20.0))
    n = 5000
    drawn = affine.draw(n, (1, 20, 40), random())
    ranges = {0: (-30, 50), 3: (0.8, 1.3), 4: (-5, 5), 5: (10, 20)}
    for column, (low, high) in ranges.items():
        assert stats.kstest(drawn[:, column].numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    for column in (1, 2):  # 0.25 of 40 and 0.5 of 20 pixels: whole ones from -10 to 10, the outermost half as often
        counts = torch.bincount((drawn[:, column] + 10).to(torch.int64), minlength=21).numpy()
        assert stats.chisquare(counts, [n / 40] + [n / 20] * 19 + [n / 40]).pvalue > 1e-3
    correlations = torch.corrcoef(drawn.T.double()) - torch.eye(6)
    assert float(correlations.abs().max()) < 5 / math.sqrt(n)
    assert all(independent(column, n) for column in drawn.unbind(1))


def test_shear_of_one_number_or_two_is_along_x():
    for shear in (20.0, (-20.0, 20.0)):
        drawn = RandomAffine(0, shear=shear).draw(500, (1, 8, 8), random())
        assert drawn[:, 4].min() < -19
        assert drawn[:, 4].max() > 19
        assert not drawn[:, 5].any()
        assert torch.equal(drawn[:, :4], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(500, 4))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [None, (18, 15), 24, 7, (5, 21), (30, 4)])
def test_resized_crop_equals_torchvision_crop_and_antialiased_resize(mode, size):
    images = pictures(30)
    crop = RandomResizedCrop(size, (0.05, 1.0), (0.4, 2.5), mode)
    drawn = crop.draw(30, (3, 18, 15), random())
    shape = crop.output_shape((3, 18, 15))[1:]
    expected = [
        vision.resized_crop(image, *(int(number) for number in row), list(shape), MODES[mode], antialias=True)
        for image, row in zip(images, drawn.tolist(), strict=True)
    ]
    found = crop.apply(images, drawn)
    if mode == "nearest":
        assert torch.equal(found, torch.stack(expected))
    else:
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)).map(sorted).map(tuple),
    st.tuples(st.floats(0.1, 8.0), st.floats(0.1, 8.0)).map(sorted).map(tuple),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_windows_of_resized_crops_lie_within_the_image(shape, scale, ratio):
    top, left, height, width = RandomResizedCrop(None, scale, ratio).draw(200, (3, *shape), random()).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (height >= 1).all()
    assert (width >= 1).all()
    assert (top + height <= shape[0]).all()
    assert (left + width <= shape[1]).all()


def test_windows_of_resized_crops_have_the_share_and_the_shape_asked_for():
    n = 4000
    drawn = RandomResizedCrop(None, (0.1, 0.3), (0.5, 2.0)).draw(n, (3, 1000, 1000), random())
    top, _, height, width = drawn.unbind(1)
    share, ratio = height * width / 1e6, torch.log(width / height)
    assert stats.kstest(share.numpy(), "uniform", (0.1, 0.2)).pvalue > 1e-3
    assert stats.kstest(ratio.numpy(), "uniform", (-math.log(2), 2 * math.log(2))).pvalue > 1e-3
    assert stats.kstest((top / (1001 - height)).numpy(), "uniform").pvalue > 1e-3
    assert all(independent(column, n) for column in drawn.unbind(1))


@pytest.mark.parametrize(
    ("shape", "ratio", "window"),
    [((10, 100), (0.9, 1.1), (0, 44, 10, 11)), ((100, 10), (0.9, 1.1), (44, 0, 11, 10)), ((8, 8), (0.9, 1.1), None)],
)
def test_where_no_window_fits_the_largest_in_the_centre_is_taken(shape, ratio, window):
    # A share of everything fits into an oblong image in no allowed shape.
    drawn = RandomResizedCrop(None, (1.0, 1.0), ratio).draw(50, (1, *shape), random())
    expected = torch.tensor(window or (0, 0, *shape), dtype=torch.float32)
    assert torch.equal(drawn, expected.expand(50, 4))


def test_nothing_beyond_the_window_comes_into_a_resized_crop():
    image = torch.zeros(1, 1, 12, 12)
    image[:, :, 4:8, 4:8] = 1.0
    for size in (12, 3):
        crop = RandomResizedCrop(size).apply(image, torch.tensor([[4.0, 4.0, 4.0, 4.0]]))
        torch.testing.assert_close(crop, torch.ones_like(crop))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RandomVerticalFlip(1.5), "probability"),
        (lambda: RandomResizedCrop(0), "1 or more"),
        (lambda: RandomResizedCrop(8, (0.5, 1.2)), "between 0 and 1"),
        (lambda: RandomResizedCrop(8, (0.5, 0.2)), "lowest, highest"),
        (lambda: RandomResizedCrop(8, ratio=(0.0, 2.0)), "above 0"),
        (lambda: RandomResizedCrop(8, interpolation="cubic"), "'bilinear' or 'nearest'"),
        (lambda: RandomAffine(-3), "0 or more"),
        (lambda: RandomAffine(math.nan), "angle"),
        (lambda: RandomAffine(0, (0.1, 1.1)), "shares"),
        (lambda: RandomAffine(0, scale=(0.0, 1.0)), "above 0"),
        (lambda: RandomAffine(0, scale=(2.0, 1.0)), "lowest, highest"),
        (lambda: RandomAffine(0, shear=90.0), "-90 and 90"),
        (lambda: RandomCrop(0), "1 or more"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_what_would(make, words):
    with pytest.raises(RequestError) as caught:
        make()
    assert words in str(caught.value)
