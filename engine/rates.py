"""The learning rate over a run before it is run: what a schedule will do, from the schedule itself."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from engine import optimize
from engine.apart import apart
from engine.spec import Experiment

# A curve is for looking at: beyond these the rest of the run looks like what came before.
MOST_STEPS = 20_000
MOST_EPOCHS = 5_000


def learning_rates(experiment: Experiment, steps_per_epoch: int) -> tuple[float, ...]:
    """The learning rate at the beginning of each epoch, or of each step where the schedule counts steps.

    Empty where it depends on what is measured (ReduceLROnPlateau). `steps_per_epoch` counts optimizer steps. Raises
    RequestError where optimizer or schedule are wrong. Computed apart from the calling thread.
    """
    call = experiment.scheduler
    if call is not None and call.name == "ReduceLROnPlateau":
        return ()
    return apart(lambda: _rates(experiment, max(steps_per_epoch, 1)))


def _rates(experiment: Experiment, steps_per_epoch: int) -> tuple[float, ...]:
    epochs = experiment.epochs
    optimizers = optimize.build_optimizers(experiment.optimizer, [nn.Parameter(torch.zeros(2, 2))])
    optimize.rehearse(experiment.optimizer, optimizers)
    per_batch = experiment.scheduler is not None and experiment.scheduler.name in optimize.PER_BATCH
    if per_batch and epochs * steps_per_epoch > MOST_STEPS:
        # A cycle that lasts as long as the run keeps its form with fewer steps.
        steps_per_epoch = max(MOST_STEPS // epochs, 1)
    schedule = optimize.Schedule(
        experiment.scheduler, optimizers, epochs=epochs, steps_per_epoch=steps_per_epoch, monitor="val/loss"
    )
    rates = []
    with warnings.catch_warnings(), optimize.refused(experiment.scheduler or experiment.optimizer):
        warnings.simplefilter("ignore")  # torch misses the steps of the optimizer
        for _ in range(min(epochs * steps_per_epoch, MOST_STEPS) if per_batch else min(epochs, MOST_EPOCHS)):
            rates.append(schedule.lr)
            schedule.after_step()
            schedule.after_epoch({"val/loss": 1.0})
    return tuple(rates)
