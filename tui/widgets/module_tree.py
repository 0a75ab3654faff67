"""The modules of the network that is trained, with what each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tui.output import count, shape
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows

PARAMETERS = 12


class ModuleTree(Rows):
    """A line a module, indented by depth: `modules` as `events.Started` records them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._modules: Sequence[dict[str, Any]] = ()

    def show(self, modules: Sequence[dict[str, Any]]) -> None:
        self._modules = modules
        if not modules:
            self.set_rows([line((" the modules stand here once a run has begun", "dim"))], ())
            return
        top = [item for item in modules if not item.get("depth")]
        total = sum(int(item.get("parameters") or 0) for item in top)
        rows = [self._line("model", "", total, total, "strong")]
        for item in modules:
            depth = int(item.get("depth") or 0)
            last = str(item.get("path", "")).rsplit(".", 1)[-1]
            rows.append(
                self._line(
                    f"{'  ' * depth}  {last} {item.get('call', '')}",
                    shape(item.get("output_shape") or ()),
                    int(item.get("parameters") or 0),
                    int(item.get("trainable") or 0),
                    "",
                )
            )
        self.set_rows(rows, ())

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(self._modules)

    def _line(self, name: str, output: str, parameters: int, trainable: int, style: str) -> Line:
        width = self.size.width
        shapes = 16 if width >= 50 else 0
        frozen = parameters > 0 and trainable == 0
        return line(
            " ",
            (fit(name, max(width - shapes - PARAMETERS - 6, 8)), style),
            "  ",
            (fit(output, shapes), "dim"),
            (fit(count(parameters) if parameters else "", PARAMETERS, right=True), style),
            (" ❄ " if frozen else "   ", "accent"),
        )
