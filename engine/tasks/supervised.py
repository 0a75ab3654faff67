"""Learning from examples with an answer: what classification and regression share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import nn

from engine.calls import Call
from engine.data.info import Batch, DataInfo
from engine.errors import RequestError
from engine.losses import Criterion, rule_of, with_auxiliary
from engine.tasks.base import Objection, Objective, Outcome, Setting, Task


class Supervised(Task):
    """One network, one loss between its output and the target."""

    kinds: tuple[str, ...] = ()  # of data that it can learn from

    def set_up(self, networks: Mapping[str, nn.Module], setting: Setting) -> None:
        self._model = networks["model"]
        self._setting = setting
        self.criterion = Criterion(setting.loss, type(self).__name__, setting.info, setting.outputs, setting.device)

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("model", self._train, lambda batch: self.criterion.weigh(batch.targets)),)

    def _train(self, batch: Batch) -> Outcome:
        return self._step(self._model, batch)

    def evaluate(self, batch: Batch, networks: Mapping[str, nn.Module]) -> Outcome:
        return self._step(networks["model"], batch)

    def _step(self, model: nn.Module, batch: Batch) -> Outcome:
        inputs, target = batch.inputs, batch.targets
        output, auxiliary = with_auxiliary(model(inputs))
        loss = self.criterion(output, target)
        for share, other in auxiliary:
            loss = loss + share * self.criterion(other, target)
        return Outcome(loss, self.criterion.weigh(target), output, target)

    def objections(
        self, layers: tuple[Call, ...], output_shape: tuple[int, ...], info: DataInfo, loss: Call
    ) -> list[Objection]:
        if info.kind not in self.kinds:
            fix = "task = Classification()"
            if info.kind == "values":
                fix = "task = Regression(); where the numbers are labels, say kind='classes' in the source"
            message = f"{type(self).__name__}() cannot learn from targets that are {info.kind}"
            return [Objection(message, True, fix, field="task")]
        try:
            rule = rule_of(loss, type(self).__name__)
        except RequestError as error:
            return [Objection(str(error), True, field="loss")]
        found = _misuse(layers, loss) + self._output_objections(output_shape, info, loss, rule.output)
        return found if any(one.fatal for one in found) else found + self._loss_objections(output_shape, info, loss)

    def _loss_objections(self, shape: tuple[int, ...], info: DataInfo, loss: Call) -> list[Objection]:
        """What the loss itself says, of its arguments too, to two samples of such outputs (K,)."""
        targets = torch.zeros(2, dtype=torch.int64) if info.kind == "classes" else torch.zeros(2, info.outputs)
        try:
            Criterion(loss, type(self).__name__, info, shape[0], torch.device("cpu"))(
                torch.full((2, *shape), 0.5), targets
            )
        except RequestError as error:
            return [Objection(str(error), True, field="loss")]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            return [Objection(f"`{loss}`: {error}", True, field="loss")]
        return []

    @abstractmethod
    def _output_objections(self, shape: tuple[int, ...], info: DataInfo, loss: Call, wanted: str) -> list[Objection]:
        """What is wrong with outputs of this shape, where the loss wants `wanted` (see LossRule.output)."""


_SQUASHING = {"Softmax", "Softmax2d", "LogSoftmax", "Sigmoid", "LogSigmoid", "Softmin"}


def _last_layer(layers: tuple[Call, ...]) -> Call | None:
    """The last layer that does something, looked for inside of containers."""
    for layer in reversed(layers):
        if layer.name in ("Identity", "Flatten", "Unflatten", "Reshape"):
            continue
        if layer.name in ("Sequential", "Repeat"):
            inner = tuple(value for value in layer.args if isinstance(value, Call))
            return _last_layer(inner) or layer
        return layer
    return None


def _misuse(layers: tuple[Call, ...], loss: Call) -> list[Objection]:
    """Losses and last layers that do not belong together."""
    last = _last_layer(layers)
    name = last.name if last is not None else ""
    if loss.name in ("CrossEntropyLoss", "MultiMarginLoss") and name in _SQUASHING:
        what = (
            "takes the plain scores and applies log-softmax itself"
            if loss.name == "CrossEntropyLoss"
            else "takes scores"
        )
        return [Objection(f"{last} before {loss.name}: it {what}", False, f"remove the last {name}()")]
    if loss.name in ("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss") and name in _SQUASHING:
        fix = "use BCELoss()" if name == "Sigmoid" else f"remove the last {name}()"
        return [Objection(f"{last} before {loss.name}: it applies the sigmoid itself", False, fix)]
    if loss.name in ("NLLLoss", "KLDivLoss") and name != "LogSoftmax":
        return [
            Objection(
                f"{loss.name} wants log-probabilities, and the network ends in {last}",
                False,
                "end with LogSoftmax(dim=1), or use CrossEntropyLoss()",
            )
        ]
    if loss.name == "BCELoss" and name not in ("Sigmoid", "Softmax", "Hardsigmoid"):
        return [
            Objection(
                f"BCELoss wants probabilities, and the network ends in {last}",
                True,
                "end with Sigmoid(), or use BCEWithLogitsLoss()",
            )
        ]
    if loss.name in ("CrossEntropyLoss", "BCEWithLogitsLoss") and name in ("ReLU", "ReLU6"):
        return [
            Objection(f"{last} is the last layer: it cuts off every negative score", False, f"remove the last {name}()")
        ]
    return []
