"""What the writer puts on the disk is what a reader sees, whatever the disk does in between."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest

from engine import events
from engine.control import Mailbox, Request
from engine.errors import RequestError
from engine.events import Controlled, Message, Telemetry
from engine.store import files, owner, requests
from engine.store.listing import summarize
from engine.store.reader import RunReader
from engine.store.writer import RunWriter
from tests.engine.run_folders import Faulty, checkpoint, ended, new_run, progress, started, trained_run
from tests.watching import until, view_of


def test_run_from_first_event_to_last_is_what_the_reader_sees(tmp_path):
    path = trained_run(tmp_path, epochs=3)
    view = view_of(path)
    assert (view.status, view.problem, view.skipped_lines) == ("finished", None, 0)
    assert [row.epoch for row in view.history] == [1, 2, 3]
    assert view.curve == [(5, 0.5, 1.0), (15, 1.5, 0.5), (25, 2.5, 1 / 3)]
    assert view.best == view.last == {"epoch": 3, "metrics": {"val/loss": 1 / 3}}
    assert view.seconds_per_epoch == 2.0
    assert view.device == "cpu"
    assert view.modules[0]["call"] == "Flatten()"
    assert view.experiment is not None
    summary = json.loads((path / "summary.json").read_text())
    assert (summary["status"], summary["epoch"], summary["source"]) == ("finished", 3, "Digits()")
    assert not list(path.glob(".*"))


def test_a_list_learns_how_long_a_run_has_lasted_before_its_epoch_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.store.writer.SYNC_SECONDS", 0.2)
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        for step in (1, 2):
            before = summarize(path).seconds or 0.0
            writer.put(progress(step))
            until(lambda before=before: (summarize(path).seconds or 0.0) > before)
        assert summarize(path).epoch == 0


def test_event_is_on_the_disk_within_half_a_second(tmp_path, monkeypatch):
    ticks, work = [], RunWriter._step
    monkeypatch.setattr(RunWriter, "_step", lambda self: (work(self), ticks.append(1)))
    path = new_run(tmp_path)
    took = []
    with RunWriter(path, telemetry=False) as writer:
        reader = RunReader(path)
        for step in range(1, 51):
            done, began = len(ticks), time.monotonic()
            writer.put(progress(step))
            # The second one that ends has begun after it.
            until(lambda done=done: len(ticks) >= done + 2)
            reader.poll()
            assert reader.view.step == step
            took.append(time.monotonic() - began)
            # Two ticks are less than half a second; where the machine is busy, not every time.
            if step >= 3 and min(took) < 0.5:
                break
        assert min(took) < 0.5
        writer.close("stopped", "enough")
    assert (view_of(path).status, view_of(path).reason) == ("stopped", "enough")


def test_run_that_nobody_closes_has_failed_and_says_why(tmp_path):
    first, second = new_run(tmp_path), new_run(tmp_path)

    def fail() -> None:
        with RunWriter(first) as writer:
            writer.put(started())
            raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (view_of(first).status, view_of(first).reason) == ("failed", "ZeroDivisionError: division by zero")
    with RunWriter(second):
        pass
    assert view_of(second).status == "failed"


def test_requests_reach_the_mailbox_in_order_and_once(tmp_path):
    path = new_run(tmp_path)
    mailbox = Mailbox()
    taken: list[Request] = []
    with RunWriter(path, mailbox, telemetry=False) as writer:
        writer.status("running")
        asked = [Request("pause"), Request("set_lr", 0.5, "me"), Request("resume"), Request("stop")]
        for request in asked:
            requests.send(path, request)
        until(lambda: taken.extend(mailbox.take()) or len(taken) >= 4)
        time.sleep(0.5)
        assert taken + mailbox.take() == asked
        assert not list((path / "control").iterdir())
        writer.close("stopped")
    with pytest.raises(RequestError, match="is stopped"):
        requests.send(path, Request("pause"))


def test_hostile_requests_are_removed_and_told_and_obeyed_never(tmp_path):
    path = new_run(tmp_path)
    control = path / "control"
    (tmp_path / "elsewhere.json").write_text(Request("stop").to_json())
    mailbox = Mailbox()
    with RunWriter(path, mailbox, telemetry=False):
        for name, text in {"a": "[" * 5000, "b": "{}", "c": "\0", "d": json.dumps({"request": "set_lr"})}.items():
            (control / f"{name}.json").write_text(text)
        (control / "e.json").symlink_to(tmp_path / "elsewhere.json")
        os.mkfifo(control / "f.json")
        (control / "g.json").mkdir()
        (control / "h.json").write_bytes(b"x" * 1_000_000)
        until(lambda: len(list(control.iterdir())) == 1)
        time.sleep(0.3)
        assert not mailbox.take()
    assert (tmp_path / "elsewhere.json").exists()
    assert len(view_of(path).messages) == 8


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's file")
def test_request_of_another_user_is_not_obeyed(tmp_path):
    path = new_run(tmp_path)
    mailbox = Mailbox()
    with RunWriter(path, mailbox, telemetry=False):
        beside = tmp_path / "request"
        beside.write_text(Request("stop").to_json())
        os.chown(beside, 12345, 12345)
        beside.rename(path / "control" / "1.json")
        until(lambda: not list((path / "control").iterdir()))
        assert not mailbox.take()
    assert "another user" in view_of(path).messages[0].text


def test_resume_opens_a_new_file_and_drops_what_was_recorded_of_later_steps(tmp_path):
    path = trained_run(tmp_path, epochs=3, status="stopped")
    with RunWriter(path, resume=True, telemetry=False) as writer:
        writer.put(started(epochs=4, start_step=15, start_epoch=1))
        writer.put(progress(18, 9.0))
        writer.put(ended(2, best=False))
        writer.close("finished")
    view = view_of(path)
    assert [(row.epoch, row.best) for row in view.history] == [(1, True), (2, False)]
    assert [point[0] for point in view.curve] == [5, 15, 18]
    assert view.best == {"epoch": 1, "metrics": {"val/loss": 1.0}}
    assert (view.epochs, view.status, view.seconds_per_epoch) == (4, "finished", 1.5)
    assert sorted(p.name for p in path.glob("events*")) == ["events.000.jsonl", "events.001.jsonl"]
    assert summarize(path).best == view.best


def test_resume_after_a_torn_tail_appends_nothing_to_it(tmp_path):
    path = trained_run(tmp_path, epochs=2, status="stopped")
    first = path / "events.000.jsonl"
    first.write_bytes(first.read_bytes()[:-30])
    torn = first.read_bytes()
    # Without its last words only the owner tells whether it has ended: it is this process, which trains it no more.
    with RunWriter(path, resume=True, resumed_step=20, telemetry=False) as writer:
        writer.put(started(start_step=20, start_epoch=2))
        writer.put(ended(3))
        writer.close("finished")
    assert first.read_bytes() == torn
    view = view_of(path)
    assert [row.epoch for row in view.history] == [1, 2, 3]
    assert view.skipped_lines == 0


def test_live_run_is_refused_to_a_second_writer_and_to_one_that_starts_it_anew(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False):
        with pytest.raises(RequestError, match=f"is being trained by pid {os.getpid()}"):
            RunWriter(path, resume=True)
        with pytest.raises(RequestError, match="started before"):
            RunWriter(path)
    with pytest.raises(RequestError, match="no run"):
        RunWriter(tmp_path / "nothing")


def test_checkpoints_are_saved_recorded_and_waited_for_at_the_end(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        for step in range(10, 60, 10):
            writer.put(checkpoint(step, "best"))
            writer.put(checkpoint(step, best=step))
        writer.close("finished")
    view = view_of(path)
    assert view.checkpoint is not None
    assert view.checkpoint.path == "checkpoints/step-000000050"
    assert (path / view.checkpoint.path / "manifest.json").exists()
    assert (path / "checkpoints" / "best-000000050").exists()


def test_checkpoint_that_cannot_be_saved_is_told_and_training_goes_on(tmp_path):
    path = new_run(tmp_path)
    bad = checkpoint(10)
    bad.state["callable"] = print
    with RunWriter(path, telemetry=False) as writer:
        writer.put(bad)
        until(lambda: writer.problem is not None)
        writer.put(checkpoint(20))
        until(lambda: writer.problem is None)
        writer.close("finished")
    view = view_of(path)
    assert "state.callable is a builtins.builtin_function_or_method" in view.messages[0].text
    assert view.checkpoint is not None
    assert view.checkpoint.step == 20


class FullDisk(Faulty):
    """While it is full, takes seven bytes more, in two writes, and then nothing."""

    full = False
    left = 7

    def write(self, descriptor, data):
        if self.full:
            if self.left and len(data) > self.left:
                taken, self.left = (self.left + 1) // 2, self.left // 2
                return os.write(descriptor, data[:taken])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data)


def test_full_disk_loses_nothing_and_the_person_is_told_since_when(tmp_path, monkeypatch):
    disk = FullDisk()
    monkeypatch.setattr(files, "system", disk)
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        until(lambda: view_of(path).started)
        disk.full = True
        for step in range(1, 30):
            writer.put(progress(step))
        writer.put(ended(1))
        until(lambda: writer.problem is not None and "nothing was recorded since" in writer.problem)
        assert "No space left" in writer.problem
        writer.put(checkpoint(10))
        disk.full = False
        until(lambda: view_of(path).messages)
        writer.close("finished")
    view = view_of(path)
    assert view.skipped_lines == 0
    assert [point[0] for point in view.curve] == list(range(1, 30))
    assert [row.epoch for row in view.history] == [1]
    assert any("nothing could be recorded since" in message.text for message in view.messages)
    assert view.checkpoint is not None


def test_disk_that_stays_full_drops_progress_first_and_ends_in_time(tmp_path, monkeypatch):
    disk = FullDisk()
    monkeypatch.setattr(files, "system", disk)
    monkeypatch.setattr("engine.store.writer.MAX_WAITING_BYTES", 4_000)
    path = new_run(tmp_path)
    before = set(owner._training_here)
    writer = RunWriter(path, telemetry=False)
    disk.full = True
    for step in range(1, 200):
        writer.put(progress(step))
    writer.put(ended(1))
    began = time.monotonic()
    writer.close("finished")
    assert time.monotonic() - began < 5
    assert writer.problem is not None
    assert any(b"EpochEnded" in line for line in writer._lines)
    assert view_of(path).status == "interrupted"
    assert owner._training_here == before


def test_run_folder_removed_while_training_raises_nothing(tmp_path):
    path = new_run(tmp_path)
    reader = RunReader(path)
    with RunWriter(path) as writer:
        reader.poll()
        path.rename(tmp_path / "gone")
        writer.put(ended(1))
        writer.put(checkpoint(10))
        reader.poll()
        assert reader.view.problem == "its folder is gone"
        until(lambda: writer.problem is not None)
        writer.close("finished")


def test_what_cannot_be_recorded_becomes_a_message(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started())
        writer.put(Telemetry({"a": object()}))
        writer.put(Message("info", "after it"))
        writer.put(Controlled(3, "add_epochs", 2))
        writer.close("finished")
    view = view_of(path)
    assert "could not be recorded" in view.messages[0].text
    assert view.messages[1].text == "after it"
    assert view.epochs == 5


def test_telemetry_is_recorded_and_does_not_fill_the_disk(tmp_path, monkeypatch):
    readings = iter([{"rss": 10**6}, {"rss": 10**6 + 1}, {"rss": 2 * 10**6}, *[{"rss": 2 * 10**6}] * 100])
    taken = []
    monkeypatch.setattr("engine.telemetry.sample", lambda device: taken.append(1) or next(readings))
    monkeypatch.setattr("engine.store.writer.TELEMETRY_SECONDS", 0.0)
    path = new_run(tmp_path)
    with RunWriter(path) as writer:
        until(lambda: len(taken) >= 7)
        writer.close("finished")
    assert [reading["rss"] for reading in view_of(path).telemetry] == [10**6, 2 * 10**6]


def test_beat_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "BEAT_SECONDS", 0.2)
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False):
        beats = set()
        until(lambda: beats.add(json.loads((path / "owner.json").read_text())["beat"]) or len(beats) > 3)
    assert len(beats) > 3


def test_newer_format_is_shown_and_not_trained_on(tmp_path):
    path = trained_run(tmp_path)
    file = path / "events.000.jsonl"
    file.write_text(file.read_text().replace('"version":1', '"version":2', 1))
    view = view_of(path)
    assert view.read_only
    assert "newer layerlab" in str(view.problem)
    assert len(view.history) == 2
    with pytest.raises(RequestError, match="newer layerlab"):
        RunWriter(path, resume=True)


class StuckDisk(files.FileLayer):
    """Once it is stuck, a write to it does not return before it is let go."""

    def __init__(self):
        self.stuck, self.go, self.waiting = False, threading.Event(), threading.Event()

    def write(self, descriptor, data):
        if self.stuck:
            self.waiting.set()
            self.go.wait(30)
            self.waiting.clear()
        return super().write(descriptor, data)


def test_putting_an_event_takes_no_time_and_the_thread_little(tmp_path, monkeypatch):
    disk = StuckDisk()
    monkeypatch.setattr(files, "system", disk)
    path = new_run(tmp_path)
    others = set(threading.enumerate())
    with RunWriter(path) as writer:
        writer.put(started())
        time.sleep(1.0)
        # Of its own threads: what others that are left in this process do meanwhile says nothing.
        clocks = [time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t not in others]
        assert clocks
        before = sum(map(time.clock_gettime, clocks))
        took = []
        for first in (1, 21, 41):
            began = time.thread_time()
            for epoch in range(first, first + 20):
                writer.put(ended(epoch))
            took.append(time.thread_time() - began)
        assert min(took) < 0.01
        time.sleep(2.0)
        # A bound that holds on a busy machine: an idle one takes well under 1 % of a core.
        assert sum(map(time.clock_gettime, clocks)) - before < 0.15
        # Nor does it wait for what the thread waits for.
        disk.stuck = True
        writer.put(ended(61))
        assert disk.waiting.wait(30)
        for epoch in range(62, 82):
            writer.put(ended(epoch))
        assert disk.waiting.is_set()
        disk.stuck = False
        disk.go.set()
        writer.close("finished")
    assert [row.epoch for row in view_of(path).history] == list(range(1, 82))


def test_final_statuses_alone_end_a_run(tmp_path):
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        with pytest.raises(ValueError, match="does not end"):
            writer.close("paused")
        writer.close("finished")
        writer.close("failed", "too late")
        writer.put(ended(1))
    assert view_of(path).status == "finished"
    assert set(events.FINAL_STATUSES) < set(events.STATUSES)


def test_first_line_damaged_under_a_live_owner_does_not_free_the_run(tmp_path):
    path = new_run(tmp_path)
    file = path / "events.000.jsonl"
    with RunWriter(path, telemetry=False):
        with file.open("r+b") as damaged:
            damaged.write(b"\0" * 20)
        for when, words in ((time.time(), "being claimed"), (1.0, "is being trained by")):
            os.utime(file, (when, when))
            with pytest.raises(RequestError, match=words):
                RunWriter(path, resume=True)
