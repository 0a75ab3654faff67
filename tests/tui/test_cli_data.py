"""`layerlab data`: pictures sorted into parts and back, and a look at what a source holds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine.data import sorting
from engine.data.survey import _size as measured
from tests.engine.pictures import image_folder, save
from tests.tui.cli import HOSTILE, CommandLine, assert_safe


def pictures(folder: Path, count: int = 10) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(2 * count):
        pixels = random.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{('cat', 'dog')[number % 2]}.{number}.jpg")
    return folder


def test_a_flat_folder_is_split_and_put_back(layerlab: CommandLine) -> None:
    source, sorted_to = pictures(layerlab.folder / "all"), layerlab.folder / "sorted"
    (source / "notes.txt").write_text("x")
    told = layerlab("data", "split", source, sorted_to, "--test", 0.1, "--by", "move")
    assert told.status == 0
    assert [line.split() for line in told.out.splitlines() if "cat" in line] == [["cat", "7", "2", "1"]]
    assert "moved 20 files" in told.err
    assert "left out: notes.txt" in told.err
    assert os.listdir(source) == ["notes.txt"]
    told = layerlab("data", "split", source, sorted_to, "--test", 0.1, "--by", "move")
    assert "moved 0 files" in told.err
    assert "20 were there already" in told.err
    report = layerlab("data", "split", "--undo", sorted_to, "--json").json
    assert (report["taken_back"], report["left"]) == (20, [])
    assert len(os.listdir(source)) == 21
    assert not sorted_to.exists()


def test_a_folder_of_the_data_folder_is_named_where_it_is_not_here(
    layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(layerlab.folder)
    monkeypatch.setenv("LAYERLAB_DATA", str(tmp_path / "data"))
    pets = pictures(tmp_path / "data" / "pets", 1)
    told = layerlab("data", "split", "pets", "sorted")
    assert told.status == 2
    assert f"did you mean {pets}?" in " ".join(told.err.split())


def test_what_split_did_is_json_too(layerlab: CommandLine) -> None:
    source = pictures(layerlab.folder / "all")
    report = layerlab("data", "split", source, layerlab.folder / "sorted", "--json").json
    assert report["parts"] == {"training": {"cat": 8, "dog": 8}, "validation": {"cat": 2, "dog": 2}}
    assert (report["files"], report["new"], report["by"]) == (20, 20, "copy")


def test_what_stays_after_an_undo_is_told(layerlab: CommandLine) -> None:
    source, sorted_to = pictures(layerlab.folder / "all"), layerlab.folder / "sorted"
    layerlab("data", "split", source, sorted_to)
    changed = next(sorted_to.rglob("cat.*.jpg"))
    changed.write_bytes(b"cropped")
    told = layerlab("data", "split", "--undo", sorted_to)
    assert told.status == 0
    assert "took back 19 files" in told.err
    assert f"{changed.name}: was changed" in told.err
    assert changed.read_bytes() == b"cropped"


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("undone", [False, True])
def test_a_split_that_is_interrupted_says_where_it_stands(
    layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch, as_json: bool, undone: bool
) -> None:
    source, sorted_to = pictures(layerlab.folder / "all"), layerlab.folder / "sorted"
    arguments: list[object] = ["data", "split", source, sorted_to, "--by", "move"]
    if undone:
        assert layerlab(*arguments).status == 0
        arguments = ["data", "split", "--undo", sorted_to]
    doing = "take_back" if undone else "place"
    real, calls = getattr(sorting, doing), []

    def interrupted(*given: object) -> object:
        calls.append(given)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(sorting, doing, interrupted)
        told = layerlab(*arguments, *(["--json"] if as_json else []))
    assert told.status == 130
    words = "stopped after 7 of 20 files"
    assert words in told.err
    assert "the same command goes on" in told.err
    assert ("--undo takes" in told.err) is not undone
    if as_json:
        assert told.json["ok"] is False
        assert words in told.json["error"]["message"]
    told = layerlab(*arguments)
    assert told.status == 0
    assert len(list((source if undone else sorted_to).rglob("*.jpg"))) == 20


def test_a_split_that_is_interrupted_before_it_begins_says_so(
    layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    source = pictures(layerlab.folder / "all")
    monkeypatch.setattr(sorting, "divided", interrupted)
    told = layerlab("data", "split", source, layerlab.folder / "sorted")
    assert (told.status, told.out) == (130, "")
    assert "stopped before any file was touched" in told.err


def test_ctrl_c_ends_a_split_in_words(tmp_path: Path) -> None:
    """The signal itself, in a process of its own."""
    source = tmp_path / "all"
    source.mkdir()
    for number in range(4000):
        (source / f"{('cat', 'dog')[number % 2]}.{number}.jpg").write_bytes(b"x" * 1000)
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "data", "split", str(source), str(tmp_path / "sorted")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "sorted" / "training").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(r"stopped after [\d,]+ of 4,000 files; the same command goes on", " ".join(told.split()))


def test_what_was_left_out_and_what_looks_unusual_are_told_apart(layerlab: CommandLine) -> None:
    source = layerlab.folder / "all"
    for name in ("Cat", "cat", "dog"):
        pictures(source / name, 2)
    (source / "emu").mkdir()
    told = layerlab("data", "split", source, layerlab.folder / "sorted")
    lines = told.err.splitlines()
    assert f"left out: classes without photographs in {source}: emu" in "".join(lines)
    assert [line for line in lines if line.startswith("note: classes whose names look the same")]
    assert told.err.count("left out") == 1
    report = layerlab("data", "split", source, layerlab.folder / "more", "--json").json
    assert (len(report["left_out"]), len(report["notes"])) == (1, 1)
    assert "Cat, cat" in report["notes"][0]


def test_a_folder_with_photographs_in_folders_and_beside_them(layerlab: CommandLine) -> None:
    source = pictures(layerlab.folder / "all", 2)
    for name in ("cat", "dog"):
        pictures(source / name, 3)
    for arguments in (["show", source], ["split", source, layerlab.folder / "sorted"]):
        told = layerlab("data", *arguments)
        assert told.status == 2
        words = " ".join(told.err.split())
        assert "4 photographs" in words
        assert "12 in its folders" in words
    told = layerlab("data", "show", source, "--json").json["error"]["message"]
    assert f"LabelledFiles('{source}')" in told
    assert f"ImageFolder('{source}')" in told
    for call, count in (("LabelledFiles", 4), ("ImageFolder", 12)):
        assert layerlab("data", "show", f"{call}('{source}', size=16)", "--json").json["parts"] == {"train": count}
    told = layerlab("data", "split", source, layerlab.folder / "sorted", "--pattern", "{label}.{id}.jpg", "--json")
    assert told.json["files"] == 4
    assert told.json["left_out"] == ["6 photographs in cat", "6 photographs in dog"]


def test_one_folder_beside_photographs_is_told_where_they_are_shown(layerlab: CommandLine) -> None:
    source = pictures(layerlab.folder / "all", 2)
    pictures(source / "more", 3)
    report = layerlab("data", "show", source, "--json").json
    assert report["parts"] == {"train": 4}
    assert any("more" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["split", "all"], "where to?"),
        (["split", "--undo", "all", "sorted"], "--undo takes one folder"),
        (["split", "--undo", "all"], "nothing was sorted into it"),
        (["split", "nowhere", "sorted"], "cannot be listed: No such file"),
        (["split", "all", "sorted", "--by", "teleport"], "use copy, link, move"),
        (["split", "all", "sorted", "--validation", "1.5"], "shares between 0 and 1"),
        (["show", "nowhere"], "no folder nowhere"),
        (["show", "MNITS"], "did you mean `MNIST`?"),
        (["show", "CIFAR10("], "CIFAR10("),
        (["show", "prices.csv"], "a table has a column to predict"),
        (["show", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(
    layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(layerlab.folder)
    pictures(layerlab.folder / "all")
    told = layerlab("data", *arguments)
    assert told.status == 2
    assert words in told.err
    assert not (layerlab.folder / "sorted").exists()


@pytest.mark.parametrize("missing", ["source", "destination", "undo"])
def test_a_name_that_the_system_refuses_is_told_in_words(
    layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.chdir(layerlab.folder)
    pictures(layerlab.folder / "all", 3)
    (layerlab.folder / "data").mkdir()
    monkeypatch.setenv("LAYERLAB_DATA", str(layerlab.folder / "data"))
    long = "x" * 300
    given = {"source": [long, "sorted"], "destination": ["all", long], "undo": ["--undo", long]}[missing]
    told = layerlab("data", "split", *given)
    assert told.status == 2
    assert "File name too long" in told.err
    assert "bug" not in told.err


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may enter every folder")
@pytest.mark.parametrize("arguments", [["all", "closed/sorted"], ["closed/all", "sorted"], ["--undo", "closed/sorted"]])
def test_a_folder_that_may_not_be_entered_is_told_in_words(tmp_path: Path, arguments: list[str]) -> None:
    pictures(tmp_path / "all", 3)
    (tmp_path / "closed").mkdir(mode=0)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*unprivileged, sys.executable, "-m", "tui.cli", "data", "split", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert "Permission denied" in ran.stderr


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_pattern_that_nothing_suits_is_told_alike_wherever_it_is_given(layerlab: CommandLine, ending: str) -> None:
    source, pattern = pictures(layerlab.folder / "all"), f"{{label}}_{{id}}.{ending}"
    shown = layerlab("data", "show", f"LabelledFiles('{source}', pattern='{pattern}')", "--json")
    told = layerlab("data", "split", source, layerlab.folder / "sorted", "--pattern", pattern, "--json")
    assert (shown.status, told.status) == (2, 2)
    words = f"no photograph in {source} has a name like '{pattern}'; 'cat.0.jpg' is one of 20 that do not; "
    assert shown.json["error"]["message"].startswith(f"{words}pattern= says how they are called")
    assert told.json["error"]["message"].startswith(f"{words}--pattern says how they are called")


def test_a_flat_folder_is_split_into_a_folder_within(layerlab: CommandLine) -> None:
    source = pictures(layerlab.folder / "all")
    before = sorted(os.listdir(source))
    for _ in range(2):
        told = layerlab("data", "split", source, source / "sorted", "--json")
        assert (told.json["files"], told.json["left_out"], told.json["notes"]) == (20, [], [])
    report = layerlab("data", "show", source, "--json").json
    assert report["parts"] == {"train": 20}
    assert any("sorted" in note for note in report["notes"])
    assert layerlab("data", "split", "--undo", source / "sorted", "--json").json["taken_back"] == 20
    assert sorted(os.listdir(source)) == before
    # Into itself: which are meant, the photographs or the parts beside them, is asked.
    assert layerlab("data", "split", source, source).status == 0
    told = layerlab("data", "show", source)
    assert told.status == 2
    assert "which are meant cannot be told" in " ".join(told.err.split())
    assert layerlab("data", "split", "--undo", source).status == 0
    assert sorted(os.listdir(source)) == before


@pytest.mark.parametrize("named", ["call", "folder", "experiment", "sorted"])
def test_a_folder_of_photographs_is_shown(layerlab: CommandLine, named: str) -> None:
    source = pictures(layerlab.folder / "all")
    (source / "cat.99.jpg").write_bytes(b"broken")
    text = str(source)
    if named == "call":
        text = f"LabelledFiles('{source}', size=16)"
    elif named == "experiment":
        text = layerlab.write("mine")
        Path(text).write_text(Path(text).read_text().replace("Blobs()", f"LabelledFiles('{source}', size=16)"))
    elif named == "sorted":
        layerlab("data", "split", source, layerlab.folder / "sorted")
        text = str(layerlab.folder / "sorted")
    report = layerlab("data", "show", text, "--json").json
    whole = {part: sum(counts.values()) for part, counts in report["classes"].items()}
    assert whole == report["parts"]
    assert sum(whole.values()) == 20
    assert set(whole) == ({"train", "validation"} if named == "sorted" else {"train"})
    assert report["sizes"] == {"smallest": [30, 20], "median": [30, 29], "largest": [30, 39]}
    assert any("cat.99.jpg" in note for note in report["notes"])
    assert "on_error='skip'" in report["notes"][-1]
    lenient = report["source"].replace(")", ", on_error='skip')")
    assert layerlab("data", "show", lenient, "--json").json["notes"] == report["notes"][:-1]
    told = layerlab("data", "show", text)
    assert told.status == 0
    assert "smallest 30 × 20, median 30 × 29, largest 30 × 39" in told.out
    assert "cat.99.jpg" in told.err
    assert any(shade in told.out for shade in "░▒▓")


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_picture_as_it_is_meant_to_be_seen(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{kind}"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    with Image.open(path) as image:
        assert measured(path) == ImageOps.exif_transpose(image).size == ((30, 20) if orientation < 5 else (20, 30))


def test_statistics_are_those_of_the_pixels(layerlab: CommandLine) -> None:
    source = pictures(layerlab.folder / "all")
    report = layerlab("data", "show", f"LabelledFiles('{source}', size=20, resize='squash')", "--json").json
    pixels = [
        np.asarray(Image.open(path).resize((20, 20), Image.Resampling.BILINEAR), np.float64) / 255
        for path in source.iterdir()
    ]
    np.testing.assert_allclose(report["mean"], np.mean(pixels, axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(report["std"], np.std(pixels, axis=(0, 1, 2)), rtol=1e-9)


def test_other_sources_are_shown_as_far_as_it_makes_sense(layerlab: CommandLine) -> None:
    report = layerlab("data", "show", "Digits", "--json").json
    assert report["parts"] == {"train": 1797}
    assert report["classes"]["train"]["0"] == 178
    assert report["sizes"] is None
    report = layerlab("data", "show", "regression", "--json").json
    assert (report["kind"], report["classes"], len(report["mean"])) == ("values", {}, 10)
    told = layerlab("data", "show", "Diabetes()")
    assert "1 number to predict" in told.out
    assert "→ 151" in told.out
    table = layerlab.folder / "table.csv"
    table.write_text("a,b\n1,x\n2,y\n3,x\n")
    told = layerlab("data", "show", f"CSV('{table}', target='b')")
    assert "mean        2" in told.out


def test_names_from_elsewhere_are_shown_as_text(layerlab: CommandLine) -> None:
    source = layerlab.folder / "all"
    label = HOSTILE.replace("/", "")
    for name in (label, "dog"):
        pictures(source / name, 2)
    for arguments in (
        ["show", source],
        ["split", source, layerlab.folder / "sorted"],
        ["split", "--undo", layerlab.folder / "sorted"],
    ):
        told = layerlab("data", *arguments)
        assert told.status == 0
        assert_safe(told.out)
        assert_safe(told.err)


@pytest.mark.parametrize("flat", [True, False])
def test_a_pattern_that_nothing_is_called_like_is_refused(layerlab: CommandLine, flat: bool) -> None:
    image_folder(layerlab.folder / "src", {"x": 5, "y": 5})
    if flat:
        save(layerlab.folder / "src" / "loose.jpg", 1)
    told = layerlab("data", "split", "src", "dst", "--pattern", "{label}_{id}.png", "--by", "move")
    assert told.status == 2
    assert "{label}_{id}.png" in told.err
    assert ("loose.jpg" in told.err) == flat
    assert not (layerlab.folder / "dst").exists()
