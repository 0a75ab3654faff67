"""Optimizers and learning rate schedules, built from their calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from engine.calls import Call
from engine.catalogue import bind, find
from engine.errors import RequestError
from engine.freezing import Group
from engine.metrics import higher_is_better
from engine.rules import RUN_LENGTHS

# These count batches; every other schedule counts epochs.
PER_BATCH = frozenset({"OneCycleLR", "CyclicLR"})
# These call back for the loss several times a step.
WANTS_CLOSURE = frozenset({"LBFGS"})
# One parameter group is all that these take.
ONE_RATE = frozenset({"LBFGS"})
# What schedules name as rates: each parameter group is given its share of them.
# CosineAnnealingLR's eta_min is one number for all groups, which follow the first of them (`Schedule._keep_ratios`).
LOWEST = "eta_min"
RATES = {
    "OneCycleLR": ("max_lr",),
    "CyclicLR": ("base_lr", "max_lr"),
    "ReduceLROnPlateau": ("min_lr",),
    "SWALR": ("swa_lr",),
}
# A rate of 0 that was set is kept as this one, too small to train anything: from 0 the shape of a schedule could not
# be scaled back. What schedules make of it stays below the second number, and is told as 0.
NO_RATE, STILL_NO_RATE = 1e-30, 1e-25


def build_optimizers(call: Call, parameters: Iterable[nn.Parameter]) -> list[Optimizer]:
    """The optimizer of a call over all parameters that want gradients, each exactly once, at the full learning rate.

    Raises what `build_grouped` raises.
    """
    return build_grouped(call, [Group(tuple({id(p): p for p in parameters if p.requires_grad}.values()))])


def build_grouped(call: Call, groups: Sequence[Group]) -> list[Optimizer]:
    """The optimizer of a call with a parameter group for each share of the learning rate, in their order.

    Muon takes matrices alone; biases, norms and convolution kernels go to a second optimizer, AdamW with its defaults.
    Groups hold what is thawed later, too. Raises RequestError where the call is wrong, nothing can be trained, or the
    optimizer (LBFGS) has one rate for all.
    """
    entry = find("optimizers", call.name)
    arguments = dict(bind(entry, call))
    if call.name == "LBFGS":
        # With PyTorch's default of no search, a few steps on batches end in NaN.
        arguments.setdefault("line_search_fn", "strong_wolfe")
    groups = [group for group in groups if group.parameters]
    if not groups:
        raise RequestError("nothing to train: every parameter is frozen, or the network has none")
    if call.name in ONE_RATE and len(groups) > 1:
        raise RequestError(
            f"{call.name} has one rate for all layers; leave lr_scale out, or take another optimizer, such as SGD"
        )
    with refused(call):
        if call.name == "Muon":
            matrices = [_part(group, lambda p: p.ndim == 2) for group in groups]
            others = [_part(group, lambda p: p.ndim != 2) for group in groups]
            made = [_grouped(entry.target, matrices, arguments)] if any(g.parameters for g in matrices) else []
            return made + ([_grouped(torch.optim.AdamW, others, {})] if any(g.parameters for g in others) else [])
        return [_grouped(entry.target, groups, arguments)]


def _part(group: Group, belongs: Callable[[nn.Parameter], bool]) -> Group:
    return Group(tuple(parameter for parameter in group.parameters if belongs(parameter)), group.lr_scale)


def _grouped(target: Callable[..., Any], groups: Sequence[Group], arguments: Mapping[str, Any]) -> Optimizer:
    """Where there is one group at the full rate, just what PyTorch makes of a list of parameters."""
    groups = [group for group in groups if group.parameters]
    if len(groups) == 1:
        optimizer: Optimizer = target(list(groups[0].parameters), **arguments)
    else:
        optimizer = target([{"params": list(group.parameters)} for group in groups], **arguments)
    for made, group in zip(optimizer.param_groups, groups, strict=True):
        if group.lr_scale != 1.0:
            made["lr"] = made["lr"] * group.lr_scale
            made["lr_scale"] = group.lr_scale
    return optimizer


@contextmanager
def refused(call: Call) -> Iterator[None]:
    """Turns what torch has against the arguments of a call into a RequestError that names it."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError) as error:
        raise RequestError(f"`{call}`: {str(error).partition(chr(10))[0]}") from None


