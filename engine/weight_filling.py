"""Putting a state_dict into a model, once it is known that it fits."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from engine.backbones import below
from engine.calls import Table
from engine.errors import RequestError
from engine.nodes import Node

State = Mapping[str, Tensor]


def filled_anew(node: Node) -> tuple[str, ...]:
    """The modules of a Backbone that `init={...}` fills, whatever its weights are."""
    anew = node.arguments.get("init")
    return tuple(str(path) for path, _ in anew.items) if isinstance(anew, Table) else ()


def fill_model(model: nn.Module, state: State, *, anew: Collection[str], heads: Collection[str]) -> None:
    """Put weights into a model of torchvision's, or a part of one. What `anew` names stays as it was built, and so does
    what the weights do not hold of the `heads`.

    Tensors of any floating type become the model's. Raises RequestError that says what does not fit, with nothing
    changed in the model.
    """
    wanted = model.state_dict()
    chosen = fitting(wanted, state, anew=anew, heads=heads)
    metadata = _metadata(state) or _metadata(wanted)
    try:
        model.load_state_dict(with_metadata(chosen, metadata), strict=False)
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError):
        # Of what was looked at nothing stands against it, and torch's own words name its insides.
        raise RequestError("PyTorch does not take them; save the model's state_dict() anew with torch.save") from None


def fitting(wanted: State, state: State, *, anew: Collection[str], heads: Collection[str]) -> OrderedDict[str, Tensor]:
    """Those of a state_dict's tensors that a model takes, as `fill_model` does. Of the model's own, `wanted`, only
    shapes and types are looked at: they may be on the meta device. Raises RequestError that says what does not fit.
    """
    state = _modern(state)
    chosen = OrderedDict((name, state[name]) for name in wanted if name in state and not below(name, anew))
    missing = [
        name
        for name in wanted
        if name not in state and not below(name, (*anew, *heads)) and not name.endswith("num_batches_tracked")
    ]
    if missing:
        some = f"{missing[0]} and {len(missing) - 1:,} more are" if len(missing) > 1 else f"{missing[0]} is"
        raise RequestError(f"{some} missing in them; they are of another model, or of a part of it")
    for name, tensor in chosen.items():
        _require_fitting(name, tensor, wanted[name])
    return chosen


def _require_fitting(name: str, tensor: Tensor, wanted: Tensor) -> None:
    if tensor.shape != wanted.shape:
        raise RequestError(f"{name} has the shape {_shape(tensor.shape)} in them and {_shape(wanted.shape)} here")
    here, there = (str(one.dtype).removeprefix("torch.") for one in (wanted, tensor))
    # A counter that was saved as a float is still that number.
    if tensor.is_complex() or (wanted.is_floating_point() and not tensor.is_floating_point()):
        raise RequestError(f"{name} is of the type {there} in them and of {here} here; save weights of that type")


def require_finite(wanted: State, chosen: State) -> None:
    """Raise RequestError where tensors that `fitting` gave hold NaN or infinity as what the model wants them to be. It
    reads all of them: once is enough, where they come from."""
    for name, tensor in chosen.items():
        if not tensor.is_floating_point():
            continue
        here, there = (str(one.dtype).removeprefix("torch.") for one in (wanted[name], tensor))
        try:
            finite = torch.isfinite(tensor.to(wanted[name].dtype) if wanted[name].is_floating_point() else tensor)
        except RuntimeError:
            raise RequestError(f"{name} is of the type {there} in them, which is not widened; save {here}") from None
        if not finite.all():
            count = finite.numel() - int(finite.sum())
            raise RequestError(
                f"{count:,} of the {finite.numel():,} values of {name} in them are NaN or infinite as {here}, and so "
                "is all that would be computed with them; take others"
            )


def _shape(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "()"


# How torchvision's first DenseNets named their layers: files of that time are still what it offers.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def _modern(state: State) -> State:
    if not any(_OLD_NAME.search(name) for name in state):
        return state
    return OrderedDict((_OLD_NAME.sub(r"\1\2.", name), tensor) for name, tensor in state.items())


def without(state: State, modules: Collection[str]) -> State:
    """Without what lies in these modules."""
    kept = OrderedDict((name, tensor) for name, tensor in state.items() if not below(name, modules))
    return with_metadata(kept, _metadata(state))


def with_metadata(state: OrderedDict[str, Tensor], metadata: object) -> State:
    """With what torch notes beside the tensors, if anything."""
    if metadata is not None:
        state._metadata = metadata  # type: ignore[attr-defined]
    return state


def _metadata(state: State) -> object:
    """Where torch notes the versions of the modules, by which some of them read older files."""
    return getattr(state, "_metadata", None)
