"""What a single term of a filter asks of a run: `optimizer:adam`, `val/accuracy>97%`, `started>2026-01-15`."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from engine.errors import RequestError, did_you_mean
from tui.filter_values import parse_duration, parse_number, parse_span, precision
from tui.run_values import (
    NUMBERS,
    TEXTS,
    TIMES,
    Prepared,
    arguments,
    metric_value,
    number,
    unix_time,
)

if TYPE_CHECKING:
    from engine.store.listing import Summary

STATUSES = ("starting", "running", "paused", "finished", "stopped", "failed", "interrupted", "damaged")
FLAGS: dict[str, Callable[[Summary], bool]] = {
    "pinned": lambda run: run.notes.pinned,
    "starred": lambda run: run.notes.starred,
    "live": lambda run: run.live,
    "tagged": lambda run: bool(run.notes.tags),
}
# Metrics that never go above 1, so that 97 can only mean 97 %.
SHARES = ("accuracy", "top5", "f1")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

Test = Callable[[Prepared], bool]


class FilterError(RequestError):
    """A filter that cannot be read, or not yet: `position` is where (from 0), `hint` is what would be right."""

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        self.message, self.position, self.hint = message, position, hint
        super().__init__(f"{message}; {hint}" if hint else message)


def is_fact(base: str) -> bool:
    """Whether every run has this, and not only experiments with a field of that name."""
    return base in NUMBERS or base in TEXTS or base in TIMES or base == "age"


def example(name: str, sign: str) -> str:
    """What could be written, where no value is."""
    return f"such as {name}{sign}" + ("adam" if sign == ":" else "97%" if "accuracy" in name else "0.5")


def flag(value: str, where: int) -> Test:
    """The test for `is:value`."""
    if value in STATUSES:
        return lambda run: run.run.status == value
    found = FLAGS.get(value)
    if found is None:
        known = [*FLAGS, *STATUSES]
        hint = did_you_mean(value, known) or f"there are {', '.join(known)}"
        raise FilterError(f"there is no is:{value[:40]}", where, hint)
    return lambda run: found(run.run)


def holds(name: str, base: str, value: str, where: int) -> Test:
    """The test for `field:text`; `base` is the name in small letters, aliases resolved, `where` the value's place."""
    if base in TEXTS:
        texts, part = TEXTS[base], value.casefold()
        return lambda run: any(part in text.casefold() for text in texts(run.run))
    if base in NUMBERS or base in TIMES or base == "age" or "/" in name:
        return compares(name, base, "=", value, where)
    typed, part = parse_number(value), value.casefold()

    @cache
    def fits(text: str) -> bool:
        # seed:1 is not 10.
        found = number(text) if typed is not None else None
        return part in text.casefold() if found is None else found == typed

    def test(run: Prepared) -> bool:
        texts = run.texts(base) or arguments(run, name)
        if not texts and typed is not None:
            return metric_value(run.run, name) == typed
        # A generator in `any` takes twice as long.
        for text in texts:  # noqa: SIM110
            if fits(text):
                return True
        return False

    return test


def compares(name: str, base: str, sign: str, value: str, where: int) -> Test:
    """The test for `field>number` and so on; the arguments are those of `holds`."""
    if base in TIMES:
        return _compares_time(base, sign, value, where)
    if base in TEXTS:
        return _equals(sign, value, where, TEXTS[base], name)
    typed = parse_duration(value) if base in ("age", "seconds", "seconds_per_epoch") else parse_number(value)
    if base == "age":
        begun = TIMES["started"]
        return _compares_numbers(sign, typed, 60.0, value, where, lambda run: _age(begun(run.run)))
    if base in NUMBERS:
        fact = NUMBERS[base]
        return _compares_numbers(
            sign, typed, 0.5 if "seconds" in base else 0.0, value, where, lambda run: (fact(run.run),)
        )
    share = name.replace("/", ".").rpartition(".")[2] in SHARES
    percent = share and typed is not None and 1 < typed <= 100 and not value.endswith("%")
    if "/" in name or name.startswith(("last.", "best.")):
        if percent and typed is not None:
            typed, value = typed / 100, value + "%"
        near = precision(value)
        return _compares_numbers(sign, typed, near, value, where, lambda run: (metric_value(run.run, name),))
    if typed is None:
        return _equals(sign, value, where, None, name)
    bare, near = (typed / 100, precision(value) / 100) if percent else (typed, precision(value))

    def test(run: Prepared) -> bool:
        found = [one for text in run.texts(base) or arguments(run, name) if (one := number(text)) is not None]
        if found:
            return any(_compare(sign, one, typed, 0.0) for one in found)
        # `loss` is a field, with the name of what is computed, and a metric.
        metric = metric_value(run.run, name)
        return metric is not None and _compare(sign, metric, bare, near)

    return test


def _compare(sign: str, found: float, typed: float, near: float) -> bool:
    if sign in COMPARISONS:
        return COMPARISONS[sign](found, typed)
    equal = abs(found - typed) <= near or math.isclose(found, typed, rel_tol=1e-9)
    return equal if sign == "=" else not equal and found == found


def _compares_numbers(
    sign: str,
    typed: float | None,
    near: float,
    value: str,
    where: int,
    values: Callable[[Prepared], Sequence[float | None]],
) -> Test:
    if typed is None:
        raise FilterError(f"`{value[:40]}` is no number here", where, "such as 0.97, 97%, 50K, 1e-3 or, for times, 2m")
    return lambda run: any(one is not None and _compare(sign, one, typed, near) for one in values(run))


def _age(started: str | None) -> tuple[float | None]:
    begun = unix_time(started)
    return (None if begun is None else time.time() - begun,)


def _compares_time(base: str, sign: str, value: str, where: int) -> Test:
    span = parse_span(value)
    if span is None:
        raise FilterError(f"`{value[:40]}` is no date", where, "such as 2026-01-15, 2026-01-15T12:30 or today")
    begin, end = span
    told = TIMES[base]

    def test(run: Prepared) -> bool:
        when = unix_time(told(run.run))
        if when is None:
            return False
        # A day has a length: `>` is after it, `>=` from its beginning.
        if sign in ("=", "!="):
            return (begin <= when < end) == (sign == "=")
        return {">": when >= end, ">=": when >= begin, "<": when < begin, "<=": when < end}[sign]

    return test


def _equals(sign: str, value: str, where: int, texts: Callable[[Summary], tuple[str, ...]] | None, name: str) -> Test:
    """`tag=old`, `optimizer=adam`: the whole text, or the name of the call that stands there."""
    if sign not in ("=", "!="):
        raise FilterError(f"`{value[:40]}` is no number", where, f"{name}:{value[:40]} looks for text")
    wanted, low = value.casefold(), name.casefold()

    def equals(run: Prepared) -> bool:
        if texts is not None:
            found: Sequence[str] = texts(run.run)
        else:
            found = run.texts(low) or arguments(run, name)
        equal = any(wanted in (text := one.casefold(), text.partition("(")[0]) for one in found)
        return equal == (sign == "=")

    return equals
