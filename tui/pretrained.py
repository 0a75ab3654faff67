"""The models that a Backbone can be, in words: how large each is, and how well its weights do, as torchvision says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tui.matching import score
from tui.output import count

# What may be typed to find any of them.
ABOUT = "pretrained backbone torchvision imagenet model"


@dataclass(frozen=True)
class Model:
    """`parameters` are those of the whole model with its weights' classes; `line` is what is said of it."""

    name: str
    parameters: int
    line: str

    @property
    def call(self) -> str:
        return f"Backbone({self.name!r})"


_known: list[Model] = []


def models() -> tuple[Model, ...]:
    """All of them, once they have been read; none before."""
    return tuple(_known)


def read_models() -> None:
    """Read them from torchvision, whose import takes a while: not for the main thread."""
    from torchvision.models import get_model_weights

    from engine.backbones import backbone_names

    found = []
    for name in backbone_names():
        weights = getattr(get_model_weights(name), "DEFAULT", None)
        meta = weights.meta if weights is not None else {}
        parameters = int(meta.get("num_params", 0))
        accuracy = meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
        said = f", {accuracy:.1f} % ImageNet" if accuracy is not None else ""
        found.append(Model(name, parameters, f"{count(parameters)} params{said}" if parameters else "no weights"))
    _known[:] = found


def find_models(typed: str) -> Iterator[tuple[int, Model]]:
    """The models that may be meant, each with how far its name is from what was typed (matching.py)."""
    for model in models():
        at = score(typed, model.name)
        if at is None or at > 3:
            at = score(typed, model.name, f"{ABOUT} {model.line}")
        if at is not None and at <= 4:
            yield at, model
