"""Losses: what each one wants from the network's output and from the target, and how the two are brought together.

The table is the only place that knows a loss by name. A criterion built here takes the network's output and the target
as the data holds it (class indices, values, or 0/1 labels) and returns the mean loss of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.calls import Call
from engine.catalogue import bind, find
from engine.data.info import DataInfo
from engine.errors import RequestError


@dataclass(frozen=True)
class LossRule:
    """What a loss wants.

    `output` is what the network must give: "logits", "log_probabilities", "probabilities", "scores" (anything, as
    margin losses and squared errors take it) or "mean_and_variance". `target` is the form of the target: "index"
    (class numbers), "one_hot", "labels" (0/1 for each output), "signs" (-1/+1 for each output), "label_list" (indices
    of the labels that apply, padded with -1) or "values". `soft`: the loss of a target between two, as mixed samples
    have it, means something.
    """

    output: str
    target: str
    tasks: tuple[str, ...]
    soft: bool = True


_BOTH = ("Classification", "Regression")
RULES: Mapping[str, LossRule] = {
    "CrossEntropyLoss": LossRule("logits", "index", ("Classification",)),
    "NLLLoss": LossRule("log_probabilities", "index", ("Classification",), soft=False),
    "MultiMarginLoss": LossRule("scores", "index", ("Classification",), soft=False),
    "BCEWithLogitsLoss": LossRule("logits", "labels", ("Classification",)),
    "BCELoss": LossRule("probabilities", "labels", ("Classification",)),
    "MultiLabelSoftMarginLoss": LossRule("logits", "labels", ("Classification",)),
    "MultiLabelMarginLoss": LossRule("scores", "label_list", ("Classification",), soft=False),
    "SoftMarginLoss": LossRule("logits", "signs", ("Classification",), soft=False),
    "KLDivLoss": LossRule("log_probabilities", "one_hot", ("Classification",)),
    "MSELoss": LossRule("scores", "values", _BOTH),
    "L1Loss": LossRule("scores", "values", _BOTH),
    "SmoothL1Loss": LossRule("scores", "values", _BOTH),
    "HuberLoss": LossRule("scores", "values", _BOTH),
    "GaussianNLLLoss": LossRule("mean_and_variance", "values", ("Regression",)),
    "PoissonNLLLoss": LossRule("scores", "values", ("Regression",)),
}

# What the loss of an auxiliary head counts beside that of the network's own output, in the order of torchvision's named
# tuples: 0.3 each as in Szegedy et al., arXiv:1409.4842; 0.4 for Inception v3 as torchvision's own trainings take it.
AUXILIARY: Mapping[str, tuple[float, ...]] = {"InceptionOutputs": (0.4,), "GoogLeNetOutputs": (0.3, 0.3)}


def with_auxiliary(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, tuple[tuple[float, Tensor], ...]]:
    """The output (N, K) of a network, and those of its auxiliary heads with what their losses count."""
    if isinstance(output, Tensor):
        return output, ()
    return output[0], tuple(zip(AUXILIARY[type(output).__name__], output[1:], strict=True))


# Their mean is divided by the class weights of the batch's targets; every other one by the number of samples.
_MEAN_BY_WEIGHT = frozenset({"CrossEntropyLoss", "NLLLoss"})

# Losses that no single network with one input can serve, and why.
REFUSED: Mapping[str, str] = {
    "CTCLoss": "it wants sequences with their lengths",
    "CosineEmbeddingLoss": "it compares two inputs",
    "HingeEmbeddingLoss": "it wants a distance between two inputs",
    "MarginRankingLoss": "it ranks two inputs",
    "TripletMarginLoss": "it wants triplets of inputs",
    "TripletMarginWithDistanceLoss": "it wants triplets of inputs",
    "LinearCrossEntropyLoss": "it holds the last layer itself; write Linear(classes) and CrossEntropyLoss()",
}


def rule_of(loss: Call, task: str) -> LossRule:
    """The rule of a loss under a task; RequestError where the loss cannot serve it."""
    find("losses", loss.name)
    if loss.name in REFUSED:
        raise RequestError(f"`{loss.name}` cannot serve {task}: {REFUSED[loss.name]}")
    rule = RULES.get(loss.name)
    serving = ", ".join(name for name, other in RULES.items() if task in other.tasks)
    if rule is None or task not in rule.tasks:
        raise RequestError(f"`{loss.name}` cannot serve {task}; these can: {serving}")
    reduction = bind(find("losses", loss.name), loss).get("reduction", "mean")
    if reduction not in ("mean", "batchmean"):
        raise RequestError(f"`{loss}`: reduction={reduction!r} cannot be trained on; leave it out: the mean is taken")
    return rule


def numbers_wanted(output: str, targets: int) -> int:
    """How many numbers a sample a network of values gives, for so many targets and a `LossRule.output`."""
    return 2 * targets if output == "mean_and_variance" else targets


def mixing_problem(loss: Call, task: str) -> str | None:
    """Why the targets of mixed samples are nothing for a loss that serves the task; None where it takes them."""
    if not rule_of(loss, task).soft:
        taking = ", ".join(name for name, rule in RULES.items() if task in rule.tasks and rule.soft)
        return f"`{loss}` takes no mixed targets; these losses do: {taking}"
    ignored = bind(find("losses", loss.name), loss).get("ignore_index", -100)
    if isinstance(ignored, int) and ignored >= 0:
        return f"`{loss}` cannot leave out class {ignored} where targets are mixed; leave ignore_index out"
    return None


class Criterion:
    """A loss with its target brought into the form that it wants; `weigh` says how much a batch counts in a mean."""

    def __init__(self, loss: Call, task: str, info: DataInfo, outputs: int, device: torch.device) -> None:
        """`outputs` is the length of the network's output vector."""
        self.rule = rule_of(loss, task)
        self._autocasts = torch.amp.is_autocast_available(device.type)
        self.outputs = outputs
        self.binary = info.kind == "classes" and outputs == 1
        self.single_label = info.kind == "classes"
        entry = find("losses", loss.name)
        arguments: dict[str, Any] = dict(bind(entry, loss))
        # Given as a list of numbers in a call, wanted as a tensor by torch.
        for name in ("weight", "pos_weight"):
            if arguments.get(name) is not None:
                arguments[name] = torch.as_tensor(arguments[name], dtype=torch.float32)
                if arguments[name].ndim == 0 or len(arguments[name]) != outputs:
                    count = arguments[name].numel()
                    raise RequestError(f"`{loss}`: {name} holds {count} numbers, but the network has {outputs} outputs")
        if loss.name == "KLDivLoss":
            arguments["reduction"] = "batchmean"  # torch's own "mean" divides by the classes as well
        try:
            self.loss = entry.target(**arguments).to(device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise RequestError(f"`{loss}`: {error}") from None
        by_weight = loss.name in _MEAN_BY_WEIGHT
        self._class_weight: Tensor | None = self.loss.weight if by_weight else None
        self._ignored: int | None = self.loss.ignore_index if by_weight and "ignore_index" in arguments else None

    def target(self, target: Tensor) -> Tensor:
        """The target of the data in the form that the loss wants: (N,) indices or (N, outputs).

        Classes that were mixed, float32 (N, classes), are wanted so by every loss that takes them.
        """
        form = self.rule.target
        if self.single_label and target.is_floating_point():
            return target[:, 1:] if self.binary else target
        if form == "index":
            return target
        if not self.single_label:
            if form == "signs":
                return target * 2 - 1
            if form == "label_list":
                return _label_list(target)
            return target
        if self.binary:
            wanted = target.to(torch.float32).unsqueeze(1)
        else:
            wanted = nn.functional.one_hot(target, self.outputs).to(torch.float32)
        if form == "signs":
            return wanted * 2 - 1
        if form == "label_list":
            return _label_list(wanted)
        return wanted

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean loss of a batch: output (N, outputs), target as the data holds it.

        In float32 also under autocast: not every loss is safe in half precision, and CUDA refuses BCELoss there.
        """
        wanted = self.target(target)
        if self._autocasts and torch.is_autocast_enabled(output.device.type):
            with torch.autocast(output.device.type, enabled=False):
                return self._mean(output.float(), wanted)
        return self._mean(output, wanted)

    def _mean(self, output: Tensor, wanted: Tensor) -> Tensor:
        if self.rule.output == "mean_and_variance":
            mean, spread = output.chunk(2, dim=1)
            # softplus keeps the variance positive whatever the network gives.
            return self.loss(mean, wanted, nn.functional.softplus(spread))  # type: ignore[no-any-return]
        return self.loss(output, wanted)  # type: ignore[no-any-return]

    def weigh(self, target: Tensor) -> float | Tensor:
        """What the mean loss of this batch was divided by: how much it counts in the mean over an epoch.

        The number of samples; with class weights or an ignored class the sum of the weights, as CrossEntropyLoss and
        NLLLoss divide by that. That sum stays on a device other than the CPU: a step would wait for its number. Where
        targets are mixed CrossEntropyLoss divides by the number of samples, with class weights as well.
        """
        if target.is_floating_point() or (self._class_weight is None and self._ignored is None):
            return float(len(target))
        weights = torch.ones_like(target, dtype=torch.float32)
        if self._class_weight is not None:
            weights = self._class_weight[target]
        if self._ignored is not None:
            weights = weights * (target != self._ignored)
        # MPS has no float64.
        total = weights.sum(dtype=torch.float32 if weights.device.type == "mps" else torch.float64)
        return float(total) if total.device.type == "cpu" else total

    def predict(self, output: Tensor) -> Tensor:
        """Predictions from outputs (N, C): class numbers (N,), or True/False (N, C) for multi-label data."""
        threshold = 0.5 if self.rule.output == "probabilities" or self.rule.target == "values" else 0.0
        if self.binary:
            return (output.squeeze(1) > threshold).to(torch.int64)
        if self.single_label:
            return output.argmax(1)
        return output > threshold


def _label_list(labels: Tensor) -> Tensor:
    """(N, C) of 0/1 to MultiLabelMarginLoss's form: the indices that apply first, then -1."""
    count = labels.shape[1]
    order = torch.argsort(labels, dim=1, descending=True, stable=True)
    applies = torch.arange(count, device=labels.device).unsqueeze(0) < labels.sum(1, keepdim=True)
    return torch.where(applies, order, torch.full_like(order, -1))
