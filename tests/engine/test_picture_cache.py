"""The cache: decoded once, again only what changed, within a bound, shared by processes, never torn."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from engine.calls import parse_call
from engine.check import check
from engine.data import cache_folder, decoding, earlier_pictures
from engine.data.cache_folder import entries, hold, make_room, making
from engine.data.decoded_live import LivePart
from engine.data.info import Place
from engine.data.picture_entry import Writing
from engine.data.sources import build_source
from engine.errors import RequestError
from tests.engine.pictures import image_folder, save
from tests.engine.training import experiment
from tests.faults.processes import FORK, at_once, in_a_fork, obey_permissions, read_only

SOURCE = 'ImageFolder("pets", size=16)'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    image_folder(tmp_path / "pets", {"cat": 5, "dog": 5})
    return Place(tmp_path)


def load(place, call=SOURCE):
    """What is loaded, and how many photographs were decoded for it."""
    before = decoding.count
    loaded = build_source(parse_call(call)).load(place)
    return loaded, decoding.count - before


def entry_of(loaded) -> Path:
    return cache_folder.cache_folder() / "photographs" / loaded.key


def test_nothing_is_decoded_twice(place):
    first, decoded = load(place)
    again, more = load(place)
    assert (decoded, more) == (10, 0)
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert torch.equal(first.train.targets, again.train.targets)
    assert again.train.stored
    assert again.key == first.key


def test_other_settings_are_another_entry(place):
    keys = {
        load(place, f'ImageFolder("pets", {more})')[0].key for more in ("size=16", "size=8", "size=16, colour=False")
    }
    assert len(keys) == 3
    assert load(place, 'ImageFolder("pets", size=8)')[1] == 0


@pytest.mark.parametrize("change", ["content", "time"])
def test_only_the_photograph_that_changed_is_decoded_again(place, change):
    first, _ = load(place)
    path = place.folder / "pets" / "dog" / "002.jpg"
    if change == "content":
        save(path, 4711)
    else:
        os.utime(path, (1, 1))
    second, decoded = load(place)
    assert decoded == 1
    assert second.key != first.key
    same = [torch.equal(a, b) for a, b in zip(first.train.inputs, second.train.inputs, strict=True)]
    assert same == [change == "time" or row != 7 for row in range(10)]


class Ended(Exception):
    """Raised where a person ends a run under way."""


def ending_at(place, rows, error=Ended):
    def progress(text, done, total):
        if text == "decoding photographs" and done == rows:
            raise error

    return Place(place.folder, progress=progress)


@pytest.mark.parametrize("error", [Ended, KeyboardInterrupt])
def test_decoding_goes_on_where_it_was_stopped(place, error):
    whole = load(place)[0].train.inputs.clone()
    shutil.rmtree(cache_folder.cache_folder())
    for stop in (4, 7):
        with pytest.raises(error):
            load(ending_at(place, stop, error))
        (left,) = entries()
        assert (left.folder / "pictures").stat().st_size == stop * 3 * 16 * 16
    again, decoded = load(place)
    assert decoded == 3
    assert torch.equal(again.train.inputs, whole)
    assert [entry.folder for entry in entries()] == [entry_of(again)]  # what the stop left is gone


def killed_at(place, rows, noted):
    """Decode in a process that is killed there, and notes how far it is so often."""

    def progress(text, done, total):
        if text == "decoding photographs" and done == rows:
            os.kill(os.getpid(), signal.SIGKILL)

    def act():
        earlier_pictures.NOTED_SECONDS = noted
        load(Place(place.folder, progress=progress))

    process = FORK.Process(target=act)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("noted", "kept"), [(0.0, 7), (100.0, 4)])
def test_decoding_that_is_killed_goes_on_from_what_was_noted(place, noted, kept):
    whole = load(place)[0].train.inputs.clone()
    shutil.rmtree(cache_folder.cache_folder())
    with pytest.raises(Ended):
        load(ending_at(place, 4))
    killed_at(place, 7, noted)
    again, decoded = load(place)
    assert decoded == 10 - kept
    assert torch.equal(again.train.inputs, whole)
    assert [entry.folder for entry in entries()] == [entry_of(again)]


@pytest.mark.parametrize("file", ["pictures", "sums", "marks", "index.json"])
def test_what_a_kill_left_torn_is_not_used(place, file):
    whole = load(place)[0].train.inputs.clone()
    shutil.rmtree(cache_folder.cache_folder())
    killed_at(place, 7, 0.0)
    (left,) = entries()
    (left.folder / file).write_bytes((left.folder / file).read_bytes()[:-5])
    again, decoded = load(place)
    assert decoded == 10
    assert torch.equal(again.train.inputs, whole)


def test_what_another_process_is_at_is_not_taken_up(place, monkeypatch):
    monkeypatch.setattr(earlier_pictures, "NOTED_SECONDS", 0.0)
    faster = []

    def progress(text, done, total):
        if text == "decoding photographs" and done == 5:
            faster.append(load(place))

    loaded, _ = load(Place(place.folder, progress=progress))
    [(other, decoded)] = faster
    assert decoded == 10
    shutil.rmtree(cache_folder.cache_folder())
    assert torch.equal(other.train.inputs, load(place)[0].train.inputs)
    assert torch.equal(loaded.train.inputs, other.train.inputs)


def test_a_stop_that_comes_sooner_keeps_what_an_earlier_one_left(place):
    with pytest.raises(Ended):
        load(ending_at(place, 7))
    save(place.folder / "pets" / "cat" / "000 before all others.jpg", 12)
    with pytest.raises(Ended):
        load(ending_at(place, 3))
    assert [(entry.folder / "pictures").stat().st_size for entry in entries()] == [7 * 3 * 16 * 16]
    loaded, decoded = load(place)
    assert decoded == 4
    assert len(entries()) == 1
    shutil.rmtree(cache_folder.cache_folder())
    assert torch.equal(loaded.train.inputs, load(place)[0].train.inputs)


def test_what_a_stop_left_goes_on_where_the_cache_has_no_room_for_it_twice(tmp_path, monkeypatch):
    image_folder(tmp_path / "pets", {"cat": 20, "dog": 20})
    place, call = Place(tmp_path), 'ImageFolder("pets", size=64)'
    whole = load(place, call)[0].train.inputs.clone()
    taken = sum(entry.bytes for entry in entries())
    shutil.rmtree(cache_folder.cache_folder())
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(1.05 * (taken + (1 << 20)) / 2**30))
    for stop in (20, 36):
        with pytest.raises(Ended):
            load(ending_at(place, stop), call)
    again, decoded = load(place, call)
    assert decoded == 4
    assert torch.equal(again.train.inputs, whole)


def test_a_set_with_a_bad_photograph_stays_in_the_cache_where_it_is_refused(place):
    (place.folder / "pets" / "dog" / "002.jpg").write_bytes(b"no picture")
    skipping = SOURCE.replace("size=16", 'size=16, on_error="skip"')
    assert load(place, skipping)[1] == 9
    with pytest.raises(RequestError, match="002"):
        load(place)
    assert load(place, skipping)[1] == 0


def test_of_several_entries_the_one_that_has_most_is_used(tmp_path):
    image_folder(tmp_path / "pets" / "train", {"cat": 6, "dog": 6})
    image_folder(tmp_path / "pets" / "validation", {"cat": 2, "dog": 2})
    place = Place(tmp_path)
    with pytest.raises(Ended):
        load(ending_at(place, 14))
    load(place, 'ImageFolder("pets/validation", size=16)')
    assert load(place)[1] == 2


def test_after_a_photograph_is_mended_only_those_from_it_on_are_decoded(place):
    broken = place.folder / "pets" / "dog" / "002.jpg"  # the eighth
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    with pytest.raises(RequestError, match=r"002\.jpg"):
        load(place)
    broken.write_bytes(content)
    loaded, decoded = load(place)
    assert decoded == 3
    shutil.rmtree(cache_folder.cache_folder())
    assert torch.equal(loaded.train.inputs, load(place)[0].train.inputs)


def test_a_stop_at_the_last_photograph_leaves_the_whole_entry(place):
    with pytest.raises(Ended):
        load(ending_at(place, 10))
    assert load(place)[1] == 0


@pytest.mark.parametrize("file", ["pictures", "marks", "index.json"])
def test_what_a_stop_left_and_was_torn_since_is_not_used(place, file):
    whole = load(place)[0].train.inputs.clone()
    shutil.rmtree(cache_folder.cache_folder())
    with pytest.raises(Ended):
        load(ending_at(place, 6))
    torn = entries()[0].folder / file
    torn.write_bytes(torn.read_bytes()[:-5])
    again, decoded = load(place)
    assert decoded == 10
    assert torch.equal(again.train.inputs, whole)


def test_a_disk_that_fills_up_while_decoding_leaves_nothing(place, monkeypatch):
    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writing, "write", full)
    with pytest.raises(Ended):
        load(ending_at(place, 6))
    assert entries() == []


def test_a_photograph_that_is_added_or_removed_costs_only_itself(place):
    load(place)
    save(place.folder / "pets" / "cat" / "a new one.jpg", 12)
    assert load(place)[1] == 1
    (place.folder / "pets" / "cat" / "000.jpg").unlink()
    loaded, decoded = load(place)
    assert (decoded, len(loaded.train.inputs)) == (0, 10)


@pytest.mark.parametrize(
    "damage", ["short", "long", "no index", "strange index", "deep index", "other index", "no sums", "a file"]
)
def test_a_torn_or_foreign_entry_is_made_anew(place, damage):
    whole, _ = load(place)
    pixels = whole.train.inputs.clone()
    entry = entry_of(whole)
    index = entry / "index.json"
    if damage == "short":
        os.truncate(entry / "pictures", 100)
    elif damage == "long":
        os.truncate(entry / "pictures", 10 * 3 * 16 * 16 + 1)
    elif damage == "no index":
        index.unlink()
    elif damage == "strange index":
        index.write_bytes(b"\0\xff[[[")
    elif damage == "deep index":
        index.write_bytes(b"[" * 200_000)
    elif damage == "other index":
        index.write_text(json.dumps(json.loads(index.read_text()) | {"rows": 9}))
    elif damage == "no sums":
        (entry / "sums").write_bytes(b"")
    else:
        del whole
        cache_folder.throw_away("photographs", entry.name)
        entry.write_text("not a folder")
    again, decoded = load(place)
    assert decoded == 10
    assert torch.equal(again.train.inputs, pixels)
    assert load(place)[1] == 0


def test_pictures_are_mapped_so_that_more_of_them_than_memory_can_be(place, monkeypatch):
    """The system promises no memory for what nobody can write to; for anything else more than it has is refused."""
    real, asked = mmap.mmap, []
    monkeypatch.setattr(mmap, "mmap", lambda *given, **more: asked.append(more["access"]) or real(*given, **more))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(place)
    assert set(asked) == {mmap.ACCESS_READ}


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("at", ["lock", "pictures"])
def test_an_entry_that_cannot_be_read_just_now_stays(place, monkeypatch, number, at):
    loaded, _ = load(place)
    name = loaded.key

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if at == "lock":
            patch.setattr(os, "open", refused)
        else:
            patch.setattr(mmap, "mmap", refused)
        with pytest.raises(RequestError, match=f"{name} in the cache cannot be read: {os.strerror(number)}; "):
            load(place)
    assert load(place)[1] == 0


def test_two_processes_that_decode_the_same_do_not_disturb_each_other(place):
    script = (
        "import sys, hashlib; from pathlib import Path\n"
        "from engine.calls import parse_call\n"
        "from engine.data.info import Place\n"
        "from engine.data.sources import build_source\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"part = build_source(parse_call({SOURCE!r})).load(Place(Path({str(place.folder)!r}))).train\n"
        "print(hashlib.sha256(part.inputs.numpy().tobytes()).hexdigest())\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0].strip() for process in both]
    assert found[0] == found[1]
    assert found[0]
    assert [process.returncode for process in both] == [0, 0]
    assert load(place)[1] == 0
    assert [path.name for path in entry_of(load(place)[0]).parent.iterdir()] == [load(place)[0].key]


def test_of_two_that_decode_the_same_the_entry_of_the_faster_one_stays(place):
    made = []

    def progress(text, done, total):
        if text == "decoding photographs" and done == 5:
            faster, _ = load(place)
            made.append((faster, (entry_of(faster) / "pictures").stat().st_ino))

    slower, _ = load(Place(place.folder, progress=progress))
    [(faster, pictures)] = made
    entry = entry_of(slower)
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]
    assert (entry / "pictures").stat().st_ino == pictures
    assert torch.equal(slower.train.inputs, faster.train.inputs)


def fill(kind: str, key: str, size: int, used: float) -> Path:
    with making(kind, key) as folder:
        (folder / "content").write_bytes(b"x" * size)
    path = cache_folder.cache_folder() / kind / key
    os.utime(path / "lock", (used, used))
    return path


def test_the_least_recently_used_goes_first_and_what_is_in_use_never(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(10_000 / 2**30))
    old, middle, new = (fill("features", name, 3000, used) for name, used in (("a", 1.0), ("b", 2.0), ("c", 3.0)))
    held = hold("features", "a")  # which also makes it the one that was used last
    assert held is not None
    os.utime(old / "lock", (1.0, 1.0))
    assert make_room(4000)
    assert (old.exists(), middle.exists(), new.exists()) == (True, False, True)
    assert not make_room(9000)
    assert old.exists()
    held.close()
    assert make_room(9000)
    assert not old.exists()


def bounded(bytes_more: int, monkeypatch) -> None:
    """Let the cache have what it takes now and so many bytes more."""
    taken = sum(entry.bytes for entry in entries())
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str((taken + bytes_more) / 2**30))


def test_what_can_be_used_again_stays_where_room_is_made_for_the_set_that_it_has_become(place, monkeypatch):
    load(place)
    (entry,) = entries()
    os.utime(entry.folder / "lock", (1.0, 1.0))
    other = fill("features", "a", 2 << 20, 2.0)
    bounded(1 << 20, monkeypatch)
    save(place.folder / "pets" / "dog" / "002.jpg", 4711)
    loaded, decoded = load(place)
    assert decoded == 1
    assert not other.exists()
    assert loaded.notes == ()


def test_that_all_is_decoded_again_for_want_of_room_is_told(place, monkeypatch):
    load(place)
    bounded(1 << 20, monkeypatch)
    save(place.folder / "pets" / "dog" / "002.jpg", 4711)
    loaded, decoded = load(place)
    assert decoded == 10
    assert loaded.train.stored
    assert "9 photographs that the cache had were decoded again" in loaded.notes[-1]
    assert "LAYERLAB_CACHE_GIB" in loaded.notes[-1]
    assert [entry.folder for entry in entries()] == [entry_of(loaded)]


def test_nothing_is_removed_where_that_does_not_make_room(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(10_000 / 2**30))
    held, other = fill("features", "a", 3000, 2.0), fill("features", "b", 3000, 1.0)
    kept = hold("features", "a")
    assert not make_room(8000)
    assert (held.exists(), other.exists()) == (True, True)
    kept.close()


def test_a_set_that_is_mapped_stays_in_the_cache(place, monkeypatch):
    loaded, _ = load(place)
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(20_000 / 2**30))
    assert not make_room(19_000)
    entry = entry_of(loaded)
    assert entry.exists()
    del loaded
    assert make_room(19_000)
    assert not entry.exists()


def test_what_a_process_left_unfinished_goes():
    with pytest.raises(OSError, match="full"), making("features", "k"):
        raise OSError("the disk is full")
    assert not entries()
    unfinished = fill("features", "k", 100, 1.0)
    unfinished.rename(unfinished.with_name(".tmp-0123"))
    assert make_room(10)
    assert not entries()


def test_what_a_killed_process_left_goes_before_what_can_be_used(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(10_000 / 2**30))
    old, new = fill("features", "a", 3000, 1.0), fill("features", "b", 3000, 2.0)
    begun = fill("features", ".tmp-0123", 3000, time.time())  # what was used last
    lockless = cache_folder.cache_folder() / "features" / ".tmp-4567"
    lockless.mkdir()
    (lockless / "content").write_bytes(b"x" * 900)
    os.utime(lockless, (3.0, 3.0))
    assert make_room(3900)
    assert [path.exists() for path in (old, new, begun, lockless)] == [True, True, False, False]


def test_a_folder_that_is_taken_for_what_was_left_before_it_is_held_is_begun_again(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(10_000 / 2**30))
    fill("features", "a", 9000, 1.0)
    touch, taken = Path.touch, []

    def taken_at_once(path: Path, *options: object) -> None:
        touch(path)
        if not taken:
            taken.append(path.parent)
            assert make_room(5000)
            assert not path.parent.exists()

    monkeypatch.setattr(Path, "touch", taken_at_once)
    with making("features", "k") as folder:
        assert folder not in taken
        (folder / "content").write_bytes(b"x" * 2000)
        assert not make_room(9000)
        assert folder.exists()
    (entry,) = entries()
    assert entry.folder.name == "k"


def what_is_loaded(place):
    loaded, _ = load(place, SOURCE.replace("16", "17"))
    return loaded.train.stored, loaded.notes


def test_processes_that_decode_at_once_keep_to_the_bound_together(place, monkeypatch):
    """What an entry will take counts from its beginning, and not only what is written of it by then."""
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(1.5 * 2**-10))
    second = []

    def progress(text, done, total):
        if text == "decoding photographs" and done == 1:
            second.append(in_a_fork(what_is_loaded, place))

    loaded, _ = load(Place(place.folder, progress=progress))
    assert loaded.train.stored
    [(stored, notes)] = second
    assert not stored
    assert "leave beside what is in use" in notes[-1]
    assert load(place, SOURCE.replace("16", "17"))[0].train.stored  # a finished one takes what it takes


def reserving(barrier, answers):
    barrier.wait()
    held = cache_folder.reserve("features", 3000)
    barrier.wait()
    answers.put(held is not None)


def test_one_process_at_a_time_looks_for_room(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(10_000 / 2**30))
    with at_once(reserving, [()] * 8) as answers:
        found = [answers.get(timeout=30) for _ in range(8)]
    assert sum(found) == 3


def test_an_entry_that_is_being_made_is_not_removed(monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(5_000 / 2**30))
    with making("features", "k") as folder:
        (folder / "content").write_bytes(b"x" * 3000)
        assert not make_room(3000)
        assert (folder / "content").exists()


def test_a_set_larger_than_the_bound_is_decoded_anew_each_time(place, monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0.000001")
    loaded, decoded = load(place)
    assert isinstance(loaded.train, LivePart)
    assert decoded == 10
    assert "that the cache may have" in loaded.notes[-1]
    assert "decoded again in every epoch" in loaded.notes[-1]
    monkeypatch.delenv("LAYERLAB_CACHE_GIB")
    stored, _ = load(place)
    assert stored.train.stored
    assert torch.equal(stored.train.sums, loaded.train.sums)


def test_a_set_that_the_cache_has_already_is_not_told_to_be_decoded_again(place, monkeypatch):
    call = 'ImageFolder("pets", size=16, on_error="skip")'
    spec = experiment("mlp", f"data.source={call}")

    def told():
        return any("decoded again" in text for text in check(spec, place).warnings)

    (place.folder / "pets" / "cat" / "000.jpg").write_bytes(b"no picture")
    load(place, call)
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0.000005")
    assert (told(), load(place, call)[1]) == (False, 0)
    # With one photograph changed it is another set, for which there is no room.
    save(place.folder / "pets" / "dog" / "002.jpg", 4711)
    assert (told(), load(place, call)[1]) == (True, 9)
    (place.folder / "pets" / "cat" / "001.jpg").unlink()
    (place.folder / "pets" / "cat" / "001.jpg").symlink_to("nowhere")
    assert told()
    assert any("decoded again" in text for text in check(experiment("mlp", f"data.source={SOURCE}"), place).warnings)


def test_a_cache_that_cannot_be_written_is_told_and_done_without(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LAYERLAB_CACHE", str(tmp_path / "file"))
    loaded, _ = load(place)
    assert isinstance(loaded.train, LivePart)
    assert "cannot be written" in loaded.notes[-1]


def loaded_where_nobody_may_write(place):
    obey_permissions()
    assert not os.access(cache_folder.cache_folder(), os.W_OK)
    loaded, decoded = load(place)
    return loaded.train.stored, loaded.notes, decoded


def test_a_cache_that_is_read_only_is_used(place):
    load(place)
    with read_only(cache_folder.cache_folder()):
        assert in_a_fork(loaded_where_nobody_may_write, place) == (True, (), 0)


def test_a_cache_on_a_file_system_that_is_read_only_is_used(place, monkeypatch):
    load(place)
    opened = os.open

    def read_alone(path, flags, *more):
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", read_alone)
    assert load(place)[1] == 0


def test_what_is_left_out_is_known_from_the_cache(place):
    (place.folder / "pets" / "cat" / "001.jpg").write_bytes(b"no picture")
    skipping = 'ImageFolder("pets", size=16, on_error="skip")'
    first, decoded = load(place, skipping)
    again, more = load(place, skipping)
    assert (decoded, more, len(again.train.inputs)) == (9, 0, 9)
    assert first.notes == again.notes
    assert "left out: 1 of 10" in again.notes[0]
    with pytest.raises(RequestError, match=r"001\.jpg"):
        load(place)
    assert load(place, skipping)[0].info.train == 9


@pytest.mark.parametrize("text", ["many", "-1", "nan", "1e400"])
def test_a_bound_that_is_no_number_is_refused(place, monkeypatch, text):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", text)
    with pytest.raises(RequestError, match="LAYERLAB_CACHE_GIB"):
        load(place)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERLAB_CACHE", str(tmp_path))
    assert cache_folder.cache_folder() == tmp_path
    monkeypatch.delenv("LAYERLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder.cache_folder() == tmp_path / "xdg" / "layerlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "layerlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "layerlab"
    monkeypatch.setattr(Path, "home", staticmethod(no_home))
    with pytest.raises(RequestError, match="LAYERLAB_CACHE"):
        cache_folder.cache_folder()


def no_home():
    raise RuntimeError("Could not determine home directory.")


def test_use_is_remembered(place):
    loaded, _ = load(place)
    lock = entry_of(loaded) / "lock"
    os.utime(lock, (1.0, 1.0))
    load(place)
    assert time.time() - lock.stat().st_mtime < 60
