"""Whether the data of a run that goes on are those that it was trained on: what its newest `Started` tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.check import Report
from engine.data.decoding import shown
from engine.data.prepare import Prepared
from engine.errors import RequestError
from engine.events import MAX_MODULES
from engine.freezing import backbone_nodes
from engine.losses import numbers_wanted, rule_of
from engine.store.reader import RunReader

NAMED = 8  # so many classes are named in a message


def newest_start(run_path: Path) -> Mapping[str, Any]:
    """What a run told when it began, or last went on, with the rows of its layers as "modules"; empty where it never
    did."""
    reader = RunReader(run_path)
    reader.poll()
    return {**reader.view.started, "modules": reader.view.modules} if reader.view.started else {}


def require_same_data(report: Report, began: Mapping[str, Any], run: str) -> None:
    """Raise RequestError where the data have other classes, inputs or outputs now than those that a run's weights were
    trained on: the weights would not fit, or mean something else."""
    difference = _difference(report, began)
    if not difference:
        return
    backbones = any(any(backbone_nodes(found.nodes)) for found in report.propagations.values())
    further = f'; a Backbone with weights="run:{run}" begins with what this one learned' if backbones else ""
    raise RequestError(
        f"{run} cannot go on: {difference}; put the data back as they were, or begin a new run on these{further}"
    )


def _difference(report: Report, began: Mapping[str, Any]) -> str:
    """What was trained on and what there is now, in words; "" where it is the same, or not known."""
    experiment, info = report.experiment, report.info
    classes = tuple(began.get("classes", info.classes))
    if classes != info.classes:
        told = f"it was trained on the classes {_named(classes)}, and the data have {_named(info.classes)} now"
        if max(len(classes), len(info.classes)) > NAMED:
            gone, new = _without(classes, info.classes), _without(info.classes, classes)
            told += f" (gone: {_named(gone)}; new: {_named(new)})"
        return told
    shape = tuple(began.get("input_shape", info.input_shape))
    if shape != info.input_shape:
        return f"it was trained on samples of shape {shape}, and the data have {info.input_shape} now"
    if info.kind == "values":
        before = _outputs(began)
        wanted = numbers_wanted(rule_of(experiment.loss, experiment.task.name).output, info.outputs)
        if before not in (None, wanted):
            return f"it was trained to give {before} numbers a sample, and the data want {wanted} now"
    return ""


def _outputs(began: Mapping[str, Any]) -> int | None:
    """How many numbers a sample the network gave that a run began with; None where that is not known."""
    rows = began.get("modules", [])
    shapes = [row["output_shape"] for row in rows if row["depth"] == 0] if len(rows) < MAX_MODULES else []
    last = shapes[-1][-1] if shapes and shapes[-1] else None
    return last if isinstance(last, int) else None


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return (", ".join(map(shown, names[:NAMED])) or "none") + (f" and {more:,} more" if more > 0 else "")


def other_data(report: Report, prepared: Prepared, began: Mapping[str, Any]) -> str | None:
    """What to tell where the samples are others now than a run was trained on, with the same classes; None where they
    are the same, or nothing named them."""
    before = began.get("data")
    if before is None or prepared.digest is None or before == prepared.digest:
        return None
    told = "the data are others than this run was trained on"
    drawn = report.experiment.data.validation.name == "holdout" and report.info.validation is None
    return f"{told}: its validation part may hold what it has trained on" if drawn else told
