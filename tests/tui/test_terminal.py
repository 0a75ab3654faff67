"""The terminal belongs to the application: prints go to the log, a dead line is written to no more."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from tui.terminal import TerminalFile


class Broken(io.StringIO):
    """A terminal whose line is gone."""

    attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise OSError(5, "Input/output error")


def test_a_dead_terminal_is_written_to_once_and_never_raises() -> None:
    stream = Broken()
    file = TerminalFile(stream)
    for _ in range(3):
        assert file.write("abc") == 3
        file.flush()
    assert file.gone
    assert stream.attempts == 1


def test_prints_of_native_code_go_to_the_log_and_fds_come_back(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tui.terminal import kept_terminal
with kept_terminal() as kept:
    os.write(1, b"native out\\n")
    os.system("echo from a child; echo to stderr >&2")
    log = Path(sys.argv[1])
    kept.log_to(log)
    os.write(2, b"later\\n")
print("back", log.read_text().strip())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "console.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "back later\n"
    assert done.stderr == ""


def test_a_link_or_a_fifo_in_place_of_a_log_is_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tui.terminal import kept_terminal
folder = Path(sys.argv[1])
(folder / "theirs").write_text("theirs")
(folder / "link").symlink_to(folder / "theirs")
os.mkfifo(folder / "fifo")
with kept_terminal() as kept:
    first = kept.console
    for name in ("link", "fifo"):
        assert kept.log_to(folder / name) == first == kept.console
        os.write(1, b"printed")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    assert kept.log_to(folder / "fifo") == first == kept.console
    assert kept.log_to(folder / "log") == first
    assert kept.log_to(first) == folder / "log"
print((folder / "theirs").read_text(), (folder / "log").read_text())
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "theirs \n"
