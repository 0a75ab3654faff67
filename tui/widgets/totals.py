"""What stands below the layers: how large the network is, and what training it takes of the memory that is free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tui.output import count, size
from tui.widgets.lines import Line, Lines, fit, line, split, width_of

PARTS = ("weights", "gradients", "optimizer", "activations")
# The recipe's words for what the forecast calls by its own.
NAMES = {"optimizer": "optimizer state"}
# What can be left out of 46.3 KiB, but not of 1.5 MiB.
_DECIMAL = re.compile(r"(?<=[0-9]{2})[.][0-9]")


class Totals(Lines):
    """`totals` in the width there is, also where that comes later: a panel that is out of sight has none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._told: tuple[Any, Any, int] = (None, None, 0)

    def show(self, report: Any, problem: Any, layers: int) -> None:
        self._told = (report, problem, layers)
        self.set_lines(totals(*self._told, self.size.width))

    def on_resize(self) -> None:
        if self.lines:
            self.show(*self._told)


def totals(report: Any, problem: Any, layers: int, width: int) -> list[Line]:
    """Two lines: parameters, MACs and whether training fits; and what the memory goes to, as far as there is room.

    `report` is None before the check has answered for the first time, and where it could not.
    """
    if not layers:
        return [line(), line()]
    if problem is not None:
        place = f"layer {problem.path}" if problem.path[:1].isdigit() else problem.path
        # The row of a layer has the reason in it; that of a setting may be out of sight.
        named = line((f" ✗ cannot be trained as it is: {place}", "bad"))
        why = line() if problem.path[:1].isdigit() else line(fit(f"   {problem.message}", width).rstrip())
        return [named, why]
    if report is None:
        return [line((" … not checked yet: the first check loads PyTorch", "dim")), line()]
    trained = sum(row.trainable for row in report.rows if row.depth == 0)
    frozen = f", {count(trained)} trained" if trained < report.parameters else ""
    brief = line(" ", (count(report.parameters), "strong"), f" parameters{frozen}   ")
    left = (*brief, *line((count(report.macs), "strong"), " MACs"))
    needed, free = report.memory["total"], report.memory["available"]
    if needed > free:
        right = line(("✗ does not fit: ", "bad"), (f"{size(needed)} of {size(free)} ", "bad"))
    else:
        right = line(("fits: ", "dim"), size(needed), (f" of {size(free)} ", "dim"))
    if width_of(left) + width_of(right) >= width:
        left = brief
    return [split(left, right, width), split(line(""), line((_parts(report.memory, width), "dim")), width)]


def _parts(memory: Mapping[str, int], width: int) -> str:
    """What the memory goes to, as exactly as there is room for."""
    exact = [f"{NAMES.get(name, name)} {size(memory[name])}" for name in PARTS]
    rounded = [f"{name} {_DECIMAL.sub('', size(memory[name]))}" for name in PARTS]
    brief = [text.replace("gradients", "grad").replace("optimizer", "optim") for text in rounded]
    for texts, between in ((exact, "   "), (rounded, "   "), (rounded, "  "), (brief, "  ")):
        text = between.join(texts) + " "
        if len(text) <= width - 1:
            return text
    return ""
