"""Prints as they come out of a file: torn, coloured, overwritten, endless, or of a run that is removed."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import Message
from engine.presets import preset
from tests.tui.fake_training import FakeTraining
from tui.console_tail import FIRST_BYTES, LINES_A_POLL, LONGEST, ConsoleTail, readable
from tui.watching import LINES_KEPT, RunWatch


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def test_lines_come_once_and_a_torn_one_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    tail = ConsoleTail(path)
    assert tail.poll() is None
    append(path, b"one\ntw")
    printed = tail.poll()
    assert printed is not None
    assert (printed.lines, printed.unfinished) == (("one",), "tw")
    assert tail.poll() is None
    append(path, b"o\n\nthree\r\n")
    printed = tail.poll()
    assert printed is not None
    assert (printed.lines, printed.unfinished) == (("two", "three"), "")


def test_a_progress_bar_is_only_what_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    tail = ConsoleTail(path)
    append(path, b"\r 10%|#    |")
    seen = [tail.poll()]
    append(path, b"\r 50%|###  |")
    seen.append(tail.poll())
    append(path, b"\r100%|#####|\ndone\n")
    seen.append(tail.poll())
    assert [(printed.lines, printed.unfinished) for printed in seen if printed] == [
        ((), " 10%|#    |"),
        ((), " 50%|###  |"),
        ((("100%|#####|"), "done"), ""),
    ]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m", "red and bold"),
        (b"\x1b]0;title\x07after\x1b[2K\x1b[1A", "after"),
        (b"\x1b]52;c;QUJD\x1b\\x", "x"),
        (b"a\tb", "a       b"),
        (b"12%\b\b\b34%", "34%"),
        ("größer ✓".encode(), "größer ✓"),
        (b"torn \xc3", "torn "),
        (b"bad \xff byte", "bad � byte"),
        (b"first\rsecond\r", "second"),
        (b"x" * 3000, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_a_line_is_read_as_a_terminal_would_leave_it(raw: bytes, text: str) -> None:
    assert readable(raw) == text.rstrip()


@given(st.binary(max_size=300))
@example(b"\x1b[")
@example(b"a\x1b[3")
def test_no_bytes_raise(data: bytes) -> None:
    assert "\x1b[" not in readable(data)


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 330), max_size=8))
def test_wherever_a_poll_cuts_the_same_lines_come_out(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], cuts: list[int]
) -> None:
    data = b"\n".join(piece.replace(b"\r", b"") for piece in pieces) + b"\n"
    expected = [text for line in data.split(b"\n")[:-1] if (text := readable(line))]
    path = tmp_path_factory.mktemp("console") / "console.log"
    path.write_bytes(b"")
    tail, lines = ConsoleTail(path), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        append(path, data[start:end])
        printed = tail.poll()
        lines += printed.lines if printed is not None else ()
    assert lines == expected


def test_of_a_long_log_the_end_is_read_and_a_flood_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"".join(b"line %06d\n" % number for number in range(20_000)))
    tail = ConsoleTail(path)
    printed = tail.poll()
    assert printed is not None
    assert printed.lines[0].endswith("of what was printed are left out")
    assert printed.lines[-1] == "line 019999"
    assert len(printed.lines) <= LINES_A_POLL + 2
    assert sum(map(len, printed.lines)) <= FIRST_BYTES
    append(path, b"y" * (1 << 20))
    append(path, b"\nlast\n")
    printed = tail.poll()
    assert printed is not None
    assert printed.lines[-1] == "last"
    assert "left out" in printed.lines[0]


def test_a_line_that_never_ends_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    tail = ConsoleTail(path)
    for _ in range(8):
        append(path, b"." * 200_000)
        tail.poll()
    assert len(tail._rest) <= 1 << 16


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    link, pipe = tmp_path / "link.log", tmp_path / "pipe.log"
    link.symlink_to(tmp_path / "secret")
    os.mkfifo(pipe)
    assert ConsoleTail(link).poll() is None
    assert ConsoleTail(pipe).poll() is None


def test_a_log_that_was_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"old\n")
    tail = ConsoleTail(path)
    tail.poll()
    path.write_bytes(b"")
    append(path, b"new\n")
    (tmp_path / "other").write_bytes(b"newer\n")
    os.replace(tmp_path / "other", path)
    printed = tail.poll()
    assert printed is not None
    assert printed.lines == ("newer",)


# ---------------------------------------------------------------------- in the log of a run


def begun(tmp_path: Path) -> tuple[FakeTraining, RunWatch]:
    training = FakeTraining(tmp_path)
    path = training.start(preset("batchnorm"))
    watch = RunWatch(path, now=lambda: 7.0)
    watch.poll()
    return training, watch


def test_prints_and_messages_stand_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    training, watch = begun(tmp_path)
    console = watch.path / "console.log"
    append(console, b"hello\n 10%")
    assert watch.poll()
    training.say("warning", "careful")
    append(console, b"\r 20%")
    watch.poll()
    append(console, b"\r 30%\nbye\n")
    watch.poll()
    training.end("failed", "no more")
    watch.poll()
    told = [(line.level, line.text) for line in watch.log]
    # A line that has not ended stands last until it has.
    assert told == [
        ("printed", "hello"),
        ("warning", "careful"),
        ("printed", " 30%"),
        ("printed", "bye"),
        ("info", "failed: no more"),
    ]
    assert all(line.time == 7.0 for line in watch.log if line.level == "printed")
    assert not watch.poll()


def test_prints_of_before_anybody_looked_have_no_time(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    path = training.start(preset("batchnorm"))
    append(path / "console.log", b"early\n")
    watch = RunWatch(path)
    watch.poll()
    assert [(line.time, line.text) for line in watch.log] == [(None, "early")]


def test_however_much_is_printed_what_the_run_said_stays(tmp_path: Path) -> None:
    training, watch = begun(tmp_path)
    training.emit(Message("warning", "layer 6 is dead"))
    for _ in range(6):
        append(watch.path / "console.log", b"chatter\n" * 300)
        watch.poll()
    assert len(watch.log) == LINES_KEPT
    assert [line.text for line in watch.log if line.level == "warning"] == ["layer 6 is dead"]


def test_a_run_that_is_removed_while_it_is_shown_is_said_once_and_never_raises(tmp_path: Path) -> None:
    training, watch = begun(tmp_path)
    training.epoch(1)
    append(watch.path / "console.log", b"hello\n")
    watch.poll()
    shutil.rmtree(watch.path)
    for _ in range(3):
        watch.poll()
    assert watch.view.status == "damaged"
    assert [line.text for line in watch.log if line.level == "error"] == ["this run: its folder is gone"]
    assert watch.view.done == 1  # what was read stays on the screen
