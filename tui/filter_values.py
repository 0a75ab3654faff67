"""Values as people type them into a filter: 97%, 50K, 1e-3, 2m, 1h30m, 2026-01-15, today."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

SUFFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([kmgb%]?)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*(ms|sec|min|[smhdw])", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2})(?::(\d{2}))?)?)?)?")


def parse_number(text: str) -> float | None:
    """A finite number, with % or K, M, G (B) behind it; None where the text is something else."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    scale = 0.01 if found[2] == "%" else SUFFIXES.get(found[2].lower(), 1.0)
    value = float(found[1]) * scale
    return value if math.isfinite(value) else None


def precision(text: str) -> float:
    """Half of what the last digit stands for: `97.5%` means all that is shown as that."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return 0.0
    digits, _, exponent = found[1].lower().partition("e")
    decimals = len(digits.partition(".")[2])
    scale = 0.01 if found[2] == "%" else SUFFIXES.get(found[2].lower(), 1.0)
    try:
        return 0.5 * 10.0 ** (int(exponent or 0) - decimals) * scale
    except OverflowError:
        return 0.0


def parse_duration(text: str) -> float | None:
    """Seconds: a plain number, or numbers with ms, s, m, h, d, w behind them."""
    plain = re.fullmatch(r"\d+\.?\d*|\.\d+", text)
    if plain:
        return float(text)
    pairs = _DURATION.findall(text)
    if not pairs or "".join(number + unit for number, unit in pairs) != "".join(text.split()):
        return None
    return sum(float(number) * UNITS[unit.lower()] for number, unit in pairs)


def parse_span(text: str) -> tuple[float, float] | None:
    """The span of time (unix seconds, its end not within) that a date means here: a year, month, day, hour, minute."""
    now = datetime.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text.lower() == "today":
        return _span(midnight, midnight + timedelta(days=1))
    if text.lower() == "yesterday":
        return _span(midnight - timedelta(days=1), midnight)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) if part else None for part in found.groups())
    try:
        begin = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0)
        if month is None:
            end = begin.replace(year=begin.year + 1)
        elif day is None:
            end = (begin + timedelta(days=31)).replace(day=1)
        else:
            end = begin + (timedelta(days=1) if hour is None else timedelta(minutes=60 if minute is None else 1))
        return _span(begin, end)
    except (ValueError, OverflowError):
        return None


def _span(begin: datetime, end: datetime) -> tuple[float, float] | None:
    try:
        return begin.timestamp(), end.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
