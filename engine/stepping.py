"""One optimizer step: gradients over one or several batches, clipping, mixed precision, and the moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from engine import snapshot
from engine.data.info import Batch
from engine.nodes import noted_frozen
from engine.spec import Experiment
from engine.tasks import Objective, Outcome


class NonFiniteLoss(Exception):
    """The loss of a batch is NaN or infinite; raised before anything was changed by it."""

    def __init__(self, batch: Batch, value: float) -> None:
        self.batch = batch
        self.value = value
        super().__init__(f"the loss is {value}")


class Stepper:
    """Takes optimizer steps for one network."""

    def __init__(
        self,
        experiment: Experiment,
        network: nn.Module,
        optimizers: Sequence[Optimizer],
        objective: Objective,
        autocast: torch.dtype | None,
        device: torch.device,
        closure: bool,
    ) -> None:
        """`autocast` is the type to compute in, None for full precision; `closure`: the optimizer calls back."""
        self.network = network
        self.optimizers = list(optimizers)
        self._objective = objective
        self._parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        self._clip_norm, self._clip_value = experiment.clip_norm, experiment.clip_value
        self._autocast = autocast
        self._device = device
        self._closure = closure
        # On the CPU the loss is at hand; elsewhere reading it would make every step wait for the device.
        self._look = device.type == "cpu"
        self.scaler = torch.amp.GradScaler(device.type) if autocast is torch.float16 else None
        # Called with the parameters once their gradients are whole, before anything bounds them; see gauge.py.
        self.before_clipping: Callable[[Sequence[Tensor]], None] | None = None
        self.average: AveragedModel | None = None
        if experiment.ema is not None:
            self.average = AveragedModel(
                network,
                multi_avg_fn=get_ema_multi_avg_fn(experiment.ema),  # type: ignore[no-untyped-call]
                use_buffers=True,
            )

    def step(self, batches: Sequence[Batch], note: Callable[[Outcome], None]) -> bool:
        """Make one step over a group of batches, whose gradient is that of one batch holding all of them.

        `note` is told the outcome of each batch, once. True where the optimizer stepped; a gradient scaler leaves out
        a step whose gradients overflowed. Raises NonFiniteLoss before anything is changed.
        """
        if self._closure:
            return self._step_with_closure(batches, note)
        self._gradients(batches, note)
        if self.scaler is None:
            self._clip()
            for optimizer in self.optimizers:
                optimizer.step()
        else:
            # The scaler refuses an optimizer all of whose parameters are still frozen.
            optimizers = [optimizer for optimizer in self.optimizers if _has_gradients(optimizer)]
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)
            self._clip()
            before = self.scaler.get_scale()
            for optimizer in optimizers:
                self.scaler.step(optimizer)
            self.scaler.update()
            if self.scaler.get_scale() < before:
                return False
        if self.average is not None:
            self.average.update_parameters(self.network)
        return True

    def _step_with_closure(self, batches: Sequence[Batch], note: Callable[[Outcome], None]) -> bool:
        first = [True]

        def closure() -> Tensor:
            # The optimizer tries several weights in a step; what it began with is what the epoch reports.
            total = self._gradients(batches, note if first[0] else _ignore)
            first[0] = False
            self._clip()
            return total

        for optimizer in self.optimizers:
            optimizer.step(closure)  # type: ignore[arg-type]
        if self.average is not None:
            self.average.update_parameters(self.network)
        return True

    def _gradients(self, batches: Sequence[Batch], note: Callable[[Outcome], None]) -> Tensor:
        """Gradients of the mean loss over all samples of the group; returns that loss."""
        for parameter in self._parameters:
            parameter.grad = None
        if len(batches) == 1:
            loss = self._forward(batches[0], note)
            self._backward(loss)
            return loss.detach()
        shares = _shares([self._objective.weigh(batch) for batch in batches])
        total = torch.zeros((), device=self._device)
        for batch, share in zip(batches, shares, strict=True):
            loss = self._forward(batch, note) * share
            self._backward(loss)
            total += loss.detach()
        return total

    def _forward(self, batch: Batch, note: Callable[[Outcome], None]) -> Tensor:
        if self._autocast is None:
            outcome = self._objective.compute(batch)
        else:
            with self.autocast():
                outcome = self._objective.compute(batch)
        if self._look:
            value = outcome.loss.item()
            # Trying a step, LBFGS may land where the loss is infinite, and comes back by itself.
            if not math.isfinite(value) and note is not _ignore:
                raise NonFiniteLoss(batch, value)
        note(outcome)
        return outcome.loss

    def _backward(self, loss: Tensor) -> None:
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def _clip(self) -> None:
        if self.before_clipping is not None:
            self.before_clipping(self._parameters)
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        if self._clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, self._clip_value)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that forward passes run in."""
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._autocast)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is measured and kept: the moving average where there is one."""
        module: nn.Module = self.network if self.average is None else self.average.module
        return module

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the network's own weights."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "averaged": None if self.average is None else int(self.average.n_averaged),
        }

    def load(self, state: Mapping[str, Any], average: Mapping[str, Tensor] | None) -> None:
        """Take up what `state` gave; `average` is the state_dict of the averaged network."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and average is not None:
            snapshot.load(self.average.module, average)
            self.average.n_averaged.fill_(state["averaged"])


def _shares(weights: Sequence[float | Tensor]) -> list[float | Tensor]:
    """The part that each batch of a group has in the group's mean; all 0 where nothing in it counts."""
    whole = sum(weights)
    if isinstance(whole, Tensor):
        # Asking whether it is 0 would make the step wait for the device.
        return [(weight / whole.clamp(min=1e-30)).to(torch.float32) for weight in weights]
    return [weight / whole if whole else 0.0 for weight in weights]


def _has_gradients(optimizer: Optimizer) -> bool:
    return any(parameter.grad is not None for group in optimizer.param_groups for parameter in group["params"])


def _ignore(outcome: Outcome) -> None:
    pass


def set_training(network: nn.Module) -> None:
    """Train mode, but for what is frozen, with all that it holds: that does what it does in evaluation.

    A frozen BatchNorm keeps its running statistics, with parameters or without (`affine=False`), and a frozen Dropout
    lets everything through, as it does within a frozen Sequential. Frozen is a module all of whose parameters want no
    gradients, and a layer that `frozen=True`, or `thaw` before its epoch, says so of (see `nodes.note_frozen`); so a
    Dropout between frozen modules of a Backbone that trains in part is as in training.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if noted_frozen(module) or (parameters and not any(parameter.requires_grad for parameter in parameters)):
            module.eval()
