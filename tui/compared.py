"""Runs side by side, as plain values: what each is, and what of it differs from a baseline."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tui.compare import best_column, differences, differing, is_layers, is_main, metric_names
from tui.output import MISSING, count, difference, duration, metric, size

if TYPE_CHECKING:
    from engine.store.reader import RunView
    from tui.run_curves import RunCurves

SAME = "·"
METRICS, MORE_METRICS, COST = "metrics", "more metrics", "cost"
FOLDED = 3


@dataclass(frozen=True)
class Compared:
    """One run as it is compared. `metrics` are those of its best epoch, of the last one where none is best yet;
    `memory` is the most that was measured, in bytes. `seconds` are those of its epochs, `running` all that it ran: with
    decoding, cached features and pauses. What is not known is None."""

    run: str
    label: str
    status: str = ""
    epoch: int | None = None
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    monitor: str | None = None
    fields: Mapping[str, str] | None = None
    layers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    memory: float | None = None
    seconds: float | None = None
    running: float | None = None
    seconds_per_epoch: float | None = None
    device: str = ""
    curves: RunCurves | None = None


@dataclass(frozen=True)
class Cell:
    """What a run has, by how much that is away from the baseline's, and whether it is the best of all."""

    text: str
    away: str = ""
    best: bool = False
    style: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the comparison. `section` is told once, above its first line; a `note` stands in place of cells."""

    section: str
    name: str
    cells: tuple[Cell, ...] = ()
    note: str = ""


class ComparedReader:
    """Reads a RunView again and again; `read` gives what it is now."""

    def __init__(self, view: RunView) -> None:
        from tui.run_curves import RunCurvesReader

        self._view = view
        self._curves = RunCurvesReader(view)
        self._peak = 0.0
        self._fields: Mapping[str, str] | None = None
        self._layers: Mapping[str, Sequence[str]] = {}

    def read(self) -> Compared:
        view = self._view
        if self._fields is None and view.experiment is not None:
            from engine.spec import flatten

            self._fields = flatten(view.experiment)
            self._layers = {
                name: tuple(str(call) for call in network.layers) for name, network in view.experiment.networks.items()
            }
        for reading in view.telemetry:
            self._peak = max(self._peak, peak_of(reading))
        entry = view.best or view.last or {}
        top = [row for row in view.modules if not row.get("depth")]
        spent = sum(seconds for row in view.history for seconds in row.seconds.values() if math.isfinite(seconds))
        return Compared(
            run=view.run,
            label=label_of(view),
            status=view.status,
            epoch=entry.get("epoch"),
            epochs=view.done,
            metrics=dict(entry.get("metrics", {})),
            monitor=view.experiment.monitor if view.experiment is not None else None,
            fields=self._fields,
            layers=self._layers,
            parameters=view.started.get("parameters"),
            macs=sum(int(row.get("macs") or 0) for row in top) if top else None,
            memory=self._peak or None,
            seconds=spent or None,
            running=view.seconds or None,
            seconds_per_epoch=view.seconds_per_epoch,
            device=view.device,
            curves=self._curves.read(),
        )


def label_of(view: RunView) -> str:
    """The name that a person gave the run, or the experiment's own with the letters that tell runs apart."""
    from engine.store.notes import read_notes

    return read_notes(view.path).name or f"{view.name}-{view.run.rsplit('-', 1)[-1]}"


def peak_of(reading: Mapping[str, Any]) -> float:
    """The most memory that a run has held: the device's where it has its own, the process's otherwise."""
    found = reading.get("cuda_peak") or reading.get("rss_peak") or reading.get("rss") or 0
    return float(found) if isinstance(found, int | float) else 0.0


def comparison(runs: Sequence[Compared]) -> list[Row]:
    """All that differs, the first run being the baseline: the metrics that a person looks at first, what they cost,
    experiment, layers, and then the other metrics."""
    if not runs:
        return []
    main, more = _metrics(runs)
    return [*main, *_costs(runs), *_settings(runs), *_layers(runs), *more]


def _metrics(runs: Sequence[Compared]) -> tuple[list[Row], list[Row]]:
    columns = [dict(run.metrics) for run in runs]
    names = [name for name in metric_names(columns) if name != "lr"]
    measured = {name.split("/", 1)[0] for name in names}
    main: list[Row] = []
    more: list[Row] = []
    for name in names:
        best, away = best_column(name, columns), differences(name, columns)
        cells = tuple(
            Cell(
                metric(name, values.get(name)),
                difference(name, away[at]) if away[at] is not None else "",
                at == best,
            )
            for at, values in enumerate(columns)
        )
        if is_main(name) and not (name.startswith("train/") and "val" in measured):
            main.append(Row(METRICS, name, cells))
        else:
            more.append(Row(MORE_METRICS, name, cells))
    if not main:
        return [Row(METRICS, "", note="no epoch has ended yet")], more
    epochs = tuple(Cell(MISSING if run.epoch is None else f"{run.epoch} of {run.epochs}") for run in runs)
    return [*main, Row(METRICS, "best epoch", epochs)], more


