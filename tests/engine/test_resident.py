"""Batches: each sample once, a function of (seed, epoch, batch), equal to torchvision's transforms to the bit."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import datasets, transforms

from engine.calls import parse_call
from engine.data.info import Place
from engine.data.normalise import Normalise
from engine.data.prepare import prepare
from engine.data.resident import Resident
from engine.data.streamed import Streamed
from engine.errors import RequestError
from engine.rng import Stream, generator
from engine.spec import Data

PLACE = Place(Path("."))
AUGMENT = ("RandomCrop(8, padding=1)", "RandomHorizontalFlip()", "RandomRotation(15)", "GaussianNoise(0.05)")


def numbered(n, width=1):
    return Resident(torch.arange(n * width).view(n, width).float(), torch.arange(n), Normalise(None, None, None))


def digits(*, resident_bytes=None, augment=(), normalize="auto", source="Digits()"):
    data = Data(source=parse_call(source), augment=tuple(map(parse_call, augment)), normalize=normalize)
    return prepare(data, seed=3, device="cpu", place=PLACE, resident_bytes=resident_bytes)


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.number == b.number
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)


@given(st.integers(1, 300), st.integers(1, 80), st.booleans(), st.integers(0, 2**63), st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_every_sample_once_an_epoch_with_its_own_target(n, batch_size, join_single, seed, epoch):
    part = numbered(n)
    batches = list(part.shuffled(seed, epoch, batch_size, join_single=join_single))
    assert torch.equal(torch.cat([batch.targets for batch in batches]).sort().values, torch.arange(n))
    assert all(torch.equal(batch.inputs.flatten().long(), batch.targets) for batch in batches)
    assert [batch.number for batch in batches] == list(range(part.batches(batch_size, join_single=join_single)))
    sizes = [len(batch.targets) for batch in batches]
    assert all(size == batch_size for size in sizes[:-1])
    if join_single and batch_size > 1 and n > 1:
        assert min(sizes) > 1
        assert sizes[-1] <= batch_size + 1
    elif not join_single:
        assert sizes[-1] <= batch_size


@given(st.integers(2, 200), st.integers(1, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_is_the_permutation_of_seed_and_epoch(n, batch_size, data):
    epoch = data.draw(st.integers(0, 1000))
    order = torch.randperm(n, generator=generator("cpu", 9, Stream.ORDER, epoch))
    batches = list(numbered(n).shuffled(9, epoch, batch_size))
    for batch, index in zip(batches, order.split(batch_size), strict=True):
        assert torch.equal(batch.targets, index)


def test_another_order_each_epoch_and_each_seed_and_the_same_again():
    part = numbered(100)

    def order(seed, epoch):
        return tuple(torch.cat([batch.targets for batch in part.shuffled(seed, epoch, 7)]).tolist())

    assert len({order(seed, epoch) for seed in range(3) for epoch in range(5)}) == 15
    assert order(1, 2) == order(1, 2)


@pytest.mark.parametrize("augment", [(), AUGMENT])
@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_starting_at_a_batch_equals_skipping_to_it_to_the_bit(augment, resident_bytes):
    part = digits(augment=augment, resident_bytes=resident_bytes).train
    whole = list(part.shuffled(5, 2, 32))
    for start in (0, 1, 17, len(whole) - 1, len(whole)):
        same(list(part.shuffled(5, 2, 32, start=start)), whole[start:])


@pytest.mark.parametrize("augment", [(), AUGMENT])
def test_normalised_once_or_per_batch_gives_the_same_bits(augment):
    ready, stored = digits(augment=augment), digits(augment=augment, resident_bytes=0)
    assert stored.train.inputs.dtype == torch.uint8
    assert stored.val.inputs.dtype == torch.uint8
    assert ready.val.inputs.dtype == torch.float32
    same(list(ready.train.shuffled(1, 1, 50)), list(stored.train.shuffled(1, 1, 50)))
    same(list(ready.val.ordered(50)), list(stored.val.ordered(50)))


def test_chunks_of_any_size_give_the_same_bits():
    part, small = digits(augment=AUGMENT).train, digits(augment=AUGMENT).train
    small._chunk_samples = 1
    same(list(part.shuffled(1, 1, 33)), list(small.shuffled(1, 1, 33)))


def test_augmentation_differs_between_epochs_batches_and_samples():
    part = digits(augment=("GaussianNoise(1.0)",), normalize="none").train
    plain = digits(normalize="none").train

    def noise(epoch):
        return [
            a.inputs - b.inputs for a, b in zip(part.shuffled(0, epoch, 64), plain.shuffled(0, epoch, 64), strict=True)
        ]

    drawn = [*noise(0), *noise(1)]
    rows = torch.cat([batch.flatten(1) for batch in drawn])
    assert len(torch.unique((rows[:, 0] * 1e4).round())) > 0.9 * len(rows)


def test_evaluation_is_in_order_and_never_augmented():
    augmented, plain = digits(augment=AUGMENT), digits()
    same(list(augmented.val.ordered(100)), list(plain.val.ordered(100)))
    same(list(augmented.train.ordered(100)), list(plain.train.ordered(100)))
    assert torch.equal(torch.cat([batch.targets for batch in plain.val.ordered(7)]), plain.val.targets)


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_writing_to_a_batch_changes_neither_the_data_nor_other_batches(resident_bytes):
    prepared = digits(resident_bytes=resident_bytes)
    expected = [batch.inputs.clone() for batch in prepared.train.shuffled(0, 0, 64)]
    stored = prepared.train.inputs.clone(), prepared.val.inputs.clone()
    for batch, clean in zip(prepared.train.shuffled(0, 0, 64), expected, strict=True):
        assert torch.equal(batch.inputs, clean)
        torch.relu_(batch.inputs)
    for batch in prepared.val.ordered(64):
        torch.relu_(batch.inputs)
    assert torch.equal(prepared.train.inputs, stored[0])
    assert torch.equal(prepared.val.inputs, stored[1])


def test_batches_keep_their_values_while_later_ones_are_handed_out():
    part = digits().train
    kept = list(part.shuffled(0, 0, 16))
    same(kept, [type(batch)(*batch) for batch in part.shuffled(0, 0, 16)])


def test_the_global_generator_is_left_alone():
    part = digits(augment=AUGMENT).train
    before = torch.get_rng_state()
    list(part.shuffled(0, 0, 64))
    assert torch.equal(before, torch.get_rng_state())


def test_whole_numbers_stay_whole_for_an_embedding(tmp_path):
    words = np.arange(60).reshape(20, 3)
    np.savez(tmp_path / "words.npz", x=words, y=np.arange(20) % 2)
    source = f"Tensors({str(tmp_path / 'words.npz')!r})"
    prepared = digits(source=source)
    assert prepared.info.input_dtype == "int64"
    assert prepared.mean is None
    batch = next(iter(prepared.train.shuffled(0, 0, 8)))
    assert batch.inputs.dtype == torch.int64
    with pytest.raises(RequestError, match="whole numbers"):
        digits(source=source, normalize=(0.5, 0.5))
    with pytest.raises(RequestError, match="cannot be augmented"):
        digits(source=source, augment=("GaussianNoise(0.1)",))


def test_noise_on_tables_is_in_standard_deviations_of_the_column():
    noisy, plain = digits(source="Diabetes()", augment=("GaussianNoise(0.5)",)), digits(source="Diabetes()")
    differences = torch.cat(
        [
            a.inputs - b.inputs
            for epoch in range(10)
            for a, b in zip(noisy.train.shuffled(0, epoch, 64), plain.train.shuffled(0, epoch, 64), strict=True)
        ]
    )
    torch.testing.assert_close(differences.std(0), torch.full((10,), 0.5), atol=0.03, rtol=0)


def test_mnist_batches_equal_torchvision_transforms_to_the_bit(data_folder):
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.1307], [0.3081])])
    images = datasets.MNIST(data_folder, train=False, transform=transform)
    data = Data(source=parse_call("MNIST()"), normalize=(0.1307, 0.3081), validation=parse_call("test"))
    expected = torch.stack([images[i][0] for i in range(500)])
    place = Place(data_folder)
    for resident_bytes in (None, 0):
        prepared = prepare(data, seed=0, device="cpu", place=place, resident_bytes=resident_bytes)
        batch = next(iter(prepared.val.ordered(500)))
        assert torch.equal(batch.inputs, expected)
        assert batch.targets.tolist() == images.targets[:500].tolist()
    assert Counter(prepared.train.targets.tolist()) == Counter(datasets.MNIST(data_folder).targets.tolist())


def test_crop_pads_with_black_as_before_normalisation():
    # A white image: after normalisation black is (0 - 0.5) / 0.25 = -2, white is 2, and nothing else may appear.
    white = torch.full((64, 1, 8, 8), 255, dtype=torch.uint8)
    mean, std = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.25)
    from engine.data.augment import RandomCrop

    part = Resident(white, torch.zeros(64), Normalise(torch.tensor(255.0), mean, std), (RandomCrop(8, padding=3),))
    batch = next(iter(part.shuffled(0, 0, 64)))
    assert set(batch.inputs.unique().tolist()) == {-2.0, 2.0}


def test_progress_tells_what_is_placed():
    told = []
    data = Data(source=parse_call("Digits()"))
    prepare(data, seed=0, device="cpu", place=Place(Path("."), progress=lambda *what: told.append(what)))
    assert ("loading the training part", 1437, 1437) in told


def test_data_larger_than_memory_is_not_copied_but_read_where_it_is(monkeypatch):
    ready = digits()
    monkeypatch.setattr(sys.modules["engine.data.prepare"], "free_memory", lambda device: 1000)
    read = digits()
    assert isinstance(read.train, Streamed)
    assert "read from the machine's memory" in read.notes[0]
    same(list(ready.train.shuffled(0, 1, 64)), list(read.train.shuffled(0, 1, 64)))
