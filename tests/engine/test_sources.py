"""Sources against the packages that the data comes from, and files that are wrong."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn import datasets as sklearn_sets
from torchvision import datasets

from engine import catalogue
from engine.calls import parse_call
from engine.data.info import Place
from engine.data.sources import SOURCES, build_source
from engine.errors import RequestError

HERE = Place(Path("."))


def load(call, place=HERE):
    return build_source(parse_call(call)).load(place)


def refused(call, place=HERE):
    with pytest.raises(RequestError) as caught:
        build_source(parse_call(call)).load(place)
    return str(caught.value)


def test_every_source_is_in_the_catalogue_with_a_line_for_people():
    entries = catalogue.entries("sources")
    assert set(entries) == set(SOURCES)
    assert all(entry.line for entry in entries.values())
    assert [parameter.name for parameter in entries["CSV"].parameters][:2] == ["path", "target"]


def test_digits_are_those_of_scikit_learn():
    loaded = load("Digits()")
    own = sklearn_sets.load_digits()
    assert loaded.train.inputs.shape == (1797, 1, 8, 8)
    np.testing.assert_array_equal(loaded.train.inputs[:, 0].numpy(), own.images)
    np.testing.assert_array_equal(loaded.train.targets.numpy(), own.target)
    assert loaded.train.scale == 16
    assert loaded.train.inputs.dtype == torch.uint8
    assert loaded.test is None


def test_diabetes_is_in_its_own_units():
    loaded = load("Diabetes()")
    own = sklearn_sets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(loaded.train.inputs.numpy(), own.data.astype("float32"))
    np.testing.assert_array_equal(loaded.train.targets[:, 0].numpy(), own.target.astype("float32"))


def test_mnist_equals_torchvision_with_the_official_split(data_folder):
    loaded = load("MNIST()", Place(data_folder))
    for part, train in ((loaded.train, True), (loaded.test, False)):
        own = datasets.MNIST(data_folder, train=train)
        assert torch.equal(part.inputs[:, 0], own.data)
        assert torch.equal(part.targets, own.targets)
    assert loaded.info == build_source(parse_call("MNIST()")).info(HERE)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100"])
def test_info_of_torchvision_sets_needs_no_data(name, tmp_path):
    info = build_source(parse_call(name)).info(Place(tmp_path))
    assert info.outputs == len(info.classes) == len(set(info.classes)) == (100 if name == "CIFAR100" else 10)
    if name in ("FashionMNIST", "KMNIST"):
        assert list(info.classes) == getattr(datasets, name).classes
    assert not list(tmp_path.iterdir())


def test_toy_sets_are_those_of_scikit_learn_and_repeat():
    points, labels = sklearn_sets.make_moons(50, noise=0.2, random_state=3)
    moons = load("Moons(50, noise=0.2, seed=3)").train
    np.testing.assert_array_equal(moons.inputs.numpy(), points.astype("float32"))
    np.testing.assert_array_equal(moons.targets.numpy(), labels)
    blobs = load("Blobs(n=60, classes=4, features=3)").train
    assert blobs.inputs.shape == (60, 3)
    assert blobs.targets.unique().tolist() == [0, 1, 2, 3]


def test_spirals_without_noise_lie_on_their_arms():
    part = load("Spirals(n=300, classes=3, noise=0, turns=1.25)").train
    radius = part.inputs.double().norm(dim=1)
    angle = torch.atan2(part.inputs[:, 1].double(), part.inputs[:, 0].double())
    turned = angle / (2 * torch.pi) - 1.25 * radius - part.targets / 3
    assert float((turned - turned.round()).abs().max()) < 1e-4
    assert torch.bincount(part.targets).tolist() == [100, 100, 100]
    assert float(radius.max()) <= 1


@pytest.mark.parametrize("call", ["Moons(n=1)", "Blobs(classes=1)", "Spirals(noise=-1)", "Moons(seed=-1)"])
def test_impossible_toys_are_refused(call):
    assert "use" in refused(call)


# -- files of MNIST --------------------------------------------------------------------------------------------------


def idx(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist(folder, name="MNIST", n=12):
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx((np.arange(n) % 10).astype(np.uint8)))
    return raw


def test_missing_data_names_folder_files_and_command(tmp_path):
    message = refused("FashionMNIST()", Place(tmp_path))
    assert str(tmp_path / "FashionMNIST" / "raw") in message
    assert "train-images-idx3-ubyte" in message
    assert "--download" in message
    assert not list(tmp_path.iterdir())
    message = refused("CIFAR10()", Place(tmp_path))
    assert str(tmp_path / "cifar-10-batches-py") in message


def test_a_part_of_mnist_is_counted_as_it_is(tmp_path):
    small_mnist(tmp_path)
    loaded = load("MNIST()", Place(tmp_path))
    assert (loaded.info.train, loaded.info.test) == (12, 12)


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:5000], "damaged or not an IDX file (5,000 bytes)"),
        ("train-images-idx3-ubyte", lambda data: b"", "damaged"),
        ("t10k-labels-idx1-ubyte", lambda data: b"<html>not found</html>", "damaged"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:8] + b"\x0b" * 12, "has label 11; the labels are 0 to 9"),
        ("t10k-labels-idx1-ubyte", lambda data: idx(np.zeros(11, np.uint8)), "has 12 images, but"),
        ("train-images-idx3-ubyte", lambda data: idx(np.zeros((12, 8, 8), np.uint8)), "not (N, 28, 28)"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, file, damage, words):
    path = small_mnist(tmp_path) / file
    path.write_bytes(damage(path.read_bytes()))
    message = refused("MNIST()", Place(tmp_path))
    assert str(path) in message
    assert words in message


def test_archives_put_there_by_hand_are_unpacked_when_their_checksum_is_right(tmp_path, monkeypatch):
    import hashlib

    raw = small_mnist(tmp_path)
    resources = []
    for path in sorted(raw.iterdir()):
        packed = gzip.compress(path.read_bytes())
        path.with_name(path.name + ".gz").write_bytes(packed)
        resources.append((path.name + ".gz", hashlib.md5(packed).hexdigest()))
        path.unlink()
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert load("MNIST()", Place(tmp_path)).info.train == 12
    (raw / "t10k-labels-idx1-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"broken")
    assert "t10k-labels-idx1-ubyte.gz is damaged" in refused("MNIST()", Place(tmp_path))


def test_pickles_of_cifar_are_not_opened_with_a_wrong_checksum(tmp_path):
    known = datasets.CIFAR10
    folder = tmp_path / known.base_folder
    folder.mkdir()

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "opened",))

    for name, _ in [*known.train_list, *known.test_list, (known.meta["filename"], "")]:
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    assert "data_batch_1 is damaged" in refused("CIFAR10()", Place(tmp_path))
    assert not (tmp_path / "opened").exists()


# -- arrays ----------------------------------------------------------------------------------------------------------

X, Y = np.arange(24, dtype=np.float64).reshape(8, 3), np.arange(8) % 2


@pytest.fixture(params=["npz", "safetensors"])
def store(request, tmp_path):
    def write(**arrays):
        path = tmp_path / f"d.{request.param}"
        if request.param == "npz":
            np.savez(path, **arrays)
        else:
            save_file({name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}, path)
        return f"Tensors({str(path)!r})"

    return write


def test_tables_and_test_split(store):
    loaded = load(store(x=X, y=Y, x_test=X[:3], y_test=Y[:3]))
    assert loaded.train.inputs.tolist() == X.tolist()
    assert loaded.train.inputs.dtype == torch.float32
    assert loaded.train.targets.tolist() == Y.tolist()
    assert (loaded.info.kind, loaded.info.outputs, loaded.info.train, loaded.info.test) == ("classes", 2, 8, 3)
    assert not loaded.info.image


def test_what_the_arrays_are(store):
    grey = load(store(x=np.zeros((4, 6, 5), np.uint8), y=Y[:4]))
    assert grey.info.input_shape == (1, 6, 5)
    assert grey.info.image
    assert (grey.train.scale, grey.train.inputs.dtype) == (255.0, torch.uint8)
    colour = load(store(x=np.zeros((4, 3, 6, 5), np.uint8), y=Y[:4]))
    assert colour.info.input_shape == (3, 6, 5)
    tokens = load(store(x=np.arange(12, dtype=np.int32).reshape(4, 3), y=Y[:4]))
    assert (tokens.info.input_dtype, tokens.train.inputs.dtype) == ("int64", torch.int64)
    values = load(store(x=X, y=np.linspace(0, 1, 8)))
    assert (values.info.kind, values.train.targets.shape) == ("values", (8, 1))
    several = load(store(x=X, y=np.eye(8)[:, :4]))
    assert (several.info.kind, several.info.outputs) == ("multilabel", 4)
    column = load(store(x=X, y=Y[:, None]))
    assert (column.info.kind, column.train.targets.shape) == ("classes", (8,))


def nan_at(row, column):
    broken = X.copy()
    broken[row, column] = np.nan
    return broken


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": nan_at(5, 2), "y": Y}, "x[5, 2] is nan"),
        ({"x": X * 1e38, "y": Y}, "x[1, 1] is 4"),
        ({"x": X, "y": Y + 1}, "y: the smallest label is 1 (y[0])"),
        ({"x": X, "y": Y * 2}, "no sample has label 1, but y[1] has label 2"),
        ({"x": X, "y": Y - 1}, "label -1 (y[0]) is negative"),
        ({"x": X, "y": Y * 0}, "every sample has label 0"),
        ({"x": X, "y": Y * 10**15}, "label 1000000000000000"),
        ({"x": X, "y": Y[:7]}, "x has 8 samples, y has 7"),
        ({"x": X[:0], "y": Y[:0]}, "x has shape (0, 3)"),
        ({"x": X, "y": np.full((8, 2), 3)}, "whole numbers of shape (8, 2)"),
        ({"x": X, "y": np.zeros((8, 2, 2))}, "targets are (N,) or (N, k)"),
        ({"x": np.zeros((8, 32, 32, 3), np.uint8), "y": Y}, "channels last"),
        ({"a": X, "y": Y}, "has no array 'x'"),
        ({"x": X, "Y1": Y}, "did you mean `Y1`?"),
        ({"x": X, "y": Y, "x_test": X}, "has x_test but not the other"),
        ({"x": X, "y": Y, "x_test": X[:, :2], "y_test": Y}, "holds samples of float32 (2,), x of float32 (3,)"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y * 2}, "y_test[1] is label 2, but training has the labels 0 to 1"),
    ],
)
def test_arrays_that_are_wrong_are_refused_with_key_and_index(store, arrays, words):
    assert words in refused(store(**arrays))


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "opened",))

    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([Bomb()] * 3, dtype=object), y=np.arange(3))
    assert "never unpickled" in refused(f"Tensors({str(path)!r})")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_truncated_and_foreign_files_are_named(tmp_path, suffix):
    path = tmp_path / f"d.{suffix}"
    path.write_bytes(b"garbage" * 100)
    assert str(path) in refused(f"Tensors({str(path)!r})")
    if suffix == "npz":
        np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 40)), y=np.arange(50) % 2)
    else:
        save_file({"x": torch.zeros(50, 40), "y": torch.arange(50) % 2}, path)
    whole = path.read_bytes()
    for cut in (1, 9, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        assert str(path) in refused(f"Tensors({str(path)!r})")
    if suffix == "npz":
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 0xFF
        path.write_bytes(bytes(changed))
        assert str(path) in refused(f"Tensors({str(path)!r})")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "d.pt").write_bytes(b"x")
    assert "reads .npz and .safetensors" in refused(f"Tensors({str(tmp_path / 'd.pt')!r})")
    assert refused(f"Tensors({str(tmp_path / 'none.npz')!r})").startswith("no file")
