"""What a task is: the networks it trains, and what a training step and an evaluation step do with a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.calls import Call
from engine.data.info import Batch, DataInfo
from engine.metrics import Meter


@dataclass(frozen=True)
class Setting:
    """What a task is set up with: where it trains, on what data, with which loss, and how many numbers the network
    gives for a sample (`outputs`). `target_mean` and `target_std` (K,) are what targets were standardised with."""

    info: DataInfo
    loss: Call
    device: torch.device
    outputs: int
    target_mean: Tensor | None = None
    target_std: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step made of a batch: the mean loss to differentiate, how much it counts in a mean, and the outputs.

    The weight is a number where it is known without waiting for the device, a scalar tensor where it is not."""

    loss: Tensor
    weight: float | Tensor
    output: Tensor
    target: Tensor


@dataclass(frozen=True)
class Objective:
    """One loss that trains one network. A task with several networks has several; the loop takes them in order, and
    each is computed after the step of the one before it. `weigh` tells the weight that a batch's outcome will have."""

    network: str
    compute: Callable[[Batch], Outcome]
    weigh: Callable[[Batch], float | Tensor]


@dataclass(frozen=True)
class Objection:
    """Something about an experiment that will fail (`fatal`) or that people do not mean. `fix` says what to do; `end`
    is the layer to end with, where that is it. `field` is where it stands ("task", "loss"); empty: in the last layer.
    """

    message: str
    fatal: bool
    fix: str = ""
    end: str = ""
    field: str = ""


class Task(ABC):
    """A kind of training. Parameters of the call are the parameters of `__init__`; the docstring is shown to people."""

    networks: tuple[str, ...] = ("model",)
    primary: str = "loss"  # the metric that says which epoch was best, without "val/"
    standardize_targets: bool = False

    @abstractmethod
    def objections(
        self, layers: tuple[Call, ...], output_shape: tuple[int, ...], info: DataInfo, loss: Call
    ) -> list[Objection]:
        """What is wrong with a network that ends in `output_shape` (without the batch), for this data and this loss."""

    @abstractmethod
    def set_up(self, networks: Mapping[str, nn.Module], setting: Setting) -> None:
        """Bind the networks and the data; called once, before the first step."""

    @abstractmethod
    def objectives(self) -> tuple[Objective, ...]:
        """What a training step optimises, in order."""

    @abstractmethod
    def evaluate(self, batch: Batch, networks: Mapping[str, nn.Module]) -> Outcome:
        """An evaluation step, with these networks (the averaged ones, where an average is kept)."""

    @abstractmethod
    def meter(self, *, training: bool) -> Meter:
        """A fresh meter for an epoch."""
