"""A folder of pictures sorted into parts: what goes where, never over anything, on after a stop, and back again."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import placing, sorting
from engine.data.placing import Way
from engine.data.sorting import carry_out, plan_split, undo
from engine.data.split_plan import PATTERN, RECORD, Asked, Plan, _sizes, read_plan, write_plan
from engine.errors import LayerlabError, RequestError, RunError

WAYS: tuple[Way, ...] = ("copy", "link", "move")


def flat(folder: Path, count: int = 20) -> Path:
    folder.mkdir()
    for label in ("cat", "dog"):
        for number in range(count):
            (folder / f"{label}.{number}.jpg").write_bytes(f"{label}{number}".encode() * 50)
    (folder / "README.md").write_text("not a picture")
    return folder


def asked(source: Path, by: Way = "copy", validation: float = 0.2, test: float = 0.1, seed: int = 0) -> Asked:
    return Asked(str(source), validation, test, PATTERN, by, seed)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }


def split(source: Path, destination: Path, by: Way = "copy", **given: float) -> Plan:
    plan = plan_split(destination, asked(source, by, **given))  # type: ignore[arg-type]
    carry_out(destination, plan)
    return plan


@pytest.mark.parametrize("by", WAYS)
def test_every_picture_is_in_one_part_and_undo_leaves_things_as_they_were(tmp_path: Path, by: Way) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    before = contents(source)
    plan = split(source, destination, by)
    found = contents(destination)
    assert sorted(Path(name).name for name in found) == sorted(name for name in before if name.endswith(".jpg"))
    assert all(content == before[Path(name).name] for name, content in found.items())
    assert all(Path(name).name.startswith(Path(name).parent.name) for name in found)
    sizes = Counter(str(Path(name).parent) for name in found)
    wanted = {"training": 14, "validation": 4, "test": 2}
    assert sizes == {f"{part}/{label}": n for part, n in wanted.items() for label in ("cat", "dog")}
    assert plan.counts()["validation"] == {"cat": 4, "dog": 4}
    assert plan.left_out == ("README.md",)
    left = contents(source)
    assert left == ({"README.md": before["README.md"]} if by == "move" else before)
    undone = undo(destination)
    assert (undone.taken_back, undone.left) == (40, ())
    assert contents(source) == before
    assert not destination.exists()


def test_the_parts_are_a_function_of_the_seed(tmp_path: Path) -> None:
    source = flat(tmp_path / "all")
    plans = [plan_split(tmp_path / "x", asked(source, seed=seed)).files for seed in (0, 0, 1)]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]
    held = {file.name for file in plans[0] if file.part == "validation"}
    (source / "cat.999.jpg").write_bytes(b"new")
    later = {file.name for file in plan_split(tmp_path / "x", asked(source)).files if file.part == "validation"}
    assert len(held & later) >= len(held) - 1, "one more picture moves few others"


def test_links_are_absolute_and_lead_to_the_originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = flat(tmp_path / "all", 5)
    split(source, tmp_path / "sorted", "link")
    for link in (tmp_path / "sorted").rglob("*.jpg"):
        assert os.readlink(link) == str(source / link.name)


def test_a_folder_a_class_is_split_too(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "all" / label).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "all" / label / f"{number}.PNG").write_bytes(b"x")
        (tmp_path / "all" / label / "Thumbs.db").write_bytes(b"x")
        (tmp_path / "all" / label / "more").mkdir()
        (tmp_path / "all" / label / "more" / "0.PNG").write_bytes(b"y")
    plan = split(tmp_path / "all", tmp_path / "sorted", "move", test=0.0)
    assert plan.counts() == {"training": {"cat": 5, "dog": 5}, "validation": {"cat": 1, "dog": 1}}
    assert len(list((tmp_path / "sorted").rglob("*.PNG"))) == 12
    assert undo(tmp_path / "sorted").left == ()
    assert len(list((tmp_path / "all").rglob("*.PNG"))) == 12
    with pytest.raises(RequestError, match="lies in"):
        plan_split(tmp_path / "all" / "sorted", asked(tmp_path / "all"))
    (tmp_path / "all").rename(tmp_path / "train")
    (tmp_path / "parts").mkdir()
    for part in ("train", "test"):
        shutil.copytree(tmp_path / "train", tmp_path / "parts" / part)
    with pytest.raises(RequestError, match="sorted into parts already"):
        plan_split(tmp_path / "sorted", asked(tmp_path / "parts"))


def test_a_name_that_is_taken_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    for part in ("training", "validation", "test"):
        (destination / part / "cat").mkdir(parents=True)
        (destination / part / "cat" / "cat.7.jpg").write_bytes(b"precious")
    before = contents(tmp_path)
    with pytest.raises(RequestError, match=r"cat\.7\.jpg is there already; nothing was touched"):
        plan_split(destination, asked(source, "move"))
    assert contents(tmp_path) == before
    assert not (destination / RECORD).exists()


@pytest.mark.parametrize("by", WAYS)
def test_a_name_that_is_taken_in_the_meantime_is_not_overwritten(tmp_path: Path, by: Way) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    plan = plan_split(destination, asked(source, by))
    other = destination / plan.files[30].target
    other.parent.mkdir(parents=True)
    other.write_bytes(b"precious")
    with pytest.raises(RunError, match="something else has this name"):
        carry_out(destination, plan)
    assert other.read_bytes() == b"precious"
    undone = undo(destination)
    assert plan.files[30].target in [name for name, _ in undone.left]
    assert other.read_bytes() == b"precious"
    assert len(list(source.glob("*.jpg"))) == 40


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("stopped", [0, 1, 17, 39])
def test_a_split_that_was_stopped_goes_on(tmp_path: Path, by: Way, stopped: int) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    wanted = {file.target: (source / file.name).read_bytes() for file in plan_split(destination, asked(source)).files}

    def stop(done: int, of: int) -> None:
        if done > stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(destination, plan_split(destination, asked(source, by)), stop)
    assert carry_out(destination, plan_split(destination, asked(source, by))) == 39 - stopped
    assert contents(destination) == wanted
    assert carry_out(destination, plan_split(destination, asked(source, by))) == 0
    with pytest.raises(RequestError, match="another split"):
        plan_split(destination, asked(source, by, seed=1))
    undo(destination)
    assert len(list(source.glob("*.jpg"))) == 40


def test_a_move_that_was_stopped_between_its_steps_goes_on_and_back(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    plan = plan_split(destination, asked(source, "move"))
    for file in plan.files[:2]:
        (destination / file.target).parent.mkdir(parents=True, exist_ok=True)
        os.link(source / file.name, destination / file.target)
    (destination / ".layerlab-split-9999999.part").write_bytes(b"half")  # of no process that there can be
    carry_out(destination, plan)
    assert len(contents(destination)) == 40
    assert not list(source.glob("*.jpg"))


def test_undo_leaves_what_was_changed_and_says_so(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    plan = split(source, destination)
    changed, lonely = plan.files[0], plan.files[1]
    (destination / changed.target).write_bytes(b"cropped")
    (source / lonely.name).unlink()
    (destination / "training" / "cat" / "mine.jpg").write_bytes(b"mine")
    undone = undo(destination)
    assert undone.taken_back == 38
    assert dict(undone.left).keys() == {changed.target, lonely.target}
    assert "not there any more" in dict(undone.left)[lonely.target]
    assert (destination / changed.target).read_bytes() == b"cropped"
    assert (destination / "training" / "cat" / "mine.jpg").exists()
    (destination / changed.target).unlink()
    assert undo(destination).left == ((lonely.target, dict(undone.left)[lonely.target]),)


@pytest.mark.parametrize("way", ["file", "folder"])
def test_undo_leaves_copies_that_their_originals_have_become_links_to(tmp_path: Path, way: str) -> None:
    source, destination = tree(tmp_path / "all"), tmp_path / "sorted"
    plan = split(source, destination, test=0.0)
    originals = {source / file.name: destination / file.target for file in plan.files}
    if way == "folder":
        shutil.rmtree(source)
        for part in ("training", "validation"):
            (tmp_path / part).symlink_to(destination / part)
        originals = {source / file.name: tmp_path / file.target for file in plan.files}
    for original, copied in originals.items():
        original.parent.mkdir(parents=True, exist_ok=True)
        original.unlink(missing_ok=True)
        original.symlink_to(copied)
    before = contents(destination)
    undone = undo(destination)
    assert contents(destination) == before
    assert undone.taken_back == 0
    assert {name for name, _ in undone.left} == {file.target for file in plan.files}
    assert all("leads to it" in reason for _, reason in undone.left)


def test_undo_takes_copies_whose_originals_are_other_names_of_the_same_bytes(tmp_path: Path) -> None:
    """As programs leave them that look for duplicates: two names, of which one stays."""
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    before = contents(source)
    for file in split(source, destination).files:
        (source / file.name).unlink()
        os.link(destination / file.target, source / file.name)
    assert undo(destination).left == ()
    assert contents(source) == before


@pytest.mark.parametrize("linked", [False, True])
def test_a_move_goes_on_and_back_where_a_link_leads_to_what_was_moved(tmp_path: Path, linked: bool) -> None:
    source, destination = tree(tmp_path / "all"), tmp_path / "sorted"
    if linked:  # each photograph has a third name elsewhere
        shutil.copytree(source, tmp_path / "backup", copy_function=os.link)

    def stop(done: int, of: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(destination, plan_split(destination, asked(source, "move", 0.5, 0.0)), stop)
    (source / "cat").rmdir()
    (source / "cat").symlink_to(destination / "training" / "cat")
    carry_out(destination, plan_split(destination, asked(source, "move", 0.5, 0.0)))
    assert len(contents(destination)) == 12
    undone = undo(destination)
    assert len(list((destination / "training" / "cat").iterdir())) == 6
    assert len(list((source / "dog").iterdir())) == 6
    assert [name.rpartition("/")[0] for name, _ in undone.left] == ["training/cat"] * 3
    assert all("leads to it" in reason for _, reason in undone.left)


@pytest.mark.parametrize("by", WAYS)
def test_what_stands_for_a_file_is_on_the_disk_before_it_goes_and_before_the_split_is_called_done(
    tmp_path: Path, by: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two file systems nothing but a sync keeps an order: what came first may be lost with the power."""
    fsync, unlink, events = os.fsync, os.unlink, list[object]()

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def synced(descriptor: int) -> None:
        events.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def unlinked(path: Path) -> None:
        events.append(str(path))
        unlink(path)

    for name, stand_in in (("link", refused), ("fsync", synced), ("unlink", unlinked)):
        monkeypatch.setattr(placing.os, name, stand_in)
    source, destination = flat(tmp_path / "all", 5), tmp_path / "deep" / "sorted"
    plan = split(source, destination, by)
    done = events.index((destination / RECORD).stat().st_ino)
    for file in plan.files:
        target = destination / file.target
        needed = [folder.stat().st_ino for folder in (target.parent, target.parent.parent, destination, tmp_path)]
        needed += [] if by == "link" else [target.stat().st_ino]
        assert set(needed) <= set(events[:done])
        if by == "move":
            gone = events.index(str(source / file.name))
            assert events[gone - 1] == target.parent.stat().st_ino
            assert target.stat().st_ino in events[:gone]
    assert destination.stat().st_ino in events[done:], "the name of the record"


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("twins", [False, True])
def test_a_whole_file_that_lost_its_name_with_the_power_is_taken_over(tmp_path: Path, back: bool, twins: bool) -> None:
    """A disk may have kept that the old name went, and the file, but not its new name."""
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    for number, path in enumerate(sorted(source.glob("*.jpg"))):
        os.utime(path, (1e9 + 60 * number, 1e9 + 60 * number))
    before, times = contents(source), {path.name: path.stat().st_mtime for path in source.iterdir()}
    plan = split(source, destination, "move")
    write_plan(destination, plan)
    lost = [file for file in plan.files if file.target.startswith("training/cat/cat.1")][: 1 + twins]
    for number, file in enumerate(lost):
        target = destination / file.target
        target.rename(target.with_name(f".layerlab-split-{9_999_990 + number}.part"))
    if back:
        assert undo(destination).left == ()
    else:
        assert carry_out(destination, plan_split(destination, asked(source, "move"))) == 0
        assert len(contents(destination)) == 40
        undo(destination)
    assert contents(source) == before
    assert {path.name: path.stat().st_mtime for path in source.iterdir()} == times


