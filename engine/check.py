"""The check before a run: does the network fit the data, the loss and the memory, and does everything named exist?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine import catalogue, features, freezing, optimize
from engine.apart import apart
from engine.backbone_rows import measured, single_value_norm
from engine.build import init_problem
from engine.calls import Call
from engine.data.augment import AUGMENTATIONS
from engine.data.cache_folder import too_large
from engine.data.info import DataInfo, Missing, NotFetched, Place, Source
from engine.data.photographs import Photographs
from engine.data.prepare import check_data
from engine.data.sources import build_source
from engine.device import autocast_type, resolve
from engine.errors import LayerlabError, RequestError, SpecError, did_you_mean
from engine.forecast import forecast
from engine.freezing import backbone_nodes, never_trained
from engine.losses import mixing_problem
from engine.pretrained import Pretrained, missing_files, pretrained, pretrained_problem, pretrained_warnings
from engine.shapes import Fix, Problem, Propagation, Row, propagate
from engine.source_fixes import in_the_source
from engine.spec import Experiment
from engine.tasks import TASKS, Objection, Task

MAX_REHEARSED = 200  # epochs that a schedule is tried for


@dataclass(frozen=True)
class Report:
    """What a check found. Shapes are without the batch dimension; `memory` is in bytes; `error` is the first thing that
    would fail, `warnings` are things that people usually do not mean, `missing` is what a run would have to be allowed
    to fetch, which is no error here."""

    experiment: Experiment
    info: DataInfo
    task: Task
    propagations: Mapping[str, Propagation]
    memory: Mapping[str, int]
    error: Problem | None
    warnings: tuple[str, ...] = field(default=())
    missing: tuple[Missing, ...] = ()
    pretrained: Pretrained = field(default_factory=Pretrained)

    @property
    def ok(self) -> bool:
        """Whether a run can start."""
        return self.error is None

    def require(self) -> None:
        """Raise what keeps a run from starting: the refusal, or NotFetched for all that may not be fetched."""
        if self.refusal is not None:
            raise self.refusal
        if self.missing:
            raise NotFetched(*self.missing)

    @property
    def refusal(self) -> SpecError | None:
        """The error with its field, the file and the line where it stands, and what would help."""
        problem = self.error
        if problem is None:
            return None
        layer = problem.path[:1].isdigit()
        origin = self.experiment.where(f"network.layers.{problem.path}" if layer else problem.path)
        return SpecError(
            problem.message,
            field=f"layer {problem.path}" if layer else problem.path,
            file=origin.file if origin is not None else "",
            line=origin.line if origin is not None else None,
            hint=problem.fix.text if problem.fix is not None and problem.fix.text not in problem.message else "",
        )

    @property
    def rows(self) -> tuple[Row, ...]:
        """The layers of all networks; paths begin with the network's name where there are several."""
        if len(self.propagations) == 1:
            return tuple(next(iter(self.propagations.values())).rows)
        return tuple(
            Row(**{**vars(row), "path": f"{name}.{row.path}"})
            for name, found in self.propagations.items()
            for row in found.rows
        )

    @property
    def parameters(self) -> int:
        """The number of parameters of all networks."""
        return sum(row.parameters for found in self.propagations.values() for row in found.rows if row.depth == 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample's way forward."""
        return sum(row.macs for found in self.propagations.values() for row in found.rows if row.depth == 0)

    def to_json(self) -> dict[str, Any]:
        """The document that `layerlab check --json` prints."""
        error, refusal = self.error, self.refusal
        return {
            "ok": self.ok,
            "rows": [
                {
                    "path": row.path,
                    "call": row.call,
                    "output_shape": list(row.output_shape),
                    "parameters": row.parameters,
                    "macs": row.macs,
                    "trainable": row.trainable,
                }
                for row in self.rows
            ],
            "parameters": self.parameters,
            "macs": self.macs,
            "memory": dict(self.memory),
            "error": None
            if error is None or refusal is None
            else {
                "path": error.path,
                "file": refusal.file or None,
                "line": refusal.line,
                "call": error.call,
                "message": error.message,
                "fix": None if error.fix is None else error.fix.text,
                "edit": None
                if error.fix is None or not error.fix.action
                else {"action": error.fix.action, "path": error.fix.path, "call": error.fix.call},
            },
            "warnings": list(self.warnings),
            "missing": [one.to_json() for one in self.missing],
        }


def build_task(call: Call) -> Task:
    """The task of a call; RequestError where it is wrong."""
    entry = catalogue.find("tasks", call.name)
    return TASKS[entry.name](**catalogue.bind(entry, call))


def check(experiment: Experiment, place: Place, store: Path | None = None, *, weights: bool = True) -> Report:
    """Check an experiment without training it.

    Names and arguments that are wrong raise SpecError, data that is missing or bad raises RequestError; a network that
    does not fit is a Report with an `error`. `place` says where the data lies; well-known sets need not be there.
    `store` holds the runs whose weights a Backbone may ask for; `weights`: whether what is asked for is needed.
    """
    return apart(lambda: _check(experiment, place, store, weights))


def _check(experiment: Experiment, place: Place, store: Path | None, weights: bool) -> Report:
    experiment = catalogue.validate(experiment)
    task = build_task(experiment.task)
    if set(experiment.networks) != set(task.networks):
        wanted = " and ".join(f"[network.{name}]" if len(task.networks) > 1 else "[network]" for name in task.networks)
        raise RequestError(f"{experiment.task} trains {wanted}; the experiment has {', '.join(experiment.networks)}")
    source = build_source(experiment.data.source)
    info = source.info(place)
    shape = info.input_shape  # augmentation keeps it
    symbols = {
        "classes": info.outputs,
        "channels": shape[0],
        "features": math.prod(shape),
        "epochs": experiment.epochs,
    }
    dtype = getattr(torch, info.input_dtype)
    propagations = {
        name: propagate(network.layers, shape, dtype=dtype, symbols=symbols)
        for name, network in experiment.networks.items()
    }
    empty = next((name for name, network in experiment.networks.items() if not network.layers), None)
    if empty is not None:
        field = "network.layers" if len(experiment.networks) == 1 else f"network.{empty}.layers"
        none = Problem(field, "", 'the network has no layers; begin with "Flatten()" and end with "Linear(classes)"')
        return Report(experiment, info, task, propagations, forecast(experiment, propagations), none)
    problems = (
        found.problem or init_problem(found, experiment.networks[name].init) for name, found in propagations.items()
    )
    error = next((problem for problem in problems if problem is not None), None)
    if error is not None:
        error = in_the_source(error, experiment.data.source, shape)
    warnings: list[str] = []
    if error is None:
        name = task.networks[0]
        layers = experiment.networks[name].layers
        found = propagations[name]
        last = len(layers) - 1
        for objection in task.objections(layers, found.output_shape or (), info, experiment.loss):
            if not objection.fatal:
                warnings.append(f"{objection.message}; {objection.fix}" if objection.fix else objection.message)
            elif error is None:
                text = f"{objection.message}; {objection.fix}" if objection.fix else objection.message
                path = objection.field or str(last)
                call = getattr(experiment, objection.field) if objection.field else layers[last]
                error = Problem(path, str(call), text, _ending(layers, objection))
    memory = forecast(experiment, propagations)
    error = (
        error
        or _data_problem(experiment, info)
        or _mixing_problem(experiment)
        or _recipe_problem(experiment, task, info, propagations)
        or _batch_of_one(experiment, propagations)
        or _memory_problem(memory)
        or pretrained_problem(propagations, place, store, weights=weights)
    )
    warnings += _last_batch_of_one(experiment, info, propagations)
    warnings += _data_warnings(experiment, source, info, place)
    if error is None:
        warnings += pretrained_warnings(experiment, info, propagations, task.networks[0], store if weights else None)
    if error is None and memory["total"] > memory["available"]:
        warnings.append(
            f"training takes about {_gib(memory['total'])} and {_gib(memory['available'])} are free: "
            "a smaller batch_size takes less"
        )
    missing = missing_files(source, propagations, place, store, weights=weights)
    known = pretrained(propagations)
    report = Report(experiment, info, task, propagations, memory, error, tuple(warnings), missing, known)
    return report if error is not None else features.checked(report)


def _ending(layers: tuple[Call, ...], objection: Objection) -> Fix | None:
    """The edit that lets a network end as it should: another last layer of the same kind, or one more layer."""
    if not objection.end:
        return None
    kind = objection.end.partition("(")[0]
    if layers and layers[-1].name == kind:
        return Fix(objection.fix, "replace", str(len(layers) - 1), objection.end)
    return Fix(objection.fix, "insert", str(len(layers)), objection.end)


def _data_problem(experiment: Experiment, info: DataInfo) -> Problem | None:
    """What of [data] does not suit the data that it names."""
    found = check_data(experiment.data, info)
    if found is None:
        return None
    field, error = found
    return Problem(f"data.{field}", "", str(error))


def _mixing_problem(experiment: Experiment) -> Problem | None:
    """The augmentation that mixes targets which the loss cannot take."""
    for index, call in enumerate(experiment.data.augment):
        reason = (
            mixing_problem(experiment.loss, experiment.task.name) if AUGMENTATIONS[call.name].mixes_targets else None
        )
        if reason is not None:
            return Problem(f"data.augment.{index}", str(call), f"{call} mixes targets, but {reason}")
    return None


def _recipe_problem(
    experiment: Experiment, task: Task, info: DataInfo, propagations: Mapping[str, Propagation]
) -> Problem | None:
    """What is wrong with optimizer, schedule, device, precision or the monitored metric, found by trying them out."""
    trainable = any(row.trainable for found in propagations.values() for row in found.rows)
    has_val = experiment.data.validation.name != "none"
    monitor = experiment.monitor or f"{'val' if has_val else 'train'}/loss"
    calls = {"optimizer": experiment.optimizer, "scheduler": experiment.scheduler}
    try:
        where = "device"
        device = resolve(experiment.device)
        where = "optimizer"
        shares = {rule.lr_scale for found in propagations.values() for rule in freezing.trained(found)}
        groups = [
            freezing.Group((nn.Parameter(torch.zeros(2, 2, device=device)),) if trainable else (), share)
            for share in sorted(shares | ({1.0} if not shares else set()), reverse=True)
        ]
        optimizers = optimize.build_grouped(experiment.optimizer, groups)
        where = "scheduler"
        schedule = optimize.Schedule(
            experiment.scheduler, optimizers, epochs=experiment.epochs, steps_per_epoch=8, monitor=monitor
        )
        where = "optimizer"
        optimize.rehearse(experiment.optimizer, optimizers)
        if experiment.scheduler is not None:
            where = "scheduler"
            schedule.rehearse(experiment.scheduler, min(experiment.epochs, MAX_REHEARSED))
        where = "precision"
        if autocast_type(experiment.precision, device) is torch.float16 and (
            experiment.optimizer.name in optimize.WANTS_CLOSURE
        ):
            raise RequestError(f'{experiment.optimizer.name} cannot train in "fp16"; use "fp32" or "bf16"')
        where = "monitor"
        _check_monitor(experiment, info, has_val)
    except LayerlabError as problem:
        call = calls.get(where)
        return Problem(where, "" if call is None else str(call), str(problem), None)
    return None


def _check_monitor(experiment: Experiment, info: DataInfo, has_val: bool) -> None:
    if experiment.monitor is None:
        return
    part, _, name = experiment.monitor.partition("/")
    if part == "val" and not has_val:
        raise RequestError(f'monitor = "{experiment.monitor}", but with validation = "none" nothing is held out')
    names = ["loss", *(("mae", "rmse", "r2") if info.kind == "values" else ("accuracy", "f1"))]
    if info.kind == "classes" and info.outputs > 5 and part == "val":
        names.append("top5")
    if name not in names:
        known = [f"{part}/{other}" for other in names]
        hint = did_you_mean(experiment.monitor, known) or f"there are {', '.join(known)}"
        raise RequestError(f'monitor = "{experiment.monitor}" is not measured here; {hint}')


def _memory_problem(memory: Mapping[str, int]) -> Problem | None:
    """Weights, gradients and the optimizer's state must be held whatever the batch."""
    held = memory["weights"] + memory["gradients"] + memory["optimizer"]
    if held <= memory["available"]:
        return None
    text = (
        f"weights, gradients and the optimizer's state take {_gib(held)}, and {_gib(memory['available'])} are free; "
        "take smaller layers"
    )
    return Problem("network", "", text)


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"


def _batch_of_one(experiment: Experiment, propagations: Mapping[str, Propagation]) -> Problem | None:
    """BatchNorm needs two values a channel; with batches of one sample a picture has them, a vector has not. One that
    is frozen, alone or with what holds it, is in eval mode and needs none (see `stepping.set_training`)."""
    if experiment.data.batch_size > 1:
        return None
    for found in propagations.values():
        inside = tuple(f"{node.path}." for node in backbone_nodes(found.nodes))
        still = {row.path for row in found.rows if row.parameters and not row.trainable} | set(never_trained(found))
        frozen = tuple(f"{path}." for path in still)
        for row in found.rows:
            if row.path.startswith(inside) or f"{row.path}.".startswith(frozen):
                continue
            if row.call.startswith("BatchNorm") and math.prod(row.output_shape[1:]) == 1:
                text = f"{row.call} cannot train on batches of one sample, which have no variance; take batch_size = 2"
                return Problem(row.path, row.call, text)
        for node in backbone_nodes(found.nodes):
            path = None if f"{node.path}.".startswith(frozen) else single_value_norm(node)
            if path is not None:
                text = f"{path} cannot train on batches of one sample, which have no variance; take batch_size = 2"
                return Problem(node.path, str(node.call), text)
    return None


def has_batch_norm(experiment: Experiment, propagations: Mapping[str, Propagation]) -> bool:
    """Whether a network holds a BatchNorm, a Backbone's own ones included."""
    return any(
        "BatchNorm" in str(layer) for network in experiment.networks.values() for layer in network.layers
    ) or any(measured(node).normed for found in propagations.values() for node in backbone_nodes(found.nodes))


def _last_batch_of_one(experiment: Experiment, info: DataInfo, propagations: Mapping[str, Propagation]) -> list[str]:
    """A last batch of a single sample under BatchNorm: say so before the run, and what is done about it."""
    size = experiment.data.batch_size
    if not has_batch_norm(experiment, propagations) or info.train is None or size == 1:
        return []
    train = training_samples(experiment, info)
    if train is not None and train % size == 1:
        return [
            f"the last batch of an epoch would hold a single sample, which BatchNorm cannot train on: "
            f"it joins the batch before it ({size + 1} samples)"
        ]
    return []


def _data_warnings(experiment: Experiment, source: Source, info: DataInfo, place: Place) -> list[str]:
    """What becomes of the data otherwise than the settings alone would have it."""
    warnings = list(info.notes)
    if info.validation is not None and experiment.data.validation.name == "holdout":
        warnings.append(
            f"{experiment.data.source.name} has a validation part of its own ({info.validation:,} samples): it is "
            f"validated on that, and {experiment.data.validation} holds nothing out of the training part"
        )
    samples = sum(count for count in (info.train, info.validation, info.test) if count is not None)
    if isinstance(source, Photographs):
        large = too_large(samples * math.prod(info.input_shape))
        if large is not None and not source.decoded(place):
            warnings.append(large)
    return warnings


def training_samples(experiment: Experiment, info: DataInfo) -> int | None:
    """How many samples are left to train on after the split."""
    validation = experiment.data.validation
    if info.train is None or info.validation is not None or validation.name != "holdout":
        return info.train
    fraction = validation.args[0] if validation.args else validation.get("fraction", 0.2)
    return info.train - math.ceil(info.train * float(fraction)) if isinstance(fraction, int | float) else None
