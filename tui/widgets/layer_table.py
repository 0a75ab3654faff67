"""The network: a line a layer with its output shape, parameters and MACs, and an error where it happens."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tui.output import count, shape, size
from tui.widgets.lines import Line, fit, line, split
from tui.widgets.rows import VIM_KEYS, Rows

if TYPE_CHECKING:
    from engine.calls import Call

NUMBER = 4
SHAPE = 16
AMOUNT = 11
PENDING = "…"


class LayerTable(Rows):
    """The layers of one network. `show` takes the calls as they are and what the check found, where it is there yet.

    Rows are not layers: blocks show what is in them, and an error takes lines of its own. `selected` is the layer under
    the cursor, counted from 0 (-1: the input, before the first).
    """

    with_cursor = True
    BINDINGS: ClassVar = [*VIM_KEYS]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._layers: list[int | None] = []
        self.selectable = lambda index: self._layers[index] is not None
        self._shown: tuple[Sequence[Call], str, Any, Any, bool] = ((), "", None, None, True)

    @property
    def selected(self) -> int:
        if not self._layers:
            return -1
        found = self._layers[min(self.cursor, len(self._layers) - 1)]
        return -1 if found is None else found

    def select(self, layer: int) -> None:
        """Put the cursor on a layer."""
        if layer in self._layers:
            self.cursor = self._layers.index(layer)

    def show(self, layers: Sequence[Call], source: str, report: Any, problem: Any, checking: bool) -> None:
        """Draw the layers over `report` (rows by path; None where there is none, or not yet) and `problem`."""
        self._shown = (layers, source, report, problem, checking)
        self._draw()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self._draw()

    def _draw(self) -> None:
        layers, source, report, problem, checking = self._shown
        width = self.size.width
        if not width:
            return
        by_layer: dict[int, Any] = {}
        inside: dict[int, list[Any]] = {}
        for row in report.rows if report is not None else ():
            top = _top(row.path)
            if row.path == str(top):
                by_layer[top] = row
            else:
                inside.setdefault(top, []).append(row)
        failing = _top(problem.path) if problem is not None else None
        selected = self.selected
        given = shape(report.info.input_shape) if report is not None else PENDING if checking else ""
        rows: list[Line] = [self._columns("", source, given, "", "", "dim")]
        owners: list[int | None] = [-1]
        for number, call in enumerate(layers):
            if number == failing:
                rows.append(self._failing(number, str(call)))
                owners.append(number)
                for text in self._explanation(problem):
                    rows.append(text)
                    owners.append(None)
                continue
            rows.append(self._layer(str(number), str(call), by_layer.get(number), checking, ""))
            owners.append(number)
            for row in inside.get(number, ()):
                rows.append(self._layer("", "  " * row.depth + row.call, row, False, "dim"))
                owners.append(None)
        if not layers:
            rows.append(line(("     no layers yet: press a to add the first one", "dim")))
            owners.append(None)
        self._layers = owners
        self.set_rows(rows, [self._columns("#", "layer", "output", "parameters", "MACs", "dim")])
        self.select(selected)

    def _layer(self, number: str, call: str, row: Any, pending: bool, style: str) -> Line:
        if row is None:
            return self._columns(number, call, PENDING if pending else "", "", "", style)
        return self._columns(
            number,
            call,
            shape(row.output_shape),
            count(row.parameters) if row.parameters else "",
            count(row.macs) if row.macs else "",
            style,
        )

    def _columns(self, number: str, call: str, output: str, parameters: str, macs: str, style: str) -> Line:
        width = self.size.width
        narrow = width < 70
        amounts = AMOUNT - 1 if narrow else AMOUNT
        shapes = SHAPE - 3 if narrow else SHAPE
        name = max(width - NUMBER - 2 - shapes - 2 * amounts - 1, 8)
        return line(
            (fit(number, NUMBER, right=True) + "  ", "dim"),
            (fit(call, name - 1) + " ", style),
            (fit(output, shapes), style),
            (fit(parameters, amounts, right=True), style or "dim"),
            (fit(macs, amounts, right=True) + " ", style or "dim"),
        )

    def _failing(self, number: int, call: str) -> Line:
        return line(("✗", "bad"), (fit(str(number), NUMBER - 1, right=True) + "  ", "dim"), (call, "bad"))

    def _explanation(self, problem: Any) -> list[Line]:
        width = max(self.size.width - NUMBER - 4, 20)
        lines = [line((" " * (NUMBER + 2), ""), (text, "bad")) for text in _wrapped(problem.message, width)]
        if problem.fix is not None:
            fix = line((" " * (NUMBER + 2), ""), "fix: ", (problem.fix.text, "strong"))
            how = line((". ", "accent"), ("apply ", "dim")) if problem.fix.action else line()
            lines.append(split(fix, how, self.size.width))
        return lines


def totals(report: Any, problem: Any, checking: bool) -> tuple[Line, Line]:
    """What stands below the table: parameters and MACs, and whether training fits into the memory."""
    if checking:
        return line((f" {PENDING}", "dim")), line()
    if report is None or problem is not None:
        return line((" ✗ cannot be trained as it is", "bad")), line()
    left = line(" ", (count(report.parameters), "strong"), " parameters   ", (count(report.macs), "strong"), " MACs")
    needed, free = report.memory["total"], report.memory["available"]
    if needed > free:
        return left, line(("✗ needs about ", "bad"), (f"{size(needed)}, {size(free)} are free ", "bad"))
    return left, line(("fits: about ", "dim"), size(needed), (f" of {size(free)} ", "dim"))


def _top(path: str) -> int:
    head = path.split(".", 1)[0]
    return int(head) if head.isdigit() else -1


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)[:4] or [""]
