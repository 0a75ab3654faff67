"""Everything that a call can name, read from the installed torch and from layerlab's own registries.

What introspection cannot tell is data in rules.py. A name is usable as it is, adapted, or refused with a reason.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from engine import layers, rules
from engine.backbones import Backbone
from engine.binding import bind, placed, reserved, shortened
from engine.calls import Call, Table, Value
from engine.entry import REQUIRED, Entry, Parameter, first_line, parameters_of
from engine.errors import RequestError, SpecError, nearest

if TYPE_CHECKING:
    from engine.spec import Experiment

__all__ = [
    "ALLOWED_MODULES", "KINDS", "REQUIRED", "Entry", "Parameter", "allow", "bind", "canonical", "canonical_call",
    "check_call", "entries", "find", "placed", "reserved", "shorten", "validate",
]  # fmt: skip

KINDS = (
    "layers", "losses", "optimizers", "schedulers", "initialisers", "sources", "augmentations", "validations", "tasks",
)  # fmt: skip

_WORD = {
    "layers": "a layer", "losses": "a loss", "optimizers": "an optimizer", "schedulers": "a scheduler",
    "initialisers": "an initialiser", "sources": "a data source", "augmentations": "an augmentation",
    "validations": "a way to validate", "tasks": "a task",
}  # fmt: skip

# Modules of a person's own that a dotted name may import. Filled by `allow`, on the person's word only.
ALLOWED_MODULES: set[str] = set()


class _Registry(Protocol):
    def __call__(self) -> dict[str, Entry]: ...


def allow(module_prefix: str) -> None:
    """Let dotted names import from this module and from those below it: `allow("mypackage")`."""
    if not all(part.isidentifier() for part in module_prefix.split(".")):
        raise RequestError(f"`{module_prefix}` is not a module; write a name such as mypackage.blocks")
    ALLOWED_MODULES.add(module_prefix)


def entries(kind: str, refused: bool = False) -> dict[str, Entry]:
    """The names of a kind in alphabetical order, with `refused=True` also those that cannot be used."""
    found = _all(kind)
    return dict(found) if refused else {name: entry for name, entry in found.items() if entry.refused is None}


def find(kind: str, name: str) -> Entry:
    """The entry of a name that can be used.

    Raises RequestError for an unknown name (with the nearest one), for a refused one (with the reason), and for a
    dotted name `package.module:Name` from a module that was not allowed or has no such layer.
    """
    if ":" in name:
        return _own_module(kind, name)
    known = _all(kind)
    entry = known.get(name)
    if entry is None:
        usable = [other for other, one in known.items() if one.refused is None]
        close = nearest(name, usable)
        if close:
            hint = f"; did you mean `{close}`?"
        elif len(usable) <= 12:
            hint = f"; there are {', '.join(usable)}"
        else:
            hint = f"; `layerlab catalogue {kind}` lists them"
        raise RequestError(f"`{name}` is not {_WORD[kind]}{hint}")
    if entry.refused is not None:
        raise RequestError(f"`{name}` cannot be used: {entry.refused}")
    return entry


def shorten(kind: str, call: Call) -> tuple[Call, dict[str, object]]:
    """The call in its short form, and the sizes that it gave: `nn.Conv2d(1, 32, 3)` -> `Conv2d(32, 3)`,
    {"in_channels": 1}. Nested calls are left as they are; `canonical_call` goes into them."""
    return shortened(find(kind, call.name), call)


def canonical_call(kind: str, call: Call) -> Call:
    """The form to be stored: short, at every depth."""
    return _map(shorten(kind, call)[0], lambda nested, name: canonical_call(_kind_of(kind, name), nested))


def check_call(kind: str, call: Call) -> None:
    """Check the name and the arguments of a call and of those inside it; RequestError where something is wrong."""
    entry = find(kind, call.name)
    bind(entry, call)

    def check_nested(nested: Call, name: str) -> Call:
        check_call(_kind_of(kind, name), nested)
        return nested

    _map(call, check_nested)


def validate(experiment: Experiment) -> Experiment:
    """Check every name and every argument of an experiment, and return it as it is: given sizes stay, for the shape
    check. Raises SpecError with field, file and line. Whether the shapes fit is for `shapes.propagate` to say."""
    for field, kind, call in _choices(experiment):
        try:
            check_call(kind, call)
        except RequestError as error:
            origin = experiment.where(field)
            file, line = (origin.file, origin.line) if origin else ("", None)
            raise SpecError(str(error), field=field, file=file, line=line) from None
    return experiment


def canonical(experiment: Experiment) -> Experiment:
    """The experiment as it is stored once its shapes are checked: layers in the short form, no prefixes."""
    networks = {
        name: network.model_copy(
            update={
                "layers": tuple(canonical_call("layers", call) for call in network.layers),
                "init": network.init and canonical_call("initialisers", network.init),
            }
        )
        for name, network in experiment.networks.items()
    }
    changed: dict[str, object] = {"networks": type(experiment.networks)(networks)}
    for field, kind in (("loss", "losses"), ("optimizer", "optimizers"), ("scheduler", "schedulers")):
        call = getattr(experiment, field)
        changed[field] = call and canonical_call(kind, call)
    return experiment.model_copy(update=changed)


def _choices(experiment: Experiment) -> Iterator[tuple[str, str, Call]]:
    """Every call of an experiment with its field and its kind."""
    data = experiment.data
    yield "task", "tasks", experiment.task
    yield "data.source", "sources", data.source
    for index, call in enumerate(data.augment):
        yield f"data.augment.{index}", "augmentations", call
    yield "data.validation", "validations", data.validation
    for name, network in experiment.networks.items():
        table = "network" if list(experiment.networks) == ["model"] else f"network.{name}"
        for index, call in enumerate(network.layers):
            yield f"{table}.layers.{index}", "layers", call
        if network.init is not None:
            yield f"{table}.init", "initialisers", network.init
    yield "loss", "losses", experiment.loss
    yield "optimizer", "optimizers", experiment.optimizer
    if experiment.scheduler is not None:
        yield "scheduler", "schedulers", experiment.scheduler


def _kind_of(kind: str, argument: str) -> str:
    return "initialisers" if kind == "layers" and argument == "init" else kind


def _map(call: Call, change: Callable[[Call, str], Call]) -> Call:
    def changed(value: Value, name: str) -> Value:
        if isinstance(value, tuple):
            return tuple(changed(item, name) for item in value)
        if isinstance(value, Table):
            return Table(tuple((key, changed(item, name)) for key, item in value.items))
        return change(value, name) if isinstance(value, Call) else value

    args = tuple(changed(value, "") for value in call.args)
    kwargs = tuple((name, changed(value, name)) for name, value in call.kwargs)
    return Call(call.name, args, kwargs, call.prefix)


# -- what is found where -----------------------------------------------------------------------------------------------


def _all(kind: str) -> dict[str, Entry]:
    if kind not in KINDS:
        raise RequestError(f"`{kind}` is not a kind of the catalogue; there are {', '.join(KINDS)}")
    return _FOUND[kind]()


def _classes(module: ModuleType, base: type) -> dict[str, type]:
    """The public classes of a module under their own names: an old name of another class is an alias, left out."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if inspect.isclass(value) and issubclass(value, base) and value.__name__ == name and not name.startswith("_")
    }