def rehearse(call: Call, optimizers: Sequence[Optimizer]) -> None:
    """Take a step with gradients of 0: some arguments are refused only then. Raises RequestError."""

    def closure() -> float:
        return 0.0

    with refused(call):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = torch.zeros_like(parameter)
            optimizer.step(closure)


class Schedule:
    """The learning rate over a run: one scheduler of the same call for each optimizer.

    `after_step` is called once the optimizer has stepped, `after_epoch` after validation; each steps what counts in
    its unit.
    """

    def __init__(
        self, call: Call | None, optimizers: Sequence[Optimizer], *, epochs: int, steps_per_epoch: int, monitor: str
    ) -> None:
        """`steps_per_epoch` counts optimizer steps; `monitor` is the metric ("val/loss") that a plateau is seen in."""
        self._optimizers = list(optimizers)
        self._symbols = {"epochs": epochs, "steps": epochs * steps_per_epoch}
        self._monitor = monitor
        self.per_batch = call is not None and call.name in PER_BATCH
        self.on_plateau = call is not None and call.name == "ReduceLROnPlateau"
        self._schedulers = [] if call is None else [self._build(call, optimizer) for optimizer in self._optimizers]
        self._keep_ratios()

    def _build(self, call: Call, optimizer: Optimizer, inner: bool = False) -> LRScheduler:
        entry = find("schedulers", call.name)
        arguments: dict[str, Any] = dict(bind(entry, call, self._symbols))
        if inner and (call.name in PER_BATCH or call.name == "ReduceLROnPlateau"):
            raise RequestError(f"`{call}` cannot be a part of another schedule: it does not count epochs")
        length = RUN_LENGTHS.get(call.name)
        if length is not None and arguments.get(length) is None and arguments.get("epochs") is None:
            arguments[length] = self._symbols["steps" if call.name in PER_BATCH else "epochs"]
        if call.name == "ReduceLROnPlateau" and call.get("mode") is None:
            arguments["mode"] = "max" if higher_is_better(self._monitor) else "min"
        if call.name in PER_BATCH and not {"momentum", "betas"} & set(optimizer.defaults):
            # torch cycles the momentum unless told otherwise, and refuses optimizers that have none.
            arguments.setdefault("cycle_momentum", False)
        shares = _shares(optimizer)
        for name in RATES.get(call.name, ()) if shares != [1.0] else ():
            rate = arguments.get(name)
            if isinstance(rate, int | float):
                arguments[name] = [rate * share for share in shares]
        if isinstance(arguments.get(LOWEST), int | float):
            arguments[LOWEST] *= shares[0]
        parts = arguments.get("schedulers")
        if parts is not None:
            arguments["schedulers"] = [self._build(part, optimizer, inner=True) for part in self._calls(call, parts)]
        if call.name == "SequentialLR":
            arguments["milestones"] = list(arguments["milestones"])
        with refused(call):
            if call.name == "ChainedScheduler":
                return entry.target(arguments["schedulers"], optimizer=optimizer)  # type: ignore[no-any-return]
            return entry.target(optimizer, **arguments)  # type: ignore[no-any-return]

    @staticmethod
    def _calls(call: Call, parts: Any) -> list[Call]:
        if not isinstance(parts, tuple | list) or not all(isinstance(part, Call) for part in parts) or not parts:
            raise RequestError(f"`{call}`: schedulers wants a list of schedulers, such as [LinearLR(), StepLR(7)]")
        return list(parts)

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        value = float(self._optimizers[0].param_groups[0]["lr"])
        return value if abs(value) > STILL_NO_RATE else 0.0

    def after_step(self) -> None:
        """One optimizer step is done."""
        if not self.per_batch:
            return
        for scheduler in self._schedulers:
            # Epochs that were added come after the end of the cycle: the rate stays where it ended.
            if not isinstance(scheduler, OneCycleLR) or scheduler.last_epoch < scheduler.total_steps - 1:
                scheduler.step()
        self._keep_ratios()

    def after_epoch(self, metrics: Mapping[str, float]) -> None:
        """One epoch is done and measured."""
        if self.per_batch:
            return
        for scheduler in self._schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(metrics[self._monitor])
            else:
                scheduler.step()
        self._keep_ratios()

    def _keep_ratios(self) -> None:
        """Some schedules end at a rate that is the same for every group (CosineAnnealingLR's eta_min), or leave out
        what is small (a plateau's eps): the groups of an optimizer follow the first of it there."""
        if not self._schedulers:
            return
        for optimizer in self._optimizers:
            first, *others = optimizer.param_groups
            for group in others:
                wanted = float(first["lr"]) * group.get("lr_scale", 1.0) / first.get("lr_scale", 1.0)
                if not math.isclose(float(group["lr"]), wanted, rel_tol=1e-9):
                    group["lr"] = wanted

    def rehearse(self, call: Call, epochs: int) -> None:
        """Go through epochs of one step each: some arguments are refused only on the way. Raises RequestError."""
        with refused(call):
            for _ in range(epochs):
                self.after_step()
                self.after_epoch({self._monitor: 1.0})

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the first group; the others, and what the schedule starts from, follow in ratio."""
        lr = max(lr, NO_RATE)
        before = float(self._optimizers[0].param_groups[0]["lr"])
        factor = lr / before if before > 0 else None
        scaled = ("initial_lr", "max_lr", "min_lr", "base_lr")
        for optimizer in self._optimizers:
            first = optimizer.param_groups[0].get("lr_scale", 1.0)
            for group in optimizer.param_groups:
                value = lr * group.get("lr_scale", 1.0) / first if factor is None else float(group["lr"]) * factor
                group["lr"] = torch.full_like(group["lr"], value) if isinstance(group["lr"], torch.Tensor) else value
                for key in scaled:
                    if factor is not None and key in group:
                        group[key] = group[key] * factor
        if factor is not None:
            for scheduler in self._leaves():
                for name in ("base_lrs", "max_lrs", "_last_lr"):
                    values = getattr(scheduler, name, None)
                    if isinstance(values, list):
                        setattr(scheduler, name, [value * factor for value in values])
        self._optimizers[0].param_groups[0]["lr"] = lr

    def _leaves(self) -> Iterable[LRScheduler]:
        waiting = list(self._schedulers)
        while waiting:
            scheduler = waiting.pop()
            yield scheduler
            waiting += getattr(scheduler, "_schedulers", [])

    def state(self) -> list[dict[str, Any]]:
        """The state of each scheduler, without anything that can be called."""
        return [_plain_state(scheduler) for scheduler in self._schedulers]

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take up what `state` gave."""
        for scheduler, state in zip(self._schedulers, states, strict=True):
            _load_plain_state(scheduler, state)


def _shares(optimizer: Optimizer) -> list[float]:
    """The share of the learning rate that each group of an optimizer has."""
    return [float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups]


def _plain_state(scheduler: LRScheduler) -> dict[str, Any]:
    """Numbers and lists of a scheduler's attributes; its parts in "_schedulers".

    torch's own state_dict of CyclicLR and of LambdaLR holds functions, which a checkpoint must not.
    """
    state = {name: value for name, value in vars(scheduler).items() if _is_plain(value)}
    parts = getattr(scheduler, "_schedulers", None)
    if parts is not None:
        state["_schedulers"] = [_plain_state(part) for part in parts]
    return state


def _load_plain_state(scheduler: LRScheduler, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if name != "_schedulers":
            setattr(scheduler, name, value)
    for part, inner in zip(getattr(scheduler, "_schedulers", []), state.get("_schedulers", []), strict=True):
        _load_plain_state(part, inner)


def _is_plain(value: object) -> bool:
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return True
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return isinstance(value, list | tuple) and all(_is_plain(item) for item in value)
