"""What people write beside a run: whole or not at all, nothing lost between two who write, nothing that harms."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import RequestError, RunError
from engine.store import files, notes, owner
from engine.store.listing import summarize
from engine.store.notes import Notes, change_notes, read_notes
from tests.engine.run_folders import Died, Faulty, new_run, trained_run

ANY_TEXT = st.text(st.characters(), max_size=100)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return new_run(tmp_path)


def test_notes_are_read_as_they_were_written(run):
    assert read_notes(run) == Notes()
    change_notes(run, name="  the   first ", text="with\nmomentum", add_tags=["good"], pinned=True)
    assert read_notes(run) == Notes("the first", "with\nmomentum", ("good",), pinned=True)
    change_notes(run, starred=True, pinned=False, add_tags=["old", "good"])
    assert read_notes(run) == Notes("the first", "with\nmomentum", ("good", "old"), starred=True)
    change_notes(run, name=None, text="", remove_tags=["GOOD"])
    assert read_notes(run) == Notes(None, "", ("old",), starred=True)
    change_notes(run, tags=["b", "a", "b"])
    assert read_notes(run).tags == ("b", "a")
    assert not [name for name in os.listdir(run) if "lock" in name or name.startswith(".")]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT.filter(lambda text: text and not any(map(str.isspace, text))), max_size=5))
def test_any_characters_come_back(run, name, text, tags):
    tags = [tag[:60] for tag in tags]
    change_notes(run, name=name, text=text, tags=tags)
    assert read_notes(run) == Notes(" ".join(name.split()) or None, text, tuple(dict.fromkeys(tags)))


def test_a_run_in_a_list_has_the_name_it_was_given(tmp_path):
    path = trained_run(tmp_path)
    assert summarize(path).label == "plain"
    change_notes(path, name="baseline")
    row = summarize(path)
    assert (row.label, row.name, row.notes.name) == ("baseline", "plain", "baseline")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"add_tags": ["two words"]}, "a tag is one word, such as two-words"),
        ({"add_tags": [" "]}, "cannot be a tag"),
        ({"add_tags": ["x" * 61]}, "60 is the most"),
        ({"tags": [f"t{i}" for i in range(51)]}, "51 tags are too many"),
        ({"name": "x" * 201}, "the name has 201 characters"),
        ({"text": "x" * 20_001}, "the text has 20,001 characters"),
    ],
)
def test_what_is_no_note_is_refused_and_changes_nothing(run, change, words):
    change_notes(run, text="before")
    with pytest.raises(RequestError, match=words):
        change_notes(run, **change)
    assert read_notes(run) == Notes(text="before")


def test_a_run_that_is_gone_has_no_notes(tmp_path):
    assert read_notes(tmp_path / "gone") == Notes()
    with pytest.raises(RequestError, match="there is no run gone"):
        change_notes(tmp_path / "gone", pinned=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * (1 << 20), b"1e999"])
def test_damaged_notes_are_empty_with_a_problem_and_kept_aside(run, content):
    (run / "notes.json").write_bytes(content)
    found = read_notes(run)
    assert found.problem is not None
    assert (found.text, found.tags) == ("", ())
    assert summarize(run).notes.problem == found.problem
    assert (run / "notes.json").read_bytes() == content
    assert change_notes(run, text="new") == Notes(text="new") == read_notes(run)
    aside = [name for name in os.listdir(run) if name.startswith("notes.damaged-")]
    assert len(aside) == 1
    assert (run / aside[0]).read_bytes() == content


def test_notes_of_the_wrong_types_are_left_out(run):
    wrong = {"name": 3, "text": None, "tags": ["ok", 5, "two words", "", "y" * 99], "pinned": "yes", "starred": 1}
    (run / "notes.json").write_text(json.dumps(wrong))
    assert read_notes(run) == Notes(tags=("ok", "y" * 60))


def test_what_a_later_version_adds_stays_and_a_newer_format_is_left_alone(run):
    (run / "notes.json").write_text('{"version": 1, "colour": "red"}')
    change_notes(run, pinned=True)
    assert json.loads((run / "notes.json").read_text())["colour"] == "red"
    (run / "notes.json").write_text('{"version": 2, "text": "from later"}')
    assert read_notes(run).text == "from later"
    with pytest.raises(RequestError, match="newer layerlab"):
        change_notes(run, pinned=True)


def test_links_and_fifos_in_place_of_notes_are_not_opened(run, tmp_path):
    (tmp_path / "elsewhere").write_text('{"text": "not ours"}')
    (run / "notes.json").symlink_to(tmp_path / "elsewhere")
    assert read_notes(run).text == ""
    (run / "notes.json").unlink()
    os.mkfifo(run / "notes.json")
    assert "regular" in (read_notes(run).problem or "")
    change_notes(run, text="ours")
    assert (tmp_path / "elsewhere").read_text() == '{"text": "not ours"}'


def tag_often(path: Path, who: int, times: int) -> None:
    for number in range(times):
        change_notes(path, add_tags=[f"{who}-{number}"], **({"pinned": True} if who == 1 else {"starred": True}))


def test_four_processes_that_tag_at_once_lose_nothing(run):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=tag_often, args=(run, who, 12)) for who in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = read_notes(run)
    assert sorted(found.tags) == sorted(f"{who}-{number}" for who in range(4) for number in range(12))
    assert found.pinned
    assert found.starred


def die_with_the_lock(path: Path) -> None:
    lock = notes._Lock(path)
    assert lock.take()
    os._exit(0)


def test_the_lock_of_a_dead_process_is_taken_at_once(run, monkeypatch):
    process = multiprocessing.get_context("fork").Process(target=die_with_the_lock, args=(run,))
    process.start()
    process.join()
    assert (run / "notes.lock").exists()
    slept: list[float] = []
    monkeypatch.setattr(notes, "time", SimpleNamespace(**vars(time) | {"sleep": slept.append}))
    monkeypatch.setattr(notes, "STALE_SECONDS", 3600.0)
    change_notes(run, text="after")
    assert not slept
    assert not (run / "notes.lock").exists()


def test_a_lock_that_tells_nothing_is_broken_once_it_is_stale(run, monkeypatch):
    monkeypatch.setattr(notes, "STALE_SECONDS", 0.2)
    (run / "notes.lock").write_text("")
    # However old the clock says that it is: only watching counts.
    os.utime(run / "notes.lock", (1, 1))
    began = time.monotonic()
    change_notes(run, text="after")
    assert time.monotonic() - began >= 0.2


def test_a_living_holder_is_waited_for_and_then_named(run, monkeypatch):
    monkeypatch.setattr(notes, "PATIENCE_SECONDS", 0.2)
    lock = notes._Lock(run)
    assert lock.take()
    with pytest.raises(RunError, match=f"being changed by pid {os.getpid()}"):
        change_notes(run, text="now")
    lock.release()
    assert change_notes(run, text="now").text == "now"


def test_whoever_lost_the_lock_begins_again_and_overwrites_nothing(run, monkeypatch):
    real, calls = notes._read, []

    def read_slowly(path: Path):
        found = real(path) if (path / "notes.json").exists() else {}
        if not calls:
            # Meanwhile this process is taken for dead, and somebody else writes.
            calls.append(1)
            (path / "notes.lock").unlink()
            change_notes(path, add_tags=["other"])
        return found

    monkeypatch.setattr(notes, "_read", read_slowly)
    assert change_notes(run, add_tags=["mine"]).tags == ("other", "mine")


def test_a_crash_at_any_operation_leaves_the_old_or_the_new_notes(run, monkeypatch):
    monkeypatch.setattr(notes, "STALE_SECONDS", 0.05)
    for damaged in (False, True):
        for fail_at in range(1, 100):
            if damaged:
                (run / "notes.json").write_text("{")
            else:
                change_notes(run, text="old", tags=["kept"])
            faulty = Faulty(fail_at, dies=True)
            with monkeypatch.context() as patch:
                patch.setattr(files, "system", faulty)
                try:
                    change_notes(run, text="new")
                    done = True
                except Died:
                    done = False
            found = read_notes(run)
            if not damaged:
                assert (found.problem, found.tags) == (None, ("kept",))
                assert found.text in ("old", "new")
            assert change_notes(run, add_tags=["next"]).problem is None
            assert not [name for name in os.listdir(run) if "lock" in name and not name.startswith(".")]
            assert not [name for name in os.listdir(run) if name.startswith(".tmp-notes.json")]
            if done:
                break
        assert 5 < fail_at < 99
        assert not done or fail_at > 5


@pytest.mark.parametrize("for_good", [False, True])
def test_an_error_at_any_operation_is_told_in_words(run, monkeypatch, for_good):
    monkeypatch.setattr(notes, "STALE_SECONDS", 0.05)
    before = set(owner._training_here)
    for fail_at in range(1, 100):
        change_notes(run, text="old")
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", Faulty(fail_at, error=28, for_good=for_good))
            said = None
            try:
                change_notes(run, text="new")
            except RunError as error:
                said = str(error)
        assert said is None or "No space left" in said
        assert read_notes(run).text in (("new",) if said is None else ("old", "new"))
        if said is None and for_good:
            break
    assert owner._training_here == before


@pytest.mark.parametrize("number", [5, 13, 24])
def test_notes_that_the_disk_does_not_give_for_a_moment_are_not_set_aside(run, monkeypatch, number):
    change_notes(run, name="mine", text="old", tags=["kept"])
    real = files.system

    class Unreadable(files.FileLayer):
        def open(self, path, flags, mode=0o644):
            if Path(path).name == notes.FILE and flags == files.READ:
                raise OSError(number, os.strerror(number))
            return real.open(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "system", Unreadable())
        assert os.strerror(number) in (read_notes(run).problem or "")
        assert "aside" not in (read_notes(run).problem or "")
        with pytest.raises(RunError, match=os.strerror(number)):
            change_notes(run, pinned=True)
    assert read_notes(run) == Notes("mine", "old", ("kept",))
    assert notes.LOCK not in os.listdir(run)


def test_a_lock_that_cannot_be_read_is_told_as_that_and_at_once(run, monkeypatch):
    real = files.system

    class Unreadable(files.FileLayer):
        def open(self, path, flags, mode=0o644):
            if Path(path).name == notes.LOCK and flags == files.READ:
                raise OSError(13, os.strerror(13))
            return real.open(path, flags, mode)

    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(files, "system", Unreadable())
        with pytest.raises(RunError, match="Permission denied"):
            change_notes(run, pinned=True)
    assert time.monotonic() - began < notes.STALE_SECONDS
    assert change_notes(run, pinned=True).pinned
