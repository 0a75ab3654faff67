"""Runs are made whole, found by what a person types, listed quickly, and moved to the trash and back."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.control import Request
from engine.errors import LayerlabError, RequestError, RunError
from engine.store import files
from engine.store.environment import environment, masked
from engine.store.folder import RUN_ID, create_run, find_run, new_run_id, run_names
from engine.store.index import StoreIndex
from engine.store.listing import list_runs, summarize
from engine.store.reader import RunReader
from engine.store.requests import send
from engine.store.trash import delete_run, restore
from engine.store.writer import RunWriter
from tests.engine.run_folders import Died, Faulty, ended, experiment, new_run, started, trained_run
from tests.watching import until


@given(st.text(max_size=300))
def test_any_name_gives_a_plain_id(name):
    run = new_run_id(name, 1768487000.0)
    assert RUN_ID.fullmatch(run)
    assert run.startswith("20260115T142320Z-")
    assert len(run) <= 17 + 40 + 5


def test_names_are_made_plain():
    assert new_run_id("Bätch Norm/../x").split("Z-")[1][:-5] == "batch-norm-x"
    assert new_run_id("-rf \0 ☃").split("Z-")[1][:-5] == "rf"
    assert new_run_id("☃☃").split("Z-")[1][:-5] == "run"


def test_new_run_is_whole_and_starting(tmp_path):
    path = new_run(tmp_path / "deep" / "runs")
    assert {item.name for item in path.iterdir()} == {
        "experiment.toml", "environment.json", "summary.json", "control", "checkpoints", "artifacts",
    }  # fmt: skip
    row = summarize(path)
    assert (row.name, row.status, row.epochs, row.source, row.problem) == ("plain", "starting", 3, "Digits()", None)
    assert row.started is not None
    os.utime(path / "summary.json", (1, 1))
    assert summarize(path).reason == "it was never started"


def test_runs_of_the_same_second_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.store.folder.time.time", lambda: 1768487000.5)
    made = []
    for name in ("mlp", "batchnorm", "cnn", "another"):
        made.append(create_run(tmp_path, experiment(name=name), environment()).name)
        time.sleep(0.01)
    assert run_names(tmp_path) == made
    assert find_run(tmp_path, "latest").name == made[-1]


def create(store: Path, results) -> None:
    results.put(new_run(store).name)


def test_fifty_processes_create_at_once(tmp_path, monkeypatch):
    # With few letters names collide: the one that is late takes another.
    monkeypatch.setattr("engine.store.folder.LETTERS", "abc")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=create, args=(tmp_path / "runs", results)) for _ in range(50)]
    for process in processes:
        process.start()
    names = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(names)) == 50
    assert set(run_names(tmp_path / "runs")) == set(names)
    assert sorted(os.listdir(tmp_path / "runs")) == sorted(names)


@pytest.mark.parametrize("dies", [False, True])
def test_creation_that_fails_anywhere_leaves_no_run(tmp_path, monkeypatch, dies):
    for fail_at in range(1, 200):
        store = tmp_path / str(fail_at)
        store.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", Faulty(fail_at, for_good=True, dies=dies))
            try:
                create_run(store, experiment(), {})
                failed = False
            except (LayerlabError, Died):
                failed = True
        for row in list_runs(store):
            assert row.problem is None
            assert row.status == "starting"
        if not failed:
            break
    assert 20 < fail_at < 100
    # What a crash left goes when somebody creates a run much later.
    stale = store / ".tmp-stale"
    stale.mkdir()
    os.utime(stale, (1, 1))
    new_run(store)
    assert not stale.exists()


def test_store_that_cannot_be_made_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be made"):
        new_run(tmp_path / "file" / "runs")
    with pytest.raises(RequestError, match="cannot be"):
        new_run(tmp_path / "file")
    with pytest.raises(RequestError):
        new_run(tmp_path / "a\0b")


@pytest.fixture
def store(tmp_path):
    for name in ("20260101T000000Z-mlp-aaaa", "20260102T000000Z-mlp-bbbb", "20260103T000000Z-batchnorm-k3f9"):
        shutil.copytree(new_run(tmp_path / "made"), tmp_path / "runs" / name)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    "text", ["20260103T000000Z-batchnorm-k3f9", "20260103", "k3f9", "batchnorm-k3f9", "batch", "latest", "norm"]
)
def test_run_is_found_by_any_part_that_is_its_own(store, text):
    assert find_run(store, text).name == "20260103T000000Z-batchnorm-k3f9"


def test_run_that_is_not_there_or_not_alone_is_told_with_the_names(store):
    with pytest.raises(RequestError, match="fits 2 runs: 20260101T000000Z-mlp-aaaa, 20260102T000000Z-mlp-bbbb"):
        find_run(store, "mlp")
    with pytest.raises(RequestError, match="did you mean `batchnorm`"):
        find_run(store, "bachtnorm")
    with pytest.raises(RequestError, match="no runs in"):
        find_run(store / "nowhere", "latest")


@pytest.mark.parametrize("text", ["..", ".", "", "../runs/x", "/etc", "a\0b", ".trash", "-rf", "x" * 300, "\u202e"])
def test_hostile_names_find_nothing(store, text):
    (store / ".trash").mkdir()
    with pytest.raises(RequestError):
        find_run(store, text)


def test_links_and_hidden_folders_are_not_runs(store, tmp_path):
    (store / "20260104T000000Z-link-cccc").symlink_to(new_run(tmp_path / "made"))
    (store / ".hidden").mkdir()
    (store / "20260105T000000Z-file-dddd").write_text("")
    (store / "stray").mkdir()
    os.mkfifo(store / "20260106T000000Z-fifo-eeee")
    assert len(list_runs(store)) == 3


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"[]", b"{}", b"[" * 100_000, b"x" * 2_000_000, b'{"status": 3}', b"\xff"]
)
def test_garbage_for_a_summary_is_rebuilt_from_the_events(tmp_path, content):
    path = trained_run(tmp_path)
    expected = summarize(path)
    (path / "summary.json").write_bytes(content)
    rebuilt = summarize(path)
    for name in ("run", "name", "status", "epoch", "epochs", "best", "last", "source", "started", "seconds_per_epoch"):
        assert getattr(rebuilt, name) == getattr(expected, name), name
    assert json.loads(json.dumps(expected.best)) == {"epoch": 2, "metrics": {"val/loss": 0.5}}


def test_fields_of_the_wrong_type_in_a_summary_are_left_out(tmp_path):
    path = trained_run(tmp_path)
    data = {"status": "finished", "name": [1], "epochs": "x", "best": {"epoch": True, "metrics": 3}, "reason": {}}
    (path / "summary.json").write_text(json.dumps({**data, "last": {"epoch": 1, "metrics": {"a": "nan", "b": []}}}))
    row = summarize(path)
    assert (row.epochs, row.best, row.reason) == (0, None, "")
    assert row.last is not None
    assert str(row.last["metrics"]) == "{'a': nan}"


def test_numbers_beyond_every_float_hide_neither_this_run_nor_the_others(tmp_path):
    strange, _ = trained_run(tmp_path), new_run(tmp_path)
    data = json.loads((strange / "summary.json").read_text())
    del data["fields"]
    data |= {"epochs": 10**400, "epoch": 10**399, "parameters": 10**400, "seconds": 10**400}
    (strange / "summary.json").write_text(json.dumps(data))
    # Numbers in base 16 may have any length; as text they are refused from 4,300 digits on.
    (strange / "experiment.toml").write_text("epochs = 0x" + "f" * 9_000)
    rows = {row.run: row for row in list_runs(tmp_path)}
    assert len(rows) == 2
    row = rows[strange.name]
    assert (row.epoch, row.epochs, row.parameters, row.seconds, row.fields) == (0, 0, None, None, {})
    told = [change for changes in StoreIndex(tmp_path).refresh() for change in changes.changed]
    assert {row.run for row in told} == rows.keys()
    assert RunReader(strange).view.epochs == 0


def test_live_dead_and_finished_runs_are_told_apart(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        writer.status("running")
        writer.put(ended(1))
        until(lambda: summarize(path).status == "running")
        with pytest.raises(RequestError, match="is running; stop it"):
            delete_run(tmp_path, path.name)
        # As after a crash: the summary and the owner's record are those of a dead process.
        copied = tmp_path / "20260101T000000Z-dead-aaaa"
        shutil.copytree(path, copied)
        with subprocess.Popen(["true"]) as process:
            process.wait()
        for name in ("owner.json", "events.000.jsonl"):
            text = (copied / name).read_text()
            (copied / name).write_text(text.replace(f'"pid":{os.getpid()}', f'"pid":{process.pid}').replace(
                f'"pid": {os.getpid()}', f'"pid": {process.pid}'))  # fmt: skip
        row = summarize(copied)
        assert (row.status, row.epoch) == ("interrupted", 1)
        assert "ended without saying how" in row.reason
        with pytest.raises(RequestError, match="is interrupted"):
            send(copied, Request("stop"))
        writer.close("finished")
    assert summarize(path).status == "finished"


def test_thousands_of_runs_with_damaged_ones_among_them_are_listed_quickly(tmp_path):
    model = trained_run(tmp_path / "made")
    text = (model / "summary.json").read_text()
    store = tmp_path / "runs"
    store.mkdir()
    for number in range(3000):
        path = store / f"20260101T{number:06d}Z-run-aaaa"
        path.mkdir()
        (path / "summary.json").write_text(text if number % 100 else "")

    def parsed() -> list[object]:
        texts = [(path / "summary.json").read_bytes() for path in sorted(store.iterdir())]
        return [json.loads(text) for text in texts if text]

    # In turn, and of each the best: what else runs on the machine slows both. Listing takes about three times as long,
    # for it makes rows of what it reads and rebuilds the damaged ones.
    listing, parsing = [], []
    for _ in range(4):
        began = time.thread_time()
        rows = list_runs(store)
        listing.append(time.thread_time() - began)
        began = time.thread_time()
        assert len(parsed()) == 2970
        parsing.append(time.thread_time() - began)
    assert len(rows) == 3000
    assert sum(row.status == "damaged" and row.problem is not None for row in rows) == 30
    assert sum(row.status == "finished" for row in rows) == 2970
    assert min(listing) < 6 * min(parsing), (listing, parsing)


def test_deleted_run_comes_back_as_it_was(tmp_path):
    path = trained_run(tmp_path)
    row = summarize(path)
    trashed = delete_run(tmp_path, path.name[-4:])
    assert trashed == tmp_path / ".trash" / path.name
    assert list_runs(tmp_path) == []
    with pytest.raises(RequestError):
        delete_run(tmp_path, path.name)
    assert restore(tmp_path, path.name) == path
    assert summarize(path) == row


def test_delete_that_dies_anywhere_leaves_the_run_here_or_there(tmp_path, monkeypatch):
    path = trained_run(tmp_path)
    for fail_at in range(1, 60):
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", Faulty(fail_at, dies=True))
            try:
                delete_run(tmp_path, path.name)
                died = False
            except Died:
                died = True
        if not path.exists():
            restore(tmp_path, path.name)
        assert summarize(path).status == "finished"
        if not died:
            break
    assert 3 < fail_at < 59


def test_trash_does_not_replace_what_lies_there(tmp_path):
    path = trained_run(tmp_path)
    shutil.copytree(path, tmp_path / ".trash" / path.name)
    with pytest.raises(RunError, match="cannot be moved"):
        delete_run(tmp_path, path.name)
    assert summarize(path).status == "finished"


def test_environment_is_json_and_holds_no_secret():
    assert json.loads(json.dumps(environment()))["versions"]["torch"]
    shown = masked(
        ["train", "--api-key", "s3cret", "--token=s3cret", "https://me:s3cret@host/x", "PASSWORD=s3cret", "--lr", "0.1"]
    )
    assert "s3cret" not in " ".join(shown)
    assert shown[0] == "train"
    assert shown[-1] == "0.1"
    assert masked(["--set", "data.batch_size=128"]) == ["--set", "data.batch_size=128"]
