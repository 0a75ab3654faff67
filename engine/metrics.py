"""Metrics: kept on the device while an epoch runs, read back when somebody has to know.

A meter is told of every batch and answers at the end of the epoch. Outputs are held for a few batches and counted
together: that costs less than counting each, and gives the same integers. Counts are integers, sums are float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Direction belongs to the metric: the part behind "train/", "val/" or "test/".
_HIGHER_IS_BETTER = {"accuracy": True, "f1": True, "top5": True, "r2": True, "loss": False, "mae": False, "rmse": False}

# How many batches, and how many numbers in them, are held before they are counted.
_HELD_BATCHES = 64
_HELD_NUMBERS = 1 << 18


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric ("val/accuracy") is better; unknown ones count as losses."""
    return _HIGHER_IS_BETTER.get(metric.rsplit("/", 1)[-1], False)


def improves(metric: str, value: float, best: float | None) -> bool:
    """Whether a value of a metric is better than the best so far; NaN never is."""
    if math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value > best if higher_is_better(metric) else value < best


class Meter(ABC):
    """Loss and scores of one pass over samples; `state` and `load` carry it through a checkpoint to the bit."""

    def __init__(self) -> None:
        self.samples = 0
        self.weight = 0.0
        self.loss_sum = 0.0
        self._losses: list[tuple[Tensor, float | Tensor]] = []
        self._held: list[tuple[Tensor, Tensor]] = []
        self._held_numbers = 0
        self._held_batches = 0

    def update(self, loss: Tensor, weight: float | Tensor, output: Tensor, target: Tensor) -> None:
        """Take in a batch: its mean loss (a scalar) and the weight of that, outputs (N, C) and targets.

        Weights are numbers, or all of them tensors that are read with the losses.
        """
        self.samples += len(target)
        self._losses.append((loss, weight))
        self._held.append((output, target))
        self._held_batches += 1
        self._held_numbers += output.numel()
        if self._held_batches >= _HELD_BATCHES or self._held_numbers >= _HELD_NUMBERS:
            self._count_held()

    def read_losses(self) -> list[float]:
        """The losses of the batches since the last reading, in order; this waits for the device."""
        if not self._losses:
            return []
        values: list[float] = torch.stack([loss for loss, _ in self._losses]).tolist()
        unread = [weight for _, weight in self._losses if isinstance(weight, Tensor)]
        weights = torch.stack(unread).tolist() if unread else [weight for _, weight in self._losses]
        # One after the other in float64: the sum does not depend on when it was read.
        for value, weight in zip(values, weights, strict=True):
            self.loss_sum += value * weight
            self.weight += weight
        self._losses.clear()
        return values

    def compute(self) -> dict[str, float]:
        """All metrics of the samples so far, by their bare names ("loss", "accuracy")."""
        self.read_losses()
        self._count_held()
        loss = self.loss_sum / self.weight if self.weight else math.nan
        return {"loss": loss} | self._scores()

    def state(self) -> dict[str, Any]:
        """Everything needed to go on counting, in a form that a checkpoint takes."""
        self.read_losses()
        held = None
        if self._held:
            held = (torch.cat([output for output, _ in self._held]), torch.cat([target for _, target in self._held]))
        return {
            "samples": self.samples,
            "weight": self.weight,
            "loss_sum": self.loss_sum,
            "held": held,
            "held_numbers": self._held_numbers,
            "held_batches": self._held_batches,
            "sums": self._sums(),
        }

    def load(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take up a state; the counts go on as if nothing had happened."""
        self.samples, self.weight, self.loss_sum = state["samples"], state["weight"], state["loss_sum"]
        self._held_numbers, self._held_batches = state["held_numbers"], state["held_batches"]
        held = state["held"]
        self._held = [] if held is None else [(held[0].to(device), held[1].to(device))]
        for name, tensor in self._sums().items():
            tensor.copy_(state["sums"][name])

    def _count_held(self) -> None:
        if self._held:
            outputs = [output for output, _ in self._held]
            targets = [target for _, target in self._held]
            self._count(torch.cat(outputs), torch.cat(targets))
            self._held, self._held_numbers, self._held_batches = [], 0, 0

    @abstractmethod
    def _sums(self) -> dict[str, Tensor]:
        """The tensors that are counted in, by name."""

    @abstractmethod
    def _count(self, output: Tensor, target: Tensor) -> None:
        """Count outputs (N, C) and targets into the sums."""

    @abstractmethod
    def _scores(self) -> dict[str, float]:
        """The metrics beside the loss."""


class ClassMeter(Meter):
    """Accuracy, macro F1 and, from six classes, top-5 accuracy of single-label predictions.

    Kept as a confusion matrix (rows: the true class). Macro F1 is the plain mean of each class's F1 over the classes
    that occur in the targets or the predictions, as scikit-learn's `f1_score(average="macro")` takes it. Of classes
    that were mixed, float32 (N, classes), the heavier one is the answer: accuracy in training then says how often the
    larger part was recognised, and lies below that of the same network on samples as they are.
    """

    def __init__(self, classes: int, device: torch.device, predict: Any, top5: bool) -> None:
        """`predict` turns outputs (N, C) into class numbers (N,)."""
        super().__init__()
        self._classes = classes
        self._predict = predict
        self._top5 = top5
        self.confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
        self._among_five = torch.zeros((), dtype=torch.int64, device=device)

    def _sums(self) -> dict[str, Tensor]:
        return {"confusion": self.confusion, "among_five": self._among_five}

    def _count(self, output: Tensor, target: Tensor) -> None:
        if target.is_floating_point():
            target = target.argmax(1)
        cell = target * self._classes + self._predict(output)
        self.confusion.scatter_add_(0, cell, torch.ones_like(cell))
        if self._top5:
            self._among_five += (output.topk(5, dim=1).indices == target.unsqueeze(1)).sum()

    def _scores(self) -> dict[str, float]:
        confusion = self.confusion.view(self._classes, self._classes).cpu()
        total = int(confusion.sum())
        if total == 0:
            return {"accuracy": math.nan, "f1": math.nan}
        hits = confusion.diagonal().double()
        occurrences = confusion.sum(0).double() + confusion.sum(1).double()
        present = occurrences > 0
        scores = {
            "accuracy": int(confusion.diagonal().sum()) / total,
            "f1": float((2 * hits[present] / occurrences[present]).mean()),
        }
        if self._top5:
            scores["top5"] = int(self._among_five) / total
        return scores


class LabelMeter(Meter):
    """Accuracy (every label of a sample right) and macro F1 over the labels, for targets of several labels.

    A label that never occurs and is never predicted has an F1 of 0, as scikit-learn has it with `zero_division=0`. Of
    labels that were mixed, those above one half apply.
    """

    def __init__(self, labels: int, device: torch.device, predict: Any) -> None:
        """`predict` turns outputs (N, L) into True/False (N, L)."""
        super().__init__()
        self._predict = predict
        self._exact = torch.zeros((), dtype=torch.int64, device=device)
        self._hits = torch.zeros(labels, dtype=torch.int64, device=device)
        self._occurrences = torch.zeros(labels, dtype=torch.int64, device=device)

    def _sums(self) -> dict[str, Tensor]:
        return {"exact": self._exact, "hits": self._hits, "occurrences": self._occurrences}

    def _count(self, output: Tensor, target: Tensor) -> None:
        predicted, true = self._predict(output), target > 0.5
        self._exact += (predicted == true).all(1).sum()
        self._hits += (predicted & true).sum(0)
        self._occurrences += predicted.sum(0) + true.sum(0)

    def _scores(self) -> dict[str, float]:
        if self.samples == 0:
            return {"accuracy": math.nan, "f1": math.nan}
        f1 = 2 * self._hits.cpu().double() / self._occurrences.cpu().double().clamp(min=1)
        return {"accuracy": int(self._exact) / self.samples, "f1": float(f1.mean())}


class ValueMeter(Meter):
    """MAE, RMSE and R² in the targets' own units, each the plain mean over the targets.

    R² is 1 - sum((y - p)²) / sum((y - mean(y))²), as scikit-learn's `r2_score`; where all targets are equal it is 1 for
    a perfect prediction and 0 otherwise. Sums are taken of standardised targets, so that nothing cancels.
    """

    def __init__(self, device: torch.device, predict: Any, scale: Tensor) -> None:
        """`predict` turns outputs into (N, K) standardised values; `scale` (K,) is one standard unit in own units."""
        super().__init__()
        self._predict = predict
        self._scale = scale.cpu().double()
        # MPS has no float64: there the sums live on the CPU.
        home = torch.device("cpu") if device.type == "mps" else device
        self._totals = torch.zeros(4, len(scale), dtype=torch.float64, device=home)

    def _sums(self) -> dict[str, Tensor]:
        return {"totals": self._totals}

    def _count(self, output: Tensor, target: Tensor) -> None:
        home = self._totals.device
        true = target.to(home, torch.float64)
        error = self._predict(output).to(home, torch.float64) - true
        self._totals += torch.stack([error.abs().sum(0), error.square().sum(0), true.sum(0), true.square().sum(0)])

    def _scores(self) -> dict[str, float]:
        if self.samples == 0:
            return {"mae": math.nan, "rmse": math.nan, "r2": math.nan}
        absolute, squared, total, total_squares = self._totals.cpu()
        spread = total_squares - total.square() / self.samples
        # What rounding leaves of a spread of zero is not a spread.
        constant = spread <= 1e-12 * total_squares.clamp(min=1e-30)
        r2 = torch.where(constant, (squared == 0).double(), 1 - squared / torch.where(constant, 1.0, spread))
        return {
            "mae": float((absolute / self.samples * self._scale).mean()),
            "rmse": float(((squared / self.samples).sqrt() * self._scale).mean()),
            "r2": float(r2.mean()),
        }
