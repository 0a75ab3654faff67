"""A few samples to look at: the right ones, read without the rest of the data."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from engine.calls import parse_call
from engine.data.info import Place
from engine.data.samples import LOOKED_AT, augmented_samples, first_of_each, read_samples
from engine.data.sources import build_source
from engine.errors import RequestError


def test_the_first_digit_of_each_class_is_shown_as_it_is_stored() -> None:
    found = read_samples(parse_call("Digits()"), Place(Path("nowhere"))).samples
    assert [sample.label for sample in found[:10]] == [str(digit) for digit in range(10)]
    digits = load_digits()
    for sample in found[:10]:
        wanted = digits.images[list(digits.target).index(int(sample.label))]
        shown = np.frombuffer(sample.pixels, np.uint8).reshape(8, 8)
        np.testing.assert_array_equal(shown, np.round(wanted / 16 * 255))


def test_mnist_is_read_in_part_and_is_what_the_whole_set_holds(data_folder: Path) -> None:
    place = Place(data_folder)
    loaded = build_source(parse_call("MNIST()")).load(place)
    for sample in read_samples(parse_call("MNIST()"), place, count=12).samples:
        labels = loaded.train.targets[:LOOKED_AT].tolist()
        positions = [index for index, label in enumerate(labels) if str(label) == sample.label]
        pictures = [loaded.train.inputs[index].numpy().tobytes() for index in positions[:2]]
        assert sample.pixels in pictures


def idx(path: Path, shape: tuple[int, ...], content: bytes, packed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + content
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("packed", [False, True])
def test_a_packed_set_is_read_without_unpacking_it(tmp_path: Path, packed: bool) -> None:
    raw = tmp_path / "KMNIST" / "raw"
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    for prefix in ("train", "t10k"):
        idx(raw / f"{prefix}-images-idx3-ubyte", (20, 28, 28), pictures.tobytes(), packed)
        idx(raw / f"{prefix}-labels-idx1-ubyte", (20,), bytes(range(10)) * 2, packed)
    found = read_samples(parse_call("KMNIST()"), Place(tmp_path), count=12).samples
    assert [np.frombuffer(sample.pixels, np.uint8).tobytes() for sample in found] == [
        pictures[index].tobytes() for index in (*range(10), 10, 11)
    ]
    assert len(list(raw.iterdir())) == 4


def test_a_file_that_is_damaged_or_missing_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--download"):
        read_samples(parse_call("MNIST()"), Place(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").parent.mkdir(parents=True, exist_ok=True)
        (raw / f"{name}-ubyte").write_bytes(b"<html>not found</html>")
    with pytest.raises(RequestError, match="is not an IDX file"):
        read_samples(parse_call("MNIST()"), Place(tmp_path))
    idx(raw / "train-labels-idx1-ubyte", (20,), bytes(20))
    idx(raw / "train-images-idx3-ubyte", (20, 2**31, 2**31), b"")
    with pytest.raises(RequestError, match="damaged"):
        read_samples(parse_call("MNIST()"), Place(tmp_path))


def test_a_set_that_is_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    for prefix in ("train", "t10k"):
        idx(raw / f"{prefix}-images-idx3-ubyte", (20, 28, 28), bytes(28 * 28 * 3 + 5))
        idx(raw / f"{prefix}-labels-idx1-ubyte", (20,), bytes((3, 1, 3)) + bytes(17))
    assert [sample.label for sample in read_samples(parse_call("MNIST()"), Place(tmp_path)).samples] == ["1", "3", "3"]


def test_a_table_gives_values_and_what_is_to_be_predicted() -> None:
    found = read_samples(parse_call("Diabetes()"), Place(Path("nowhere")), count=3).samples
    assert [sample.label for sample in found] == ["151", "75", "141"]
    assert found[0].shape == ()
    assert found[0].values[0] == 59


def test_a_large_file_is_not_read_for_a_look(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    with open(path, "wb") as file:
        file.truncate(65 * 1024**2)
    with pytest.raises(RequestError, match="too much to be read"):
        read_samples(parse_call(f"Tensors('{path}')"), Place(tmp_path))


def test_classes_take_turns() -> None:
    assert first_of_each([1, 1, 0, 1, 2, 0], 12) == [2, 0, 4, 5, 1, 3]
    assert first_of_each([1, 1, 0], 2) == [2, 0]
    assert first_of_each([], 3) == []


def photographs(folder: Path) -> Place:
    from PIL import Image

    (folder / "pets").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(40):
        pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pets" / f"{'cat' if number < 30 else 'dog'}.{number}.png")
    return Place(folder)


SOURCE = "LabelledFiles('pets', pattern='{label}.{id}.png', size=16)"


def test_of_photographs_a_few_are_decoded_and_no_more(tmp_path: Path) -> None:
    from engine.data import decoding

    place = photographs(tmp_path)
    before = decoding.count
    found = read_samples(parse_call(SOURCE), place, count=6).samples
    assert decoding.count - before == 6
    assert [sample.label for sample in found] == ["cat", "dog"] * 3
    loaded = build_source(parse_call(SOURCE)).load(place)
    first = {label: loaded.train.inputs[loaded.train.targets.tolist().index(label)] for label in (0, 1)}
    for label, sample in enumerate(found[:2]):
        shown = np.frombuffer(sample.pixels, np.uint8).reshape(16, 16, 3)
        np.testing.assert_array_equal(shown, first[label].permute(1, 2, 0).numpy())


def test_a_photograph_that_is_broken_is_passed_over(tmp_path: Path) -> None:
    place = photographs(tmp_path)
    (tmp_path / "pets" / "cat.0.png").write_bytes(b"broken")
    assert len(read_samples(parse_call(SOURCE), place, count=6).samples) == 6
    for path in (tmp_path / "pets").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(RequestError, match=r"\.png: .* picture"):
        read_samples(parse_call(SOURCE), place)


def test_augmented_samples_are_another_draw_each_turn_and_the_same_for_the_same(tmp_path: Path) -> None:
    place = photographs(tmp_path)
    info = build_source(parse_call(SOURCE)).info(place)
    samples = read_samples(parse_call(SOURCE), place, count=6)
    calls = [parse_call("RandomCrop(16, padding=4)"), parse_call("MixUp(1.0)")]
    draws = [augmented_samples(samples, calls, info, turn) for turn in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    for sample in draws[0].samples:
        assert sum(share for _, share in sample.shares) == pytest.approx(1, abs=0.01)
        assert list(sample.shares) == sorted(sample.shares, key=lambda pair: -pair[1])
    assert augmented_samples(samples, [], info, 0) == samples
    flipped = augmented_samples(samples, [parse_call("RandomVerticalFlip(1.0)")], info, 0).samples[0]
    before = np.frombuffer(samples.samples[0].pixels, np.uint8).reshape(16, 16, 3)
    np.testing.assert_array_equal(np.frombuffer(flipped.pixels, np.uint8).reshape(16, 16, 3), before[::-1])
