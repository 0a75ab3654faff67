"""What the layers do while they train: norms of weights and gradients, the size of an update, units that never fire.

Reads alone: no weight, buffer or generator is touched, so that a training has the same bits measured or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.measuring_plan import MeasuringPlan
from engine.stepping import Stepper

# An update is the difference to a copy of the weights. What is beyond this goes without, for on a full device a copy
# of the whole network might not fit.
COPIED_BYTES = 256 << 20
# Of fewer samples a unit that fires for one class alone may have seen none.
FEWEST_SAMPLES = 100
# Those that give 0, and let no gradient through, for whatever is below 0.
RECTIFIERS = (nn.ReLU, nn.ReLU6)


class Gauge:
    """Measures the modules of some networks, in a step that says so beforehand and in the first batch of an evaluation.

    Of a module with parameters, with all that is in it: `weight_norm` ‖w‖ as the step found it, `grad_norm` ‖g‖ of
    the whole step before clipping (and after a gradient scaler was taken out), and `update_ratio` ‖Δw‖ / ‖w‖ of what
    is trained in it. All are Euclidean norms. Of a ReLU: `dead`, the share of its units that were 0 for every sample.
    A unit is a channel behind a convolution and an output feature behind anything else.
    """

    def __init__(self, networks: Mapping[str, nn.Module], modules: Mapping[str, Sequence[str]]) -> None:
        """`modules` are the paths to measure in each network; labels begin with its name where there are several."""
        self.steps, self.evaluations = MeasuringPlan(), MeasuringPlan()
        self._prefix = len(networks) > 1
        self._tensors: list[Tensor] = []
        self._parts: dict[str, tuple[int, ...]] = {}
        self._labels: list[str] = []
        index: dict[int, int] = {}  # a parameter that is shared counts once in each module that has it
        for name, network in networks.items():
            for path in modules.get(name, ()):
                label = self._label(name, path)
                self._labels.append(label)
                held = [p for p in network.get_submodule(path).parameters() if p.is_floating_point()]
                for parameter in held:
                    if id(parameter) not in index:
                        index[id(parameter)] = len(self._tensors)
                        self._tensors.append(parameter)
                self._parts[label] = tuple(dict.fromkeys(index[id(parameter)] for parameter in held))
        self._index = index
        self._rectified = any(True for network in networks.values() for _ in _rectifiers(network))
        self._copied = self._within_limit()
        self._steppers: tuple[Stepper, ...] = ()
        self._weights: Sequence[Tensor] = ()
        self._before: list[Tensor] = []
        self._gradients: dict[int, Tensor] = {}
        self._began = 0.0
        self._norms: dict[str, dict[str, float]] = {}
        self._fired: dict[str, Tensor] = {}
        self.dead: dict[str, float] = {}  # by label, as the newest evaluation that was watched found it

    def _label(self, name: str, path: str) -> str:
        return f"{name}.{path}" if self._prefix else path

    def _within_limit(self) -> list[int]:
        chosen, total = [], 0
        for at, parameter in enumerate(self._tensors):
            size = parameter.numel() * parameter.element_size()
            if parameter.requires_grad and total + size <= COPIED_BYTES:
                chosen.append(at)
                total += size
        return chosen

    def training_changed(self) -> None:
        """Other parameters train than before: updates are measured of these from the next step on."""
        self._copied = self._within_limit()

    # -- a step

    def begin(self, steppers: Iterable[Stepper]) -> bool:
        """Before a step: whether it is measured; what is needed for that is remembered then, and `end` must follow."""
        if not self.steps.next() or not self._tensors:
            return False
        started = time.perf_counter()
        self._steppers, self._gradients = tuple(steppers), {}
        with torch.no_grad():
            self._weights = torch._foreach_norm(self._tensors)
            self._before = [self._tensors[at].detach().clone() for at in self._copied]
        for stepper in self._steppers:
            stepper.before_clipping = self._take_gradients
        self._began = time.perf_counter() - started
        return True

    def _take_gradients(self, parameters: Sequence[Tensor]) -> None:
        """The norms at the weights that the step began with: a search along the line comes here again and again."""
        found: dict[int, Tensor] = {}
        for parameter in parameters:
            at = self._index.get(id(parameter))
            if at is not None and at not in self._gradients and parameter.grad is not None:
                found[at] = _dense(parameter.grad)
        if found:
            with torch.no_grad():
                self._gradients.update(zip(found, torch._foreach_norm(list(found.values())), strict=True))

    def end(self, stepped: bool) -> bool:
        """After the step: whether there is something new to tell. Where a gradient scaler left the step out, its
        gradients had overflowed, which says nothing of the network: then there is not."""
        for stepper in self._steppers:
            stepper.before_clipping = None
        if self._tensors[0].is_cuda:
            torch.cuda.synchronize(self._tensors[0].device)  # what waits is the training's, and no cost of this
        started = time.perf_counter()
        if stepped:
            self._read()
        self._before, self._weights, self._gradients, self._steppers = [], (), {}, ()
        self.steps.took(self._began + time.perf_counter() - started)
        return stepped

    def _read(self) -> None:
        with torch.no_grad():
            updates: Sequence[Tensor] = ()
            if self._before:
                torch._foreach_sub_(self._before, [self._tensors[at] for at in self._copied])
                updates = torch._foreach_norm(self._before)
            # All in one go: every reading makes the device wait.
            read = [*self._weights, *self._gradients.values(), *updates]
            values = torch.stack([value.to(torch.float32) for value in read]).tolist()
        weight = dict(enumerate(values[: len(self._tensors)]))
        gradient = dict(zip(self._gradients, values[len(self._tensors) :], strict=False))
        update = dict(zip(self._copied, values[len(values) - len(updates) :], strict=True))
        self._norms = {label: self._row(part, weight, gradient, update) for label, part in self._parts.items() if part}

    def _row(
        self,
        part: Sequence[int],
        weight: Mapping[int, float],
        gradient: Mapping[int, float],
        update: Mapping[int, float],
    ) -> dict[str, float]:
        row = {"weight_norm": math.hypot(*(weight[at] for at in part))}
        if any(at in gradient for at in part):
            row["grad_norm"] = math.hypot(*(gradient[at] for at in part if at in gradient))
        trained = [at for at in part if self._tensors[at].requires_grad]
        size = math.hypot(*(weight[at] for at in trained))
        if trained and size > 0 and all(at in update for at in trained):
            row["update_ratio"] = math.hypot(*(update[at] for at in trained)) / size
        return {name: float(f"{value:.5g}") for name, value in row.items()}

    # -- an evaluation

    def next_evaluation(self) -> bool:
        """Whether to watch the evaluation that comes next."""
        return self._rectified and self.evaluations.next()

    @contextmanager
    def watching(self, networks: Mapping[str, nn.Module], *, alone: bool = False) -> Iterator[None]:
        """Around one batch of an evaluation: see which units of the ReLUs fire. `read_units` takes it in. `alone`: the
        batch is computed for this and nothing else."""
        self._fired, cost = {}, [0.0]
        started = time.perf_counter()
        handles = []
        for name, network in networks.items():
            for path, module, dimension in _rectifiers(network):
                look = self._looking(self._label(name, path), dimension, cost)
                handles.append(module.register_forward_hook(look))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.evaluations.took(time.perf_counter() - started if alone else cost[0])

    def _looking(self, label: str, dimension: int, cost: list[float]) -> Any:
        def look(module: nn.Module, inputs: object, output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim < 2 or len(output) < FEWEST_SAMPLES:
                return
            started = time.perf_counter()
            unit = dimension % output.ndim
            fired = torch.amax(output, [d for d in range(output.ndim) if d != unit]) > 0
            before = self._fired.get(label)
            # A module may be called several times in one pass; the same unit fires where it does in any of them.
            self._fired[label] = fired if before is None or before.shape != fired.shape else before | fired
            cost[0] += time.perf_counter() - started

        return look

    def read_units(self) -> bool:
        """Take in what `watching` saw, into `dead`; whether there was anything."""
        if not self._fired:
            return False
        shares = torch.stack([1 - fired.float().mean() for fired in self._fired.values()]).tolist()
        self.dead = {label: float(f"{share:.5g}") for label, share in zip(self._fired, shares, strict=True)}
        self._fired = {}
        return True

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The newest of everything, a row a module in the order given; a value that is not known is absent."""
        found = []
        for label in dict.fromkeys([*self._labels, *self.dead]):
            row = self._norms.get(label, {}) | ({"dead": self.dead[label]} if label in self.dead else {})
            if row:
                found.append({"path": label, **row})
        return tuple(found)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _rectifiers(network: nn.Module) -> Iterator[tuple[str, nn.Module, int]]:
    """Each ReLU with its path and the dimension of its output that counts units: that of the layer before it."""
    dimension = 1
    for path, module in network.named_modules():
        if isinstance(module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase | nn.GroupNorm):
            dimension = 1
        elif isinstance(module, nn.Linear | nn.Bilinear | nn.LayerNorm | nn.RMSNorm | nn.Embedding | nn.RNNBase):
            dimension = -1
        elif isinstance(module, nn.Flatten):
            dimension = 1
        elif isinstance(module, RECTIFIERS):
            yield path, module, dimension
