"""Counting floating-point operations, and bytes of results, of what runs on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
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
        # What operations gave, by what they were given: networks repeat themselves, and on the meta device some, such
        # as batch normalisation, are computed by Python, in a thousand times the time.
        self.known: dict[Any, _Known] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        key = _key(func, args, kwargs)
        known = self.known.get(key)
        if known is not None:
            self.total += known.operations
            self.bytes += known.bytes
            return _made(known.likes)
        out = _normalised(args) if func is _BATCH_NORM and not kwargs else None
        if out is None:
            out = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        operations = 0 if count is None else count(*args, **kwargs, out_val=out)
        size = _new_bytes(args, out)
        self.total += operations
        self.bytes += size
        likes = _likes(out)
        # Some give a view of an argument that do not declare it.
        if key is not None and likes is not None and size == _bytes(out):
            self.known[key] = _Known(likes, operations, size)
        return out


_BATCH_NORM = torch.ops.aten.native_batch_norm.default


def _normalised(args: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """What batch normalisation gives in train mode: a tensor like its input (N, C, ...), and two numbers a channel, its
    mean and the inverse of its deviation. On the meta device that is computed by Python, in a hundred times the time.
    None where an argument is of another kind, or does not suit: then PyTorch says so."""
    inputs, *of_channels, training, _, _ = args
    plain = inputs.is_meta and inputs.is_contiguous() and inputs.dtype == torch.float32 and inputs.dim() >= 2
    if not (plain and training):
        return None
    channels = inputs.shape[1]
    if any(one is not None and (one.shape != (channels,) or one.dtype != torch.float32) for one in of_channels):
        return None
    return torch.empty_like(inputs), inputs.new_empty(channels), inputs.new_empty(channels)


@lru_cache(maxsize=4096)
def _makes_new(func: Any) -> bool:
    """Whether an operation declares that it changes none of its arguments and gives no view of them."""
    schema = func._schema
    return all(one.alias_info is None for one in (*schema.arguments, *schema.returns))


@dataclass(frozen=True)
class _Like:
    """What a tensor on the meta device is: all that an operation there can look at."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class _Known:
    likes: _Like | tuple[_Like, ...]
    operations: int
    bytes: int


class _Unlike(Exception):
    """A tensor with numbers, on which what an operation gives may depend."""


def _key(func: Any, args: Any, kwargs: Any) -> Any:
    """What determines what an operation gives, or None where it is more than what its tensors are like."""
    if not _makes_new(func):
        return None
    try:
        key = func, _described(args), tuple((name, _described(value)) for name, value in kwargs.items())
        hash(key)
    except (_Unlike, TypeError):
        return None
    return key


def _described(value: Any) -> Any:
    """Numbers with their type: 1, 1.0 and True are equal, and give tensors of other dtypes."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise _Unlike
        return _Like(value.shape, value.stride(), value.dtype)
    if isinstance(value, tuple | list):
        return tuple(_described(one) for one in value)
    return type(value), value


def _likes(out: Any) -> _Like | tuple[_Like, ...] | None:
    """What a tensor on the meta device is like, or each of a tuple of them; None for anything else."""
    if isinstance(out, tuple):
        found = tuple(_likes(one) for one in out)
        return found if all(isinstance(one, _Like) for one in found) else None  # type: ignore[return-value]
    return _Like(out.shape, out.stride(), out.dtype) if isinstance(out, Tensor) and out.is_meta else None


def _made(likes: _Like | tuple[_Like, ...]) -> Any:
    if isinstance(likes, tuple):
        return tuple(_made(one) for one in likes)
    return torch.empty_strided(likes.shape, likes.stride, dtype=likes.dtype, device="meta")


def _new_bytes(args: Any, out: Any) -> int:
    """The bytes of results that share no memory with an argument."""
    given = {one.untyped_storage()._cdata for one in args if isinstance(one, Tensor)}
    return sum(_size(one) for one in _tensors(out) if one.untyped_storage()._cdata not in given)


def _bytes(out: Any) -> int:
    return sum(_size(one) for one in _tensors(out))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensors(out: Any) -> list[Tensor]:
    return [one for one in (out if isinstance(out, tuple | list) else (out,)) if isinstance(one, Tensor)]
