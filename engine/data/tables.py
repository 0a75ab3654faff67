"""Tables: columns of numbers and of categories, from a delimited text file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.digest import digest_of_parts
from engine.data.files import find_file, version
from engine.data.info import DataInfo, Loaded, Part, Place, Source
from engine.data.labels import check_labels
from engine.data.table_reader import DELIMITERS, TextTable, is_number, read_table
from engine.errors import RequestError, did_you_mean

# What stands for "no value": in a column of numbers also what other tools write there. "NA" may be a real category.
_MISSING_TEXT = {"", "nan"}
_MISSING_NUMBER = _MISSING_TEXT | {"na", "n/a", "#n/a", "null", "none", "?"}
_MOST_CATEGORIES = 1000
_LARGEST = 1024**3
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class CSV(Source):
    """A table in a text file: one line a sample, one column the target, the others numbers or categories.

    Columns of text are one-hot encoded, categories in alphabetical order. `kind` says what the target is: "classes",
    "values", or "auto": text is classes, and so are the integers 0 to k-1 for k up to 20; other numbers are values.
    `missing` says what becomes of a row with an empty value: "refuse" or "drop". `columns` names the inputs, where not
    all are wanted. `delimiter` is found out where it is not given.
    """

    path: str
    target: str
    kind: Literal["auto", "classes", "values"] = "auto"
    columns: tuple[str, ...] | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    header: bool = True
    missing: Literal["refuse", "drop"] = "refuse"

    def __post_init__(self) -> None:
        _choice("kind", self.kind, ("auto", "classes", "values"))
        _choice("missing", self.missing, ("refuse", "drop"))
        _choice("decimal", self.decimal, (".", ","))
        if self.delimiter is not None:
            _choice("delimiter", self.delimiter, DELIMITERS)

    def info(self, place: Place) -> DataInfo:
        """Read from the file, once for each version of it."""
        path = find_file(self.path, place, largest=_LARGEST)
        return _info(self, path, version(path))

    def load(self, place: Place) -> Loaded:
        """Inputs float32 (N, columns after encoding); targets int64 (N,) or float32 (N, 1). Raises RequestError."""
        path = find_file(self.path, place, largest=_LARGEST)
        place.report(f"reading {path.name}")
        loaded = _load(self, path, place)
        return replace(loaded, digest=partial(digest_of_parts, loaded.train, loaded.test))


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RequestError(f"CSV: {name}={value!r}; use one of {', '.join(repr(choice) for choice in known)}")


@lru_cache(maxsize=16)
def _info(source: CSV, path: Path, _version: tuple[int, int]) -> DataInfo:
    return _load(source, path, Place(path.parent)).info


def _load(source: CSV, path: Path, place: Place) -> Loaded:
    table = read_table(path, delimiter=source.delimiter, header=source.header)
    names = _input_names(source, path, table)
    target = Column.of(source, path, table, source.target)
    columns = [Column.of(source, path, table, name) for name in names]

    missing = np.logical_or.reduce([column.missing() for column in [*columns, target]])
    if missing.any():
        if source.missing == "refuse":
            row = int(np.flatnonzero(missing)[0])
            column = next(column for column in [*columns, target] if column.missing()[row])
            raise RequestError(
                f"{column.at(row)}: {column.texts[row]!r} where a value should be ({int(missing.sum())} of "
                f"{len(missing)} rows lack one); fill it in, or leave such rows out with missing='drop'"
            )
        if missing.all():
            raise RequestError(f"{path}: every row lacks a value, so missing='drop' leaves nothing")
        place.report(f"{path.name}: {int(missing.sum())} of {len(missing)} rows left out, they lack a value")
        target = target.keep(~missing)
        columns = [column.keep(~missing) for column in columns]

    targets, classes = _targets(source, target)
    inputs = np.concatenate([column.encoded() for column in columns], axis=1)
    outputs = len(classes) or 1
    kind: Literal["classes", "values"] = "classes" if classes else "values"
    counts = tuple(np.bincount(targets, minlength=outputs).tolist()) if classes else ()
    shape = (inputs.shape[1],)
    info = DataInfo(shape, "float32", kind, classes, outputs, len(inputs), None, image=False, class_counts=counts)
    return Loaded(info, Part(torch.from_numpy(inputs), torch.from_numpy(targets)), None)


def _input_names(source: CSV, path: Path, table: TextTable) -> tuple[str, ...]:
    for name in (source.target, *(source.columns or ())):
        if name not in table.names:
            known = ", ".join(table.names[:20]) + (", ..." if len(table.names) > 20 else "")
            hint = did_you_mean(name, table.names)
            raise RequestError(
                f"{path} has no column {name!r}; {f'{hint} Its' if hint else 'its'} columns are: {known}"
            )
    if source.columns is None:
        names = tuple(name for name in table.names if name != source.target)
        if not names:
            raise RequestError(f"{path} has only the target's column, {source.target!r}; is the delimiter another one?")
        return names
    if source.target in source.columns:
        raise RequestError(f"CSV: the target {source.target!r} cannot be among the inputs in columns=")
    if not source.columns or len(set(source.columns)) != len(source.columns):
        raise RequestError("CSV: columns= needs at least one name, and none of them twice")
    return source.columns


@dataclass(frozen=True)
class Column:
    """One column: its texts, the lines they stand on, and whether they are numbers or categories."""

    path: Path
    name: str
    texts: list[str]
    lines: list[int]
    numeric: bool
    decimal: str

    @classmethod
    def of(cls, source: CSV, path: Path, table: TextTable, name: str) -> Column:
        """The column called `name`: numbers where most values are; a text among them is refused with its line."""
        position = table.names.index(name)
        texts = [row[position].strip() for row in table.rows]
        column = cls(path, name, texts, table.lines, True, source.decimal)
        present = [row for row, text in enumerate(texts) if text.lower() not in _MISSING_NUMBER]
        others = [row for row in present if not is_number(column.plain(texts[row]))]
        if present and not others:
            return column
        if others and source.decimal == "." and all(_DECIMAL_COMMA.fullmatch(texts[row]) for row in others):
            raise RequestError(f"{column.at(others[0])}: {texts[others[0]]!r} has a decimal comma; say decimal=','")
        must_be_number = name == source.target and source.kind == "values"
        if others and (must_be_number or 2 * len(others) < len(present)):
            row = others[0]
            raise RequestError(
                f"{column.at(row)}: {texts[row]!r} where a number should be "
                f"({len(present) - len(others)} of {len(present)} values of this column are numbers)"
            )
        return cls(path, name, texts, table.lines, False, source.decimal)

    def at(self, row: int) -> str:
        """File, line and column of a row, as errors begin."""
        return f"{self.path}: line {self.lines[row]}, column {self.name}"

    def line(self, row: int) -> str:
        """The line of a row."""
        return f"line {self.lines[row]}"

    def plain(self, text: str) -> str:
        """A number with a decimal point, whatever its file writes."""
        return text.replace(".", "").replace(",", ".") if self.decimal == "," else text

    def missing(self) -> NDArray[np.bool_]:
        """(N,), true where there is no value."""
        absent = _MISSING_NUMBER if self.numeric else _MISSING_TEXT
        return np.array([text.lower() in absent for text in self.texts], dtype=np.bool_)

    def keep(self, rows: NDArray[np.bool_]) -> Column:
        """The column with only the rows that are true."""
        kept = np.flatnonzero(rows).tolist()
        texts, lines = [self.texts[row] for row in kept], [self.lines[row] for row in kept]
        return Column(self.path, self.name, texts, lines, self.numeric, self.decimal)

    def numbers(self) -> NDArray[np.float64]:
        """(N,); an infinite one, or one beyond float32, is refused with its line."""
        values = np.array([float(self.plain(text)) for text in self.texts])
        wrong = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))
        if len(wrong):
            row = int(wrong[0])
            raise RequestError(f"{self.at(row)}: {self.texts[row]!r} is not a finite number of float32")
        return values

    def categories(self) -> tuple[str, ...]:
        """The distinct texts, sorted; so many that they look like names or notes are refused."""
        distinct = sorted(set(self.texts))
        if len(distinct) > _MOST_CATEGORIES or (len(distinct) > 20 and 2 * len(distinct) > len(self.texts)):
            raise RequestError(
                f"{self.at(0)}: {len(distinct)} different texts in {len(self.texts)} rows, too many for categories "
                f"(the first is {self.texts[0][:40]!r}); leave this column out with columns="
            )
        return tuple(distinct)

    def encoded(self) -> NDArray[np.float32]:
        """(N, 1) numbers, or (N, categories) of 0 and 1."""
        if self.numeric:
            return self.numbers().astype(np.float32)[:, None]
        position = {category: i for i, category in enumerate(self.categories())}
        rows = np.array([position[text] for text in self.texts])
        encoded: NDArray[np.float32] = np.eye(len(position), dtype=np.float32)[rows]
        return encoded


def _targets(source: CSV, target: Column) -> tuple[NDArray[np.int64] | NDArray[np.float32], tuple[str, ...]]:
    """Targets as stored, and the names of the classes (none where they are values)."""
    if not target.numeric:
        classes = target.categories()
        if len(classes) < 2:
            raise RequestError(
                f"{target.path}: every row has {classes[0]!r} in column {target.name}; "
                "a classification needs two classes or more"
            )
        position = {name: label for label, name in enumerate(classes)}
        return np.array([position[text] for text in target.texts], dtype=np.int64), classes

    numbers = target.numbers()
    distinct = np.unique(numbers)
    if source.kind == "classes":
        broken = np.flatnonzero((numbers != np.floor(numbers)) | (np.abs(numbers) > 2**31))
        if len(broken):
            row = int(broken[0])
            raise RequestError(f"{target.at(row)}: {target.texts[row]} is not a label; labels are 0, 1, 2, ...")
        k = check_labels(numbers.astype(np.int64), f"{target.path}: column {target.name}", target.line)
        return numbers.astype(np.int64), tuple(str(label) for label in range(k))
    if source.kind == "auto" and 2 <= len(distinct) <= 20 and np.array_equal(distinct, np.arange(len(distinct))):
        return numbers.astype(np.int64), tuple(str(label) for label in range(len(distinct)))
    return numbers.astype(np.float32)[:, None], ()
