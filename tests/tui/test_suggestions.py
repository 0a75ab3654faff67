"""Layers by a few letters: what words mean, and that what is suggested can be built."""

from __future__ import annotations

import pytest

import engine.check  # noqa: F401
from engine.catalogue import entries
from engine.shapes import propagate
from tui.blocks import BLOCKS, blocks
from tui.layer_tree import read
from tui.suggestions import Incoming, outcome, suggest, wrong_layers

PICTURE = Incoming((1, 8, 8), "float32", {"classes": 10, "channels": 1, "features": 64, "epochs": 2})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("conv 32 3", "Conv2d(32, 3)"),
        ("lin 300", "Linear(300)"),
        ("lin classes", "Linear(classes)"),
        ("bn", "BatchNorm2d()"),
        ("ln", "LayerNorm()"),
        ("drop .5", "Dropout(0.5)"),
        ("batch norm", "BatchNorm2d()"),
        ("max pool 2", "MaxPool2d(2)"),
        ("maxpool 2", "MaxPool2d(2)"),
        ("conv 8 3x5", "Conv2d(8, (3, 5))"),
        ("conv 8, 3, padding=1", "Conv2d(8, 3, padding=1)"),
        ("conv 8 3 p=1 s=2", "Conv2d(8, 3, padding=1, stride=2)"),
        ("conv 8 3 padding=same bias=false", "Conv2d(8, 3, padding='same', bias=False)"),
        ("lin 64 frozen=true", "Linear(64, frozen=True)"),
        ("res conv 32 3", "Residual(Conv2d(32, 3, padding=1))"),
        ("res conv 32 3 bn relu", "Residual(Conv2d(32, 3, padding=1), BatchNorm2d(), ReLU())"),
        ("rep 2 conv 8 1 relu", "Repeat(2, Conv2d(8, 1), ReLU())"),
        ("par merge=add conv 8 1 conv 8 1", "Parallel(Conv2d(8, 1), Conv2d(8, 1), merge='add')"),
        ("conv padding=1 8 3", "Conv2d(8, 3, padding=1)"),
        ("lin 64 relu", "Linear(64), ReLU()"),
        ("flatten lin 300 bn relu", "Flatten(), Linear(300), BatchNorm1d(), ReLU()"),
        ("Linear(3)", "Linear(3)"),
        ("nn.Linear(64, 3)", "nn.Linear(64, 3)"),
    ],
)
def test_words_mean_the_layer_that_people_would_mean(typed: str, meant: str) -> None:
    found = suggest(typed, PICTURE.shape)
    assert found
    assert found[0].call == meant
    assert read(found[0].call) == read(meant)


@pytest.mark.parametrize("name", sorted(entries("layers")))
def test_every_layer_is_found_first_by_its_name_in_small_letters(name: str) -> None:
    found = suggest(name.lower(), PICTURE.shape)
    assert found
    assert found[0].name == name


def test_a_layer_that_cannot_be_used_is_shown_with_the_reason_where_its_name_is_typed_in_full() -> None:
    found = suggest("bilinear", PICTURE.shape) or []
    assert found[0].name == "Bilinear"
    assert "two inputs" in found[0].refused
    assert not any(one.refused for one in suggest("bilin", PICTURE.shape) or [])
    assert "two inputs" in wrong_layers("Bilinear(3)")


def test_layers_with_fewer_arguments_than_were_typed_are_not_meant() -> None:
    assert all(wrong_layers(one.call) == "" or one.incomplete for one in suggest("conv 32 3", PICTURE.shape) or [])
    assert "ReLU" not in [one.name for one in suggest("lin 300", PICTURE.shape) or []]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_fits_what_it_is_meant_for(block: object) -> None:
    for shape in ((16,), (8, 16), (16, 8, 8), (16, 4, 4, 4)):
        for _, fits, found, text in blocks(block.name, shape):  # type: ignore[attr-defined]
            if found is block and fits:
                assert propagate(read(text), shape, symbols={"classes": 10}).problem is None
    assert any(len(shape) in block.ranks for shape in ((16,), (8, 16), (16, 8, 8)))  # type: ignore[attr-defined]


def test_the_shape_that_comes_out_is_that_of_all_layers_that_are_added() -> None:
    assert outcome("Conv2d(32, 3), Flatten(), Linear(classes)", PICTURE) == (10,)
    assert outcome("Linear(3)", PICTURE) is None


def test_wrong_layers_are_told_at_every_depth_and_among_several() -> None:
    assert wrong_layers("ReLU(), Sequential(Residual(Linear(3)))") == ""
    assert "did you mean `Linear`" in wrong_layers("ReLU(), Sequential(Residual(Liner(3)))")
