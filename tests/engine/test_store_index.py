"""The list of a store's runs, kept up to date: always what a fresh listing gives, for one stat a run."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.presets import PRESETS, preset
from engine.spec import flatten, parse_experiment
from engine.store import files, index, owner
from engine.store.fields import USUAL, flatten_table, read_fields
from engine.store.folder import create_run
from engine.store.index import Changes, StoreIndex
from engine.store.listing import Summary, list_runs, summarize
from engine.store.notes import change_notes
from engine.store.trash import delete_run, list_trash, restore
from engine.store.writer import RunWriter
from tests.engine.run_folders import Faulty, ended, new_run, started, trained_run

LONG_AGO = 1_700_000_000


class Rows:
    """A reader of an index, as a list on a screen is."""

    def __init__(self, store: Path) -> None:
        self.index = StoreIndex(store)
        self.rows: dict[str, Summary] = {}

    def look(self) -> list[Changes]:
        told = list(self.index.refresh())
        assert [changes.complete for changes in told] == [False] * (len(told) - 1) + [True]
        for changes in told:
            for run in changes.removed:
                del self.rows[run]
            self.rows |= {summary.run: summary for summary in changes.changed}
        return told


def settle(store: Path) -> None:
    """As if nothing had changed for long."""
    for path in store.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))


def finished(store: Path, name: str = "plain", **summary: object) -> Path:
    """A run as it lies there after its end, without a training."""
    path = new_run(store, name)
    data = json.loads((path / "summary.json").read_text())
    files.write_json(path / "summary.json", data | {"status": "finished", **summary}, sync=False)
    return path


def test_all_runs_are_told_newest_first_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FIRST_BATCH", 2)
    monkeypatch.setattr(index, "BATCH", 3)
    made = [finished(tmp_path, f"run{number}").name for number in range(7)]
    rows = Rows(tmp_path)
    told = rows.look()
    assert [len(changes.changed) for changes in told] == [2, 3, 2, 0]
    assert [run.run for changes in told for run in changes.changed] == [run.run for run in list_runs(tmp_path)][::-1]
    assert set(rows.rows) == set(made)


def test_a_look_without_changes_opens_no_file(tmp_path, monkeypatch):
    for number in range(5):
        finished(tmp_path, f"run{number}")
    settle(tmp_path)
    rows = Rows(tmp_path)
    rows.look()
    counting = Faulty()
    monkeypatch.setattr(files, "system", counting)
    assert rows.look() == [Changes(complete=True)]
    assert counting.count == 0


def test_only_what_changed_is_read_and_told(tmp_path, monkeypatch):
    paths = [finished(tmp_path, f"run{number}") for number in range(5)]
    settle(tmp_path)
    rows = Rows(tmp_path)
    rows.look()
    change_notes(paths[2], add_tags=["good"])
    read = []
    real = index.summarize
    monkeypatch.setattr(
        index, "summarize", lambda path, *args, **options: read.append(path) or real(path, *args, **options)
    )
    told = rows.look()
    assert read == [paths[2]]
    assert [run.run for changes in told for run in changes.changed] == [paths[2].name]
    assert rows.rows[paths[2].name].notes.tags == ("good",)


def test_a_change_right_after_a_look_is_seen_though_the_folder_has_the_same_time(tmp_path):
    path = finished(tmp_path)
    rows = Rows(tmp_path)
    rows.look()
    before = path.stat()
    data = json.loads((path / "summary.json").read_text())
    files.write_json(path / "summary.json", data | {"epoch": 3})
    # Time stamps are coarse: this is what two changes within the same tick look like.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows.look()
    assert rows.rows[path.name].epoch == 3


def test_runs_that_go_and_come_back_are_told(tmp_path):
    path = finished(tmp_path)
    other = finished(tmp_path, "other")
    rows = Rows(tmp_path)
    rows.look()
    delete_run(tmp_path, path.name)
    assert rows.look()[0].removed == (path.name,)
    assert set(rows.rows) == {other.name}
    restore(tmp_path, path.name)
    rows.look()
    assert rows.rows[path.name] == summarize(path)


def train_until_killed(path: Path) -> None:
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        writer.status("running")
        writer.put(ended(1))
        time.sleep(60)


def test_a_run_whose_process_is_killed_becomes_interrupted(tmp_path):
    path = new_run(tmp_path)
    process = multiprocessing.get_context("fork").Process(target=train_until_killed, args=(path,))
    process.start()
    rows = Rows(tmp_path)
    deadline = time.monotonic() + 20
    while not (rows.rows and rows.rows[path.name].epoch == 1):
        rows.look()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rows.rows[path.name].live
    os.kill(process.pid, signal.SIGSTOP)
    settle(tmp_path)
    rows.look()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    # Nothing in its folder says so, and its time stays as it is.
    rows.look()
    assert (rows.rows[path.name].status, rows.rows[path.name].epoch) == ("interrupted", 1)
    settle(tmp_path)
    rows.look()
    opened = Faulty()
    files.system, real = opened, files.system
    try:
        rows.look()
    finally:
        files.system = real
    assert opened.count == 0


def test_a_run_elsewhere_is_interrupted_once_its_beat_was_watched_in_vain(tmp_path, monkeypatch):
    path = finished(tmp_path, status="running")
    record = owner.this_process() | {"host": "elsewhere"}
    beat = {"version": 1, "owner": record, "beat": 1, "time": 1.0}
    files.write_json(path / "owner.json", beat)
    rows = Rows(tmp_path)
    rows.look()
    rows.look()
    assert rows.rows[path.name].status == "running"
    monkeypatch.setattr(owner, "SILENT_SECONDS", 0.05)
    time.sleep(0.06)
    rows.look()
    assert rows.rows[path.name].status == "interrupted"
    assert "elsewhere is silent" in rows.rows[path.name].reason
    # Only the network was away.
    files.write_json(path / "owner.json", beat | {"beat": 2})
    rows.look()
    assert rows.rows[path.name].status == "running"
    data = json.loads((path / "summary.json").read_text())
    files.write_json(path / "summary.json", data | {"status": "finished"})
    rows.look()
    assert rows.rows[path.name].status == "finished"


HARM = (b"", b"{", b"[]", b"null", b"\x00" * 100, b"[" * 100_000, b'{"status": "finished", "fields": 3, "best": 7}')


def test_damaged_runs_harm_no_other(tmp_path):
    good = [finished(tmp_path, f"good{number}") for number in range(3)]
    bad = []
    for number, content in enumerate(HARM):
        path = finished(tmp_path, f"bad{number}")
        (path / "summary.json").write_bytes(content)
        (path / "notes.json").write_bytes(content)
        (path / "experiment.toml").write_bytes(content)
        bad.append(path)
    os.mkfifo(tmp_path / "20260101T000000Z-pipe-aaaa")
    (tmp_path / "20260101T000000Z-empty-aaaa").mkdir()
    (tmp_path / "20260101T000000Z-link-aaaa").symlink_to(good[0])
    rows = Rows(tmp_path)
    rows.look()
    assert set(rows.rows) == {path.name for path in (*good, *bad)} | {"20260101T000000Z-empty-aaaa"}
    assert all(rows.rows[path.name].status == "finished" for path in good)
    assert rows.rows["20260101T000000Z-empty-aaaa"].status == "damaged"


def test_what_nobody_foresaw_in_one_run_is_a_row_that_says_so(tmp_path, monkeypatch):
    good, bad = finished(tmp_path), finished(tmp_path, "bad")
    real = index.summarize

    def fails(path: Path, *args: object, **options: object) -> Summary:
        if path == bad:
            raise ZeroDivisionError("something odd")
        return real(path, *args, **options)

    monkeypatch.setattr(index, "summarize", fails)
    rows = Rows(tmp_path)
    rows.look()
    assert rows.rows[good.name].status == "finished"
    assert rows.rows[bad.name].status == "damaged"
    assert "something odd" in rows.rows[bad.name].problem


def test_a_store_that_is_not_there_is_empty_and_appears_later(tmp_path):
    rows = Rows(tmp_path / "runs")
    assert "there is no store" in rows.look()[-1].problem
    path = finished(tmp_path / "runs")
    assert rows.look()[-1].problem is None
    assert rows.index.problem is None
    assert set(rows.rows) == {path.name}
    shutil.rmtree(tmp_path / "runs")
    rows.look()
    assert rows.rows == {}


def test_a_store_that_cannot_be_read_keeps_what_was_seen(tmp_path, monkeypatch):
    path = finished(tmp_path)
    rows = Rows(tmp_path)
    rows.look()

    def fails(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(index.os, "scandir", fails)
        assert "cannot be read: Input/output error" in rows.look()[-1].problem
    assert set(rows.rows) == {path.name}
    (tmp_path / "file").write_text("")
    assert "cannot be read" in Rows(tmp_path / "file").look()[-1].problem


def test_a_look_that_is_left_is_gone_on_with_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FIRST_BATCH", 2)
    for number in range(5):
        finished(tmp_path, f"run{number}")
    settle(tmp_path)
    rows = Rows(tmp_path)
    first = next(rows.index.refresh())
    rows.rows |= {run.run: run for run in first.changed}
    assert sum(len(changes.changed) for changes in rows.look()) == 3
    assert len(rows.rows) == 5


def test_fields_of_older_runs_are_read_last(tmp_path):
    new = finished(tmp_path, "new")
    old = finished(tmp_path, "old")
    data = json.loads((old / "summary.json").read_text())
    del data["fields"]
    (old / "summary.json").write_text(json.dumps(data))
    settle(tmp_path)
    rows = Rows(tmp_path)
    told = rows.look()
    assert {run.run: bool(run.fields) for run in told[0].changed} == {new.name: True, old.name: False}
    assert [run.run for run in told[1].changed] == [old.name]
    assert rows.rows[old.name].fields == rows.rows[new.name].fields | {"name": "old"}
    assert rows.look() == [Changes(complete=True)]


UNUSUAL = """
name = "odd"
task = "Classification()"
epochs = 3
optimizer = "AdamW(lr=0.001)"
scheduler = "CosineAnnealingLR()"
clip_norm = 1.5
early_stopping = 4
precision = "bf16"
[data]
source = "Digits()"
normalize = "none"
augment = ["HorizontalFlip()", "Crop(2)"]
[network]
layers = ["Flatten()", "Residual(Linear(64), ReLU())", "Linear(classes)"]
init = "kaiming_normal_()"
"""


@pytest.mark.parametrize("text", [*(PRESETS[name].toml for name in PRESETS), UNUSUAL])
def test_fields_from_the_file_alone_are_those_of_the_experiment(text, tmp_path):
    experiment = parse_experiment(text)
    path = create_run(tmp_path, experiment, {})
    assert read_fields(path) == flatten(experiment) == summarize(path).fields


def test_what_is_as_usual_is_so_in_the_experiment_too():
    fields = flatten(preset("mlp"))
    assert {name: fields[name] for name in USUAL} == USUAL
    assert flatten_table({"network": {"a": {"layers": ["ReLU()"]}, "b": {"layers": []}}})["network.b.init"] == "none"


def test_a_summary_tells_fields_and_seconds_of_all_sessions(tmp_path):
    path = trained_run(tmp_path, status="stopped")
    first = summarize(path)
    assert first.fields["optimizer"] == "SGD(lr=0.1)"
    assert first.seconds is not None
    assert 0 <= first.seconds < 60
    with RunWriter(path, resume=True, resumed_step=20, telemetry=False) as writer:
        writer.put(started(3, 20, 2))
        time.sleep(0.3)
        writer.put(ended(3))
        writer.close("finished")
    both = summarize(path)
    assert both.seconds >= first.seconds + 0.25
    assert both.fields == first.fields
    (path / "summary.json").unlink()
    rebuilt = summarize(path)
    assert math.isclose(rebuilt.seconds, both.seconds, abs_tol=0.01)
    assert rebuilt.fields == both.fields


def test_the_trash_lists_the_last_deleted_first_and_refuses_live_runs(tmp_path):
    assert list_trash(tmp_path) == []
    paths = [finished(tmp_path, f"run{number}") for number in range(3)]
    for path in (paths[1], paths[0]):
        delete_run(tmp_path, path.name)
        time.sleep(0.02)
    listed = list_trash(tmp_path)
    assert [item.summary.run for item in listed] == [paths[0].name, paths[1].name]
    assert all(abs(item.deleted - time.time()) < 60 for item in listed)
    assert listed[0].summary.fields["name"] == "run0"


ACTIONS = st.sampled_from(["new", "finish", "tag", "damage", "delete", "restore", "remove", "rename", "look", "settle"])


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 9)), max_size=20))
def test_an_index_always_ends_up_with_what_a_fresh_listing_gives(tmp_path_factory, steps):
    store = tmp_path_factory.mktemp("store")
    rows = Rows(store)
    for action, number in steps:
        act(store, rows, action, number)
    rows.look()
    assert rows.rows == {run.run: run for run in list_runs(store)}


def act(store: Path, rows: Rows, action: str, number: int) -> None:
    runs = [store / run.run for run in list_runs(store)]
    path = runs[number % len(runs)] if runs else None
    if action == "new":
        new_run(store)
    elif action == "look":
        rows.look()
    elif action == "settle":
        settle(store)
    elif action == "restore":
        for item in list_trash(store)[:1]:
            restore(store, item.summary.run)
    elif path is None:
        return
    elif action == "finish":
        data = {"status": "finished", "name": "x", "epoch": number}
        files.write_json(path / "summary.json", data, sync=False)
    elif action == "tag":
        change_notes(path, add_tags=[str(number)])
    elif action == "damage":
        files.atomic_write(path / "summary.json", b"[", sync=False)
    elif action == "delete" and not summarize(path).live:
        delete_run(store, path.name)
    elif action == "remove":
        shutil.rmtree(path)
    elif action == "rename":
        path.rename(path.with_name(f"20250101T00000{number}Z-moved-{time.time_ns() % 10**6}"))
