"""What may stand in one field of an experiment: each function gives the value, or raises ValueError in words."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TypeVar

from engine.calls import Call, CallError, escape, parse_call

T = TypeVar("T")
MEMORY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(MiB|GiB)")


def to_call(value: object) -> Call:
    """A call, from its text or itself."""
    if isinstance(value, Call):
        return value
    if not isinstance(value, str):
        raise ValueError(f'found {shown(value)}; a call in quotes stands here, such as "Linear(10)"')
    try:
        return parse_call(value)
    except CallError as error:
        raise ValueError(str(error)) from None


def to_calls(value: object) -> tuple[object, ...]:
    """A list, for its elements to be read as calls."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError(f'found {shown(value)}; a list of calls stands here, such as ["Linear(10)", "ReLU()"]')


def to_none(value: object) -> object:
    """TOML has no empty value, so "none" stands for it."""
    if value == "none" or (isinstance(value, Call) and str(value) == "none()"):
        return None
    return value


def printable(value: str) -> str:
    """A text without control characters."""
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError(f"found the control character {escape(character)} in it")
    return value


def device(value: str) -> str:
    """A device that torch knows, or auto."""
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?|mps", value, re.ASCII):
        raise ValueError(f"found {shown(value)}; write auto, cpu, cuda, cuda:1 or mps")
    return value


def metric(value: str) -> str:
    """The name of a metric that is measured every epoch."""
    if not re.fullmatch(r"(train|val)/[\w.\-]{1,100}", value, re.ASCII):
        raise ValueError(f"found {shown(value)}; write a metric such as val/loss or train/accuracy")
    return value


def memory(value: str) -> str:
    """ "auto", or a size such as "512 MiB"."""
    if value != "auto" and not MEMORY.fullmatch(value):
        raise ValueError(f'found {shown(value)}; write "auto", or a size such as "512 MiB" or "2 GiB"')
    return value


def memory_bytes(value: str) -> int | None:
    """The bytes of a size that `memory` let through; None for "auto"."""
    found = MEMORY.fullmatch(value)
    return None if found is None else int(float(found[1]) * {"MiB": 1 << 20, "GiB": 1 << 30}[found[2]])


Channels = float | tuple[float, ...]


def to_normalize(value: object) -> str | tuple[Channels, Channels]:
    """ "auto", "none" or (mean, std), each a finite number or one per channel; std > 0."""
    wanted = 'write "auto", "none" or [mean, std], each a number or a list with one per channel'
    if isinstance(value, str) and value in ("auto", "none"):
        return value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"found {shown(value)}; {wanted}")
    sides: list[Channels] = []
    for side in value:
        numbers = side if isinstance(side, list | tuple) and side else (side,)
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
            raise ValueError(f"found {shown(side)}; {wanted}")
        sides.append(tuple(float(n) for n in numbers) if isinstance(side, list | tuple) else float(side))
    mean, std = sides
    if isinstance(mean, tuple) and isinstance(std, tuple) and len(mean) != len(std):
        raise ValueError(f"found {len(mean)} means and {len(std)} standard deviations; write one per channel")
    if min(std if isinstance(std, tuple) else (std,)) <= 0:
        raise ValueError(f"found the standard deviation {shown(value[1])}; it must be greater than 0")
    return mean, std


def plain(name: str, value: object) -> object:
    """The value of the field `name` as TOML has it."""
    if isinstance(value, Call):
        text = str(value)
        return text.removesuffix("()") if name == "validation" else text
    return [plain("", item) for item in value] if isinstance(value, tuple) else value


def shown(value: object) -> str:
    """A value as a file has it, short and printable."""
    if isinstance(value, str):
        text = f'"{value[:60]}"'
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, Mapping):
        text = "a table"
    elif isinstance(value, list | tuple) and not value:
        text = "an empty list"
    elif isinstance(value, list | tuple) and len(value) > 10:
        text = f"a list of {len(value)} values"
    else:
        text = str(value)
    return short(text)


def short(text: str) -> str:
    """At most 80 characters of a text, printable."""
    return escape(text if len(text) <= 80 else text[:77] + "...")


class FrozenMapping(Mapping[str, T]):
    """A mapping that keeps its order and cannot be changed; the order counts when two are compared."""

    def __init__(self, items: Mapping[str, T]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> T:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and list(self.items()) == list(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
