"""A run beside the list: how it stands, its recipe, its notes, its loss, its network."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from tui.output import count, duration, metric, number, shape
from tui.run_columns import main
from tui.safe import safe, safe_lines
from tui.widgets.lines import Line, fit, line, split, width_of
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.status import MARKS

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from tui.run_picture import Picture

CURVE_ROWS = 8
AXIS = 7
NOTE_LINES = 12
# What the recipe names first; the rest only where it is not as in most experiments.
RECIPE = (("data", "data.source"), ("loss", "loss"), ("optimizer", "optimizer"), ("scheduler", "scheduler"))
USUAL = {
    "precision": "fp32", "accumulate": "1", "checkpoint_minutes": "5.0", "data.validation": "holdout(0.2)",
    "data.normalize": "auto", "device": "auto", "task": "Classification()",
}  # fmt: skip
SAID = {"name", "epochs", "seed", "data.batch_size", "monitor", *(field for _, field in RECIPE)}


class RunPreview(Rows):
    """Lines that scroll; what the list knows is there at once, what has to be read follows."""

    HELP = "The run under the cursor of the list. Arrow keys scroll; {runs.open} shows it on Train."
    BINDINGS: ClassVar = list(VIM_KEYS)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[Summary | None, Picture | None] = (None, None)

    def show(self, run: Summary | None, picture: Picture | None) -> None:
        """Draw a run; another one from its beginning."""
        before = self._shown[0]
        self._shown = (run, picture)
        # A cell of space on the left, and one on the right where the scrollbar comes.
        width = self.size.width - 2
        if run is None:
            self.set_rows([line((" the run under the cursor stands here", "dim"))], ())
        elif width > 10:
            self.set_rows(preview(run, picture, width), ())
        if before is None or run is None or before.run != run.run:
            self.scroll_to(y=0, animate=False, force=True)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(*self._shown)


def preview(run: Summary, picture: Picture | None, width: int) -> list[Line]:
    """The lines of a preview, in at most `width` cells."""
    rows = [*_status(run, width), *_problems(run, picture, width), *_notes(run, width)]
    if run.fields:
        rows += [(), *_recipe(run, width)]
    rows += _metrics(run, width)
    if picture is not None:
        rows += _curve(picture, run, width)
    elif run.epoch:
        # Its place is kept: what stands below does not move when it comes.
        rows += [()] * (CURVE_ROWS + 3)
    rows += [*_network(run, picture, width), (), line((fit(run.run, width).rstrip(), "dim"))]
    return [line((" ", ""), *row) for row in rows]


def _status(run: Summary, width: int) -> list[Line]:
    sign, style = MARKS.get(run.status, ("?", ""))
    spans: list[tuple[str, str]] = [(f"{sign} {run.status}", style or "strong")]
    name, value = main(run)
    if name is not None:
        at = f" at epoch {run.best['epoch']}" if run.best else ""
        spans += [("   ★ ", "good"), (metric(name, value), "strong"), (at, "dim")]
    numbers = []
    if run.epochs:
        numbers.append(f"{run.epoch} of {run.epochs} epochs")
    if run.seconds is not None:
        numbers.append(duration(run.seconds))
    if run.parameters is not None:
        numbers.append(f"{count(run.parameters)} parameters")
    if run.device:
        numbers.append(run.device)
    rows = [line(*spans), *(line((text, "dim")) for text in gathered(numbers, width))]
    if run.reason not in ("", run.status):
        wrong = run.status in ("failed", "damaged") or run.live
        rows += [line((text, "bad" if wrong else "dim")) for text in wrapped(run.reason, width, 4)]
    if run.label != run.name:
        rows.append(line(("was named ", "dim"), fit(run.name, width - 10).rstrip()))
    return rows


def _problems(run: Summary, picture: Picture | None, width: int) -> list[Line]:
    said: list[tuple[str, str]] = [(text, "bad") for text in (run.problem, run.notes.problem) if text]
    if picture is not None:
        if picture.problem and picture.problem != run.problem:
            said.append((picture.problem, "bad"))
        if picture.skipped_lines:
            lines = (
                "1 line of its events" if picture.skipped_lines == 1 else f"{picture.skipped_lines} lines of its events"
            )
            said.append((f"{lines} could not be read", "dim"))
        said += [(f"⚠ {text}", "bad" if level == "error" else "accent") for level, text in picture.said]
    return [line((text, style)) for message, style in said for text in wrapped(message, width, 4)]


def _notes(run: Summary, width: int) -> list[Line]:
    notes = run.notes
    rows: list[Line] = []
    signs = [text for there, text in ((notes.pinned, "⇡ pinned"), (notes.starred, "★ starred")) if there]
    tags = [f"#{tag}" for tag in notes.tags]
    if signs or tags:
        rows += [line((text, "accent")) for text in gathered((*signs, *tags), width)[:3]]
    if notes.text.strip():
        rows += [(), *(line(text) for text in wrapped(notes.text, width, NOTE_LINES))]
    return rows


def _recipe(run: Summary, width: int) -> list[Line]:
    fields = run.fields
    rows = []
    for title, field in RECIPE:
        value = fields.get(field, "none")
        if value != "none":
            more = f"   batch {fields.get('data.batch_size', '')}" if title == "data" else ""
            rows.append(line((f"{title:<11}", "dim"), fit(value, width - 11 - len(more)).rstrip(), (more, "dim")))
    rest = [f"seed {fields.get('seed', '')}"]
    for name, value in fields.items():
        usual = USUAL.get(name, "none")
        if name not in SAID and not name.startswith("network") and value != usual:
            rest.append(f"{name.rsplit('.', 1)[-1].replace('_', ' ')} {value}")
    rows += [
        line(("           " if at else "also       ", "dim"), (text, "dim"))
        for at, text in enumerate(gathered(rest, width - 11)[:4])
    ]
    return rows


def _metrics(run: Summary, width: int) -> list[Line]:
    """The metrics of the best epoch and of the last, side by side."""
    best, last = (run.best or {}).get("metrics", {}), (run.last or {}).get("metrics", {})
    names = [name for name in (best or last) if "/" in name]
    if not names:
        return []
    cells = max(len(name) for name in names[:12])
    rows: list[Line] = [(), line((fit("", cells), ""), (f"{'best':>12}{'last':>12}", "dim"))]
    for name in names[:12]:
        one, other = metric(name, best.get(name)), metric(name, last.get(name))
        rows.append(line((fit(name, min(cells, width - 24)), "dim"), f"{one:>12}", (f"{other:>12}", "dim")))
    return rows


def _curve(picture: Picture, run: Summary, width: int) -> list[Line]:
    """The loss over epochs in braille: training in the accent's colour, validation dashed."""
    if not picture.train and not picture.val:
        return []
    import numpy as np

    from tui.widgets import braille

    train, val = (np.array(points, dtype=np.float64).reshape(-1, 2) for points in (picture.train, picture.val))
    bounds = braille.limits(train[:, 1], val[:, 1])
    columns = width - AXIS - 1
    if bounds is None or columns < 8:
        return []
    reached = max((float(points[-1, 0]) for points in (train, val) if len(points)), default=1.0)
    span = (0.0, max(reached, 1e-9))
    legend = split(
        line(("loss", "dim")), line(("train ", "dim"), ("──", "accent"), ("  val ", "dim"), ("╌╌", "second")), width
    )
    rows: list[Line] = [(), legend]
    one = braille.trace(train[:, 0], train[:, 1], columns, CURVE_ROWS, span, bounds)
    other = braille.trace(val[:, 0], val[:, 1], columns, CURVE_ROWS, span, bounds, dashed=True)
    labels = {0: number(bounds[1]), CURVE_ROWS - 1: number(bounds[0])}
    for row in range(CURVE_ROWS):
        spans: list[tuple[str, str]] = [
            (fit(labels.get(row, ""), AXIS, right=True) + ("┤" if row in labels else "│"), "dim")
        ]
        for column in range(columns):
            cell = int(one[row, column]) | int(other[row, column])
            style = "second" if other[row, column] else "accent" if cell else ""
            text = chr(0x2800 + cell) if cell else " "
            if spans[-1][1] == style:
                spans[-1] = (spans[-1][0] + text, style)
            else:
                spans.append((text, style))
        rows.append(tuple(spans))
    end = f"epoch {reached:.0f}" if reached >= 1 else "epoch 1"
    rows.append(split(line((" " * AXIS + "└0", "dim")), line((end, "dim")), width))
    return rows


