"""Whether a run is still trained: by proof where there is some, by its beat where there is none, never by a clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.control import Request
from engine.errors import RequestError
from engine.store import files, owner, segments, stalls
from engine.store.folder import find_run, run_names
from engine.store.index import StoreIndex
from engine.store.listing import list_runs, summarize
from engine.store.notes import change_notes
from engine.store.reader import RunReader
from engine.store.requests import send
from engine.store.trash import delete_run
from engine.store.writer import RunWriter
from tests.engine.run_folders import checkpoint, ended, new_run, progress, started, trained_run
from tests.faults.processes import FORK
from tests.tui.fake_training import application, screen_text
from tests.tui.fake_training import until as shown
from tests.watching import until, view_of
from tui.screens.runs import RunsScreen


@pytest.fixture
def somebody() -> Iterator[dict[str, Any]]:
    """A process of this machine that lives and has nothing to do with any run, as an owner's record."""
    with subprocess.Popen(["sleep", "600"]) as process:
        record = {**owner.this_process(), "pid": process.pid, "start_time": owner._start_time(process.pid)}
        yield record
        process.kill()


def owned_by(store: Path, record: dict[str, Any], beat_time: float) -> Path:
    """A run as its owner left it in the middle of a training, whoever that is."""
    path = trained_run(store, epochs=2)
    file = path / "events.000.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["owner"] = record
    assert lines[-1]["status"] == "finished"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines[:-1]))
    summary = json.loads((path / "summary.json").read_text())
    files.write_json(path / "summary.json", summary | {"status": "running", "ended": None})
    beat(path, record, 1, beat_time)
    return path


def beat(path: Path, record: dict[str, Any], number: int, when: float) -> None:
    files.write_json(path / "owner.json", {"version": 1, "owner": record, "beat": number, "time": when, "quiet": 0.1})


def everywhere(path: Path) -> set[str]:
    """The status of a run, by each that tells it."""
    rows = {row.run: row for changes in StoreIndex(path.parent).refresh() for row in changes.changed}
    return {view_of(path).status, summarize(path).status, rows[path.name].status, list_runs(path.parent)[-1].status}


NOW = time.time()
PROVEN_DEAD = {
    "the pid is another process's": ({"start_time": 1}, NOW),
    "the pid is nobody's": ({"pid": 2**22 + 5}, NOW),
    "rebooted since its last beat": ({"boot_id": "another"}, psutil.boot_time() - 60),
}


@pytest.mark.parametrize("change", PROVEN_DEAD)
def test_a_run_whose_owner_is_proven_dead_is_interrupted_at_once(
    tmp_path: Path, somebody: dict[str, Any], change: str
) -> None:
    """Fault 16: the pid is used by another process, or the machine was booted again."""
    changes, when = PROVEN_DEAD[change]
    path = owned_by(tmp_path, {**somebody, **changes}, when)
    assert everywhere(path) == {"interrupted"}
    with pytest.raises(RequestError, match="is interrupted"):
        send(path, Request("stop"))
    with RunWriter(path, resume=True, resumed_step=20, telemetry=False) as writer:
        assert everywhere(path) <= {"starting"}
        writer.close("finished")
    assert everywhere(path) == {"finished"}
    delete_run(tmp_path, path.name)


def test_a_run_whose_owner_lives_is_live_and_nobody_elses(tmp_path: Path, somebody: dict[str, Any]) -> None:
    """Fault 16, the other way round: what lives is not declared dead, however old its beat."""
    path = owned_by(tmp_path, somebody, 1.0)
    assert everywhere(path) == {"running"}
    with pytest.raises(RequestError, match=f"is being trained by pid {somebody['pid']} on "):
        RunWriter(path, resume=True)
    with pytest.raises(RequestError, match="stop it before it is deleted"):
        delete_run(tmp_path, path.name)


FOREIGN = {"another host": {"host": "elsewhere"}, "another container": {"pid_namespace": "pid:[1]"},
           "another boot, after this one's beginning": {"boot_id": "another"}}  # fmt: skip


