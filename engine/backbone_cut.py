"""A model that ends with one of its modules.

torchvision's feature extraction traces the model, and while it traces it replaces the call of every module in the
process; a network may be training in another thread. So the model runs as it always does, and is left where the module
is done; what had no part in it until then is taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Reached(Exception):
    """The module is done; `output` is what it gave."""

    def __init__(self, output: Any) -> None:
        super().__init__("the last module is done")
        self.output = output


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


_CLASSES: dict[tuple[str, type[nn.Module]], type[nn.Module]] = {}


def _left(self: nn.Module, *inputs: Any, **named: Any) -> Any:
    """The call of the last module: what was to be told of its output is told, and then the model is left."""
    base: Any = type(self).__mro__[1]
    raise Reached(base.__call__(self, *inputs, **named))


def _forward(self: nn.Module, inputs: Tensor) -> Tensor:
    """The forward of a cut model: (N, 3, height, width) to what its last module gives."""
    base: Any = type(self).__mro__[1]
    try:
        base.forward(self, inputs)
    except Reached as reached:
        output: Tensor = reached.output
        return output
    raise RuntimeError("the module that the model is cut after did not run")


def _changed(module: nn.Module, name: str, method: Callable[..., Any]) -> None:
    """Give a module another method. Its class is what changes, so that copies of it, such as moving averages, have the
    method as well and call it on themselves."""
    base = type(module)
    if (name, base) not in _CLASSES:
        members = {name: method, "__module__": base.__module__, "__doc__": base.__doc__}
        _CLASSES[name, base] = type(base.__name__, (base,), members)
    module.__class__ = _CLASSES[name, base]


def leave_after(module: nn.Module) -> None:
    """Let a module raise Reached, with its output, when it is done."""
    _changed(module, "__call__", _left)


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
                # None and not away: `self.norm(self.block(x))` looks for the one before it runs the other.
                module.register_module(name, None)
    leave_after(model.get_submodule(until))
    _changed(model, "forward", _forward)
