"""Folders that are the parts of a set, told from folders that are its classes, by names as archives have them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.calls import parse_call
from engine.data.info import DataInfo, Place
from engine.data.sources import build_source
from engine.errors import RequestError
from tests.engine.pictures import image_folder, labelled_files, save


def described(root: Path, more: str = "", kind: str = "ImageFolder") -> DataInfo:
    """What names alone tell: no file is opened."""
    return build_source(parse_call(f'{kind}("{root}", size=16{more})')).info(Place(root.parent))


def flat(folder: Path, count: int = 3, name: str = "{}.jpg") -> Path:
    for number in range(count):
        save(folder / name.format(number), number)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train_images", "val_images"),
        ("Training Data", "Test Data"),
        ("train ", "val "),
        ("cats-and-dogs-train", "cats-and-dogs-validation"),
        ("TrainImages", "TestImages"),
        ("trainset", "testset"),
        ("train", "test1"),
        ("train", "valid_data"),
        ("01_train", "02_val"),
    ],
)
@pytest.mark.parametrize("loose", [False, True])
def test_a_parts_word_within_a_name_makes_a_part_where_folders_of_classes_say_so(
    tmp_path: Path, names: tuple[str, str], loose: bool
) -> None:
    root = tmp_path / "pets"
    for name, count in zip(names, (3, 2), strict=True):
        image_folder(root, {"cat": count, "dog": count}, part=name)
        if loose:
            save(root / name / "loose.jpg", 1)
    info = described(root)
    assert info.classes == ("cat", "dog")
    assert (info.train, info.validation or info.test) == (6, 4)
    assert (info.validation is None) == ("est" in names[1])


def test_three_parts_are_found_among_other_folders(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name in ("seg_train", "seg_valid", "seg_test", "seg_pred"):
        image_folder(root, {"cat": 2, "dog": 2}, part=name)
    info = described(root)
    assert (info.train, info.validation, info.test) == (4, 4, 4)
    (note,) = info.notes
    assert "left out: seg_pred" in note


def test_an_exact_name_comes_before_a_like_one(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name, count in (("train", 3), ("test", 2), ("test1", 4), ("train_images", 5)):
        image_folder(root, {"cat": count, "dog": count}, part=name)
    info = described(root)
    assert (info.train, info.test) == (6, 4)
    assert "left out: test1, train_images" in " ".join(info.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test1"),
        ("train", "test"),
        ("Train", "valid"),
        ("train_images", "test_images"),
        ("training set", "validation set", "test set"),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_flat_parts_are_refused_with_the_path_to_use(tmp_path: Path, names: tuple[str, ...], on_error: str) -> None:
    root = tmp_path / "kag"
    labelled_files(root / names[0], 2)
    for name in names[1:]:
        flat(root / name)
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no photograph")
    with pytest.raises(RequestError) as caught:
        described(root, f', on_error="{on_error}"')
    text = str(caught.value)
    assert ", ".join(sorted(names)) in text
    (alone,) = re.findall(r'LabelledFiles\("(.+?)"\)', text)
    assert described(Path(alone), kind="LabelledFiles").classes == ("cat", "dog")


def test_one_flat_part_alone_is_refused_with_its_path(tmp_path: Path) -> None:
    root = tmp_path / "kag"
    labelled_files(root / "train", 2)
    with pytest.raises(RequestError) as caught:
        described(root)
    (alone,) = re.findall(r'LabelledFiles\("(.+?)"\)', str(caught.value))
    assert described(Path(alone), kind="LabelledFiles").classes == ("cat", "dog")


def test_a_folder_around_the_folder_of_classes_is_told(tmp_path: Path) -> None:
    image_folder(tmp_path / "wrap" / "inner", {"cat": 2, "dog": 2})
    with pytest.raises(RequestError) as caught:
        described(tmp_path / "wrap")
    (alone,) = re.findall(r'ImageFolder\("(.+?)"\)', str(caught.value))
    assert described(Path(alone)).classes == ("cat", "dog")


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "test", "train"),
        ("plane", "train"),
        ("bus", "test1", "train"),
        ("freight train", "passenger train"),
        ("test_track", "train_station"),
        ("train_val", "trainer"),
        ("tests", "trains"),
        ("invalid", "valid"),
        ("contest", "restrain"),
    ],
)
def test_classes_may_be_called_like_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        flat(tmp_path / "vehicles" / name)
    info = described(tmp_path / "vehicles")
    assert info.classes == names
    # Two that could be parts are told of; one cannot be.
    assert bool(info.notes) == ({"train"} < set(names) and len(names) == 3)


def test_folders_of_classes_named_unlike_parts_are_classes(tmp_path: Path) -> None:
    root = tmp_path / "places"
    for name in ("test_track", "train_station"):
        image_folder(root, {"day": 2, "night": 2}, part=name)
    assert described(root).classes == ("test_track", "train_station")


def test_a_part_by_its_word_whose_photographs_nobody_labelled(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "pets", {"cat": 2, "dog": 2}, part="train_images")
    flat(root / "test_images")
    with pytest.raises(RequestError, match="test_images has no folders of classes"):
        described(root)
    info = described(root, ', on_error="skip"')
    assert (info.classes, info.train, info.test) == (("cat", "dog"), 4, None)


@pytest.mark.parametrize("names", [("train_1", "train_2", "test_1"), ("val_set", "test_set")])
def test_which_part_is_which_is_asked_where_names_do_not_tell(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = tmp_path / "pets"
    for name in names:
        image_folder(root, {"cat": 2, "dog": 2}, part=name)
    words = "train_1, train_2 in .* could all be the train part" if len(names) == 3 else "no folder train does"
    with pytest.raises(RequestError, match=words):
        described(root)
