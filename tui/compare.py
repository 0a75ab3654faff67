"""What differs between experiments, and by how much their metrics do: plain functions, no terminal.

The command line and the application both show what these give.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.spec import Experiment

# What a person looks at first, where the experiment does not say what it is after.
_MAIN = ("accuracy", "loss", "r2", "rmse", "mae")
# The same direction as `engine.metrics.higher_is_better`, which cannot be asked without importing torch.
_HIGHER_IS_BETTER = frozenset(["accuracy", "f1", "top5", "r2"])


def main_metric(metrics: Mapping[str, float], monitor: str | None = None) -> str | None:
    """The metric that sums a run up: the one it monitors, else accuracy and so on of the validation part, else of the
    test and the training part. None where there is no metric at all."""
    if monitor is not None and monitor in metrics:
        return monitor
    for part in ("val", "test", "train"):
        for name in _MAIN:
            if f"{part}/{name}" in metrics:
                return f"{part}/{name}"
    return next(iter(metrics), None)


def is_main(name: str) -> bool:
    """Whether a metric ("val/accuracy") is one of those that a person looks at first."""
    return name.rsplit("/", 1)[-1] in _MAIN


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric ("val/accuracy") is better."""
    return metric.rsplit("/", 1)[-1] in _HIGHER_IS_BETTER


def differing(settings: Sequence[Mapping[str, str] | None]) -> dict[str, list[str | None]]:
    """The fields that are not the same everywhere, each with its value in every experiment.

    Args:
        settings: what `engine.spec.flatten` gives for each experiment; None where a run has no readable experiment.

    A field that an experiment does not have is None there. The name is left out: it says nothing about what was done.
    """
    known = [fields for fields in settings if fields is not None]
    names = list(dict.fromkeys(name for fields in known for name in fields if name != "name"))
    table = {name: [None if fields is None else fields.get(name) for fields in settings] for name in names}
    return {name: values for name, values in table.items() if len({fields.get(name) for fields in known}) > 1}


def metric_names(columns: Sequence[Mapping[str, float]]) -> list[str]:
    """All metrics that any of the runs has: validation, test, training, then the rest; the main ones of each first."""

    def rank(name: str) -> tuple[int, int, str]:
        part, _, last = name.rpartition("/")
        parts = {"val": 0, "test": 1, "train": 2}
        return parts.get(part, 3), _MAIN.index(last) if last in _MAIN else len(_MAIN), name

    return sorted({name for metrics in columns for name in metrics}, key=rank)


def differences(name: str, columns: Sequence[Mapping[str, float]]) -> list[float | None]:
    """By how much a metric differs from the first run's in each of the others; None where either lacks it.

    The first entry belongs to the first run itself and is None.
    """
    first = columns[0].get(name) if columns else None
    found: list[float | None] = []
    for index, metrics in enumerate(columns):
        value = metrics.get(name)
        found.append(None if index == 0 or value is None or first is None else value - first)
    return found


def best_column(name: str, columns: Sequence[Mapping[str, float]]) -> int | None:
    """Which run is the best by a metric; None where fewer than two have it, or all are equal."""
    values = {i: metrics[name] for i, metrics in enumerate(columns) if name in metrics and math.isfinite(metrics[name])}
    if len(values) < 2 or len(set(values.values())) == 1:
        return None
    return (max if higher_is_better(name) else min)(values, key=lambda index: values[index])


def layer_difference(first: Sequence[str], other: Sequence[str]) -> list[tuple[str, str]]:
    """How one list of layers becomes another: lines marked " " (in both), "-" (only in the first), "+" (only here)."""
    lines: list[tuple[str, str]] = []
    matcher = difflib.SequenceMatcher(None, list(first), list(other), autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind == "equal":
            lines += [(" ", line) for line in first[start:end]]
        else:
            lines += [("-", line) for line in first[start:end]]
            lines += [("+", line) for line in other[other_start:other_end]]
    return lines


def layer_differences(experiments: Sequence[Experiment | None]) -> dict[str, list[list[tuple[str, str]] | None]]:
    """For each network whose layers are not the same everywhere: how each run's layers differ from the first's.

    The list has one entry a run: all lines unmarked for the first, None where a run lacks the network.
    """
    layers: list[dict[str, list[str]]] = [
        {} if one is None else {name: [str(call) for call in net.layers] for name, net in one.networks.items()}
        for one in experiments
    ]
    names = list(dict.fromkeys(name for networks in layers for name in networks))
    found: dict[str, list[list[tuple[str, str]] | None]] = {}
    for name in names:
        columns = [networks.get(name) for networks in layers]
        base = next(column for column in columns if column is not None)
        if all(column == base for column in columns if column is not None):
            continue
        found[name] = [None if column is None else layer_difference(base, column) for column in columns]
    return found


def is_layers(field: str) -> bool:
    """Whether a flattened field holds layers, which are compared layer by layer and not as one text."""
    parts = field.split(".")
    return parts[0] == "network" and "layers" in parts[1:]


def value_of(metrics: Mapping[str, Any] | None, name: str) -> float | None:
    """A metric out of a run's "best" or "last" entry; None where the run has none yet."""
    value = ((metrics or {}).get("metrics") or {}).get(name)
    return float(value) if isinstance(value, (int, float)) else None
