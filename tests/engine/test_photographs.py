"""Photographs: the same bytes as torchvision's transforms, classes and parts from names, epochs without decoding."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision import datasets, transforms

from engine import launch
from engine.calls import parse_call
from engine.check import check, training_samples
from engine.control import Mailbox, Request
from engine.data import cache_folder, decoding
from engine.data.decoding import Settings, decode
from engine.data.folders import list_photographs, name_pattern
from engine.data.info import Place
from engine.data.sources import build_source
from engine.errors import RequestError
from engine.events import Message
from engine.launch import local
from engine.store.reader import RunReader
from engine.store.writer import RunWriter
from tests.engine.pictures import image_folder, labelled_files, picture, prepared, save
from tests.engine.training import epochs_of, experiment, train

COUNTS = {"cat": 5, "dog": 4, "emu": 3}


def oracle(image: Image.Image, wanted: Settings) -> np.ndarray:
    """What torchvision's transforms make of a PIL image."""
    image = ImageOps.exif_transpose(image).convert("RGB" if wanted.colour else "L")
    size = wanted.size
    if wanted.resize == "short":
        steps = [transforms.Resize(wanted.resize_size or size), transforms.CenterCrop(size)]
    elif wanted.resize == "squash":
        steps = [transforms.Resize((size, size))]
    else:
        width, height = image.size
        long = max(width, height)
        inner = (max(1, size * width // long), max(1, size * height // long))
        left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
        steps = [
            transforms.Resize((inner[1], inner[0])),
            transforms.Pad((left, top, size - inner[0] - left, size - inner[1] - top)),
        ]
    return transforms.PILToTensor()(transforms.Compose(steps)(image)).numpy()


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 48),
    st.integers(0, 20),
    st.sampled_from(["short", "squash", "pad"]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_scaling_and_cutting_equal_torchvision_to_the_byte(tmp_path_factory, width, height, size, more, resize, colour):
    wanted = Settings(size, resize, size + more if resize == "short" and more else None, colour)
    path = tmp_path_factory.getbasetemp() / "one.png"
    picture(width * 100 + height, width, height).save(path)
    np.testing.assert_array_equal(decode(path, wanted), oracle(Image.open(path), wanted))


@pytest.mark.parametrize("call", ["size=64", 'size=64, resize="pad"', "size=56, resize_size=64, colour=False"])
def test_real_photographs_equal_torchvision_to_the_byte(data_folder, call):
    source = build_source(parse_call(f'LabelledFiles("cats-dogs", {call})'))
    listing = list_photographs(source, Place(data_folder))
    for name in listing.files[::125]:
        path = listing.root / name
        np.testing.assert_array_equal(decode(path, source.settings), oracle(Image.open(path), source.settings))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_their_exif_data_say(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.jpg", 4, exif=exif)
    np.testing.assert_array_equal(
        decode(path, Settings(32, "squash")), oracle(Image.open(path), Settings(32, "squash"))
    )


def test_kinds_of_pixels_become_eight_bits_in_colour_or_grey(tmp_path):
    size = Settings(40, "pad")
    grey = np.linspace(0, 65535, 1600).astype(np.uint16).reshape(40, 40)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert (decode(tmp_path / "deep.png", size) == (grey >> 8).astype(np.uint8)).all()
    assert decode(tmp_path / "deep.png", Settings(40, colour=False)).shape == (1, 40, 40)

    for mode, ending in (("CMYK", "jpg"), ("P", "png"), ("L", "png"), ("1", "png")):
        picture(1, 40, 40, mode).save(tmp_path / f"{mode}.{ending}")
        expected = np.asarray(Image.open(tmp_path / f"{mode}.{ending}").convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(decode(tmp_path / f"{mode}.{ending}", size), expected)

    # Half transparent white on black is grey; wholly transparent is black, whatever colour lies beneath.
    clear = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    clear.paste((255, 255, 255, 128), (0, 0, 40, 20))
    clear.save(tmp_path / "clear.png")
    pixels = decode(tmp_path / "clear.png", size)
    assert (pixels[:, :20] == 128).all()
    assert (pixels[:, 20:] == 0).all()


def test_a_folder_a_class_equals_torchvisions_image_folder(tmp_path):
    root = image_folder(tmp_path / "pets", COUNTS)
    save(root / "cat" / "kittens" / "000.jpg", 99)
    (root / "dog" / "notes.txt").write_text("no photograph")
    squashed = transforms.Compose([transforms.Resize(24), transforms.CenterCrop(24), transforms.PILToTensor()])
    theirs = datasets.ImageFolder(str(root), squashed)
    (root / ".hidden").mkdir()
    loaded = build_source(parse_call('ImageFolder("pets", size=24)')).load(Place(tmp_path))
    assert list(loaded.info.classes) == theirs.classes
    assert loaded.info.train == len(theirs) == 13
    by_bytes = {picture.numpy().tobytes(): label for picture, label in theirs}
    assert len(by_bytes) == 13
    for pixels, label in zip(loaded.train.inputs, loaded.train.targets, strict=True):
        assert by_bytes[pixels.numpy().tobytes()] == label


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "VALID", "testing")])
def test_parts_are_known_by_their_names(tmp_path, names):
    for name, count in zip(names, (4, 3, 2), strict=True):
        image_folder(tmp_path / "pets", {"cat": count, "dog": count + 1}, part=name)
    place = Place(tmp_path)
    source = 'ImageFolder("pets", size=16)'
    info = build_source(parse_call(source)).info(place)
    assert (info.train, info.validation, info.test) == (9, 7, 5)

    # What is set aside is for validation, whatever share was asked for; "test" and "none" mean what they say.
    kept = prepared(source, place, validation=parse_call("holdout(0.5)"))
    assert (len(kept.train), len(kept.val), len(kept.test)) == (9, 7, 5)
    tested = prepared(source, place, validation=parse_call("test()"))
    assert (len(tested.train), len(tested.val), tested.test) == (9, 5, None)
    nothing = prepared(source, place, validation=parse_call("none()"))
    assert (len(nothing.train), nothing.val, len(nothing.test)) == (9, None, 5)
    pixels = kept.train.inputs.mean((0, 2, 3))
    torch.testing.assert_close(pixels, torch.zeros(3), atol=1e-5, rtol=0)


def test_the_check_says_that_a_validation_part_is_there(tmp_path):
    for name in ("train", "val"):
        image_folder(tmp_path / "pets", {"cat": 4, "dog": 4}, part=name)
    spec = experiment("activation", 'data.source=ImageFolder("pets", size=16)', "data.validation=holdout(0.25)")
    report = check(spec, Place(tmp_path))
    assert report.ok
    assert any("validation part of its own (8 samples)" in warning for warning in report.warnings)
    assert training_samples(report.experiment, report.info) == 8


def test_a_class_may_be_called_train(tmp_path):
    image_folder(tmp_path / "vehicles", {"bus": 3, "train": 3})
    info = build_source(parse_call('ImageFolder("vehicles")')).info(Place(tmp_path))
    assert info.classes == ("bus", "train")


@pytest.mark.parametrize("extra", [{"cat": 2, "dog": 1}, {"emu": 2, "dog": 1}, {}])
def test_what_lies_beside_a_training_part_is_left_out_and_told(tmp_path, extra):
    root = image_folder(tmp_path / "pets", {"cat": 4, "dog": 5}, part="train")
    image_folder(root, extra, part="extra")
    (root / "extra").mkdir(exist_ok=True)
    (root / "extra" / "notes.txt").write_text("no photograph")
    source = build_source(parse_call('ImageFolder("pets", size=16)'))
    loaded = source.load(Place(tmp_path))
    assert (loaded.info.classes, loaded.info.train) == (("cat", "dog"), 9)
    (note,) = loaded.notes
    assert "left out: extra" in note
    assert "parts (train)" in note
    report = check(experiment("activation", 'data.source=ImageFolder("pets", size=16)'), Place(tmp_path))
    assert report.warnings.count(note) == 1


def test_a_loose_photograph_makes_no_class_of_a_part(tmp_path):
    for part in ("train", "val"):
        image_folder(tmp_path / "pets", {"cat": 3, "dog": 3}, part=part)
    save(tmp_path / "pets" / "train" / "loose.jpg", 1)
    info = build_source(parse_call('ImageFolder("pets", size=16)')).info(Place(tmp_path))
    assert (info.classes, info.train, info.validation) == (("cat", "dog"), 6, 6)
    assert "loose.jpg" in " ".join(info.notes)


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        # Photographs that nobody sorted, or sorted otherwise: a part and more, or two classes?
        (
            ("train/cat", "train/dog", "extra"),
            ["extra beside it has photographs", "training part alone"],
        ),
        (("train/steam", "train/diesel", "bus/red", "car"), ["bus, car beside it have", "train is a class"]),
        (("Test/cat", "Test/dog", "extra/cat"), ["Test in", "has folders of classes", "no folder train does"]),
        (("val/cat", "val/dog", "test/cat", "test/dog"), ["test, val in", "call that of the training part train"]),
        (("train", "test/cat", "test/dog"), ["test in", "no folder train does"]),
        (("validation/cat", "validation/dog"), ["validation in", "one part alone"]),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_folders_that_could_be_parts_or_classes_are_refused_with_what_to_do(tmp_path, folders, words, on_error):
    for at, folder in enumerate(folders):
        for number in range(2):
            save(tmp_path / "pets" / folder / f"{number}.jpg", 10 * at + number)
    with pytest.raises(RequestError) as caught:
        build_source(parse_call(f'ImageFolder("pets", size=16, on_error="{on_error}")')).info(Place(tmp_path))
    for word in words:
        assert word in str(caught.value)
    # The remedy named is one.
    (alone,) = re.findall(r'ImageFolder\("(.+?)"\)', str(caught.value))
    assert len(build_source(parse_call(f'ImageFolder("{alone}", size=16)')).info(Place(tmp_path)).classes) == 2


def test_labels_are_read_from_names(tmp_path):
    labelled_files(tmp_path / "pets", 4)
    (tmp_path / "pets" / "README.md").write_text("where they come from")
    info = build_source(parse_call('LabelledFiles("pets", size=16)')).info(Place(tmp_path))
    assert (info.classes, info.train, info.input_shape) == (("cat", "dog"), 8, (3, 16, 16))


@pytest.mark.parametrize(
    ("pattern", "name", "label"),
    [
        ("{label}.{id}.jpg", "cat.0.JPG", "cat"),
        ("{label}_{id}.png", "great_dane_12.png", "great_dane"),
        ("{label}.{id}.jpg", "st.bernard.12.jpg", "st.bernard"),
        ("{label}.{id}.jpg", "cat.12.small.jpg", "cat"),
        ("{label}.{id}.jpg", "cat.1.2.jpg", "cat"),
        ("{label}.{id}.jpg", "cat.small.jpg", "cat"),
        ("{label}{id}.jpg", "cat12.jpg", "cat"),
        ("{id}_{label}.jpg", "12_great_dane.jpg", "great_dane"),
        ("{label}_{name}.jpg", "great_dane.jpg", "great"),
        ("{id}-{label}.jpg", "7-dog.jpg", "dog"),
        ("IMG{id}.{label}", "IMG7.dog.jpg", "dog.jpg"),
        ("{label}.{id}.jpg", "cat.jpg", None),
        ("{label}.{id}.jpg", "cat.0.png", None),
        ("({label}).jpg", "(cat).jpg", "cat"),
    ],
)
def test_patterns_of_names(pattern, name, label):
    match = name_pattern(pattern).fullmatch(name)
    assert (None if match is None else match["label"]) == label


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('ImageFolder("pets", size=0)', "size=0"),
        ('ImageFolder("pets", resize="crop")', "'short', 'squash' or 'pad'"),
        ('ImageFolder("pets", resize_size=100)', "224 to"),
        ('ImageFolder("pets", resize="pad", resize_size=300)', "goes with resize='short'"),
        ('ImageFolder("pets", on_error="warn")', "'raise' or 'skip'"),
        ('LabelledFiles("pets", pattern="{id}.jpg")', "{label} once"),
        ('LabelledFiles("pets", pattern="{label}/{id}.jpg")', "{label} once"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_words(call, words):
    with pytest.raises(RequestError, match=re.escape(words)):
        build_source(parse_call(call))


def test_epochs_after_the_first_decode_nothing(tmp_path):
    image_folder(tmp_path / "pets", {"cat": 10, "dog": 10})
    spec = experiment(
        "activation", 'data.source=ImageFolder("pets", size=16)', "data.batch_size=4", "epochs=3",
        "data.augment=[RandomHorizontalFlip()]",
    )  # fmt: skip
    before = decoding.count
    _, events = train(spec, tmp_path)
    assert len(epochs_of(events)) == 3
    assert decoding.count - before == 20
    train(spec, tmp_path)
    assert decoding.count - before == 20


def test_progress_of_decoding_is_told(tmp_path):
    image_folder(tmp_path / "pets", {"cat": 3, "dog": 3})
    told: list[tuple[str, int, int | None]] = []
    place = Place(tmp_path, progress=lambda *what: told.append(what))
    build_source(parse_call('ImageFolder("pets", size=16)')).load(place)
    assert [done for text, done, total in told if text == "decoding photographs" and total == 6] == [1, 2, 3, 4, 5, 6]


def test_time_left_is_told_while_decoding_takes_long(monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(local.time, "monotonic", lambda: next(clock))
    said: list[str] = []

    class Writer:
        def put(self, message):
            said.append(message.text)

    teller = local._Teller(Writer(), Mailbox())
    for done in (0, 100, 500, 999):
        teller("decoding photographs", done, 1000)
    assert said == [
        "decoding photographs 10 %, about 90 s left",
        "decoding photographs 50 %, about 20 s left",
        "decoding photographs 100 %",
    ]


def test_a_run_stops_while_photographs_are_decoded_and_goes_on_later(tmp_path):
    image_folder(tmp_path / "pets", {"cat": 10, "dog": 10})
    spec = experiment("activation", 'data.source=ImageFolder("pets", size=16)', "data.batch_size=4", "epochs=1")
    path = launch.prepare_run(spec, tmp_path / "runs", tmp_path)
    mailbox = Mailbox()

    class Stopping(RunWriter):
        def put(self, event):
            if isinstance(event, Message) and event.text.startswith("decoding"):
                mailbox.put(Request("stop"))
            super().put(event)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local, "TELL_EVERY", 0.0)
        assert local.execute(launch.Arguments(path, tmp_path), mailbox, Stopping(path)) == "stopped"
    assert decoding.count > 0
    assert len(list((cache_folder.cache_folder() / "photographs").iterdir())) == 1  # what there is of it
    view = RunReader(path)
    view.poll()
    assert (view.view.status, view.view.reason) == ("stopped", "stopped before training began")
    assert local.execute(launch.Arguments(path, tmp_path, resume=True), Mailbox(), RunWriter(path, resume=True)) == (
        "finished"
    )


def test_statistics_of_a_part_equal_those_of_its_pixels(tmp_path):
    image_folder(tmp_path / "pets", {"cat": 10, "dog": 10})
    found = prepared('ImageFolder("pets", size=16)', Place(tmp_path), validation=parse_call("holdout(0.3)"))
    inputs = found.train.inputs * found.std.view(3, 1, 1) + found.mean.view(3, 1, 1)
    torch.testing.assert_close(inputs.mean((0, 2, 3)), found.mean)
    torch.testing.assert_close(inputs.transpose(0, 1).flatten(1).std(1, correction=0), found.std)


def test_a_long_path_home_is_sought_from_here_first(tmp_path, monkeypatch):
    labelled_files(tmp_path / "here" / "pets", 2)
    labelled_files(tmp_path / "data" / "pets", 3)
    monkeypatch.chdir(tmp_path / "here")
    source = build_source(parse_call('LabelledFiles("pets", size=16)'))
    assert source.info(Place(tmp_path / "data")).train == 4
    monkeypatch.chdir(tmp_path)
    assert source.info(Place(tmp_path / "data")).train == 6
    with pytest.raises(RequestError, match="looked for"):
        source.info(Place(Path("nowhere")))
