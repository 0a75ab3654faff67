"""What a run has printed: the end of its console.log, as it grows, in lines that a person can read."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from engine.store import files
from tui.output import size

# Whoever opens a run of last year wants its last words, not all of its hundred megabytes.
FIRST_BYTES = 64 << 10
BYTES_A_POLL = 256 << 10
LINES_A_POLL = 500
LONGEST = 2_000
UNFINISHED_BYTES = 64 << 10
# Colours and cursor movements (ECMA-48: CSI, OSC, two-byte escapes) mean nothing in a log, and where a line ends within
# one it is no text either; what else is no plain character is made visible where it is drawn.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*(?:[@-~]|$)|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])")


@dataclass(frozen=True)
class Printed:
    """`lines` are complete, oldest first; `unfinished` is one that has not ended, such as a progress bar."""

    lines: tuple[str, ...] = ()
    unfinished: str = ""


class ConsoleTail:
    """Follows a file that others write and may remove; what cannot be read is as if nothing were printed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._rest = b""
        self._told = Printed()

    def poll(self) -> Printed | None:
        """What is new since the last time, None where there is nothing; `unfinished` is as it is now."""
        try:
            known = os.stat(self._path, follow_symlinks=False)
            if not stat.S_ISREG(known.st_mode):
                return None
            if self._file != (known.st_dev, known.st_ino) or known.st_size < self._offset:
                first = self._file is None
                self._file, self._rest = (known.st_dev, known.st_ino), b""
                self._offset = max(known.st_size - FIRST_BYTES, 0) if first else 0
                cut = self._offset
            elif known.st_size == self._offset:
                return None
            else:
                # More than can be looked at was printed in a moment: the newest counts.
                cut = max(known.st_size - self._offset - BYTES_A_POLL, 0)
                self._offset += cut
            data = self._read(known.st_size - self._offset)
        except OSError:
            return None
        self._offset += len(data)
        return self._take(data, cut)

    def _read(self, length: int) -> bytes:
        descriptor = files.system.open(self._path, files.READ)
        try:
            os.lseek(descriptor, self._offset, os.SEEK_SET)
            parts: list[bytes] = []
            while length > 0 and (part := files.system.read(descriptor, min(length, BYTES_A_POLL))):
                parts.append(part)
                length -= len(part)
            return b"".join(parts)
        finally:
            files.system.close(descriptor)

    def _take(self, data: bytes, cut: int) -> Printed | None:
        lines: list[str] = []
        if cut:
            # The first line is torn: it begins before what was read.
            torn, end, data = data.partition(b"\n")
            self._rest, data = (b"", data) if end else (torn, b"")
            lines.append(f"… {size(cut)} of what was printed are left out")
        *complete, rest = (self._rest + data).split(b"\n")
        if len(complete) > LINES_A_POLL:
            lines.append(f"… {len(complete) - LINES_A_POLL:,} lines of what was printed are left out")
        lines += [text for line in complete[-LINES_A_POLL:] if (text := readable(line))]
        # A progress bar may write for hours without ending its line: only its last state counts.
        last = rest.rstrip(b"\r").rfind(b"\r")
        self._rest = rest[last + 1 if last >= 0 else 0 :][-UNFINISHED_BYTES:]
        told = Printed(tuple(lines), readable(self._rest))
        if not lines and told == self._told:
            return None
        self._told = Printed((), told.unfinished)
        return told


def readable(line: bytes) -> str:
    """A line as a terminal would leave it: after carriage returns and backspaces, without colours; cut where it is
    very long."""
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(line)
    text = ESCAPES.sub("", text)
    if "\r" in text:
        text = next((piece for piece in reversed(text.split("\r")) if piece.strip()), "")
    if "\b" in text:
        kept: list[str] = []
        for character in text:
            if character != "\b":
                kept.append(character)
            elif kept:
                kept.pop()
        text = "".join(kept)
    text = text.expandtabs(8).rstrip()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
