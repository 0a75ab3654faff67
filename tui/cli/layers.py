"""The layers of a network as a table that is no wider than a line: of a Backbone's call the ends are what matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Fewer cells than these would leave nothing to know a layer by.
LEAST = 24


@dataclass(frozen=True)
class LayerRow:
    """A layer `depth` levels down: its call, and the texts of the columns before and behind it."""

    depth: int
    call: str
    before: tuple[str, ...]
    behind: tuple[str, ...]


def print_layers(
    before: Sequence[str], behind: Sequence[str], rows: Sequence[LayerRow], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table with the columns `before`, "layer" and `behind` on standard output, as wide as the terminal, or of
    100 cells where there is none. Calls that are too long for it lose their middle."""
    from rich.cells import cell_len
    from rich.measure import Measurement
    from rich.table import Table

    from tui.output import UNBOUNDED, add_row, console, line_width, middle, table

    def drawn(room: int) -> Table:
        made = table(*before, "layer", *behind, numbers=numbers, keep=[*before, "output"])
        for row in rows:
            indent = "  " * row.depth
            add_row(made, *row.before, indent + middle(row.call, room - len(indent)), *row.behind)
        return made

    out = console()
    whole = drawn(UNBOUNDED)
    width = Measurement.get(out, out.options.update(width=UNBOUNDED), whole).maximum
    if width <= line_width():
        out.print(whole)
        return
    longest = max(2 * row.depth + cell_len(row.call) for row in rows)
    out.print(drawn(max(longest - (width - line_width()), LEAST)))
