"""How results reach standard output: numbers as people read them, JSON as scripts do, and the two consoles.

Nothing here interprets markup: the consoles are made without it, and what comes from elsewhere passes `safe` first.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from tui.safe import safe, safe_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MISSING = "–"
# Where there is no terminal nothing is cut to a width: a line is as long as what it says.
UNBOUNDED = 10_000
# But for tables of layers, where calls would make every line as long as the longest.
WITHOUT_TERMINAL = 100


def console(stream: IO[str] | None = None) -> Console:
    """A rich console on standard output (or on `stream`) that never interprets markup, emoji codes or paths."""
    from rich.console import Console

    stream = stream or sys.stdout
    terminal = stream.isatty()
    width = None if terminal or os.environ.get("COLUMNS") else UNBOUNDED
    return Console(
        file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False, force_terminal=terminal
    )


def error_console() -> Console:
    """The same on standard error, for all that is not the result."""
    return console(sys.stderr)


def say(message: object, style: str = "") -> None:
    """A message for the person, on standard error; may have several lines."""
    error_console().print(safe_lines(message), style=style or None, soft_wrap=True)


def write(text: object = "", style: str = "") -> None:
    """Lines of a result, on standard output."""
    console().print(safe_lines(text), style=style or None, soft_wrap=True)


def table(*columns: str, numbers: Iterable[str] = (), title: str = "", keep: Iterable[str] = ()) -> Table:
    """An empty rich table; the columns in `numbers` are flush right. Where the terminal is narrow, columns are
    folded, the widest first; numbers and the columns in `keep` never are."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    right, kept = set(numbers), set(keep)
    drawn = Table(box=box.SIMPLE_HEAD, title=Text(safe(title)) if title else None, title_justify="left", pad_edge=False)
    for name in columns:
        drawn.add_column(
            Text(safe(name)),
            justify="right" if name in right else "left",
            no_wrap=name in kept,
            overflow="fold",
        )
    return drawn


def add_row(drawn: Table, *cells: object, style: str = "") -> None:
    """A row of plain text: whatever the cells hold, none of it is markup."""
    from rich.text import Text

    texts = [cell if isinstance(cell, Text) else Text(safe(cell)) for cell in cells]
    for column, text in zip(drawn.columns, texts, strict=False):
        if column.justify == "right":  # a heading may be folded, a number not
            column.min_width = max(column.min_width or 0, text.cell_len)
    drawn.add_row(*texts, style=style or None)


def fits(drawn: Table) -> bool:
    """Whether a table has room on standard output, folded as far as it can be."""
    from rich.measure import Measurement

    out = console()
    return Measurement.get(out, out.options.update(width=UNBOUNDED), drawn).minimum <= out.width


def line_width() -> int:
    """How many cells a line of a table of layers may take: as many as the terminal has, or 100 where there is none."""
    width = console().width
    return WITHOUT_TERMINAL if width == UNBOUNDED else width


def middle(text: str, width: int) -> str:
    """The text, made safe, in at most `width` cells; an ellipsis stands for what is cut out of its middle."""
    from rich.cells import cell_len, set_cell_size

    text = safe(text)
    if cell_len(text) <= width:
        return text
    # The name and the first arguments say most.
    end = max(width - 1, 0) // 3
    front = set_cell_size(text, max(width - 1 - end, 0)).rstrip()
    back = set_cell_size(text[::-1], end)[::-1] if end else ""
    return f"{front}…{back}"


def print_json(document: object) -> None:
    """One JSON document on standard output, in ASCII: no byte of a name can reach the terminal as it is."""
    text = json.dumps(finite(document), indent=2, ensure_ascii=True, allow_nan=False)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def finite(value: Any) -> Any:
    """`value` as JSON can hold it: tuples as lists, paths as text, and "NaN", "Infinity" and "-Infinity" as the events
    of a run write them."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [finite(item) for item in value]
    return str(value)


def number(value: float | None) -> str:
    """Four significant digits: 0.0681, 12.35, 1.5e-05; whole numbers as they are."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    size = abs(value)
    if size < 1e-4 or size >= 1e6:
        return f"{value:.3g}"
    return f"{value:.{max(0, 3 - math.floor(math.log10(size)))}f}" if size >= 1 else f"{value:.4f}"


def percent(fraction: float | None) -> str:
    """98.12 % for 0.9812."""
    if fraction is None:
        return MISSING
    return f"{100 * fraction:.2f} %" if math.isfinite(fraction) else str(fraction)


def count(value: float | None) -> str:
    """How many there are: 512, 266.6 K, 11.7 M."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) < 1000 else _scaled(value, 1000, ("K", "M", "G", "T"))


def size(number_of_bytes: float | None) -> str:
    """Bytes in binary units: 512 B, 1.2 GiB."""
    if number_of_bytes is None:
        return MISSING
    if abs(number_of_bytes) < 1024:
        return f"{number_of_bytes:.0f} B"
    return _scaled(number_of_bytes, 1024, ("KiB", "MiB", "GiB", "TiB"))


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    """The value in the first unit in which it is less than a step of the next, once rounded."""
    power = 1
    while power < len(units) and round(abs(value) / step**power, 1) >= step:
        power += 1
    return f"{value / step**power:.1f} {units[power - 1]}"


def duration(seconds: float | None) -> str:
    """0.42 s, 12.3 s, 3 m 12 s, 1 h 02 m, 2 d 03 h."""
    if seconds is None:
        return MISSING
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0.01:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def shape(sizes: Iterable[int] | None) -> str:
    """32 × 6 × 6; "scalar" where there is no dimension beside the batch's."""
    if sizes is None:
        return MISSING
    return " × ".join(str(length) for length in sizes) or "scalar"


def is_share(name: str) -> bool:
    """Whether a metric is a share of the samples, told in per cent."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith("top") or "accuracy" in last


def metric(name: str, value: float | None) -> str:
    """The value of a metric: accuracies in per cent, the rest with four digits."""
    return percent(value) if is_share(name) else number(value)


def difference(name: str, value: float | None) -> str:
    """By how much a metric is away from another: +1.32 (percentage points where it is told in per cent) or -0.0123."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "±0"
    return f"{100 * value:+.2f}" if is_share(name) else ("+" if value > 0 else "-") + number(abs(value))