@pytest.mark.parametrize("where", FOREIGN)
@pytest.mark.parametrize("clock", [-86_400.0 * 365, 0.0, 86_400.0 * 365], ids=["a year slow", "right", "a year fast"])
def test_a_foreign_run_lives_while_its_beat_changes_whatever_its_clock_says(
    tmp_path: Path, somebody: dict[str, Any], where: str, clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 16: a foreign host with a wrong clock is watched, by the watcher's own clock."""
    if "boot" in where and clock < 0:
        pytest.skip("a beat from before this boot is proof")
    record = {**somebody, **FOREIGN[where]}
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = owned_by(tmp_path, record, time.time() + clock)
    index, reader = StoreIndex(tmp_path), RunReader(path)

    def look() -> tuple[str, str]:
        for changes in index.refresh():
            rows.update({row.run: row for row in changes.changed})
        reader.poll()
        return reader.view.status, rows[path.name].status

    rows: dict[str, Any] = {}
    for number in range(2, 8):
        assert look() == ("running", "running")
        now[0] += owner.SILENT_SECONDS - 1
        beat(path, record, number, time.time() + clock + number)
    assert look() == ("running", "running")
    now[0] += owner.SILENT_SECONDS - 1
    assert look() == ("running", "running")
    now[0] += 2
    assert look() == ("interrupted", "interrupted")
    # Only the network was away: nothing was written that would have to be taken back.
    beat(path, record, 99, time.time() + clock)
    now[0] += 2
    assert look() == ("running", "running")
    assert reader.view.reason == ""


def test_a_foreign_run_is_resumed_only_once_its_beat_was_watched_in_vain(
    tmp_path: Path, somebody: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 16: whoever wants a foreign run waits until it is silent."""
    monkeypatch.setattr(owner, "SILENT_SECONDS", 0.8)
    path = owned_by(tmp_path, {**somebody, "host": "elsewhere"}, NOW + 1e6)
    with pytest.raises(RequestError, match=f"may still be trained by pid {somebody['pid']} on elsewhere"):
        segments.claim(path, True, None, patience=0.1)
    began = time.monotonic()
    claim = segments.claim(path, True, None, patience=5)
    assert time.monotonic() - began > 0.8
    claim.file.close()
    owner.end(claim.owner)


@pytest.mark.parametrize("where", FOREIGN)
def test_a_run_whose_beat_a_power_cut_took_is_watched_like_any_other(
    tmp_path: Path, somebody: dict[str, Any], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat is not synced: its file is empty then, and the events alone tell whose run it was."""
    monkeypatch.setattr(owner, "SILENT_SECONDS", 0.5)
    path = owned_by(tmp_path, {**somebody, **FOREIGN[where]}, NOW)
    (path / "owner.json").write_bytes(b"")
    index = StoreIndex(tmp_path)
    rows: dict[str, Any] = {}

    def look() -> str:
        for changes in index.refresh():
            rows.update({row.run: row for row in changes.changed})
        return str(rows[path.name].status)

    assert look() == "running"
    until(lambda: look() == "interrupted")
    with pytest.raises(RequestError, match="stop it before it is deleted"):
        delete_run(tmp_path, path.name)
    delete_run(tmp_path, path.name, patience=5)


# -- hung


def hang(path: Path, told: Any) -> None:
    """Train two epochs and then hang for good, with the writer at work."""
    owner.BEAT_SECONDS = 0.1
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        writer.status("running")
        writer.put(ended(1))
        writer.put(progress(15))
        told.send("hangs")
        time.sleep(600)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = new_run(tmp_path)
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hang, args=(path, theirs))
    process.start()
    assert ours.poll(20)
    assert process.pid is not None
    until(lambda: view_of(path).step == 15 and summarize(path).status == "running")
    yield path, process.pid
    process.kill()
    process.join()


def reasons(path: Path) -> set[tuple[str, str]]:
    row, view = summarize(path), view_of(path)
    return {(row.status, row.reason), (view.status, view.reason)}


def test_a_training_that_makes_no_step_is_told_and_not_declared_dead(
    hung: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 17: the beat goes on, the step stands still."""
    path, pid = hung
    assert reasons(path) == {("running", "")}
    monkeypatch.setattr(stalls, "STALLED_SECONDS", 0.5)
    reader = RunReader(path)
    until(lambda: reader.poll() and "no step for" in reader.view.reason)
    assert reasons(path) == {("running", "no step for 0 minutes, though its process lives")}
    with pytest.raises(RequestError, match=f"is being trained by pid {pid} "):
        RunWriter(path, resume=True)
    # A request gets there: its process may be waiting for just that.
    send(path, Request("stop"))


def test_a_process_that_is_stopped_is_told_with_the_way_out(hung: tuple[Path, int]) -> None:
    """Fault 17: the process is stopped by SIGSTOP, and goes on by SIGCONT."""
    path, pid = hung
    reader = RunReader(path)
    reader.poll()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    stopped = f"its process is stopped: `kill -CONT {pid}` lets it go on"
    assert reasons(path) == {("running", stopped)}
    until(lambda: reader.poll() and reader.view.reason == stopped)
    with pytest.raises(RequestError, match=f"is being trained by pid {pid} "):
        RunWriter(path, resume=True)
    os.kill(pid, signal.SIGCONT)
    until(lambda: reasons(path) == {("running", "")})
    until(lambda: reader.poll() and reader.view.reason == "")


def test_a_process_that_lives_and_writes_nothing_is_told_and_not_declared_dead(
    hung: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 17: the process is there, and its disk is not."""
    path, _ = hung
    (path / "owner.json").rename(path / "owner.old")  # its next beat makes a new one
    until((path / "owner.json").exists)
    (path / "owner.json").chmod(0o644)
    frozen = (path / "owner.json").read_bytes()
    monkeypatch.setattr(segments, "read_owner", lambda path: _read(frozen))
    monkeypatch.setattr(owner, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr("engine.store.reader.CHECK_SECONDS", 0.1)
    reader = RunReader(path)
    until(lambda: reader.poll() and "recorded nothing for a minute" in reader.view.reason)
    assert reader.view.status == "running"


def _read(text: bytes) -> tuple[Any, ...]:
    data = json.loads(text)
    return data["owner"], data["beat"], data["time"], data["quiet"]


async def test_the_application_shows_what_is_stuck(hung: tuple[Path, int]) -> None:
    """Fault 17: in the list's preview, and on Train."""
    path, pid = hung
    os.kill(pid, signal.SIGSTOP)
    app, _ = application(path.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await shown(pilot, lambda: isinstance(app.screen, RunsScreen) and "process is stopped" in screen_text(app), 30)
        await pilot.press("enter")
        await shown(pilot, lambda: app.mode_shown == "train" and f"kill -CONT {pid}" in screen_text(app))
        os.kill(pid, signal.SIGCONT)
        await shown(pilot, lambda: "kill -CONT" not in screen_text(app))
        assert "running" in screen_text(app)


# -- clocks


@pytest.fixture
def step_back(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clock of everything in this process back, by so many seconds in all."""
    offset, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() - offset[0])

    def step(seconds: float) -> None:
        offset[0] = seconds

    return step


@pytest.mark.parametrize("seconds", [3_600.0, 86_400.0 * 400, -86_400.0], ids=["an hour", "a year", "a day forward"])
def test_a_clock_that_steps_changes_nothing_but_what_times_say(
    tmp_path: Path, step_back: Callable[[float], None], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 29."""
    monkeypatch.setattr(owner, "BEAT_SECONDS", 0.1)
    before = new_run(tmp_path, "before")
    reader, index, rows = RunReader(before), StoreIndex(tmp_path), {}

    def look() -> None:
        reader.poll()
        for changes in index.refresh():
            rows.update({row.run: row for row in changes.changed})

    with RunWriter(before, telemetry=False) as writer:
        writer.put(started())
        writer.status("running")
        for epoch in (1, 2, 3):
            if epoch == 2:
                step_back(seconds)
            for step in range(epoch * 10 - 9, epoch * 10):
                writer.put(progress(step))
            writer.put(ended(epoch))
            writer.put(checkpoint(epoch * 10, best=epoch * 10))
            until(lambda epoch=epoch: look() or (reader.view.done == epoch and rows[before.name].epoch == epoch))
            assert (reader.view.status, reader.view.reason) == ("running", "")
            assert (rows[before.name].status, rows[before.name].reason) == ("running", "")
            assert reader.view.seconds is not None
            assert reader.view.seconds >= 0
        # What is made now bears an older date than what is there.
        after = trained_run(tmp_path, "after")
        assert change_notes(after, add_tags=["new"]).tags == ("new",)
        with pytest.raises(RequestError, match="is being trained by pid"):
            RunWriter(before, resume=True)
        writer.close("finished")
    look()
    assert [point[0] for point in reader.view.curve] == [step for step in range(1, 30) if step % 10]
    assert {(row.status, row.problem) for row in rows.values()} == {("finished", None)}
    assert set(run_names(tmp_path)) == set(rows) == {before.name, after.name}
    assert find_run(tmp_path, "after") == after
    with RunWriter(before, resume=True, resumed_step=30, telemetry=False) as writer:
        writer.put(started(4, 30, 3))
        writer.put(ended(4))
        writer.close("finished")
    look()
    assert ([row.epoch for row in reader.view.history], reader.view.status) == ([1, 2, 3, 4], "finished")
    deleted = delete_run(tmp_path, before.name)
    assert deleted.exists()


def test_a_run_that_is_being_made_is_not_swept_away_by_a_clock_that_steps(
    tmp_path: Path, step_back: Callable[[float], None]
) -> None:
    """Fault 29: what a crash left is told by its age from what somebody is making."""
    making = tmp_path / f"{files.TEMPORARY}20260101T000000Z-run-aaaa-0123"
    making.mkdir()
    step_back(7_200.0)
    new_run(tmp_path)
    assert making.exists()
