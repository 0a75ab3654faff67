"""Augmentation against torchvision's functional transforms, with the same parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as vision

from engine.calls import parse_call
from engine.data.augment import (
    AUGMENTATIONS,
    ColorJitter,
    CutMix,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    TrivialAugment,
    build_augmentations,
)
from engine.data.info import Place
from engine.data.sources import build_source
from engine.errors import RequestError
from engine.rng import generator

IMAGES = torch.rand(40, 3, 9, 7, generator=torch.Generator().manual_seed(0))


def random():
    return generator("cpu", 3, 1)


@given(st.integers(1, 9), st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_crop_equals_torchvision_pad_and_crop_to_the_bit(height, width, padding):
    crop = RandomCrop((height, width), padding=padding)
    drawn = crop.draw(len(IMAGES), (3, 9, 7), random())
    expected = [
        vision.crop(vision.pad(image, [padding]), int(top), int(left), height, width)
        for image, (top, left) in zip(IMAGES, drawn, strict=True)
    ]
    assert torch.equal(crop.apply(IMAGES, drawn), torch.stack(expected))


def test_crop_draws_every_window_of_the_padded_image_and_no_other():
    drawn = RandomCrop(7, padding=1).draw(4000, (1, 8, 7), random())
    assert {tuple(row) for row in drawn.tolist()} == {(top, left) for top in range(4) for left in range(3)}


def test_flip_equals_torchvision_to_the_bit():
    flip = RandomHorizontalFlip(0.5)
    drawn = flip.draw(len(IMAGES), (3, 9, 7), random())
    assert 5 < int(drawn.sum()) < 35
    expected = [vision.hflip(image) if yes else image for image, yes in zip(IMAGES, drawn, strict=True)]
    assert torch.equal(flip.apply(IMAGES, drawn), torch.stack(expected))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_flip_probabilities_of_none_and_all(p):
    drawn = RandomHorizontalFlip(p).draw(500, (1, 2, 2), random())
    assert drawn.float().mean() == p


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (6, 12)])
def test_rotation_equals_torchvision(shape):
    images = torch.rand(30, 2, *shape, generator=torch.Generator().manual_seed(1))
    rotation = RandomRotation(90.0)
    drawn = rotation.draw(30, (2, *shape), random())
    expected = [
        vision.rotate(image, float(angle), interpolation=InterpolationMode.BILINEAR)
        for image, angle in zip(images, drawn, strict=True)
    ]
    torch.testing.assert_close(rotation.apply(images, drawn), torch.stack(expected), atol=2e-5, rtol=0)


def test_rotation_by_a_right_angle_is_a_turn_of_the_array():
    images = IMAGES[:, :, :7, :7]
    turned = RandomRotation((90.0, 90.0)).apply(images, torch.full((len(images),), 90.0))
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), atol=1e-5, rtol=0)


def test_rotation_angles_fill_the_range():
    drawn = RandomRotation(10.0).draw(2000, (1, 4, 4), random())
    assert -10 <= drawn.min() < -9.9
    assert 9.9 < drawn.max() <= 10
    drawn = RandomRotation((20.0, 30.0)).draw(2000, (1, 4, 4), random())
    assert drawn.min() >= 20
    assert drawn.max() <= 30


def test_noise_has_the_standard_deviation_asked_for():
    noise = GaussianNoise(0.3)(torch.zeros(1000, 30), random())
    assert abs(float(noise.std()) - 0.3) < 0.01
    assert abs(float(noise.mean())) < 0.01


EACH = [
    RandomCrop(9, 4),
    RandomResizedCrop(),
    RandomHorizontalFlip(),
    RandomVerticalFlip(),
    RandomRotation(30.0),
    RandomAffine(10, (0.2, 0.2), (0.8, 1.2), 5.0),
    ColorJitter(0.5, 0.5),
    RandomErasing(),
    RandomErasing(value="random"),
    TrivialAugment(),
    GaussianNoise(0.1),
]
MIXING = [MixUp(), CutMix()]


def test_every_augmentation_is_tried_here():
    assert {type(one).__name__ for one in EACH + MIXING} == set(AUGMENTATIONS)


@pytest.mark.parametrize("augmentation", EACH, ids=str)
def test_samples_differ_inputs_stay_and_the_generator_decides(augmentation):
    image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(2))
    batch = image.expand(64, 1, 9, 9).clone()
    before = batch.clone()
    out = augmentation(batch, random())
    assert len(torch.unique(out.flatten(1), dim=0)) >= 2
    assert torch.equal(batch, before)
    assert torch.equal(out, augmentation(batch, random()))
    assert not torch.equal(out, augmentation(batch, generator("cpu", 4)))


@pytest.mark.parametrize("augmentation", EACH + MIXING, ids=str)
def test_what_is_drawn_for_a_sample_does_not_depend_on_its_neighbours_images(augmentation):
    images = torch.rand(16, 3, 9, 9, generator=torch.Generator().manual_seed(3))
    drawn = augmentation.draw(16, (3, 9, 9), random())
    whole = augmentation.apply(images, drawn)
    if augmentation.mixes_targets:
        # Only the one before it comes in.
        changed = images.clone()
        changed[5] = 0
        same = [number for number in range(16) if number not in (5, 6)]
        assert torch.equal(augmentation.apply(changed, drawn)[same], whole[same])
    else:
        alone = torch.cat([augmentation.apply(images[at : at + 1], drawn[at : at + 1]) for at in range(16)])
        torch.testing.assert_close(alone, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("augmentation", EACH + MIXING, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_read_back_from_the_device(augmentation, channels):
    # Tensors of the meta device have no values: what would wait for one fails on them.
    shape = (channels, 9, 9)
    drawn = augmentation.draw(6, shape, random()).to("meta")
    out = augmentation.apply(torch.empty(6, *shape, device="meta"), drawn)
    assert out.shape == (6, *augmentation.output_shape(shape))
    classes = augmentation.apply_targets(torch.empty(6, 4, device="meta"), drawn, 4)
    assert classes.shape == (6, 4)


def info(source):
    return build_source(parse_call(source)).info(Place(Path(".")))


def calls(*texts):
    return tuple(parse_call(text) for text in texts)


@pytest.mark.parametrize(
    ("source", "call", "words"),
    [
        ("Moons()", "RandomCrop(2)", "for images"),
        ("Digits()", "RandomCrop(6)", "RandomCrop(8, padding=2)"),
        ("Digits()", "RandomCrop(20, padding=2)", "does not fit"),
        ("Digits()", "RandomCrops(8)", "RandomCrop"),
        ("Digits()", "RandomHorizontalFlip(p=2)", "probability"),
        ("Digits()", "RandomRotation(-5)", "angle"),
        ("Digits()", "GaussianNoise(-1)", "0 or more"),
        ("Digits()", "RandomCrop(0)", "1 or more"),
    ],
)
def test_what_does_not_suit_the_data_is_refused_with_the_remedy(source, call, words):
    with pytest.raises(RequestError) as caught:
        build_augmentations(calls(call), info(source))
    assert words in str(caught.value)


def test_rotation_corners_are_black_as_from_padding():
    white = torch.ones(1, 1, 8, 8)
    turned = RandomRotation((45.0, 45.0)).apply(white, torch.tensor([45.0]))
    assert turned[0, 0, 0, 0] == 0
    assert torch.equal(RandomCrop(8, 2).apply(white, torch.tensor([[0, 0]])), F.pad(white[..., :6, :6], (2, 0, 2, 0)))
