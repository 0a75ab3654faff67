"""Colour, erasing and TrivialAugment against torchvision's transforms of float images, and what is drawn for them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats
from torchvision.transforms import functional as vision
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as vision_v2

from engine.data import augmentation as augmentation_module
from engine.data import colours
from engine.data.augment import ColorJitter, RandomErasing, TrivialAugment
from engine.data.augment_trivial import SPACE
from engine.errors import RequestError
from tests.engine.augmenting import independent, pictures, random

STEPS = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation, vision.adjust_hue)


def special(channels: int):
    """Pictures at the edges of what colours can be: black, white, one colour, pure colours, a grey ramp."""
    flat = [torch.full((channels, 9, 7), level) for level in (0.0, 1.0, 0.3)]
    pure = torch.zeros(channels, 9, 7)
    pure[0] = 1.0
    ramp = torch.linspace(0, 1, 63).view(1, 9, 7).expand(channels, 9, 7)
    return torch.stack([*flat, pure, ramp])


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_torchvision_in_the_order_drawn(channels):
    images = torch.cat([pictures(40, channels, 9, 7), special(channels)])
    jitter = ColorJitter(0.6, (0.2, 1.9), 0.8, 0.5)
    drawn = jitter.draw(len(images), tuple(images.shape[1:]), random())
    expected = []
    for image, row in zip(images, drawn.tolist(), strict=True):
        for step in row[4:]:
            image = STEPS[int(step)](image, row[int(step)])
        expected.append(image)
    torch.testing.assert_close(jitter.apply(images, drawn), torch.stack(expected), atol=2e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs", "bits"),
    [
        (colours.brightness, vision.adjust_brightness, True),
        (colours.contrast, vision.adjust_contrast, False),
        (colours.saturation, vision.adjust_saturation, True),
        (colours.hue, vision.adjust_hue, False),
        (colours.sharpness, vision.adjust_sharpness, False),
        (colours.solarize, vision.solarize, True),
    ],
)
def test_each_change_of_colour_equals_torchvision(ours, theirs, bits, channels):
    images = torch.cat([pictures(6, channels, 9, 7), special(channels)])
    hue = ours is colours.hue
    factors = torch.linspace(-0.5, 0.5, len(images)) if hue else torch.linspace(0, 1 if "sol" in str(ours) else 2, 11)
    expected = torch.stack([theirs(image, factor) for image, factor in zip(images, factors.tolist(), strict=True)])
    found = ours(images, factors)
    assert torch.equal(found, expected) if bits else torch.allclose(found, expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_changes_without_a_factor_equal_torchvision(channels):
    images = torch.cat([pictures(6, channels, 40, 30).pow(2), pictures(6, channels, 40, 30)])
    for batch in (images, special(channels)):
        torch.testing.assert_close(
            colours.autocontrast(batch), torch.stack([vision.autocontrast(i) for i in batch]), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(colours.equalize(batch), torch.stack([vision_v2.equalize(i) for i in batch]))
        levels = (batch * 255).round().to(torch.uint8)
        torch.testing.assert_close(
            colours.equalize(levels / 255), torch.stack([vision.equalize(i) for i in levels]) / 255, atol=1e-6, rtol=0
        )
        for bits in range(2, 9):
            expected = torch.stack([vision_v2.posterize(image, bits) for image in batch])
            assert torch.equal(colours.posterize(batch, torch.full((len(batch),), float(bits))), expected)


def test_posterize_of_floats_keeps_the_levels_that_bytes_have():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    bits = torch.tensor([3.0])
    floats, of_bytes = colours.posterize(levels.unsqueeze(0) / 255, bits)[0], vision.posterize(levels, 3)
    # Where they differ: 7/8 of white against 224/255, and a level on a border, which is k/255 and not k/256.
    assert float((floats * 8 - of_bytes // 32).abs().max()) <= 1
    assert float((floats * 8 == of_bytes // 32).float().mean()) > 0.95
    assert float(floats.max()) == 7 / 8


def test_jitter_draws_every_order_and_every_factor_evenly():
    n = 6000
    drawn = ColorJitter(0.4, (0.5, 2.0), 1.7, (-0.1, 0.3)).draw(n, (3, 4, 4), random())
    orders = dict.fromkeys(itertools.permutations(range(4)), 0)
    for row in drawn[:, 4:].to(torch.int64).tolist():
        orders[tuple(row)] += 1
    assert stats.chisquare(list(orders.values())).pvalue > 1e-3
    # A number above 1 reaches down to 0, not below.
    for column, (low, high) in enumerate([(0.6, 1.4), (0.5, 2.0), (0.0, 2.7), (-0.1, 0.3)]):
        assert stats.kstest(drawn[:, column].numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert all(independent(column, n) for column in drawn.unbind(1))
    correlations = torch.corrcoef(drawn[:, :4].T.double()) - torch.eye(4)
    assert float(correlations.abs().max()) < 5 / math.sqrt(n)


def test_jitter_of_nothing_is_a_copy():
    images = pictures()
    out = ColorJitter()(images, random())
    assert torch.equal(out, images)
    assert out.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("augmentation", [ColorJitter(0.5, 0.5, 0.5, 0.2), TrivialAugment()])
def test_computed_for_all_images_or_for_those_drawn_the_results_are_the_same(augmentation, monkeypatch):
    # On other devices than the CPU nothing is read back to know how many images are in a group.
    images = pictures(60)
    drawn = augmentation.draw(60, (3, 18, 15), random())
    grouped = augmentation.apply(images, drawn)
    monkeypatch.setattr(augmentation_module, "_grouped", augmentation_module.for_all)
    torch.testing.assert_close(augmentation.apply(images, drawn), grouped, atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [0.5, (0.1, 0.2, 0.3), "random"])
def test_erasing_equals_torchvision_to_the_bit(value):
    images = pictures(40)
    erasing = RandomErasing(0.7, value=value)
    drawn = erasing.draw(40, (3, 18, 15), random())
    expected = []
    for image, row in zip(images, drawn, strict=True):
        top, left, height, width = (int(number) for number in row[:4])
        if value == "random":
            paint = row[4:].view(3, 18, 15)[:, top : top + height, left : left + width]
        else:
            paint = torch.tensor(value).view(-1, 1, 1)
        expected.append(vision.erase(image, top, left, height, width, paint))
    found = erasing.apply(images, drawn)
    assert torch.equal(found, torch.stack(expected))
    assert 5 < int((found != images).flatten(1).any(1).sum()) < 40


def test_erased_rectangles_have_the_share_and_the_shape_asked_for():
    n = 4000
    drawn = RandomErasing(0.6, (0.1, 0.2), (0.5, 2.0)).draw(n, (3, 900, 900), random())
    erased = drawn[:, 2] > 0
    assert stats.binomtest(int(erased.sum()), n, 0.6).pvalue > 1e-4
    assert independent(erased, n)
    top, left, height, width = drawn[erased].unbind(1)
    assert stats.kstest((height * width / 900**2).numpy(), "uniform", (0.1, 0.1)).pvalue > 1e-3
    ratio = torch.log(height / width).numpy()
    assert stats.kstest(ratio, "uniform", (-math.log(2), 2 * math.log(2))).pvalue > 1e-3
    assert stats.kstest((left / (901 - width)).numpy(), "uniform").pvalue > 1e-3
    assert (top + height <= 900).all()


def test_a_rectangle_that_fits_nowhere_erases_nothing():
    drawn = RandomErasing(1.0, (1.0, 1.0), (1.0, 1.0)).draw(20, (1, 8, 8), random())
    assert not drawn.any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("number", range(len(SPACE)))
def test_each_operation_of_trivial_augment_equals_torchvision(number, channels):
    name = SPACE[number][0]
    trivial, reference = TrivialAugment(), v2.TrivialAugmentWide()
    images = pictures(12, channels, 40, 36)
    drawn = trivial.draw(2000, (channels, 40, 36), random())
    drawn = drawn[drawn[:, 0] == number][:12]
    assert len(drawn) == 12
    expected = [
        reference._apply_image_or_video_transform(image, name, magnitude, "nearest", {torch.Tensor: None})
        for image, magnitude in zip(images, drawn[:, 1].tolist(), strict=True)
    ]
    found, expected = trivial.apply(images, drawn), torch.stack(expected)
    if name in ("Rotate", "ShearX", "ShearY"):
        # A source on the border between two pixels, to the last bit of float32, may fall to either.
        assert float((found != expected).float().mean()) < 2e-3
    else:
        torch.testing.assert_close(found, expected, atol=5e-6, rtol=0)


def test_trivial_augment_draws_each_operation_and_each_magnitude_evenly():
    n = 14 * 31 * 40
    which, magnitude = TrivialAugment().draw(n, (3, 8, 8), random()).unbind(1)
    assert stats.chisquare(torch.bincount(which.to(torch.int64), minlength=14).numpy()).pvalue > 1e-3
    assert independent(which, n)
    assert independent(magnitude, n)
    reference = v2.TrivialAugmentWide()._AUGMENTATION_SPACE
    assert list(reference) == [name for name, _, _ in SPACE]
    for number, (name, (magnitudes, signed)) in enumerate(reference.items()):
        drawn = magnitude[which == number]
        expected = magnitudes(31, 8, 8)
        if expected is None:
            assert not drawn.any()
            continue
        expected = expected.float()
        steps = torch.unique(torch.cat([expected, -expected]) if signed else expected)
        assert torch.equal(torch.unique(drawn), steps), name
        if signed:
            strong = drawn[drawn != 0]
            assert stats.binomtest(int((strong > 0).sum()), len(strong), 0.5).pvalue > 1e-4
        if name != "Posterize":
            counts = torch.bincount((drawn.abs() / expected.abs().max() * 30).round().to(torch.int64), minlength=31)
            assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ColorJitter(-0.1), "0 or more"),
        (lambda: ColorJitter(contrast=(-0.5, 1.0)), "0 or more"),
        (lambda: ColorJitter(saturation=(1.5, 1.0)), "lowest, highest"),
        (lambda: ColorJitter(hue=0.6), "-0.5 and 0.5"),
        (lambda: ColorJitter(0.1).output_shape((4, 8, 8)), "1 or 3 channels"),
        (lambda: TrivialAugment().output_shape((2, 8, 8)), "1 or 3 channels"),
        (lambda: TrivialAugment(1), "2 or more"),
        (lambda: RandomErasing(2), "probability"),
        (lambda: RandomErasing(scale=(0.1, 1.5)), "between 0 and 1"),
        (lambda: RandomErasing(value="noise"), "'random'"),
        (lambda: RandomErasing(value=(0.1, 0.2)).output_shape((3, 8, 8)), "3 channels"),
        (lambda: RandomErasing(value=math.nan), "finite"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_with_what_would(make, words):
    with pytest.raises(RequestError) as caught:
        make()
    assert words in str(caught.value)