def test_a_whole_file_that_could_be_either_of_two_is_not_swept_away(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    for path in source.iterdir():
        os.utime(path, (1e9, 1e9))
    plan = split(source, destination, "move")
    first, second = [file for file in plan.files if file.target.startswith("training/cat/cat.1")][:2]
    part = (destination / first.target).with_name(".layerlab-split-9999999.part")
    (destination / first.target).rename(part)
    (destination / second.target).unlink()
    assert {name for name, _ in undo(destination).left} == {first.target, second.target}
    assert part.exists()


@pytest.mark.parametrize("by", WAYS)
def test_a_split_that_is_made_again_puts_back_what_is_missing_and_tells_of_what_is_new(tmp_path: Path, by: Way) -> None:
    source, destination = tree(tmp_path / "all", 10), tmp_path / "sorted"
    split(source, destination, by)
    whole, record = contents(destination), (destination / RECORD).read_bytes()
    cropped = next((destination / "training" / "dog").iterdir())
    if by == "copy":
        cropped.write_bytes(b"cropped")
        whole[str(cropped.relative_to(destination))] = b"cropped"
    again = plan_split(destination, asked(source, by))
    assert again.notes == ()
    assert carry_out(destination, again) == 0
    shutil.rmtree(destination / "training" / "cat")
    for number in range(3):
        (source / "cat" / f"new{number}.jpg").write_bytes(b"new")
    again = plan_split(destination, asked(source, by))
    new = next(note for note in again.notes if "3 photographs" in note)
    assert "new0.jpg" in new
    assert f"--undo {destination}" in new
    put_back = carry_out(destination, again)
    if by == "move":
        gone = next(note for note in again.notes if "7 files" in note)
        assert "neither" in gone
        assert (put_back, len(again.files)) == (0, 13)
    else:
        assert put_back == 7
        assert contents(destination) == whole
    assert (destination / RECORD).read_bytes() == record


def test_a_split_of_which_nothing_is_left_says_so(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    split(source, destination)
    for folder in (source, destination / "training", destination / "validation", destination / "test"):
        shutil.rmtree(folder)
    with pytest.raises(RequestError, match="none of its 40 files is there or in"):
        plan_split(destination, asked(source))


def test_what_an_undo_left_is_no_split(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    changed = destination / split(source, destination).files[0].target
    changed.write_bytes(b"cropped")
    undo(destination)
    for _ in range(2):
        with pytest.raises(RequestError, match=f"what an undo left of a split.*{re.escape(changed.name)}"):
            plan_split(destination, asked(source))
        assert undo(destination).taken_back == 0
    changed.unlink()
    assert undo(destination).left == ()
    assert len(split(source, destination).files) == 40


@pytest.mark.parametrize("by", WAYS)
def test_an_undo_counts_what_was_there(tmp_path: Path, by: Way) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(destination, plan_split(destination, asked(source, by)), stop)
    assert undo(destination).taken_back == 2


def test_undo_does_not_move_back_over_something_else(tmp_path: Path) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    plan = split(source, destination, "move")
    (source / plan.files[0].name).write_bytes(b"new")
    assert [name for name, _ in undo(destination).left] == [plan.files[0].target]
    assert (source / plan.files[0].name).read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
@pytest.mark.parametrize("by", ["copy", "move"])
def test_file_systems_apart_or_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: Way, code: int
) -> None:
    """The one system call that differs there fails as it does there."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(placing.os, "link", refused)
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    before = contents(source)
    plan = split(source, destination, by)
    times = [(destination / file.target).stat().st_mtime_ns for file in plan.files]
    assert times == [file.modified for file in plan.files]
    taken = destination / plan.files[0].target
    with pytest.raises(FileExistsError):
        placing.place(tmp_path / "all" / "README.md", taken, by)
    assert undo(destination).left == ()
    assert contents(source) == before


def test_across_real_file_systems(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev or not os.access(shm, os.W_OK):
        pytest.skip("one file system only")
    source, destination = flat(tmp_path / "all"), shm / f"layerlab-{os.getpid()}"
    before = contents(source)
    try:
        split(source, destination, "move")
        assert not list(source.glob("*.jpg"))
    finally:
        undo(destination)
    assert contents(source) == before
    assert not destination.exists()


@pytest.mark.parametrize("by", WAYS)
def test_names_with_odd_characters(tmp_path: Path, by: Way) -> None:
    source, destination = tmp_path / "all", tmp_path / "sorted"
    source.mkdir()
    names = ["a b.1.jpg", "a b.\n.JPG", "ä.1.jpg", "ä.2.jpg", os.fsdecode(b"a b.\xff.jpg"), "ä.[x]'\".jpg"]
    for name in names:
        (source / name).write_bytes(os.fsencode(name))
    plan = split(source, destination, by, test=0.0)
    assert {file.label for file in plan.files} == {"a b", "ä"}
    assert sorted(path.name for path in destination.rglob("*") if path.suffix.lower() == ".jpg") == sorted(names)
    assert undo(destination).left == ()
    assert sorted(os.listdir(source)) == sorted(names)


def test_what_cannot_be_split_is_refused_in_words(tmp_path: Path) -> None:
    source = flat(tmp_path / "all", 2)
    where = tmp_path / "sorted"
    for request, words in (
        (asked(tmp_path / "nowhere"), "cannot be listed"),
        (asked(source), "class 'cat' has 2 files, too few for each of 3 parts"),
        (asked(source, validation=0.5, test=0.5), "together less than 1"),
        (asked(source, validation=0.0, test=0.0), "not both 0"),
        (asked(source, validation=float("nan")), "shares between 0 and 1"),
        (Asked(str(source), 0.2, 0, "{label}", "copy", 0), "which cannot|too few"),
        (Asked(str(source), 0.2, 0, "{id}.jpg", "copy", 0), "write the name of a file"),
        (Asked(str(source), 0.2, 0, "{label}-{id}.jpg", "copy", 0), "--pattern how the files are called"),
    ):
        with pytest.raises(RequestError, match=words):
            plan_split(where, request)
    with pytest.raises(RequestError, match="nothing was sorted into it"):
        undo(where)
    assert not where.exists()
    for number in range(2):
        (source / f"cat.{number}.jpg").unlink()
    with pytest.raises(RequestError, match="holds one class, 'dog'"):
        plan_split(where, asked(source))


def test_only_photographs_are_sorted(tmp_path: Path) -> None:
    source = tmp_path / "all"
    source.mkdir()
    for number in range(3):
        for name in (f"cat_{number}.jpg", f"dog_{number}.PNG", f"notes_{number}.txt"):
            (source / name).write_bytes(b"x")
    plan = plan_split(tmp_path / "sorted", Asked(str(source), 0.3, 0.0, "{label}_{id}", "copy", 0))
    assert {file.label for file in plan.files} == {"cat", "dog"}
    assert plan.left_out == ("notes_0.txt", "notes_1.txt", "notes_2.txt")


def tree(root: Path, count: int = 6) -> Path:
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(count):
            (root / label / f"{number}.jpg").write_bytes(f"{label}{number}".encode() * 50)
    return root


@pytest.mark.parametrize("stray", [["cat.0.jpg"], ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"]])
def test_photographs_both_in_folders_and_beside_them_are_refused_until_it_is_said_which(
    tmp_path: Path, stray: list[str]
) -> None:
    source = tree(tmp_path / "all")
    for name in stray:
        (source / name).write_bytes(b"x")
    with pytest.raises(RequestError) as caught:
        plan_split(tmp_path / "sorted", asked(source, test=0.0))
    assert f"{len(stray)} photograph" in str(caught.value)
    assert "12 in its folders (cat, dog)" in str(caught.value)
    assert f"--pattern '{PATTERN}'" in str(caught.value)
    assert not (tmp_path / "sorted").exists()
    if len(stray) > 1:
        plan = plan_split(tmp_path / "sorted", asked(source, test=0.0), by_name=True)
        assert sorted(file.name for file in plan.files) == stray
        assert plan.left_out == ("6 photographs in cat", "6 photographs in dog")
    for name in stray:
        (source / name).unlink()
    assert len(plan_split(tmp_path / "sorted", asked(source)).files) == 12


def test_a_folder_among_flat_photographs_is_left_out_and_told(tmp_path: Path) -> None:
    source = flat(tmp_path / "all")
    (source / "small").mkdir()
    (source / "small" / "cat.0.jpg").write_bytes(b"x")
    plan = plan_split(tmp_path / "sorted", asked(source))
    assert len(plan.files) == 40
    assert plan.left_out == ("README.md", "1 photograph in small")
    # What other splits put there is none of it.
    for seed in range(3):
        carry_out(source / f"sorted{seed}", plan := plan_split(source / f"sorted{seed}", asked(source, seed=seed)))
        assert plan.left_out == ("README.md", "1 photograph in small")


def test_what_is_used_is_not_told_as_left_out(tmp_path: Path) -> None:
    source = tree(tmp_path / "all")
    (source / "cat").rename(source / "Dog")
    (source / "emu").mkdir()
    plan = split(source, tmp_path / "sorted")
    assert plan.left_out == (f"classes without photographs in {source}: emu",)
    (note,) = plan.notes
    assert note.startswith("classes whose names look the same")
    assert read_plan(tmp_path / "sorted") == replace(plan, done=True)


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    plan = split(flat(tmp_path / "all"), tmp_path / "sorted")
    record = json.loads((tmp_path / "sorted" / RECORD).read_text())
    del record["notes"]
    (tmp_path / "sorted" / RECORD).write_text(json.dumps(record))
    assert read_plan(tmp_path / "sorted") == replace(plan, done=True)


@pytest.mark.parametrize("by", WAYS)
def test_an_undo_that_was_stopped_goes_on_and_so_does_the_split(tmp_path: Path, by: Way) -> None:
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    before = contents(source)
    split(source, destination, by)
    whole = contents(destination)

    def stop(done: int, of: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo(destination, stop)
    assert carry_out(destination, plan_split(destination, asked(source, by))) == 7
    assert contents(destination) == whole
    with pytest.raises(KeyboardInterrupt):
        undo(destination, stop)
    assert undo(destination).left == ()
    assert contents(source) == before


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("same", [True, False])
def test_a_name_that_another_process_takes_first(
    tmp_path: Path, by: Way, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken between the look and the placing: the same content is as good, other content is told of by name."""
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    plan = plan_split(destination, asked(source, by))
    taken = destination / plan.files[5].target
    place = placing.place

    def beaten(file: Path, target: Path, way: Way) -> None:
        if target == taken and not os.path.lexists(taken):
            if same:
                place(file, target, way)
            else:
                target.write_bytes(b"precious")
        place(file, target, way)

    monkeypatch.setattr(sorting, "place", beaten)
    if same:
        assert carry_out(destination, plan) == 39
        assert len(contents(destination)) == 40
    else:
        with pytest.raises(RunError, match=f"stopped after 5 files: {re.escape(str(taken))}: something else has this"):
            carry_out(destination, plan)
        assert taken.read_bytes() == b"precious"
    undo(destination)
    assert len(list(source.glob("*.jpg"))) == 40


@pytest.mark.parametrize("by", WAYS)
def test_two_splits_at_once_end_with_every_file_in_its_place(tmp_path: Path, by: Way) -> None:
    source, destination = flat(tmp_path / "all", 150), tmp_path / "sorted"
    before = contents(source)
    text = (
        "import sys, pathlib, time; from engine.data.sorting import *; from engine.data.split_plan import *\n"
        f"plan = plan_split(pathlib.Path({str(destination)!r}), Asked({str(source)!r}, 0.2, 0.1, PATTERN, {by!r}, 0))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"carry_out(pathlib.Path({str(destination)!r}), plan)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len([name for name in contents(destination) if name.endswith(".jpg")]) == 300
    assert undo(destination).left == ()
    assert contents(source) == before


def test_moving_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    source = flat(tmp_path / "all")
    (source / "cat.99.jpg").symlink_to("cat.0.jpg")
    with pytest.raises(RequestError, match="symbolic link"):
        plan_split(tmp_path / "sorted", asked(source, "move"))
    split(source, tmp_path / "sorted", "copy")
    assert len(contents(tmp_path / "sorted")) == 41


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    source = flat(tmp_path / "all")
    (tmp_path / "file").write_text("x")
    with pytest.raises(LayerlabError, match="is not a folder"):
        plan_split(tmp_path / "file", asked(source))
    where = Path("/proc/layerlab")
    if not Path("/proc").is_dir():
        pytest.skip("no folder that even root cannot write to")
    with pytest.raises(LayerlabError, match=r"No such file|Permission|not permitted"):
        carry_out(where, plan_split(where, asked(source, "link")))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(format=2),
        lambda record: record["files"][0].__setitem__(0, "../../etc/passwd"),
        lambda record: record["files"][0].__setitem__(2, "../.."),
        lambda record: record["files"][0].pop(),
        lambda record: record["asked"].update(by="rm"),
        lambda record: record.pop("made"),
    ],
)
def test_a_record_that_is_damaged_is_not_acted_upon(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    source, destination = flat(tmp_path / "all"), tmp_path / "sorted"
    split(source, destination, "move")
    record = json.loads((destination / RECORD).read_text())
    change(record)
    (destination / RECORD).write_text(json.dumps(record))
    with pytest.raises(RequestError, match="is not what a split writes"):
        undo(destination)
    assert len(contents(destination)) == 40


@given(st.integers(2, 500), st.floats(0.01, 0.6), st.floats(0.01, 0.39))
@settings(max_examples=200, deadline=None)
def test_parts_have_their_share_to_within_one_file(count: int, validation: float, test: float) -> None:
    sizes = _sizes(count + 1, [validation, test])
    assert min(sizes) >= 1
    assert sum(sizes) <= count
    for size, share in zip(sizes, (validation, test), strict=True):
        assert abs(size - (count + 1) * share) <= 1 + (count < 5)