def _entry(
    kind: str,
    name: str,
    target: Callable[..., Any],
    *,
    refused: str | None = None,
    doc_of: Callable[..., Any] | None = None,
    optional: str | None = None,
    **more: Any,
) -> Entry:
    """`optional` names a parameter that PyTorch requires and that is known here."""
    doc = inspect.getdoc(doc_of or target) or ""
    choices = {parameter: texts for (owner, parameter), texts in rules.CHOICES.items() if owner == name}
    exclude = rules.EXCLUDED.get(kind, frozenset())
    parameters = tuple(
        replace(parameter, default=None) if parameter.name == optional else parameter
        for parameter in parameters_of(target, exclude=exclude, choices=choices)
    )
    line = rules.LINES.get(name) or first_line(doc)
    return Entry(kind, name, target, parameters, line, doc, refused=refused, **more)


def _is_loss(name: str) -> bool:
    # AdaptiveLogSoftmaxWithLoss is layer and loss in one, and is refused as a layer.
    return name.endswith(("Loss", "Loss2d")) and name not in rules.REFUSED


@cache
def _layers() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    usable: dict[str, Callable[..., Any]] = {**_classes(nn, nn.Module), **layers.OWN, "Backbone": Backbone}
    for name, layer in usable.items():
        if _is_loss(name):
            continue
        refused = rules.REFUSED.get(name)
        if name.startswith("Lazy"):
            short = name.removeprefix("Lazy")
            refused = f"write {short}(...): sizes are inferred"
        adapter = layers.ADAPTERS.get(name) or layers.CONTAINERS.get(name)
        inferred = rules.INFERRED.get(name)
        found[name] = _entry(
            "layers", name, adapter or layer, refused=refused, doc_of=layer,
            inferred=(inferred[0],) if inferred and refused is None else (), adapted=rules.ADAPTED.get(name),
        )  # fmt: skip
    return dict(sorted(found.items()))


