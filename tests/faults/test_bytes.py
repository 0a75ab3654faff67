"""Damaged bytes: whatever becomes of the files of a run, it is shown as far as it is whole, and nothing raises."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import checkpoint
from engine.store.listing import list_runs, summarize
from engine.store.notes import change_notes
from engine.store.reader import RunReader
from engine.store.writer import RunWriter
from tests.engine.run_folders import checkpoint as state_of
from tests.engine.run_folders import ended, new_run, progress, started
from tests.faults.reading import contents, flat, read_all

SUITE_FLIPS, SOAK_FLIPS = 300, 10_000


def full_run(store: Path, epochs: int = 3) -> Path:
    """A run with all that a run can have: two segments, checkpoints of both kinds, notes, prints."""
    path = new_run(store)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started(epochs))
        writer.status("running")
        for epoch in range(1, epochs):
            writer.put(progress(epoch * 10 - 5, 1 / epoch))
            writer.put(ended(epoch))
        writer.close("stopped")
    for step in (10, 20):
        checkpoint.write_checkpoint(path / "checkpoints", state_of(step, "best", value=float(step)))
        checkpoint.write_checkpoint(path / "checkpoints", state_of(step, best=step, value=float(step) + 1))
    with RunWriter(path, resume=True, resumed_step=20, telemetry=False) as writer:
        writer.put(started(epochs, 20, epochs - 1))
        writer.put(progress(epochs * 10 - 5))
        writer.put(ended(epochs))
        writer.close("finished")
    change_notes(path, name="a name", text="a note\nof two lines", tags=["one", "two"], pinned=True)
    (path / "console.log").write_text("printed\n" * 20)
    return path


# ---------------------------------------------------------------------- fault 6


def test_events_cut_at_every_byte_are_read_up_to_the_cut(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 6: of both events files, with every reader; epochs before the cut are there to the bit, later ones not."""
    path = full_run(tmp_path)
    rows = read_all(path).view.history
    for name in ("events.000.jsonl", "events.001.jsonl"):
        file = path / name
        whole = file.read_bytes()
        for cut in range(len(whole)):
            file.write_bytes(whole[:cut])
            reader = RunReader(path)
            reader.poll()
            assert reader.view.history == [row for row in rows if row in reader.view.history]
            lines = whole[:cut].count(b"\n")
            assert reader.view.skipped_lines == 0
            epochs = sum(b'"EpochEnded"' in line for line in whole.split(b"\n")[:lines])
            if name == "events.000.jsonl":
                assert len(reader.view.history) == epochs + 1
            else:
                assert len(reader.view.history) == 2 + epochs
        file.write_bytes(whole)
        figure("places at which events were cut", len(whole))


# ---------------------------------------------------------------------- fault 7


