"""A model that ends with one of its modules.

torchvision's feature extraction traces the model, and while it traces it replaces the call of every module in the
process; a network may be training in another thread. So the model runs as it always does, and is left where the module
is done; what had no part in it until then is taken out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Reached(Exception):
    """The module is done; `output` is what it gave."""

    def __init__(self, output: Any) -> None:
        super().__init__("the last module is done")
        self.output = output


def leave(module: nn.Module, inputs: Any, output: Any) -> None:
    """A forward hook that leaves the model."""
    raise Reached(output)


class ParametersUsed(TorchFunctionMode):
    """Notes which parameters take part in a computation."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._note(args)
        self._note(tuple((kwargs or {}).values()))
        return func(*args, **(kwargs or {}))

    def _note(self, values: Any) -> None:
        for value in values:
            if isinstance(value, nn.Parameter):
                self.ids.add(id(value))
            elif isinstance(value, tuple | list):
                self._note(value)


_CUT: dict[str, type[nn.Module]] = {}


def _cut_class(base: type[nn.Module]) -> type[nn.Module]:
    """The class of cut models; one for each class of models."""

    def forward(self: nn.Module, inputs: Tensor) -> Tensor:
        try:
            base.forward(self, inputs)
        except Reached as reached:
            output: Tensor = reached.output
            return output
        raise RuntimeError("the module that the model is cut after did not run")

    if base.__name__ not in _CUT:
        _CUT[base.__name__] = type(base.__name__, (base,), {"forward": forward, "__module__": base.__module__})
    return _CUT[base.__name__]


def cut(model: nn.Module, until: str, keep: Collection[str]) -> None:
    """Let the model end with the module `until`, in place. `keep`: the paths of the modules and parameters that take
    part until then; everything else is removed."""
    for path, module in list(model.named_modules()):
        for name, _ in list(module.named_parameters(recurse=False)):
            if (f"{path}.{name}" if path else name) not in keep:
                module.register_parameter(name, None)
        for name, _ in list(module.named_children()):
            full = f"{path}.{name}" if path else name
            if full not in keep:
                delattr(module, name)
    model.get_submodule(until).register_forward_hook(leave)
    # Copies of the model (moving averages) are of its class, and have the hook; both are plain functions.
    model.__class__ = _cut_class(type(model))
