"""Counting floating-point operations, and bytes of results, of what runs on the meta device."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as torch.utils.flop_counter does, with its formulas, but without its hooks on all modules of the process:
    a network may be training in another thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.bytes = 0  # of all results that are not views of an argument, or an argument changed in place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **kwargs, out_val=out)
        self.bytes += _new_bytes(args, out)
        return out


def _new_bytes(args: Any, out: Any) -> int:
    """The bytes of a result that share no memory with an argument."""
    results = [one for one in (out if isinstance(out, tuple | list) else (out,)) if isinstance(one, Tensor)]
    if not results:
        return 0
    given = {one.untyped_storage()._cdata for one in args if isinstance(one, Tensor)}
    return sum(one.numel() * one.element_size() for one in results if one.untyped_storage()._cdata not in given)
