"""Regression: one or several values a sample."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.calls import Call
from engine.data.info import DataInfo
from engine.losses import numbers_wanted
from engine.metrics import Meter, ValueMeter
from engine.tasks.base import Objection
from engine.tasks.supervised import Supervised


class Regression(Supervised):
    """Values to predict: MAE, RMSE and R² in the target's own units.

    With `standardize=True` the loss is taken between targets with mean 0 and standard deviation 1, as measured on the
    training part, so that the learning rate does not depend on the unit; the metrics stay in the target's own units.
    """

    kinds = ("values",)
    primary = "loss"

    def __init__(self, standardize: bool = True) -> None:
        self.standardize_targets = standardize

    def meter(self, *, training: bool) -> Meter:
        setting = self._setting
        scale = setting.target_std if setting.target_std is not None else torch.ones(setting.info.outputs)
        return ValueMeter(setting.device, self._values, scale)

    def _values(self, output: Tensor) -> Tensor:
        """Predictions from outputs: the mean where the network gives mean and variance, the rate for Poisson."""
        if self.criterion.rule.output == "mean_and_variance":
            return output.chunk(2, dim=1)[0]
        if getattr(self.criterion.loss, "log_input", False):  # PoissonNLLLoss
            return output.exp()
        return output

    def _output_objections(self, shape: tuple[int, ...], info: DataInfo, loss: Call, wanted: str) -> list[Objection]:
        outputs = numbers_wanted(wanted, info.outputs)
        found = []
        if loss.name == "PoissonNLLLoss" and self.standardize_targets:
            found.append(
                Objection(
                    "PoissonNLLLoss wants counts, and standardised targets are none",
                    True,
                    "task = Regression(standardize=False)",
                )
            )
        if shape != (outputs,):
            ends = " × ".join(map(str, shape)) or "one number"
            why = "a mean and a variance for each" if wanted == "mean_and_variance" else "one for each"
            flat = "" if len(shape) == 1 else "Flatten() and "
            found.append(
                Objection(
                    f"the network ends in {ends}, but {outputs} outputs are wanted: {info.outputs} target(s), {why}",
                    True,
                    f"end with {flat}Linear({outputs})",
                    "Flatten()" if flat else f"Linear({outputs})",
                )
            )
        return found
