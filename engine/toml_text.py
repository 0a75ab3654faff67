"""TOML: reading what comes from anywhere, bounded before it is parsed and with the line of every value; writing."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from engine.calls import escape
from engine.errors import SpecError

MAX_BYTES = 256 * 1024
MAX_KEY_PARTS = 64
MAX_KEY_LENGTH = 1_000
MAX_NESTING = 64

# Each alternative also takes a text that is never closed: a failure would be tried again from every later quote.
_STRING_OR_COMMENT = re.compile(
    r'"""(?:\\?.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:[^"\\\n]|\\[^\n])*+"?|\'[^\'\n]*+\'?|#[^\n]*', re.DOTALL
)
# Possessive, so that a long run that is no key costs no time: tomllib takes seconds for a key of thousands of parts.
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}")
_LONG_PART = re.compile(rf"(?<![\w-])[\w-]{{{MAX_KEY_LENGTH + 1}}}")
_TOML_PLACE = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_SCALAR = re.compile(r'"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[^,\]}\n#]+', re.DOTALL)


def read_text(path: str | Path) -> str:
    """The text of a regular file of at most 256 KiB in UTF-8. Raises SpecError where there is none."""
    file = escape(str(path))
    try:
        # Without O_NONBLOCK the opening of a FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        if isinstance(error, FileNotFoundError):
            reason = "there is no such file"
        raise SpecError(f"cannot be opened: {reason or error}", file=file) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise SpecError(f"it is {kind}; an experiment is a TOML file", file=file)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", file=file) from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise SpecError(f"it is larger than {MAX_BYTES // 1024} KiB; an experiment is a short TOML file", file=file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError("it is not text in UTF-8", file=file, line=line) from None


def parse_toml(text: str, file: str = "") -> dict[str, Any]:
    """Parse bounded TOML. Raises SpecError with the line and what is wrong there."""
    _check_bounds(text, file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_PLACE.match(str(error))
        reason, line = (match[1], match[2]) if match else (str(error), None)
        number = int(line) if line else text.count("\n") + 1
        raise _syntax_error(text, file, reason, number) from None
    except (ValueError, RecursionError, MemoryError):
        raise SpecError("it cannot be read: a number or a nesting in it is too large", file=file) from None


def _check_bounds(text: str, file: str) -> None:
    if len(text) > MAX_BYTES:
        raise SpecError(f"it is larger than {MAX_BYTES // 1024} KiB; an experiment is a short TOML file", file=file)
    bare = _STRING_OR_COMMENT.sub(lambda match: "s" + "\n" * match[0].count("\n"), text)
    for pattern, limit in (
        (_LONG_KEY, f"a key of more than {MAX_KEY_PARTS} parts"),
        (_LONG_PART, f"a name of more than {MAX_KEY_LENGTH:,} characters"),
    ):
        if match := pattern.search(bare):
            line = bare.count("\n", 0, match.start()) + 1
            raise SpecError(f"found {limit}; no field of an experiment has one", file=file, line=line)
    depth = 0
    for match in re.finditer(r"[\[\]{}]", bare):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_NESTING:
            line = bare.count("\n", 0, match.start()) + 1
            raise SpecError(f"brackets are nested more than {MAX_NESTING} deep", file=file, line=line)


def _syntax_error(text: str, file: str, reason: str, line: int) -> SpecError:
    lines = text.split("\n")
    shown = escape(lines[line - 1].strip()[:80]) if 0 < line <= len(lines) else ""
    hint = ""
    if reason == "Invalid value" and re.search(r"=\s*\[?\s*[A-Za-z_][\w.:]*\s*[(\"']?", shown):
        hint = 'a call or a text stands in quotes, as in optimizer = "SGD(lr=0.01)"'
    found = f" in `{shown}`" if shown else ""
    return SpecError(f"not TOML: {reason[:1].lower()}{reason[1:]}{found}", file=file, line=line, hint=hint)


@dataclass(frozen=True)
class Origin:
    """Where a field was written: the file (or "--set key=value") and the line in it, from 1."""

    file: str
    line: int | None = None


def lookup(origins: Mapping[str, Origin], field: str) -> Origin | None:
    """The origin of a field or of the table around it; the only network may be written with or without its name."""
    if field not in origins:
        field = re.sub(r"^networks\b", "network", field)
    while field:
        for same in (
            field,
            re.sub(r"^network\.model\b", "network", field),
            re.sub(r"^network\b", "network.model", field),
        ):
            if same in origins:
                return origins[same]
        field = field.rpartition(".")[0]
    return None


def lines_of(text: str) -> dict[str, int]:
    """The line, from 1, of every table, key and array element of valid TOML, by dotted path: `data.augment.0`."""
    return _Lines(text).found


class _Lines:
    """Walks over a text that tomllib has read, so that nothing needs to be checked again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[str, int] = {}
        self.line, self.counted = 1, 0
        at, table = self.space(0), ""
        while at < len(text):
            if text[at] == "[":
                opening = at + (2 if text.startswith("[[", at) else 1)
                table, end = self.key(self.space(opening))
                self.note(table, at)
                at = self.space(text.index("]", end) + opening - at)
            else:
                at = self.space(self.pair(at, table))

    def space(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def note(self, path: str, at: int) -> None:
        self.line += self.text.count("\n", self.counted, at)
        self.counted = at
        self.found.setdefault(path, self.line)

    def key(self, at: int) -> tuple[str, int]:
        parts: list[str] = []
        while match := _KEY.match(self.text, at):
            part = match[0]
            parts.append(part[1:-1] if part[0] in "\"'" else part)
            at = self.space(match.end())
            if not self.text.startswith(".", at):
                break
            at = self.space(at + 1)
        return ".".join(parts), at

    def pair(self, at: int, table: str) -> int:
        name, end = self.key(at)
        path = f"{table}.{name}" if table else name
        self.note(path, at)
        return self.value(self.space(end + 1), path)

    def value(self, at: int, path: str) -> int:
        """Note what lies inside the value at this place and give the place behind it."""
        opening = self.text[at : at + 1]
        if opening not in ("[", "{"):
            match = _SCALAR.match(self.text, at)
            return match.end() if match else len(self.text)
        at, number = self.space(at + 1), 0
        while at < len(self.text) and self.text[at] not in "]}":
            if opening == "[":
                self.note(f"{path}.{number}", at)
                at = self.value(at, f"{path}.{number}")
            else:
                at = self.pair(at, path)
            number += 1
            at = self.space(at)
            if self.text.startswith(",", at):
                at = self.space(at + 1)
        return at + 1


def write_toml(table: Mapping[str, Any]) -> str:
    """The text of a table: one layer a line, which reads well, but the numbers of `normalize` on one."""
    text = tomli_w.dumps(table)
    return re.sub(r"^normalize = \[.*?^\]$", lambda match: _on_one_line(match[0]), text, flags=re.DOTALL | re.MULTILINE)


def _on_one_line(array: str) -> str:
    joined = " ".join(line.strip() for line in array.splitlines())
    return joined.replace("[ ", "[").replace(", ]", "]")


def without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without the empty values that TOML cannot hold, in the tables inside it too."""
    return {key: without_none(v) if isinstance(v, dict) else v for key, v in table.items() if v is not None}
