"""Classification: single-label, binary with one output, or multi-label."""

from __future__ import annotations

from engine.calls import Call
from engine.data.info import DataInfo
from engine.losses import RULES
from engine.metrics import ClassMeter, LabelMeter, Meter
from engine.tasks.base import Objection
from engine.tasks.supervised import Supervised


class Classification(Supervised):
    """Which class, or which labels, a sample has: accuracy, macro F1 and, from six classes, top-5 accuracy."""

    kinds = ("classes", "multilabel")
    primary = "accuracy"

    def meter(self, *, training: bool) -> Meter:
        info, criterion = self._setting.info, self.criterion
        if info.kind == "multilabel":
            return LabelMeter(info.outputs, self._setting.device, criterion.predict)
        # Top-5 of a training epoch is a number that nobody looks at, and it costs a sort a batch.
        top5 = not training and criterion.outputs > 5
        return ClassMeter(info.outputs, self._setting.device, criterion.predict, top5)

    def _output_objections(self, shape: tuple[int, ...], info: DataInfo, loss: Call, wanted: str) -> list[Objection]:
        binary = info.kind == "classes" and info.outputs == 2 and RULES[loss.name].target != "index"
        allowed = {(info.outputs,)} | ({(1,)} if binary else set())
        if shape in allowed:
            return []
        found = " × ".join(map(str, shape)) or "one number"
        noun = "labels" if info.kind == "multilabel" else "classes"
        message = f"the network ends in {found}, but the data has {info.outputs} {noun}"
        if len(shape) == 1:
            return [Objection(message, True, "end with Linear(classes)", "Linear(classes)")]
        return [Objection(message, True, "end with Flatten() and Linear(classes)", "Flatten()")]