def _network(run: Summary, picture: Picture | None, width: int) -> list[Line]:
    """One line a layer: with shapes and parameters once the run has begun, else as the experiment has it."""
    modules = picture.modules if picture is not None else ()
    if modules:
        rows: list[Line] = [(), line(("network", "dim"))]
        for item in modules:
            held = count(item["parameters"]) if item["parameters"] else ""
            right = f"{shape(item['output_shape'] or ())}{held:>10}"
            call = "  " * int(item["depth"]) + str(item["call"])
            rows.append(
                split(line(fit(call, max(width - width_of(((right, ""),)) - 1, 8))), line((right, "dim")), width)
            )
        return rows
    rows = []
    for name, value in run.fields.items():
        if name.startswith("network.") and name.endswith("layers"):
            title = name.removesuffix(".layers").replace(".", " ")
            rows += [(), line((title, "dim"))]
            rows += [line(fit(call, width).rstrip()) for call in calls(value)]
    return rows


def calls(layers: str) -> list[str]:
    """The calls of a list of layers as `flatten` writes it, a text each: split at commas outside of brackets."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(layers):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            found.append(layers[start:at].strip())
            start = at + 1
    return [*found, layers[start:].strip()] if layers.strip() else []


def wrapped(text: str, width: int, most: int) -> list[str]:
    """The text in lines of `width`, made safe; of more than `most` the rest is left out, with an ellipsis."""
    found = [
        piece
        for paragraph in safe_lines(text[: most * width * 2]).split("\n")
        for piece in (textwrap.wrap(paragraph, max(width, 8)) or [""])
    ]
    return found if len(found) <= most else [*found[: most - 1], fit(found[most - 1] + " …", width)]


def gathered(pieces: Iterable[str], width: int) -> list[str]:
    """Short texts in lines of `width`, made safe, none broken in two that fits into a line."""
    rows: list[str] = []
    for piece in pieces:
        text = safe(piece, 500)
        if rows and len(rows[-1]) + 3 + len(text) <= width:
            rows[-1] += f"   {text}"
        else:
            rows += textwrap.wrap(text, max(width, 8))
    return rows
