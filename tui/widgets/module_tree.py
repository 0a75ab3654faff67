"""The modules of the network that is trained, with what each of them holds, and what its layers do while they train."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.binding import Binding

from tui.output import count, shape
from tui.widgets.lines import Line, fit, line
from tui.widgets.rows import Rows
from tui.widgets.trained import begins, mark

EMPTY = "the modules stand here once a run has begun"
# An update this small relative to the weights teaches next to nothing, one this large forgets what was learned; around
# 1e-3 is what people aim at (Karpathy's notes on CS231n, "Ratio of weights:updates").
SMALLEST_UPDATE, LARGEST_UPDATE = 1e-6, 1e-1
# From this share of units that never fire on, it stands out.
DEAD = 0.1
NAME = 15


@dataclass(frozen=True)
class Column:
    """`measured`: its values come from what is measured, not from the network."""

    key: str
    title: str
    width: int
    measured: bool = False


# In the order in which they are given room; they stand in the order of SHOWN.
COLUMNS = (
    Column("parameters", "params", 8),
    Column("update_ratio", "Δ/w", 10, True),
    Column("grad_norm", "‖grad‖", 9, True),
    Column("weight_norm", "‖weight‖", 9, True),
    Column("output", "output", 16),
)
SHOWN = ("output", "parameters", "weight_norm", "grad_norm", "update_ratio")
# Without a gradient these have nothing to say: there stands from which epoch on a module trains.
LATER = ("grad_norm", "update_ratio")


class ModuleTree(Rows):
    """A line a module, indented by depth. What stands inside a container folds away."""

    HELP = """Each module with its parameters and, while it trains, with the norms of its weights and gradients (before
    clipping) and Δ/w, the size of one update relative to the weights. Around 1e-3 is usual; below 1e-6 hardly anything
    is learned, above 1e-1 what was learned is overwritten, and both are marked ⚠. ❄ is frozen: not trained, or not
    before the epoch that is named; ◐ is so in part.
    A ReLU tells the share of its units that never fire. More room shows more columns."""
    BINDINGS: ClassVar = [
        Binding("enter", "turn", "Fold or unfold what the module holds", show=False),
        Binding("left", "fold", "Fold it, or go to what holds it", key_display="←", show=False),
        Binding("right", "unfold", "Unfold it, or go to what it holds", key_display="→", show=False),
    ]
    with_cursor = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._modules: Sequence[dict[str, Any]] = ()
        self._measured: Mapping[str, Mapping[str, Any]] = {}
        self._epoch = 1
        # Cells behind the columns, of what is thawed later.
        self._behind = 0
        self._folded: set[str] = set()
        self._names: list[str] = []
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._visible: list[int] = []
        self._drawn: tuple[Any, ...] = ()

    def show(
        self,
        modules: Sequence[dict[str, Any]],
        measured: Mapping[str, Mapping[str, Any]] | None = None,
        epoch: int = 1,
    ) -> None:
        """Draw `modules`, rows as `events.Started` records them, with `measured`, a row by path as `RunView` has it;
        `epoch` is the one under way, from 1: what it has thawed trains."""
        old, self._drawn = self._drawn, (modules, measured, self.size.width, epoch)
        if old[:2] and old[0] is modules and old[1] is measured and old[2:] == self._drawn[2:]:
            return
        self._epoch = epoch
        if modules is not self._modules:
            known = {str(item.get("path", "")) for item in self._modules}
            self._modules = modules
            self._read()
            self._fold_models(known)
        self._measured = measured or {}
        self._draw()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(self._modules, self._measured, self._epoch)

    def _read(self) -> None:
        """Names, and where each module stands; number -1 is the whole network."""
        last_at: dict[int, int] = {}
        self._names, self._parents, self._depths = [], [], []
        for at, item in enumerate(self._modules):
            depth, path = _whole(item.get("depth")), str(item.get("path", ""))
            parent = last_at.get(depth - 1, -1)
            last_at[depth] = at
            above = f"{self._modules[parent].get('path', '')}." if parent >= 0 else ""
            self._parents.append(parent)
            self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)
            self._names.append(f"{path.removeprefix(above)} {item.get('call', '')}")
            if parent >= 0:
                # What it holds stands beneath it.
                self._names[parent] = f"{self._names[parent].split(' ')[0]} {_short(self._modules[parent])}"
        self._folded &= {str(item.get("path", "")) for item in self._modules} | {""}

    # ------------------------------------------------------------------ folding

    def _fold_models(self, known: set[str]) -> None:
        """Fold what the modules of a pretrained model hold, of those that have not been here before: a model has more
        of them than a screen has lines."""
        for at, parent in enumerate(self._parents):
            model = parent >= 0 and str(self._modules[parent].get("call", "")).startswith("Backbone(")
            if model and self._holds(at) and self._path(at) not in known:
                self._folded.add(self._path(at))

    def _path(self, at: int) -> str:
        return str(self._modules[at].get("path", "")) if at >= 0 else ""

    def _holds(self, at: int) -> bool:
        return at < 0 or (at + 1 < len(self._parents) and self._parents[at + 1] == at)

    def _hidden(self, at: int) -> bool:
        while at >= 0:
            at = self._parents[at]
            if self._path(at) in self._folded:
                return True
        return False

    def _here(self) -> int:
        return self._visible[self.cursor] if self.cursor < len(self._visible) else -1

    def action_turn(self) -> None:
        at = self._here()
        if self._modules and self._holds(at):
            self._folded ^= {self._path(at)}
            self._draw()

    def action_fold(self) -> None:
        at = self._here()
        if self._modules and self._holds(at) and self._path(at) not in self._folded:
            self.action_turn()
        elif at >= 0:
            self.move_to(self._visible.index(self._parents[at]))

    def action_unfold(self) -> None:
        at = self._here()
        if self._modules and self._holds(at):
            if self._path(at) in self._folded:
                self.action_turn()
            else:
                self.move_to(self.cursor + 1)

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> None:
        if not self._modules:
            self._visible = []
            self.set_rows([line((f" {EMPTY}", "dim"))], ())
            return
        columns = self._columns()
        # One cell more than the mark takes: a scrollbar may stand there.
        self._behind = self._room_behind(columns)
        room = max(self.size.width - sum(column.width for column in columns) - 4 - self._behind, 8)
        longest = max(2 * depth + cell_len(text) for depth, text in zip(self._depths, self._names, strict=True))
        name = min(room, max(longest + 2, NAME))
        self._visible = [-1, *(at for at in range(len(self._modules)) if not self._hidden(at))]
        head = line((fit("", name + 1), "dim"), *((fit(c.title, c.width, right=True), "dim") for c in columns))
        self.set_rows([self._line(at, name, columns) for at in self._visible], [head])

    def _columns(self) -> list[Column]:
        """Those that the width has room for, the most important first."""
        room = self.size.width - NAME - 3
        chosen = []
        for column in COLUMNS:
            if column.measured and not self._measured:
                continue
            room -= column.width
            if room < 0:
                break
            chosen.append(column)
        return sorted(chosen, key=lambda column: SHOWN.index(column.key))

    def _line(self, at: int, name: int, columns: Sequence[Column]) -> Line:
        module = self._modules[at] if at >= 0 else self._whole_network()
        measured = self._measured.get(self._path(at), {}) if at >= 0 else {}
        depth = min(self._depths[at], name // 4) if at >= 0 else 0
        sign = "  " if not self._holds(at) else "▸ " if self._path(at) in self._folded else "▾ "
        text = self._names[at] if at >= 0 else "model"
        parameters, trainable = _whole(module.get("parameters")), _whole(module.get("trainable"))
        spans: list[tuple[str, str]] = [
            (" " + "  " * depth + sign, "dim"),
            (fit(text, max(name - 2 * depth - 2, 1)), "strong" if at < 0 else ""),
        ]
        dead = _known(measured.get("dead"))
        first = begins(trainable, _thaws(module), self._epoch)
        instead = columns[-len(LATER) :] if first and not self._behind else []
        for column in columns[: len(columns) - len(instead)]:
            value, style = _cell(column, module, measured)
            if column.key == "update_ratio" and dead:
                value, style = f"{100 * dead:.0f} % dead", "accent" if dead >= DEAD else "dim"
            spans.append((fit(value, column.width, right=True), style))
        if instead:
            spans.append((fit(first, sum(column.width for column in instead), right=True), "accent"))
        # Half a disc: part of it is frozen, and unfolding it tells what.
        sign = mark(parameters, trainable, _thaws(module), self._epoch)
        if at < 0 and sign == "◐":
            sign = ""
        after = f" {first}" if first and self._behind else ""
        return (*spans, (f" {sign}{after}" if sign else "", "accent"))

    def _room_behind(self, columns: Sequence[Column]) -> int:
        """The room behind the columns for what is thawed later. What does not train yet has no gradient: where columns
        are there for it, that is told in their place."""
        if tuple(column.key for column in columns[-len(LATER) :]) == LATER:
            return 0
        later = (begins(_whole(one.get("trainable")), _thaws(one), self._epoch) for one in self._modules)
        return max((len(text) + 1 for text in later if text), default=0)

    def _whole_network(self) -> dict[str, Any]:
        top = [item for item, parent in zip(self._modules, self._parents, strict=True) if parent < 0]
        counted = {name: sum(_whole(item.get(name)) for item in top) for name in ("parameters", "trainable")}
        return {**counted, "thaws": [entry for item in top for entry in _thaws(item)]}


def _cell(column: Column, module: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[str, str]:
    if column.key == "output":
        sizes = module.get("output_shape")
        return "" if sizes is None else shape(sizes), "dim"
    if column.key == "parameters":
        parameters = _whole(module.get("parameters"))
        return count(parameters) if parameters else "", ""
    value = _known(measured.get(column.key))
    if value is None:
        return "", ""
    if not math.isfinite(value):
        return f"✗ {value}", "bad"
    if column.key == "update_ratio" and unusual(value):
        return f"⚠ {_power(value)}", "accent"
    return (_power(value) if column.key == "update_ratio" else norm(value)), ""


def _short(module: Mapping[str, Any]) -> str:
    """A container's call without what it holds: Residual(…), Repeat(2, …); a Backbone with its model's name."""
    name, _, arguments = str(module.get("call", "")).partition("(")
    first = arguments.split(",")[0].rstrip(")")
    if first[:1] in ("'", '"'):
        return f"{name}({first})"
    return f"{name}({first}, …)" if first.isdigit() else f"{name}(…)"


def unusual(update_ratio: float) -> bool:
    """Whether an update is so small or so large, relative to the weights, that it deserves a look."""
    return not SMALLEST_UPDATE <= update_ratio <= LARGEST_UPDATE


def norm(value: float) -> str:
    """Three significant digits: 9.81, 0.120, 17.3, 1234, 1.2e-5."""
    if value and not 1e-3 <= abs(value) < 1e4:
        return _power(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _power(value: float) -> str:
    """1.2e-3: without the sign and the zeros that Python puts before an exponent."""
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _thaws(module: Mapping[str, Any]) -> list[list[int]]:
    """As `events.Started` has them: epochs, with how many parameters begin to train then."""
    given = module.get("thaws")
    return [
        [_whole(number) for number in entry]
        for entry in (given if isinstance(given, list | tuple) else ())
        if isinstance(entry, list | tuple) and len(entry) == 2
    ]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