def _costs(runs: Sequence[Compared]) -> list[Row]:
    first = runs[0]

    def row(name: str, values: Sequence[float | None], text: Any, ratio: bool) -> Row:
        base = values[0]
        cells = []
        for at, value in enumerate(values):
            away = ""
            if at and value is not None and base and math.isfinite(value) and math.isfinite(base):
                if ratio:
                    away = f"×{value / base:.2g}" if value / base < 10 else f"×{value / base:,.0f}"
                elif value != base:
                    away = ("+" if value > base else "-") + text(abs(value - base))
                else:
                    away = "±0"
            cells.append(Cell(text(value), away))
        return Row(COST, name, tuple(cells))

    rows = [
        row("parameters", [run.parameters for run in runs], count, False),
        row("MACs", [run.macs for run in runs], count, True),
        row("time", [run.seconds for run in runs], duration, True),
        row("with preparation", [run.running for run in runs] if _prepared(runs) else [None], duration, True),
        row("a training epoch", [run.seconds_per_epoch for run in runs], duration, True),
        row("memory", [run.memory for run in runs], size, True),
    ]
    if any(run.device != first.device for run in runs):
        rows.append(Row(COST, "device", tuple(Cell(run.device or MISSING) for run in runs)))
    return [each for each in rows if any(cell.text != MISSING for cell in each.cells)]


def _prepared(runs: Sequence[Compared]) -> bool:
    """Whether any of the runs did much before its epochs, which their time leaves out."""
    return any(run.running is not None and run.running > 1.1 * (run.seconds or 0.0) + 1.0 for run in runs)


def _settings(runs: Sequence[Compared]) -> list[Row]:
    rows = []
    for name, values in differing([run.fields for run in runs]).items():
        if is_layers(name):
            continue
        cells = tuple(
            Cell(
                SAME if at and value == values[0] and value is not None else MISSING if value is None else value,
                style="dim" if at and value == values[0] else "",
            )
            for at, value in enumerate(values)
        )
        rows.append(Row("experiment", name, cells))
    return rows


def _layers(runs: Sequence[Compared]) -> list[Row]:
    names = list(dict.fromkeys(name for run in runs for name in run.layers))
    rows: list[Row] = []
    for name in names:
        columns = [run.layers.get(name) for run in runs]
        if all(column == columns[0] for column in columns):
            continue
        section = "network" if name == "model" else f"network {name}"
        rows += _fold(section, align(columns[0] or (), [column or () for column in columns[1:]]))
    if not rows and not _settings(runs):
        rows.append(Row("experiment", "", note="the experiments are the same"))
    return rows


def align(base: Sequence[str], others: Sequence[Sequence[str]]) -> list[tuple[str | None, ...]]:
    """Lists of layers side by side: a line a layer, None where a list has none there.

    What is equal stands in the line of the base's layer, what takes its place likewise, what is added between.
    """
    placed: list[dict[int, str]] = []
    added: list[dict[int, list[str]]] = []
    for other in others:
        at_layer: dict[int, str] = {}
        before: dict[int, list[str]] = {}
        taken = 0
        for index, other_index in [*pairs(base, other), (len(base), len(other))]:
            before.setdefault(index, []).extend(other[taken:other_index])
            if index < len(base):
                at_layer[index] = other[other_index]
            taken = other_index + 1
        placed.append(at_layer)
        added.append(before)
    lines: list[tuple[str | None, ...]] = []
    for index in range(len(base) + 1):
        height = max((len(before.get(index, ())) for before in added), default=0)
        for step in range(height):
            extra = (before.get(index, ()) for before in added)
            lines.append((None, *(layers[step] if step < len(layers) else None for layers in extra)))
        if index < len(base):
            lines.append((base[index], *(at_layer.get(index) for at_layer in placed)))
    return lines


def pairs(base: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Which layer of `other` belongs to which of `base`, in order: those that are equal, and between them those of the
    same name with other arguments."""
    found: list[tuple[int, int]] = []
    matcher = difflib.SequenceMatcher(None, list(base), list(other), autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind == "equal":
            found += zip(range(start, end), range(other_start, other_end), strict=True)
        elif kind == "replace":
            names = [text.split("(")[0] for text in base[start:end]]
            other_names = [text.split("(")[0] for text in other[other_start:other_end]]
            for block in difflib.SequenceMatcher(None, names, other_names, autojunk=False).get_matching_blocks():
                found += [(start + block.a + step, other_start + block.b + step) for step in range(block.size)]
    return found


def _fold(section: str, lines: Sequence[tuple[str | None, ...]]) -> list[Row]:
    """Lines of layers as rows; where several in turn are the same everywhere, they are counted."""
    rows: list[Row] = []
    same: list[tuple[str | None, ...]] = []

    def take() -> None:
        if len(same) >= FOLDED:
            rows.append(Row(section, "", note=f"⋯ {len(same)} layers the same"))
        else:
            rows.extend(_layer(section, line) for line in same)
        same.clear()

    for line in lines:
        if len(set(line)) == 1:
            same.append(line)
            continue
        take()
        rows.append(_layer(section, line))
    take()
    return rows


def _layer(section: str, line: tuple[str | None, ...]) -> Row:
    base, *others = line
    cells = [Cell(base or SAME, style="" if base else "dim")]
    for text in others:
        if text is None:
            cells.append(Cell("-" if base is not None else "", style="dim"))
        elif text == base:
            cells.append(Cell(text, style="dim"))
        else:
            cells.append(Cell(f"{'+' if base is None else '~'} {text}", style="accent"))
    return Row(section, "", tuple(cells))


def markdown(runs: Sequence[Compared]) -> str:
    """The comparison as Markdown tables, one a section; what could be markup in a name or a value is escaped."""
    from tui.comparison import markdown_table

    heads = [run.label + (" (baseline)" if at == 0 else "") for at, run in enumerate(runs)]
    tables: dict[str, list[list[str]]] = {}
    for row in comparison(runs):
        cells = [f"{cell.text} ({cell.away})" if cell.away else cell.text for cell in row.cells] or [
            row.note,
            *[""] * (len(runs) - 1),
        ]
        tables.setdefault(row.section, []).append([row.name, *cells])
    return "\n".join(markdown_table([section, *heads], rows) for section, rows in tables.items())
