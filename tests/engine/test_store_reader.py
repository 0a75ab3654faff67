"""The reader takes whatever bytes it finds and tells no lies about how a run stands."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine import events
from engine.errors import RequestError
from engine.events import Progress, to_line
from engine.store import owner
from engine.store.loss_curve import MAX_CURVE
from engine.store.reader import RunReader, RunView
from engine.store.writer import RunWriter
from tests.engine.run_folders import ended, new_run, progress, started, trained_run
from tests.watching import until, view_of


def rewrite(file: Path, data: bytes | bytearray) -> None:
    """A new file: overwriting one makes some file systems write to the disk at once."""
    file.unlink()
    file.write_bytes(data)


def essence(view: RunView) -> object:
    return (view.status, view.history, view.curve, view.best, view.last, view.epochs, view.step)


def test_events_cut_at_every_byte_give_the_whole_lines_before_it(tmp_path):
    path = trained_run(tmp_path)
    file = path / "events.000.jsonl"
    whole = file.read_bytes()
    (path / "summary.json").unlink()
    for length in range(len(whole)):
        rewrite(file, whole[:length])
        view = view_of(path)
        lines = whole[:length].count(b"\n")
        assert view.skipped_lines == 0
        assert len(view.history) == sum(b"EpochEnded" in line for line in whole.split(b"\n")[:lines])
        assert view.status == ("interrupted" if lines else "starting")


def test_bytes_that_come_one_by_one_give_the_same_as_all_at_once(tmp_path):
    path = trained_run(tmp_path)
    file = path / "events.000.jsonl"
    whole, expected = file.read_bytes(), essence(view_of(path))
    file.write_bytes(b"")
    reader = RunReader(path)
    with file.open("ab", buffering=0) as growing:
        for start in range(0, len(whole), 11):
            growing.write(whole[start : start + 11])
            reader.poll()
    assert essence(reader.view) == expected
    assert not reader.poll()


def test_flipped_bits_and_blocks_of_nul_never_raise_and_are_counted(tmp_path):
    path = trained_run(tmp_path)
    file = path / "events.000.jsonl"
    whole = file.read_bytes()
    draw = random.Random(0)
    skipped = 0
    for _ in range(1500):
        data = bytearray(whole)
        at = draw.randrange(len(data))
        if draw.random() < 0.3:
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        else:
            data[at] ^= 1 << draw.randrange(8)
        rewrite(file, data)
        view = view_of(path)
        assert view.seconds_left is None
        json.dumps(view.summary(), allow_nan=False)
        skipped += view.skipped_lines
    assert skipped > 500


def test_endless_line_is_skipped_without_filling_memory(tmp_path):
    path = trained_run(tmp_path)
    file = path / "events.000.jsonl"
    with file.open("ab") as growing:
        growing.write(b"x" * (3 << 20) + b"\n" + to_line(ended(3), 1.0).encode() + b"\n")
    view = view_of(path)
    assert view.skipped_lines == 1
    assert [row.epoch for row in view.history] == [1, 2, 3]


def test_curve_of_a_long_run_stays_bounded_and_keeps_its_mean(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.close("finished")
    steps = 3 * MAX_CURVE
    with (path / "events.000.jsonl").open("a") as file:
        for step in range(1, steps + 1):
            file.write(to_line(Progress(step, 1, step, steps, float(step), 0.1, 1.0, 1.0), 1.0) + "\n")
    curve = view_of(path).curve
    assert MAX_CURVE / 2 <= len(curve) < MAX_CURVE
    assert [point[0] for point in curve] == sorted(point[0] for point in curve)
    assert abs(sum(point[2] for point in curve) / len(curve) - (steps + 1) / 2) < 2.0
    assert curve[-1][1] > 0.99


def test_time_left_is_worked_out_from_the_epochs_and_the_part_under_way(tmp_path):
    view = RunView(tmp_path)
    view.status = "running"
    view.apply(started(epochs=4), 1.0)
    assert view.seconds_left is None
    view.apply(progress(5), 1.0)  # half of the first epoch, in half a second
    assert view.seconds_left == pytest.approx(0.5 / 0.5 * 3.5)
    view.apply(ended(1), 1.0)
    assert view.seconds_left == pytest.approx(3.0)
    view.apply(progress(15), 1.0)
    assert view.seconds_left == pytest.approx(2.5)
    view.status = "paused"
    assert view.seconds_left is None


def test_damaged_folders_are_views_that_say_so(tmp_path):
    empty = tmp_path / "20260101T000000Z-empty-aaaa"
    empty.mkdir()
    assert view_of(empty).status == "damaged"
    assert view_of(tmp_path / "nowhere").status == "damaged"
    path = trained_run(tmp_path)
    (path / "experiment.toml").write_bytes(b"\xff = [")
    view = view_of(path)
    assert view.experiment is None
    assert "experiment cannot be read" in str(view.problem)
    assert view.status == "finished"
    for name in ("experiment.toml", "environment.json", "events.000.jsonl", "summary.json"):
        (path / name).unlink()
        os.mkfifo(path / name)
    began = time.monotonic()
    view = view_of(path)
    assert (view.experiment, view.environment) == (None, {})
    # Not a moment: only a pipe that is waited for takes so long.
    assert time.monotonic() - began < 30
    shutil.rmtree(path)
    assert view_of(path).status == "damaged"


def test_run_never_started_is_told_from_one_that_starts(tmp_path):
    path = new_run(tmp_path)
    assert view_of(path).status == "starting"
    os.utime(path / "experiment.toml", (1, 1))
    assert (view_of(path).status, view_of(path).reason) == ("interrupted", "it was never started")


TRAIN_FOREVER = """
import sys, time
from pathlib import Path
from engine.store.writer import RunWriter
from tests.engine.run_folders import ended, started
with RunWriter(Path(sys.argv[1]), resume=len(sys.argv) > 2, telemetry=False) as writer:
    writer.put(started())
    writer.status("running")
    writer.put(ended(1))
    print("ready", flush=True)
    time.sleep(60)
