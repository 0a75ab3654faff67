"""Reading a delimited text file into rows of text, each with the line on which an editor shows it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RequestError

DELIMITERS = (",", ";", "\t", "|")
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class TextTable:
    """`names` of the columns, `rows` of text as wide as `names`, and the line number of each row."""

    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]


def read_table(path: Path, *, delimiter: str | None, header: bool) -> TextTable:
    """The table in a UTF-8 file; blank lines are skipped, quoted values may hold line breaks.

    Without a header the columns are called column1, column2, ... Raises RequestError, with file and line, where the
    text is not UTF-8, quotes do not close, rows differ in length, or names are missing or double.
    """
    text = _decode(path)
    if not text.strip():
        raise RequestError(f"{path} is empty")
    if delimiter is None:
        delimiter = _sniff(text)
    records, starts = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for record in reader:
            if record and not (len(record) == 1 and not record[0].strip()):
                records.append(record)
                starts.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise RequestError(f"{path}: line {start}: {_explain(error)}") from error

    names = _names(path, records[0], starts[0]) if header else tuple(f"column{i + 1}" for i in range(len(records[0])))
    if header:
        records, starts = records[1:], starts[1:]
        if not records:
            raise RequestError(f"{path} has a header but no rows")
    for record, line in zip(records, starts, strict=True):
        if len(record) != len(names):
            raise RequestError(
                f"{path}: line {line}: {len(record)} values, but there are {len(names)} columns ({_some(names)})"
            )
    return TextTable(names, records, starts)


def _decode(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RequestError(f"{path} is UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RequestError(
            f"{path}: line {line}: byte {data[error.start]:#04x} is not UTF-8 text; save the file as UTF-8"
        ) from error


def _sniff(text: str) -> str:
    """The delimiter that the first line has most of, outside quotes; a comma where it has none."""
    first = next(line for line in text.splitlines() if line.strip())
    bare = _QUOTED.sub("", first)
    return max(DELIMITERS, key=bare.count)


def _explain(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return "a quoted value begins here and never ends; close its quote"
    if "field larger than" in message:
        return f"a value of more than {csv.field_size_limit():,} characters; is a quote left open?"
    if "expected after" in message:
        return "text follows a closing quote; write a quote within a quoted value twice"
    return message


def _names(path: Path, record: list[str], line: int) -> tuple[str, ...]:
    names = tuple(name.strip() for name in record)
    if all(is_number(name) for name in names):
        raise RequestError(
            f"{path}: line {line} holds numbers ({_some(names)}) where the names of the columns should be; put a "
            "header line in front, or say header=False and the columns are called column1, column2, ..."
        )
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if not name:
            raise RequestError(f"{path}: line {line}: column {position} has no name")
        if name in seen:
            raise RequestError(
                f"{path}: line {line}: columns {seen[name]} and {position} are both called {name!r}; rename one"
            )
        seen[name] = position
    return names


def is_number(text: str) -> bool:
    """Whether `text` is a number as a person writes it; float() alone would also take 1_000."""
    if "_" in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
