"""Which of the check's rows are modules of a layer, as a Backbone has them, and where they stand among the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.calls import Call
from tui.layer_tree import Listed

if TYPE_CHECKING:
    from engine.nodes import Row


def modules_of(rows: Sequence[Row], flat: Sequence[Listed]) -> dict[str, list[Row]]:
    """The rows of what layers hold that are no containers of layers, by the path of the layer."""
    layers = {one.path for one in flat if not one.held}
    found: dict[str, list[Row]] = {}
    for row in rows:
        above = row.path
        while above and above not in layers:
            above = above.rpartition(".")[0]
        if above and above != row.path:
            found.setdefault(above, []).append(row)
    return found


def holder_of(path: str, paths: Sequence[str | None]) -> str:
    """The nearest row above in the tree."""
    above = path.rpartition(".")[0]
    while above and above not in paths:
        above = above.rpartition(".")[0]
    return above


def shaping(call: Call) -> Call:
    """The call without what leaves every shape as it is."""
    return call.without("frozen", "thaw", "lr_scale", "init")
