"""Which samples are held out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from engine.calls import parse_call
from engine.data.info import DataInfo, Place
from engine.data.prepare import check_data, prepare
from engine.data.sources import build_source
from engine.data.split import split
from engine.errors import RequestError
from engine.spec import Data
from tests.engine.pictures import image_folder

PLACE = Place(Path("."))


def described(k):
    names = tuple(f"class{label}" for label in range(k))
    return DataInfo((1,), "float32", "classes", names, k, None, None, image=False)


def made(source, seed=0, **settings):
    given_settings = {name: parse_call(value) if name == "validation" else value for name, value in settings.items()}
    return prepare(Data(source=parse_call(source), **given_settings), seed=seed, device="cpu", place=PLACE)


@given(st.integers(2, 5), st.integers(20, 60), st.floats(0.1, 0.9), st.integers(0, 2**64 - 1))
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_complete_and_stratified(k, each, fraction, seed):
    labels = torch.arange(k).repeat(each)
    train, val = split(labels, described(k), fraction, True, seed)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(k * each))
    counts = torch.bincount(labels[val], minlength=k)
    assert int(counts.max() - counts.min()) <= 1
    assert abs(len(val) - fraction * k * each) < 1
    again, _ = split(labels, described(k), fraction, True, seed)
    assert torch.equal(train, again)


def test_another_seed_holds_out_others():
    labels = torch.arange(4).repeat(25)
    assert not torch.equal(split(labels, described(4), 0.2, True, 0)[1], split(labels, described(4), 0.2, True, 1)[1])


def test_a_class_of_one_is_refused_by_name_and_can_be_had_without_strata():
    labels = torch.tensor([0] * 20 + [1] * 20 + [2])
    with pytest.raises(RequestError, match=r"class 'class2' has one sample.*stratify=False"):
        split(labels, described(3), 0.2, True, 0)
    train, val = split(labels, described(3), 0.2, False, 0)
    assert len(train) + len(val) == 41


def test_a_part_too_small_for_every_class_is_refused():
    with pytest.raises(RequestError, match="3 classes"):
        split(torch.arange(3).repeat(10), described(3), 0.05, True, 0)


@pytest.mark.parametrize("fraction", ["0", "1", "1.5", "-0.1"])
def test_shares_outside_zero_to_one_are_refused(fraction):
    with pytest.raises(RequestError, match="between 0 and 1"):
        made("Digits()", validation=f"holdout({fraction})")


def test_validation_on_a_test_split_that_is_not_there_is_refused():
    with pytest.raises(RequestError, match="no official test split"):
        made("Digits()", validation="test")


def test_validation_none_trains_on_everything():
    prepared = made("Digits()", validation="none")
    assert len(prepared.train) == 1797
    assert prepared.val is None
    assert prepared.test is None


def test_test_split_validates_or_is_kept_for_the_end(tmp_path):
    path = tmp_path / "d.npz"
    random = np.random.default_rng(0)
    np.savez(
        path,
        x=random.normal(size=(50, 3)),
        y=np.arange(50) % 2,
        x_test=random.normal(size=(11, 3)),
        y_test=np.arange(11) % 2,
    )
    held = made(f"Tensors({str(path)!r})", validation="holdout(0.2)")
    assert [len(held.train), len(held.val), len(held.test)] == [40, 10, 11]
    official = made(f"Tensors({str(path)!r})", validation="test")
    assert [len(official.train), len(official.val), official.test] == [50, 11, None]


def test_statistics_come_from_the_training_part_alone():
    prepared = made("Diabetes()", validation="holdout(0.3)", seed=5)
    raw = made("Diabetes()", validation="holdout(0.3)", seed=5, normalize="none")
    scaler = StandardScaler().fit(raw.train.inputs.numpy().astype(np.float64))
    np.testing.assert_allclose(prepared.mean.numpy(), scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(prepared.std.numpy(), scaler.scale_, rtol=1e-6)
    expected = (raw.val.inputs - prepared.mean) / prepared.std
    assert torch.equal(prepared.val.inputs, expected)


def test_image_statistics_are_per_channel(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, size=(60, 3, 5, 4), dtype=np.uint8)
    images[:, 1] //= 4
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(60) % 3)
    prepared = made(f"Tensors({str(tmp_path / 'd.npz')!r})", validation="none")
    np.testing.assert_allclose(prepared.mean.numpy(), (images / 255).mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(prepared.std.numpy(), (images / 255).std((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_constant_channel_becomes_zero_not_nan(tmp_path, dtype):
    images = np.full((20, 1, 3, 3), 7, dtype=dtype)
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(20) % 2)
    prepared = made(f"Tensors({str(tmp_path / 'd.npz')!r})")
    assert prepared.std.tolist() == [1.0]
    assert torch.equal(prepared.train.inputs, torch.zeros(16, 1, 3, 3))


def test_targets_are_standardised_on_request_and_come_back():
    data = Data(source=parse_call("Diabetes()"))
    raw = prepare(data, seed=0, device="cpu", place=PLACE)
    own = prepare(data, seed=0, device="cpu", place=PLACE, standardize_targets=True)
    assert raw.target_mean is None
    assert abs(float(own.train.targets.mean())) < 1e-5
    assert abs(float(own.train.targets.std(correction=0)) - 1) < 1e-5
    torch.testing.assert_close(own.val.targets * own.target_std + own.target_mean, raw.val.targets)


@pytest.mark.parametrize(
    ("normalize", "words"),
    [(((0.1, 0.2), 0.5), "2 numbers as mean"), ((0.5, (0.1, 0.1, 0.1)), "1 channel;")],
)
def test_normalisation_that_does_not_fit_is_refused(normalize, words):
    with pytest.raises(RequestError) as caught:
        made("Digits()", normalize=normalize)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        "Digits()", "Diabetes()", "Moons(n=31)", "Spirals(n=32, classes=5)", "Blobs(n=17, classes=4)",
        'Tensors("d.npz")', 'CSV("d.csv", target="y")', 'CSV("d.csv", target="x")', 'ImageFolder("pets", size=8)',
    ],
)  # fmt: skip
def test_counts_of_classes_that_are_known_before_are_those_of_the_training_part(tmp_path, call):
    labels = [0, 1, 1, 2, 0, 1, 2, 2, 2]
    np.savez(tmp_path / "d.npz", x=np.eye(9), y=labels, x_test=np.eye(9)[:2], y_test=labels[:2])
    (tmp_path / "d.csv").write_text("x,y\n" + "\n".join(f"{row}.5,{'abc'[row % 3 or row % 2]}" for row in range(9)))
    for part, counts in (("train", {"cat": 3, "dog": 5}), ("val", {"cat": 2, "dog": 1})):
        image_folder(tmp_path / "pets", counts, part)
    source, place = build_source(parse_call(call)), Place(tmp_path)
    loaded = source.load(place)
    counted = np.bincount(loaded.train.targets) if loaded.info.kind == "classes" else []
    assert list(source.info(place).class_counts) == list(loaded.info.class_counts) == list(counted)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.floats(0.01, 0.99), st.booleans(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_a_split_is_refused_before_where_it_cannot_be_and_nowhere_else(counts, fraction, stratify, seed):
    k, n = len(counts), sum(counts)
    info = replace(described(k), train=n, class_counts=tuple(counts))
    call = parse_call(f"holdout({fraction}, stratify={stratify})")
    found = check_data(Data(source=parse_call("Digits()"), validation=call), info)
    told = None if found is None else str(found[1])
    raised = None
    try:
        split(torch.repeat_interleave(torch.arange(k), torch.tensor(counts)), info, fraction, stratify, seed)
    except RequestError as error:
        raised = str(error)
    assert told == raised
    assert found is None or found[0] == "validation"
