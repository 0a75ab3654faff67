"""What can be known of a backbone before it is built: shapes, parameters, multiply-accumulates, and whether it fits.

A model runs once on the meta device; what was found is remembered, as an experiment is checked after every change.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from engine.apart import always_apart
from engine.backbone_cut import ParametersUsed, Reached, leave_after
from engine.backbones import check_module, drop_auxiliary, heads_of, meta_model
from engine.errors import RequestError
from engine.flops import FlopCount

# As in shapes.py: a prime, so that a batch that was folded into another dimension shows.
BATCH = 13
LEVELS = 2


@dataclass(frozen=True)
class ModuleShape:
    """One module of a model, for one sample: its path in the model, and what was measured while it ran; or a parameter
    that none of these modules holds, with its own shape and nothing measured."""

    path: str
    text: str
    output_shape: tuple[int, ...]
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Measured:
    """What one run of a model showed.

    `modules` are in the order of the model, `parameters` (path, numbers), `heads` the modules that depend on the number
    of classes, `kept` the paths of all modules and parameters that have a part in the output of a cut model. `single`
    are the BatchNorms with one value a channel and sample, `normed` says whether there is any BatchNorm.
    """

    output_shape: tuple[int, ...]
    macs: int
    activation_bytes: int
    modules: tuple[ModuleShape, ...]
    parameters: tuple[tuple[str, int], ...]
    module_paths: tuple[str, ...]
    heads: tuple[str, ...]
    kept: frozenset[str]
    single: tuple[str, ...]
    normed: bool


@dataclass
class _Note:
    text: str
    output_shape: tuple[int, ...] = ()
    macs: int = 0
    bytes: int = 0


@dataclass
class _Watch:
    """Hooks on the modules of one model."""

    flops: FlopCount
    notes: dict[str, _Note] = field(default_factory=dict)
    # Of the modules that run: the operations, and the bytes of results, before them.
    stack: list[tuple[int, int]] = field(default_factory=list)
    single: list[str] = field(default_factory=list)
    normed: bool = False

    def attach(self, model: nn.Module) -> None:
        for path, module in model.named_modules():
            if path:
                self._attach(path, module)

    def _attach(self, path: str, module: nn.Module) -> None:
        def before(module: nn.Module, inputs: Any) -> None:
            self.stack.append((self.flops.total, self.flops.bytes))
            if path.count(".") < LEVELS:
                self.notes.setdefault(path, _Note(_text(module)))

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            start, held = self.stack.pop()
            result = _first(output)
            if result is None:
                return
            note = self.notes.get(path)
            if note is not None:
                note.output_shape = tuple(result.shape[1:])
                note.macs += (self.flops.total - start) // 2 // BATCH
                note.bytes += (self.flops.bytes - held) // BATCH
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                self.normed = True
                if result.shape[2:].numel() == 1:
                    self.single.append(path)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    def left(self, until: str, output: Tensor) -> None:
        """The model was left in the middle of the modules around `until`: what they gave is what that gave."""
        parts = until.split(".")
        for level, (start, held) in enumerate(self.stack, 1):
            note = self.notes.get(".".join(parts[:level]))
            if note is not None:
                note.output_shape = tuple(output.shape[1:])
                note.macs += (self.flops.total - start) // 2 // BATCH
                note.bytes += (self.flops.bytes - held) // BATCH


def _first(output: Any) -> Tensor | None:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _text(module: nn.Module) -> str:
    name = type(module).__name__
    inside = module.extra_repr() if next(module.children(), None) is None else ""
    return f"{name}({inside})"


@lru_cache(maxsize=64)
@always_apart
def measure(
    name: str,
    weights: str | None,
    until: str | None,
    num_classes: int,
    input_shape: tuple[int, ...],
    auxiliary: bool,
) -> Measured:
    """Run a model on the meta device, in train mode. Raises RequestError for a module that is not there, and whatever
    PyTorch raises for an input that does not fit.

    In a thread of its own, since modes belong to threads: those of a stack of layers that is being looked at would see
    all that happens here as well, and make it take twice as long.
    """
    model = meta_model(name, num_classes, weights=weights, input_shape=input_shape)
    with torch.no_grad(), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not auxiliary:
            drop_auxiliary(model)
        paths = {id(parameter): path for path, parameter in model.named_parameters()}
        flops = FlopCount()
        watch = _Watch(flops)
        watch.attach(model)
        if until is not None:
            check_module(until, (path for path, _ in model.named_modules()), name)
            leave_after(model.get_submodule(until))
        inputs = torch.empty((BATCH, *input_shape))
        used = ParametersUsed()
        entered: set[str] = set()
        if until is not None:
            _note_entered(model, entered)
        heads = heads_of(model) if until is None else ()
        with flops, used if until is not None else nullcontext():
            try:
                output = model(inputs)
                if until is not None:
                    raise RequestError(f"{name} cannot be cut after '{until}', which does not run by itself")
            except Reached as reached:
                output = reached.output
                if not isinstance(output, Tensor):
                    raise RequestError(f"{name} cannot be cut after '{until}', which gives several tensors") from None
                watch.left(str(until), output)
        # Models read the weights of some modules without running them: the output projection of attention.
        kept = {paths[one] for one in used.ids if one in paths} | entered
        kept |= {path.rpartition(".")[0] for path in kept}
        kept = {".".join(path.split(".")[: level + 1]) for path in kept for level in range(path.count(".") + 1)}
        whole = until is None
        parameters = tuple((path, p.numel()) for path, p in model.named_parameters() if whole or path in kept)
        module_paths = tuple(path for path, _ in model.named_modules() if path and (whole or path in kept))
        result = _first(output)
        if result is None:
            raise RequestError(f"{name} gives no tensor")
        ran = {
            path: ModuleShape(path, note.text, note.output_shape, note.macs, note.bytes)
            for path, note in watch.notes.items()
            if note.output_shape
        }
        shapes = {path: tuple(parameter.shape) for path, parameter in model.named_parameters()}
        modules = _in_order(model, ran, {path: shapes[path] for path, _ in parameters})
    return Measured(
        tuple(result.shape[1:]), flops.total // 2 // BATCH, flops.bytes // BATCH, modules, parameters, module_paths,
        heads, frozenset(kept), tuple(watch.single), watch.normed,
    )  # fmt: skip


def _in_order(
    model: nn.Module, ran: Mapping[str, ModuleShape], parameters: Mapping[str, tuple[int, ...]]
) -> tuple[ModuleShape, ...]:
    """The modules that ran in the order of the model, as "to:MODULE" goes by it, each before what it holds; and
    parameters beside them, such as the class token of a vision transformer, where they stand in the model."""
    holding = {path.rpartition(".")[0] for path in ran}
    found: list[ModuleShape] = []
    for path, module in model.named_modules():
        if path in ran:
            found.append(ran[path])
        for name in module._parameters if path == "" or path in holding else ():
            own = f"{path}.{name}" if path else name
            if own in parameters:
                found.append(ModuleShape(own, "Parameter()", parameters[own], 0, 0))
    return tuple(found)


def _note_entered(model: nn.Module, entered: set[str]) -> None:
    for path, module in model.named_modules():
        if path:
            module.register_forward_pre_hook(lambda module, inputs, path=path: entered.add(path))
