"""Reading a file of weights that somebody else wrote: tensors and nothing else, whatever the file would like to be."""

from __future__ import annotations

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import RequestError

# Under which names training scripts put the weights beside other things.
INSIDE = ("state_dict", "model_state_dict", "model", "network", "weights")


class DamagedFile(RequestError):
    """The file is cut off or altered, or was never one of weights."""


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """The state_dict in a file, on the CPU: of torch.save, of safetensors, or within a checkpoint of a script. Its
    tensors are dense: numbers one behind the other.

    Nothing is unpickled but tensors and plain containers (weights_only). Raises DamagedFile where the file cannot be
    read as one of weights, RequestError where it holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            found: object = OrderedDict(load_file(path, device="cpu"))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is refused below
                found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # of every kind, where bytes are not what torch expects there
        raise _refusal(path, error) from None
    return _dense(_state_of(found, path), path)


def _refusal(path: Path, error: Exception) -> RequestError:
    """In words of its own: torch's are pages, and name what nobody here has called."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in text and "operand" not in text:
        return RequestError(
            f"{path} holds more than weights: objects of a program, which are not read as they could run anything; "
            "save `model.state_dict()` instead of the model"
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return RequestError(f"{path} takes more memory than there is, or is damaged")
    kind = "no safetensors file" if isinstance(error, SafetensorError) else "no file of weights"
    return DamagedFile(f"{path} is damaged, or {kind}")


def _state_of(loaded: object, path: Path) -> Mapping[str, Tensor]:
    for _ in range(3):
        if isinstance(loaded, Mapping) and loaded and all(isinstance(key, str) for key in loaded):
            if all(isinstance(value, Tensor) for value in loaded.values()):
                return loaded
            inner = next((loaded[name] for name in INSIDE if isinstance(loaded.get(name), Mapping)), None)
            if inner is not None:
                loaded = inner
                continue
        break
    raise RequestError(f"{path} holds no state_dict: a table of tensors by their names, as `model.state_dict()` gives")


def _dense(state: Mapping[str, Tensor], path: Path) -> Mapping[str, Tensor]:
    for name, tensor in state.items():
        if tensor.is_quantized:
            what, instead = "quantized", f"{name}.dequantize()"
        elif tensor.layout != torch.strided or tensor.is_nested:
            what, instead = str(tensor.layout).removeprefix("torch."), f"{name}.to_dense()"
        elif tensor.device.type != "cpu":
            what, instead = f"without values (device '{tensor.device}')", "the model's weights, not only their shapes"
        else:
            continue
        raise RequestError(f"{path}: the tensor {name} is {what}, and weights are read from dense ones; save {instead}")
    return state
