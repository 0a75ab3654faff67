"""The network: a line a layer with its output shape, parameters and MACs, and an error where it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from engine.calls import Call
from tui.frozen_modules import Module
from tui.layer_tree import Listed, Span, chains, joined, listed, shown_path, span_of
from tui.output import count, shape
from tui.widgets.lines import Line, fit, line, split
from tui.widgets.module_rows import holder_of, modules_of, shaping
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.trained import Thaws, begins, mark, rate, spoken
from tui.widgets.wrapped import READ_ON, wrapped

if TYPE_CHECKING:
    from engine.nodes import Row

NUMBER = 4
PARAMETERS = 11
MACS = 9
WIDE = 92
PENDING = "…"
# Lines of what is wrong with a layer.
MOST_TOLD = 8
EMPTY = (
    "",
    "no layers yet",
    "{compose.add} adds the first one: type `flat`, `lin 300`, `conv 32 3`",
    "{compose.presets} begins from a preset, {compose.open_file} opens a file",
    "a paste adds layers written as calls, with commas between them",
)


class LayerTable(Rows):
    """The layers of one network. `show` takes the calls as they are and what the check found, where it is there yet.

    What a container holds is listed beneath it, indented; the copies of a Repeat once. `span` are the layers selected:
    the one under the cursor, or neighbours where the selection was extended (`INPUT` of layer_tree.py: the data).
    """

    with_cursor = True
    BINDINGS: ClassVar = [
        *VIM_KEYS,
        Binding("shift+down", "extend(1)", show=False),
        Binding("shift+up", "extend(-1)", show=False),
        Binding("escape", "unmark", show=False),
        Binding("left", "fold", "Close what shows its modules, or go to it", key_display="←", show=False),
        Binding("right", "unfold", "Open what has modules, or go to them", key_display="→", show=False),
    ]
    HELP = (
        "The layers from the data on, with what comes out of each for one sample. shift+↓ or "
        "{compose.select_several} and arrows select neighbours; what a container holds is indented beneath it and "
        "edited like any other layer. "
        "▸ has modules of its own: → or {compose.unfold} shows them, and {compose.freeze} freezes the one under the "
        "cursor; they cannot be moved or edited. "
        "❄ marks what is not trained, ◐ what is so in part. MACs: multiply-accumulates of one sample's way forward."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._paths: list[str | None] = []
        self.selectable = lambda index: self._paths[index] is not None
        self._anchor: str | None = None
        # Whether the cursor extends the selection wherever it goes, or leaves it behind.
        self._extending = False
        self._shown: tuple[Sequence[Call], str, Any, Any, bool] = ((), "", None, None, True)
        # What the last answer said, by path: it holds as long as neither data nor any layer before is another.
        self._known: dict[str, tuple[Call, Row]] = {}
        # The rows of what stands in layers that are no containers of layers, by the path of the layer.
        self._inside: dict[str, list[Row]] = {}
        self._thaws: Mapping[str, Thaws] = {}
        self._shares: Mapping[str, Sequence[float]] = {}
        self._known_source = ""
        self._known_problem: tuple[tuple[tuple[str, Call], ...], Any] | None = None
        self._given = PENDING
        self._shapes = 8
        self._marked: frozenset[str] = frozenset()
        # Of the layers that have modules of their own, by number: which are open. Paths change with every edit before.
        self._open: set[int] = set()
        self._having: list[str] = []

    # ------------------------------------------------------------------ selection

    @property
    def path(self) -> str:
        """The layer under the cursor, or the one whose module that is; "" for the data."""
        here = self._here
        return next((path for path in self._having if here.startswith(f"{path}.")), here)

    @property
    def module(self) -> str:
        """The module of the layer under the cursor, by its name within the layer; "" for the layer itself."""
        return self._here.removeprefix(self.path).removeprefix(".")

    @property
    def _here(self) -> str:
        return (self._paths[min(self.cursor, len(self._paths) - 1)] or "") if self._paths else ""

    @property
    def modules(self) -> list[Module]:
        """What the check found of the modules of the layer under the cursor."""
        beneath = f"{self.path}."
        return [
            Module(row.path.removeprefix(beneath), row.parameters, row.trainable)
            for row in self._inside.get(self.path, ())
        ]

    @property
    def span(self) -> Span:
        here = span_of(self.path)
        if self._anchor is None or not self.path:
            return here
        other = span_of(self._anchor)
        # In a container that is a neighbour, the cursor stands for the container.
        beneath = f"{other.chain}." if other.chain else ""
        if not self.path.startswith(beneath):
            return here
        index = int(self.path[len(beneath) :].partition(".")[0])
        return Span(other.chain, min(index, other.first), max(index, other.first))

    def select(self, span: Span) -> None:
        """Select layers; the cursor stands on the last of them."""
        paths = span.paths or ("",)
        self._extending = False
        self._anchor = paths[0] if len(paths) > 1 else None
        if paths[-1] in self._paths and paths[-1] != self.path:
            self.cursor = self._paths.index(paths[-1])
        if self._anchor is not None or self._marked:
            self._draw()

    def mark(self) -> None:
        """Begin a selection of several here, or end it."""
        self._extending = not self._extending and bool(self.path)
        self._anchor = self.path if self._extending else None
        self._draw()

    def action_unmark(self) -> None:
        """Select the layer under the cursor alone."""
        self._extending, self._anchor = False, None
        self._draw()

    def move_to(self, index: int, step: int = 1) -> None:
        if not self._extending and self._anchor is not None:
            self.action_unmark()
        super().move_to(index, step)

    def action_extend(self, step: int) -> None:
        """One more neighbour, or one less."""
        if not self.path:
            return
        if self._anchor is None:
            self._anchor = self.path
        here = span_of(self.path)
        target = joined(here.chain, here.first + step)
        if here.first + step >= 0 and target in self._paths:
            self.cursor = self._paths.index(target)
        self._draw()

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if self._anchor is not None:
            # Not from within a redraw: the rows may be those of before.
            self.call_after_refresh(self._draw)

    # ------------------------------------------------------------------ modules of a layer

    def turn(self) -> bool:
        """Open or close the layer under the cursor; whether it has modules to show."""
        if self.path not in self._having:
            return False
        self._open ^= {self._having.index(self.path)}
        if self.module:
            self.cursor = self._paths.index(self.path)
        self._draw()
        return True

    def action_fold(self) -> None:
        if self.module:
            self.cursor = self._paths.index(holder_of(self._here, self._paths))
        elif self._is_open(self.path):
            self.turn()

    def action_unfold(self) -> None:
        if self.module or self.path not in self._having:
            return
        if self._is_open(self.path):
            self.move_to(self.cursor + 1)
        else:
            self.turn()

    def _is_open(self, path: str) -> bool:
        return path in self._having and self._having.index(path) in self._open

    # ------------------------------------------------------------------ contents

    def show(self, layers: Sequence[Call], source: str, report: Any, problem: Any, checking: bool) -> None:
        """Draw the layers over `report` (rows by path; None where there is none, or not yet) and `problem`."""
        self._shown = (layers, source, report, problem, checking)
        self._draw()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self._draw()

    def _draw(self) -> None:
        layers, source, report, problem, checking = self._shown
        if not self.size.width:
            return
        flat = list(listed(layers))
        answers, problem = self._answers(flat, source, report, problem, checking)
        failing = shown_path(layers, problem.path) if problem is not None else ""
        cursor = self._here
        self._having = [one.path for one in flat if one.path in self._inside]
        self._find_marked(flat)
        given = shape(report.info.input_shape) if report is not None else self._input(source, checking)
        if not checking:
            # As wide as it has to be: layers want the room.
            self._shapes = 2 + max(len(given), 6, *(len(shape(row.output_shape)) for row in self._in_view(answers)))
        paths: list[str | None] = [""]
        rows: list[Line] = [self._columns(" ", "", line((source, "dim")), given, "", "", "")]
        for one in flat:
            paths.append(one.path)
            if one.path == failing and problem is not None:
                told = self._explanation(problem)
                rows += [self._failing(one, answers.get(one.path)), *told]
                paths += [None] * len(told)
            else:
                rows.append(self._layer(one, answers.get(one.path), checking))
            if self._is_open(one.path):
                inside = self._inside[one.path]
                rows += [self._module(one, row) for row in inside]
                paths += [row.path for row in inside]
        if not flat:
            room = max(self.size.width - 7, 1)
            rows += [line((f"      {fit(self.with_keys(text), room).rstrip()}", "dim")) for text in EMPTY]
            paths += [None] * len(EMPTY)
        self._paths = paths
        wide = self.size.width >= WIDE
        trained = "trained" if wide else ""
        self.set_rows(rows, [self._columns(" ", "#", line(("layer", "dim")), "output", "parameters", "MACs", trained)])
        self._keep_cursor(cursor)

    def _keep_cursor(self, path: str) -> None:
        """The cursor stays on its layer, or where that was."""
        above = next((known for known in self._having if path.startswith(f"{known}.")), path)
        if path in self._paths or above in self._paths:
            self.cursor = self._paths.index(path if path in self._paths else above)
        elif self._paths[min(self.cursor, len(self._paths) - 1)] is None:
            super().move_to(min(self.cursor, len(self._paths) - 1), -1)

    def _find_marked(self, flat: Sequence[Listed]) -> None:
        known = {one.path for one in flat}
        if self._anchor is not None and self._anchor not in known:
            self._anchor = None
        paths = self.span.paths if self._anchor is not None else ()
        beneath = tuple(f"{path}." for path in paths)
        self._marked = frozenset(one for one in known if one in paths or one.startswith(beneath))

    def _input(self, source: str, checking: bool) -> str:
        if not checking:
            return ""
        return self._given if source == self._known_source else PENDING

    def _answers(
        self, flat: Sequence[Listed], source: str, report: Any, problem: Any, checking: bool
    ) -> tuple[dict[str, Row], Any]:
        """What is known of each layer, and of the problem: by the newest answer, or, while the check looks, by the one
        before as far as that still holds."""
        if report is not None:
            rows = {row.path: row for row in report.rows}
            self._known = {one.path: (one.call, rows[one.path]) for one in flat if one.path in rows}
            self._inside = modules_of(report.rows, flat)
            self._thaws, self._shares = report.pretrained.thaws, report.pretrained.shares
            self._known_source, self._given = source, shape(report.info.input_shape)
        if not checking:
            before = tuple((one.path, one.call) for one in flat)
            self._known_problem = (before, problem) if problem is not None else None
            if report is None:
                self._inside = {}
            return {path: row for path, (_, row) in self._known.items()} if report is not None else {}, problem
        if source != self._known_source:
            self._inside = {}
            return {}, None
        kept: dict[str, Row] = {}
        for one in flat:
            call, row = self._known.get(one.path, (None, None))
            if row is None or call is None or (shaping(call) != shaping(one.call) and not one.held):
                break
            # A layer with modules keeps what was known of them until the check has counted again.
            if call == one.call or one.path in self._inside:
                kept[one.path] = row
        self._inside = {path: rows for path, rows in self._inside.items() if path in kept}
        if self._known_problem is not None:
            before, known = self._known_problem
            end = next((i for i, (path, _) in enumerate(before, 1) if path == known.path), 0)
            if end and before[:end] == tuple((one.path, one.call) for one in flat[:end]):
                return kept, known
        return kept, None

    # ------------------------------------------------------------------ lines

    def _layer(self, one: Listed, row: Row | None, checking: bool) -> Line:
        mark = "▌" if one.path in self._marked else " "
        number = one.path if one.depth == 0 else ""
        name = (*self._called(one, ""), *self._begins(row))
        frozen = "❄" if one.call.get("frozen") is True else ""
        if row is None:
            return self._columns(mark, number, name, PENDING if checking else "", "", "", frozen)
        return self._counted(mark, number, name, row, frozen)

    def _counted(self, mark: str, number: str, name: Line, row: Row, frozen: str = "") -> Line:
        size, macs = (count(number) if number else "" for number in (row.parameters, row.macs))
        return self._columns(mark, number, name, shape(row.output_shape), size, macs, self._trained(row) or frozen)

    def _trained(self, row: Row) -> str:
        words = spoken if self.size.width >= WIDE else mark
        return words(row.parameters, row.trainable, self._thaws.get(row.path, ()))

    def _begins(self, row: Row | None) -> Line:
        """From when on a row trains, behind its name where no column has room for it."""
        if row is None or self.size.width >= WIDE:
            return ()
        first = begins(row.trainable, self._thaws.get(row.path, ()))
        return ((f"  {first}", "accent"),) if first else ()

    def _called(self, one: Listed, style: str) -> Line:
        call = one.call.without("frozen") if one.call.get("frozen") is True else one.call
        text = str(call)
        if one.held:
            # Its layers stand beneath it.
            first = call.args[:1] if call.name == "Repeat" else ()
            outer = replace(call, args=first).without("shortcut")
            inside = any(held for _, held in chains(call))
            text = f"{str(outer)[:-1]}{', ' if first or outer.kwargs else ''}…)" if inside else str(outer)
        chain = one.path.rpartition(".")[0]
        side = (("shortcut ", "dim"),) if chain.endswith(".shortcut") else ()
        indent = (("  " * one.depth, ""),) if one.depth else ()
        sign = (("▾ " if self._is_open(one.path) else "▸ ", "dim"),) if one.path in self._having else ()
        return line(*indent, *side, *sign, (text, style))

    def _in_view(self, answers: dict[str, Row]) -> list[Row]:
        """The rows of the layers, and of the modules of those that are open."""
        opened = [row for path in self._having if self._is_open(path) for row in self._inside[path]]
        return [*answers.values(), *opened]

    def _module(self, one: Listed, row: Row) -> Line:
        """A module of a layer: its own name, and what it is."""
        name = row.path.removeprefix(f"{one.path}.")
        depth = one.depth + 1 + name.count(".")
        named = line(("  " * depth, ""), (name.rpartition(".")[2], ""))
        share = (rate(self._shares.get(row.path, ())), "accent")
        what = (*named, *self._begins(row), share, (f"  {row.call}", "dim"))
        return self._counted(" ", "", what, row)

    def _columns(
        self, mark: str, number: str, name: Line, output: str, parameters: str, macs: str, trained: str
    ) -> Line:
        width = self.size.width
        # One cell more than is needed: a scrollbar may stand there.
        last = (18 if self._thaws else 11) if width >= WIDE else 3
        room = max(width - NUMBER - 2 - self._shapes - PARAMETERS - MACS - last, 8)
        style = "dim" if number == "#" else ""
        return (
            (mark, "bad" if mark == "✗" else "accent"),
            (fit(number, NUMBER - 1, right=True) + "  ", "dim"),
            *(span for span in split(name, line(""), room) if span[0]),
            (fit(output, self._shapes), style),
            (fit(parameters, PARAMETERS, right=True), style or "dim"),
            (fit(macs, MACS, right=True), style or "dim"),
            (fit(f"   {trained}" if last > 3 else f" {trained}", last), "accent" if "❄" in trained else "dim"),
        )

    def _failing(self, one: Listed, row: Row | None) -> Line:
        number = one.path if one.depth == 0 else ""
        # It may be right in itself, and what comes out of it not what is wanted.
        output = shape(row.output_shape) if row is not None else ""
        return self._columns("✗", number, self._called(one, "bad"), output, "", "", "")

    def _explanation(self, problem: Any) -> list[Line]:
        """What the layer got and what it wants, and the key that mends it."""
        width = max(self.size.width - NUMBER - 4, 20)
        # The layer stands right above.
        message = problem.message.removeprefix(f"`{problem.call}`: ").removeprefix(f"{problem.call}: ")
        if problem.expected and "got (" in message:
            message = f"got {shape(problem.found)}, wants {problem.expected}"
        texts = wrapped(message, width, MOST_TOLD, self.with_keys(READ_ON))
        lines = [line((" " * (NUMBER + 2), ""), (text, "bad")) for text in texts]
        if problem.fix is not None:
            fix = line((" " * (NUMBER + 2), ""), "fix: ", (problem.fix.text, "strong"))
            key = self.with_keys("{compose.apply_fix} ")
            how = line((key, "accent"), ("apply ", "dim")) if problem.fix.action else line()
            lines.append(split(fix, how, self.size.width))
        return lines