@cache
def _losses() -> dict[str, Entry]:
    from engine.losses import REFUSED

    found = {
        name: loss
        for name, loss in _classes(nn, nn.Module).items()
        # NLLLoss2d is the old name of NLLLoss, kept by PyTorch as a class of its own.
        if _is_loss(name) and name != "NLLLoss2d"
    }
    return {name: _entry("losses", name, loss, refused=REFUSED.get(name)) for name, loss in found.items()}


@cache
def _optimizers() -> dict[str, Entry]:
    found = _classes(torch.optim, torch.optim.Optimizer)
    return {
        name: _entry(
            "optimizers",
            name,
            optimizer,
            refused=rules.REFUSED_OPTIMIZERS.get(name),
            adapted=rules.ADAPTED_OPTIMIZERS.get(name),
        )
        for name, optimizer in found.items()
        if name not in rules.BASES
    }


@cache
def _schedulers() -> dict[str, Entry]:
    module = torch.optim.lr_scheduler
    found = {
        **_classes(module, module.LRScheduler),
        **_classes(torch.optim.swa_utils, module.LRScheduler),
        "ReduceLROnPlateau": module.ReduceLROnPlateau,
    }
    return {
        name: _entry(
            "schedulers",
            name,
            scheduler,
            refused=rules.REFUSED_SCHEDULERS.get(name),
            adapted=rules.ADAPTED_SCHEDULERS.get(name),
            optional=rules.RUN_LENGTHS.get(name),
        )
        for name, scheduler in sorted(found.items())
        if name not in rules.BASES
    }


@cache
def _initialisers() -> dict[str, Entry]:
    return {
        name: _entry("initialisers", name, function)
        for name, function in sorted(vars(nn.init).items())
        if inspect.isfunction(function) and name.endswith("_") and not name.startswith("_")
    }


def _sources() -> dict[str, Entry]:
    from engine.data.sources import SOURCES

    return _registered("sources", SOURCES)


def _augmentations() -> dict[str, Entry]:
    from engine.data.augment import AUGMENTATIONS

    return _registered("augmentations", AUGMENTATIONS)


def _tasks() -> dict[str, Entry]:
    from engine.tasks import TASKS

    return _registered("tasks", TASKS)


def _registered(kind: str, registry: Mapping[str, type]) -> dict[str, Entry]:
    return {name: _entry(kind, name, registry[name]) for name in sorted(registry)}


@cache
def _validations() -> dict[str, Entry]:
    from engine.data.split import VALIDATIONS

    return {name: _entry("validations", name, function) for name, function in sorted(VALIDATIONS.items())}


_FOUND: dict[str, _Registry] = {
    "layers": _layers, "losses": _losses, "optimizers": _optimizers, "schedulers": _schedulers,
    "initialisers": _initialisers, "sources": _sources, "augmentations": _augmentations,
    "validations": _validations, "tasks": _tasks,
}  # fmt: skip


def _own_module(kind: str, name: str) -> Entry:
    """A person's own class, `package.module:Name`: imported only where `allow` said so."""
    module_name, _, attribute = name.partition(":")
    parts = module_name.split(".")
    if not any(".".join(parts[: end + 1]) in ALLOWED_MODULES for end in range(len(parts))):
        raise RequestError(
            f"`{name}` would import {module_name}, which was not allowed; "
            f"to run its code, start layerlab with --allow {module_name}"
        )
    if kind != "layers":
        raise RequestError(f"`{name}` is not {_WORD[kind]}: only layers can come from a module of one's own")
    try:
        target = getattr(importlib.import_module(module_name), attribute, None)
    except Exception as error:
        raise RequestError(f"`{name}`: {module_name} could not be imported: {error}") from error
    if not (inspect.isclass(target) and issubclass(target, nn.Module)):
        raise RequestError(f"`{name}` is not a layer: {module_name} has no torch.nn.Module named {attribute}")
    doc = inspect.getdoc(target) or ""
    return Entry(kind, name, target, parameters_of(target), first_line(doc), doc)