def damage(data: bytes, choice: random.Random) -> bytes:
    """Some bits the other way round, a block of NULs or of anything, a piece missing or there twice, an end cut off."""
    if not data:
        return bytes(choice.randrange(256) for _ in range(choice.randrange(1, 9)))
    changed = bytearray(data)
    start = choice.randrange(len(data))
    length = min(choice.choice((1, 8, 64, 512, 4096)), len(data) - start)
    kind = choice.choices(("bits", "nul", "noise", "missing", "twice", "cut"), (8, 3, 1, 1, 1, 1))[0]
    if kind == "bits":
        for _ in range(choice.choice((1, 1, 1, 2, 8))):
            changed[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
    elif kind == "nul":
        changed[start : start + length] = bytes(length)
    elif kind == "noise":
        changed[start : start + length] = choice.randbytes(length)
    elif kind == "missing":
        del changed[start : start + length]
    elif kind == "twice":
        changed[start:start] = data[start : start + length]
    else:
        del changed[start:]
    return bytes(changed)


def flips(tmp_path: Path, rounds: int, seed: int) -> tuple[int, int]:
    """Damages one file after the other; gives how many rounds there were, and how often a checkpoint was refused."""
    path = full_run(tmp_path)
    other = new_run(tmp_path, "unhurt")
    before, whole = read_all(path), contents(path)
    right = {kind: flat(saved) for kind, saved in before.saved.items()}
    known = {(saved.step, kind): flat(saved) for kind, saved in before.saved.items()}
    for kind in ("step", "best"):
        first, _ = checkpoint.newest(path / "checkpoints", kind, 10)
        assert first is not None
        known[10, kind] = flat(first)
    lines = {line for name, data in whole.items() if name.startswith("events") for line in data.split(b"\n")}
    choice, names, refused = random.Random(seed), sorted(whole), 0
    for number in range(rounds):
        name = names[number % len(names)]
        file = path / name
        data = damage(whole[name], choice)
        file.write_bytes(data)
        found = read_all(path)
        about = f"round {number} of seed {seed}: {name}"
        if name.startswith("checkpoints/"):
            kind = name.split("/")[1].partition("-")[0]
            saved = found.saved.get(kind)
            assert saved is not None, about
            # What verifies is what was written, to the bit; one that does not is refused, and the one before taken.
            assert flat(saved) == known[saved.step, kind], about
            hurt = name.split("/")[1]
            assert saved.path.name != hurt or flat(saved) == right[kind], about
            if any(hurt in problem for problem in found.problems):
                refused += 1
        else:
            assert {kind: flat(saved) for kind, saved in found.saved.items()} == right, about
        if name.startswith("events"):
            # Rows are wrong only where their own line was hurt.
            hurt_lines = sum(line not in lines for line in data.split(b"\n"))
            wrong = [row for row in found.view.history if row not in before.view.history]
            assert len(wrong) <= hurt_lines, about
        else:
            assert found.view.history == before.view.history, about
            assert found.view.status == "finished", about
        if name != "notes.json":
            assert found.summary is not None, about
            assert found.summary.notes.text == "a note\nof two lines", about
        assert {run.run for run in list_runs(tmp_path)} == {path.name, other.name}, about
        file.write_bytes(whole[name])
    assert contents(path) == whole, "reading wrote something"
    return rounds, refused


def test_flipped_bits_and_blocks_of_nul_in_any_file_never_raise_and_verified_numbers_are_right(tmp_path: Path) -> None:
    """Fault 7, with the count of the suite."""
    _, refused = flips(tmp_path, SUITE_FLIPS, 7)
    assert refused > SUITE_FLIPS / 20


@pytest.mark.soak
def test_ten_thousand_flips(tmp_path: Path, figure: Callable[[str, int], None]) -> None:
    """Fault 7, with the count of the soak."""
    rounds, refused = flips(tmp_path, SOAK_FLIPS, 70_000)
    figure("files damaged by flips, NULs, noise and cuts", rounds)
    figure("of these, checkpoints that were refused", refused)


# ---------------------------------------------------------------------- fault 8


def test_a_torn_tail_is_never_appended_to_and_the_resume_counts(
    tmp_path: Path, figure: Callable[[str, int], None]
) -> None:
    """Fault 8: the last line is cut at every byte, NULs behind it (as some file systems leave them) or not; after a
    resume all that was whole is there, and the epoch trained again once."""
    path = new_run(tmp_path)
    with RunWriter(path, telemetry=False) as writer:
        writer.put(started(2))
        writer.status("running")
        writer.put(ended(1))
        writer.put(ended(2))
        writer.close("stopped")
    file = path / "events.000.jsonl"
    lines = file.read_bytes().split(b"\n")
    # Up to the end of the second epoch, and without the words on how it ended: its process is dead by then.
    at = next(at for at, line in enumerate(lines) if b'"EpochEnded"' in line and b'"epoch":2' in line)
    head, last = b"\n".join(lines[:at]) + b"\n", lines[at]
    base = tmp_path / "base"
    shutil.copytree(path, base)
    for cut in range(0, len(last), 7):
        for nul in (b"", bytes(512)):
            shutil.rmtree(path)
            shutil.copytree(base, path)
            torn = head + last[:cut] + nul
            file.write_bytes(torn)
            with RunWriter(path, resume=True, resumed_step=10, telemetry=False) as writer:
                writer.put(started(2, 10, 1))
                writer.put(ended(2, best=False))
                writer.close("finished")
            assert file.read_bytes() == torn
            view = read_all(path).view
            assert [(row.epoch, row.best) for row in view.history] == [(1, True), (2, False)]
            assert (view.status, view.skipped_lines) == ("finished", 0)
            figure("torn tails resumed from", 1)


# ---------------------------------------------------------------------- fault 10

DEEP = 100_000
SUMMARIES = {
    "empty": b"",
    "garbage": bytes(range(256)) * 40,
    "nul": bytes(4096),
    "an array": b'[{"status": "finished"}]',
    "a text": b'"finished"',
    "null": b"null",
    "huge": b'{"status": "' + b"x" * (9 << 20) + b'"}',
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"status": "finished", "best": ' + b'{"metrics": ' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep fields": b'{"status": "finished", "fields": ' + b'{"a": ' * 900 + b"1" + b"}" * 901,
    "many digits": b'{"status": "finished", "epochs": ' + b"9" * 5_000 + b"}",
    "half": b'{"status": "finished", "epo',
    "no status": b'{"name": "x"}',
    "status of another type": b'{"status": 3}',
    "not UTF-8": b'{"status": "finished", "name": "\xff\xfe"}',
    "UTF-16": '{"status": "finished"}'.encode("utf-16"),
    "wrong types": json.dumps(
        {"status": "finished", "name": [], "epochs": "3", "best": {"epoch": {}, "metrics": []}, "last": 3,
         "seconds": "NaN", "version": 1e300, "fields": {"a": 3}, "started": {}, "parameters": -1}
    ).encode(),
    "numbers beyond floats": b'{"status": "finished", "seconds": 1e999, "epochs": 1e400, "version": 1e999}',
}  # fmt: skip


@pytest.mark.parametrize("content", SUMMARIES.values(), ids=SUMMARIES)
def test_any_summary_is_a_row_and_hides_no_other_run(tmp_path: Path, content: bytes) -> None:
    """Fault 10: where it is no summary the row is rebuilt from the events; nothing is written, all else is listed."""
    path, other = full_run(tmp_path), full_run(tmp_path, 4)
    right = summarize(other)
    (path / "summary.json").write_bytes(content)
    os.utime(path / "summary.json", (1e9, 1e9))
    found = read_all(path)
    assert found.summary is not None
    assert len(found.view.history) == 3
    rows = {run.run: run for run in list_runs(tmp_path)}
    assert rows[other.name] == right
    assert rows[path.name].status == "finished"
    assert rows[path.name].notes.text == "a note\nof two lines"
    assert (path / "summary.json").read_bytes() == content