"""


def train_in_a_process(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN_FOREVER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_run_is_interrupted_and_can_be_resumed(tmp_path):
    path = new_run(tmp_path)
    process = train_in_a_process(path)
    reader = RunReader(path)
    until(lambda: reader.poll() and reader.view.status == "running")
    with pytest.raises(RequestError, match="is being trained by pid"):
        RunWriter(path, resume=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: reader.poll() and reader.view.status != "running")
    assert reader.view.status == "interrupted"
    with RunWriter(path, resume=True, resumed_step=10) as writer:
        assert reader.poll()
        assert reader.view.status == "starting"
        writer.close("finished")
    reader.poll()
    assert reader.view.status == "finished"


def resume(path: Path, barrier, results) -> None:
    barrier.wait()
    try:
        with RunWriter(path, resume=True, telemetry=False) as writer:
            # Until all have tried: one that came after its end would rightly get it.
            results.put("won")
            barrier.wait()
            writer.close("stopped")
    except RequestError as error:
        results.put(str(error))
        barrier.wait()


def test_of_several_that_resume_at_once_exactly_one_wins(tmp_path):
    path = trained_run(tmp_path, status="stopped")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(6), context.Queue()
    processes = [context.Process(target=resume, args=(path, barrier, results)) for _ in range(6)]
    for process in processes:
        process.start()
    said = [results.get(timeout=20) for _ in processes]
    for process in processes:
        process.join(20)
    assert said.count("won") == 1
    assert all("being claimed" in text or "is being trained by" in text for text in said if text != "won")
    assert view_of(path).segment == 1


def own(**changes: object) -> dict[str, object]:
    return {**owner.this_process(), **changes}


def test_owner_is_alive_or_dead_by_proof_alone():
    me = own()
    assert owner.is_alive(me) is False  # this process lives, but trains nothing
    owner.begin(me)
    try:
        assert owner.is_alive(me) is True
    finally:
        owner.end(me)
    with subprocess.Popen(["sleep", "60"]) as process:
        theirs = own(pid=process.pid, start_time=owner._start_time(process.pid))
        assert owner.is_alive(theirs) is True
        # A pid that was given to another process since.
        assert owner.is_alive({**theirs, "start_time": theirs["start_time"] - 1}) is False
        process.kill()
        process.wait()
        assert owner.is_alive(theirs) is False


def test_reboot_is_proof_only_where_the_last_beat_came_before_it():
    other_boot = own(boot_id="another")
    assert owner.is_alive(other_boot, psutil.boot_time() - 10) is False
    assert owner.is_alive(other_boot, psutil.boot_time() + 10) is None
    assert owner.is_alive(other_boot) is None


def test_foreign_host_with_any_clock_is_watched_not_believed(monkeypatch):
    foreign = own(host="elsewhere")
    for beat_time in (0.0, time.time(), 1e12):
        assert owner.is_alive(foreign, beat_time) is None
    assert owner.is_alive(own(pid_namespace="pid:[1]")) is None
    now = [100.0]
    # Its own clock alone: any other thread of this process goes by the real one.
    monkeypatch.setattr(owner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watch = owner.BeatWatch()
    assert not watch.is_silent(7)
    now[0] += owner.SILENT_SECONDS - 1
    assert not watch.is_silent(7)
    assert not watch.is_silent(8)
    now[0] += owner.SILENT_SECONDS
    assert watch.is_silent(8)


@pytest.mark.parametrize("record", [{}, {"host": 3}, {"pid": "x"}, {"pid": -1}, {"pid": 10**30, "start_time": 1}])
def test_garbage_for_an_owner_is_never_proof_of_life(record):
    assert owner.is_alive({**own(), **record} if record else {}) in (None, False)


def test_every_event_name_of_a_later_version_is_left_out(tmp_path):
    path = trained_run(tmp_path)
    before = essence(view_of(path))
    with (path / "events.000.jsonl").open("a") as file:
        file.write('{"event":"Dreamt","time":1,"of":"sheep"}\n')
    view = view_of(path)
    assert essence(view) == before
    assert view.skipped_lines == 0


def test_reader_imports_neither_torch_nor_pydantic():
    code = (
        "import sys, engine.store.reader, engine.store.listing, engine.store.requests, engine.store.trash, "
        "engine.store.writer, engine.store.folder, engine.telemetry, engine.events, engine.control; "
        "print([name for name in ('torch', 'pydantic', 'textual', 'rich', 'typer') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert found.stdout == "[]\n", found.stderr
    assert events.VERSION == 1


def test_epochs_that_nobody_can_add_are_left_out(tmp_path):
    path = trained_run(tmp_path)
    view = RunReader(path).view
    before = view.epochs
    for value in (1e308, -3.0, float("inf"), float("nan")):
        view.apply(events.Controlled(1, "add_epochs", value), 1.0)
    assert view.epochs == before
    view.status = "running"
    view.apply(events.Controlled(1, "add_epochs", 2), 1.0)
    assert view.epochs == before + 2
    assert view.seconds_left is None or view.seconds_left >= 0
