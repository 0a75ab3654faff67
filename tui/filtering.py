"""Filters over runs, as people type them: `optimizer:adam val/accuracy>97% not tag:old`.

    words             in name, id, status, source, tags or notes; all of them, in any case
    field:text        text in a fact (name, status, tag, data, device, note), a field, an argument; numbers are equal
    field>number      of a metric (best; `last.val/accuracy`), a fact, a field or an argument; also >= < <= = !=
    started>2026-01-15, age<2h, seconds>90s, val/accuracy>97%, parameters<50K
    is:pinned, is:starred, is:live, is:tagged, or a status
    not X, -X, X or Y, (X Y), "a phrase"

A filter that is read never fails on a run, whatever the run holds: what a run does not have does not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.errors import did_you_mean
from tui.filter_terms import FilterError, Test, compares, example, flag, holds, is_fact
from tui.run_values import ALIASES, Prepared, best_first, column_value, known_names, prepare, sort_runs

if TYPE_CHECKING:
    from engine.store.listing import Summary

__all__ = [
    "Filter", "FilterError", "best_first", "column_value", "known_names", "parse_filter", "prepare", "sort_runs",
]  # fmt: skip

MAX_LENGTH = 2_000
MAX_DEPTH = 32
_FIELD = re.compile(r"([^\W\d][\w./@-]*?)(?:\s*(>=|<=|!=|==|=|>|<)|(:))\s*")


class Filter:
    """What a text asks of runs."""

    def __init__(self, text: str, test: Test | None, names: Sequence[str] = ()) -> None:
        self.text = text
        self._test = test
        self._names = tuple(names)

    @property
    def empty(self) -> bool:
        """Whether every run matches."""
        return self._test is None

    def matches(self, run: Summary) -> bool:
        """Whether a run is one of those asked for. Never raises."""
        return self._test is None or self._test(prepare(run))

    def select(self, runs: Iterable[Summary]) -> list[Summary]:
        """Those asked for, in their order."""
        test = self._test
        return list(runs) if test is None else [run for run in runs if test(prepare(run))]

    def unknown(self, known: Iterable[str]) -> tuple[str, ...]:
        """A line for every field that no run has; `known` is what `known_names` gives for the runs."""
        lowered = {name.casefold(): name for name in known}
        told = []
        for name in self._names:
            low = name.casefold().removeprefix("best.").removeprefix("last.")
            head, _, last = low.rpartition(".")
            if low not in lowered and not (head and last in lowered and head.rpartition(".")[2] in lowered):
                question = did_you_mean(name, lowered.values())
                told.append(f"no run has `{name[:60]}`" + (f"; {question}" if question else ""))
        return tuple(dict.fromkeys(told))


def parse_filter(text: str) -> Filter:
    """Read a filter; the empty one matches every run. Raises FilterError, also for one that is half typed."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters", MAX_LENGTH)
    reader = _Reader(text)
    test = reader.either(0)
    if not reader.at_end():
        raise FilterError("this bracket was never opened", reader.position, "put text with brackets into quotes")
    return Filter(text, test, reader.names)


class _Reader:
    """Reads a filter from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.names: list[str] = []

    def at_end(self) -> bool:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1
        return self.position >= len(self.text)

    def either(self, depth: int) -> Test | None:
        """One group or more with `or` between; None where nothing is asked."""
        if depth > MAX_DEPTH:
            raise FilterError("the brackets are nested too deep", self.position)
        groups = [self.all_of(depth)]
        while self._take_word("or"):
            if groups[-1] is None:
                raise FilterError("`or` stands between two things", self.position, "such as mlp or cnn")
            groups.append(self.all_of(depth))
        if len(groups) > 1 and groups[-1] is None:
            raise FilterError("something is missing behind `or`", self.position, "such as mlp or cnn")
        tests = [group for group in groups if group is not None]
        return _joined(tests, True)

    def all_of(self, depth: int) -> Test | None:
        tests: list[Test] = []
        while not self.at_end() and self.text[self.position] != ")" and not self._at_word("or"):
            if not self._take_word("and"):
                tests.append(self.one(depth))
        return _joined(tests, False)

    def one(self, depth: int) -> Test:
        """A word, a comparison or a group, with `not` before it or without."""
        wanted = True
        while not self.at_end():
            if self.text[self.position] in "-!":
                self.position += 1
            elif not self._take_word("not"):
                break
            wanted = not wanted
        if self.at_end() or self.text[self.position] == ")":
            raise FilterError("something is missing behind `not`", self.position, "such as not tag:old")
        if self.text[self.position] == "(":
            begin = self.position
            self.position += 1
            group = self.either(depth + 1)
            if self.at_end():
                raise FilterError("this bracket is not closed", begin, "close it with )")
            self.position += 1
            if group is None:
                raise FilterError("there is nothing in these brackets", begin)
            test = group
        else:
            test = self._term()
        return test if wanted else lambda run: not test(run)

    def _term(self) -> Test:
        begin = self.position
        found = _FIELD.match(self.text, begin)
        if found is None:
            word = self._value().casefold()
            return lambda run: word in run.words
        self.position = found.end()
        name, sign = found[1], (found[2] or found[3]).replace("==", "=")
        where = self.position
        value = self._value()
        if not value:
            raise FilterError(f"`{name}{sign}` wants a value", where, example(name, sign))
        base = ALIASES.get(name.casefold(), name.casefold())
        if base == "is":
            return flag(value.casefold(), where)
        if not is_fact(base):
            self.names.append(name)
        if sign == ":":
            return holds(name, base, value, where)
        return compares(name, base, sign, value, where)

    def _value(self) -> str:
        """Text up to white space or a bracket that closes a group; quotes and brackets of its own hold it together."""
        letters: list[str] = []
        text, open_brackets = self.text, 0
        while self.position < len(text):
            letter = text[self.position]
            if letter == '"':
                end = text.find('"', self.position + 1)
                if end < 0:
                    raise FilterError("this quotation is not closed", self.position, 'close it with "')
                letters.append(text[self.position + 1 : end])
                self.position = end + 1
                continue
            if letter == "(" and _closed(text, self.position):
                open_brackets += 1
            elif letter == ")":
                if not open_brackets:
                    break
                open_brackets -= 1
            elif letter.isspace() and not open_brackets:
                break
            letters.append(letter)
            self.position += 1
        return "".join(letters)

    def _at_word(self, word: str) -> bool:
        end = self.position + len(word)
        after = self.text[end : end + 1]
        return self.text[self.position : end].casefold() == word and (not after or after.isspace() or after in "()")

    def _take_word(self, word: str) -> bool:
        if self.at_end() or not self._at_word(word):
            return False
        self.position += len(word)
        return True


def _joined(tests: list[Test], enough: bool) -> Test | None:
    """One test out of several: one that holds is enough, or else one that does not."""
    if len(tests) <= 1:
        return tests[0] if tests else None

    def joined(run: Prepared) -> bool:
        # A generator in `any` takes twice as long.
        for test in tests:
            if test(run) is enough:
                return enough
        return not enough

    return joined


def _closed(text: str, begin: int) -> bool:
    """Whether the bracket at `begin` is closed further on."""
    depth = 0
    for letter in text[begin:]:
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return True
    return False
