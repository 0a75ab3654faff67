"""Any nested state (dicts, lists, numbers, texts, tensors) as JSON and a flat dict of tensors, and back, exactly."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

# The names of the safetensors format: https://huggingface.co/docs/safetensors, section "Format".
DTYPES: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
PAIRS: dict[str, type[Any]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
ITEMS: dict[str, type[Any]] = {"tuple": tuple, "Size": torch.Size}
MAX_DEPTH = 100
# JSON texts of longer integers meet Python's limit on digits.
MAX_BITS = 4096


def pack(value: Any, name: str = "state") -> tuple[Any, dict[str, Tensor]]:
    """What JSON can hold of a state, and its tensors by the names that it refers to them by.

    Dicts (with any keys), Counter, OrderedDict, lists, tuples, deques, None, bool, int, float (also not finite), str,
    bytes, tensors, dtypes and devices; anything else raises TypeError with the path to it under `name`.
    """
    tensors: dict[str, Tensor] = {}
    return _pack(value, name, tensors, 0), tensors


def _pack(value: Any, path: str, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise TypeError(f"{path[:200]} is nested more than {MAX_DEPTH} deep")

    def each(items: Any) -> list[Any]:
        return [_pack(item, f"{path}.{index}", tensors, depth + 1) for index, item in enumerate(items)]

    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if value.bit_length() <= MAX_BITS else {"int": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": _name(value)}
    if isinstance(value, Tensor):
        return _pack_tensor(value, path, tensors)
    if kind is list:
        return each(value)
    if kind in ITEMS.values():
        return {kind.__name__: each(value)}
    if kind is deque:
        return {"deque": each(value), "maxlen": value.maxlen}
    if kind in PAIRS.values():
        pairs = [
            [_pack(key, f"{path}'s key", tensors, depth + 1), _pack(item, f"{path}.{key}", tensors, depth + 1)]
            for key, item in value.items()
        ]
        return {kind.__name__: pairs}
    if kind is bytes:
        return {"bytes": value.hex()}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    raise TypeError(f"{path[:200]} is a {kind.__module__}.{kind.__qualname__}, which cannot be saved")


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _pack_tensor(value: Tensor, path: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    name = path if path not in tensors else f"{path}#{len(tensors)}"
    tag: dict[str, Any] = {"tensor": name}
    if value.is_complex():
        tag["complex"] = True
        value = torch.view_as_real(value.detach().resolve_conj())
    if value.dtype not in DTYPES or value.layout != torch.strided or value.device.type == "meta":
        raise TypeError(f"{path[:200]} is a tensor of {value.dtype}, {value.layout} on {value.device}: cannot be saved")
    tensors[name] = value
    return tag


def unpack(packed: Any, tensors: Mapping[str, Tensor] | None) -> Any:
    """The state that `pack` took apart. Where `tensors` is None, None stands in place of each tensor.

    Raises ValueError, KeyError or TypeError where `packed` does not come from `pack`.
    """
    if packed is None or isinstance(packed, bool | int | float | str):
        return packed
    if isinstance(packed, list):
        return [unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict) or not packed:
        raise ValueError("not a packed state")
    tag, value = next(iter(packed.items()))
    if tag in PAIRS:
        return PAIRS[tag]({unpack(key, tensors): unpack(item, tensors) for key, item in value})
    if tag in ITEMS:
        return ITEMS[tag]([unpack(item, tensors) for item in value])
    if tag == "deque":
        return deque([unpack(item, tensors) for item in value], packed["maxlen"])
    if tag == "tensor":
        if tensors is None:
            return None
        return torch.view_as_complex(tensors[value]) if packed.get("complex") else tensors[value]
    if tag == "float":
        return NON_FINITE[value]
    if tag == "int":
        return int(value, 16)
    if tag == "bytes":
        return bytes.fromhex(value)
    if tag == "dtype" and isinstance(getattr(torch, value), torch.dtype):
        return getattr(torch, value)
    if tag == "device":
        return torch.device(value)
    raise ValueError(f"`{tag}` is not known")


def safetensors_parts(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, part by part, without a copy of all tensors in memory.

    Tensors of any device, layout in memory or shared storage; each is saved on its own. Raises TypeError for a dtype
    that the format lacks.
    """
    header: dict[str, dict[str, Any]] = {}
    offset = 0
    # Wide types first, as the format's own writer has it: then every tensor starts aligned.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    for name, tensor in ordered:
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name[:200]} is a tensor of {tensor.dtype}, which cannot be saved")
        end = offset + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for _, tensor in ordered:
        if tensor.numel():
            flat = tensor.detach().to("cpu").resolve_neg().contiguous().reshape(-1)
            yield flat.view(torch.uint8).numpy().data
