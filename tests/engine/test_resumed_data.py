"""A run goes on with the data it was trained on: other classes are refused, other samples are warned of."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import launch
from engine.data.info import Place
from engine.data.sources import build_source
from engine.errors import RequestError
from engine.launch.local import execute
from engine.spec import Experiment, with_settings
from engine.store.writer import RunWriter
from tests.engine.pictures import image_folder, labelled_files, save
from tests.engine.training import Interrupter, experiment
from tests.watching import view_of

OTHERS = "the data are others than this run was trained on"


def on(source: str, *settings: str) -> Experiment:
    layers = "network.layers=['Flatten()', 'Linear(classes)']"
    return experiment("mlp", f"data.source={source}", layers, "epochs=1", *settings)


def trained(spec: Experiment, folder: Path, mailbox: Interrupter | None = None) -> Path:
    path = launch.prepare_run(spec, folder / "runs", folder)
    mailbox = mailbox or Interrupter(-1)
    execute(launch.Arguments(path, folder), mailbox, RunWriter(path, mailbox))
    assert view_of(path).status in ("finished", "stopped"), view_of(path).reason
    return path


def further(path: Path, folder: Path) -> list[str]:
    """Warnings of one epoch more."""
    before = len(view_of(path).messages)
    launch.start(path, data_folder=folder, resume=True, add_epochs=1).join()
    view = view_of(path)
    assert (view.status, view.done) == ("finished", 2), view.reason
    return [message.text for message in view.messages[before:] if message.level == "warning"]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(path: Path, folder: Path) -> str:
    """What a resume is refused with, which leaves the run as it was to the byte."""
    before = everything(path)
    with pytest.raises(RequestError) as caught:
        launch.start(path, data_folder=folder, resume=True, add_epochs=1)
    assert everything(path) == before
    return str(caught.value)


def rename(folder: Path, old: str, new: str) -> None:
    for file in folder.glob(f"{old}.*"):
        file.rename(folder / file.name.replace(old, new, 1))


PETS = 'LabelledFiles("pets", size=8)'


def test_classes_that_were_renamed_are_refused_and_both_are_named(tmp_path):
    labelled_files(tmp_path / "pets")
    path = trained(on(PETS), tmp_path)
    rename(tmp_path / "pets", "cat", "wolf")
    words = refused(path, tmp_path)
    assert "cat, dog" in words
    assert "dog, wolf" in words
    assert "put the data back" in words
    rename(tmp_path / "pets", "wolf", "cat")
    assert further(path, tmp_path) == []


def test_a_class_more_is_refused_by_what_is_new_also_where_the_network_says_how_many(tmp_path):
    names = [f"c{number:02d}" for number in range(11)]
    image_folder(tmp_path / "many", dict.fromkeys(names, 2))
    spec = on('ImageFolder("many", size=8)', "data.validation=none()")
    path = trained(spec, tmp_path)
    fixed = trained(
        on('ImageFolder("many", size=8)', "data.validation=none()", "network.layers=['Flatten()', 'Linear(11)']"),
        tmp_path,
    )
    image_folder(tmp_path / "many", {"c05b": 2})
    for run in (path, fixed):
        assert "new: c05b" in refused(run, tmp_path)


def test_a_run_without_a_checkpoint_begins_anew_with_whatever_classes_there_are(tmp_path):
    labelled_files(tmp_path / "pets")
    path = trained(on(PETS), tmp_path)
    shutil.rmtree(path / "checkpoints")
    rename(tmp_path / "pets", "cat", "wolf")
    launch.start(path, data_folder=tmp_path, resume=True).join()
    view = view_of(path)
    assert (view.status, view.started["classes"]) == ("finished", ("dog", "wolf"))
    assert not [message for message in view.messages if OTHERS in message.text]


def test_data_that_change_once_the_run_is_taken_end_it_in_words(tmp_path):
    labelled_files(tmp_path / "pets")
    path = trained(on(PETS), tmp_path)
    rename(tmp_path / "pets", "cat", "wolf")
    execute(launch.Arguments(path, tmp_path, resume=True), Interrupter(-1), RunWriter(path, resume=True))
    assert "dog, wolf" in view_of(path).reason


@pytest.mark.parametrize("change", ["a column more", "another target"])
def test_other_inputs_or_outputs_are_refused(tmp_path, change):
    random = np.random.default_rng(0)
    arrays = {"x": random.normal(size=(40, 3)), "y": random.normal(size=(40, 2))}
    np.savez(tmp_path / "d.npz", **arrays)
    path = trained(on('Tensors("d.npz")', "task=Regression()", "loss=MSELoss()"), tmp_path)
    if change == "a column more":
        np.savez(tmp_path / "d.npz", **arrays | {"x": random.normal(size=(40, 4))})
        assert "samples of shape (3,)" in (words := refused(path, tmp_path))
        assert "(4,)" in words
    else:
        np.savez(tmp_path / "d.npz", **arrays | {"y": random.normal(size=(40, 3))})
        assert "2 numbers" in (words := refused(path, tmp_path))
        assert "3" in words


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [("MSELoss()", 2), ("HuberLoss()", 2), ("PoissonNLLLoss()", 2), ("GaussianNLLLoss()", 4)],
)
def test_a_run_of_any_loss_goes_on_with_the_same_data(tmp_path, loss, outputs):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=random.normal(size=(40, 3)), y=random.integers(1, 9, (40, 2)).astype(np.float64))
    spec = on('Tensors("d.npz")', "task=Regression(standardize=False)", f"loss={loss}")
    path = trained(with_settings(spec, [f"network.layers=['Linear({outputs})']", "optimizer=SGD(lr=1e-3)"]), tmp_path)
    assert further(path, tmp_path) == []


def test_photographs_that_were_added_or_changed_are_told_and_those_moved_are_not(tmp_path):
    labelled_files(tmp_path / "pets", 10)
    first, second = trained(on(PETS), tmp_path), trained(on(PETS), tmp_path)
    moved = tmp_path / "another machine"
    moved.mkdir()
    (tmp_path / "pets").rename(moved / "pets")
    for file in (moved / "pets").iterdir():
        os.utime(file, (1e9, 1e9))
    assert further(first, moved) == []
    save(moved / "pets" / "cat.99.jpg", 99)
    (warning,) = further(second, moved)
    assert warning == f"{OTHERS}: its validation part may hold what it has trained on"


def test_a_photograph_in_place_of_another_is_told(tmp_path):
    labelled_files(tmp_path / "pets")
    path = trained(on(PETS, "data.validation=none()"), tmp_path)
    save(tmp_path / "pets" / "cat.0.jpg", 1234)
    assert further(path, tmp_path) == [OTHERS]


@pytest.mark.parametrize("source", ['CSV("d.csv", target="y")', 'Tensors("d.npz")'])
def test_tables_and_arrays_that_changed_are_told(tmp_path, source):
    def write(seed: int) -> None:
        values, labels = np.random.default_rng(seed).normal(size=(40, 2)), np.arange(40) % 2
        np.savez(tmp_path / "d.npz", x=values, y=labels)
        rows = [f"{a},{b},{label}" for (a, b), label in zip(values, labels, strict=True)]
        (tmp_path / "d.csv").write_text("\n".join(["a,b,y", *rows]))

    write(0)
    first, second = trained(on(source), tmp_path), trained(on(source), tmp_path)
    write(0)
    assert further(first, tmp_path) == []
    write(1)
    assert [text.partition(":")[0] for text in further(second, tmp_path)] == [OTHERS]


def test_a_run_of_an_older_version_says_nothing_of_its_data(tmp_path):
    labelled_files(tmp_path / "pets")
    path = trained(on(PETS), tmp_path)
    events = next(path.glob("events.*.jsonl"))
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    named = [line.pop("data") for line in lines if line["event"] == "Started"]
    assert len(named) == 1
    assert named[0]
    events.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    save(tmp_path / "pets" / "cat.99.jpg", 99)
    assert further(path, tmp_path) == []


def test_what_is_built_in_has_no_name(tmp_path):
    assert view_of(trained(experiment("activation", "epochs=1"), tmp_path)).started["data"] is None


def test_cached_features_of_other_photographs_are_told_once(tmp_path):
    labelled_files(tmp_path / "pets")
    layers = "network.layers=['Conv2d(4, 3, frozen=True)', 'Flatten()', 'Linear(classes)']"
    path = trained(on(PETS, layers, "data.cache_features=true"), tmp_path, Interrupter(-1))
    save(tmp_path / "pets" / "cat.99.jpg", 99)
    (warning,) = further(path, tmp_path)
    assert warning.startswith("the features are not to the bit those")


def test_the_name_of_photographs_is_of_names_labels_parts_and_sizes(tmp_path):
    def name(folder: Path) -> str | None:
        from engine.calls import parse_call

        return build_source(parse_call('ImageFolder("pets", size=8)')).load(Place(folder)).digest()

    counts = {"cat": 3, "dog": 3}
    for part in ("train", "val"):
        image_folder(tmp_path / "one" / "pets", counts, part)
    one = name(tmp_path / "one")
    assert one
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert name(tmp_path / "two") == one
    pets = tmp_path / "two" / "pets"
    (pets / "train" / "cat" / "000.jpg").rename(pets / "val" / "cat" / "9.jpg")
    assert name(tmp_path / "two") != one
