"""Reading a file of weights that somebody else wrote: tensors and nothing else, whatever the file would like to be."""

from __future__ import annotations

import pickle
import zipfile
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


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """The state_dict in a file, on the CPU: of torch.save, of safetensors, or within a checkpoint of a script.

    Nothing is unpickled but tensors and plain containers (weights_only). Raises RequestError where the file is damaged,
    or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return OrderedDict(load_file(path, device="cpu"))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) and "operand" not in str(error):
            raise RequestError(
                f"{path} holds more than weights: objects of a program, which are not read as they could run anything; "
                "save `model.state_dict()` instead of the model"
            ) from None
        raise RequestError(f"{path} is damaged, or no file of weights") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError,
            AssertionError, UnicodeDecodeError, zipfile.BadZipFile) as error:  # fmt: skip
        raise RequestError(f"{path} is damaged, or no file of weights ({_one_line(error)})") from None
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from None
    return _state_of(loaded, path)


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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text[:120] + "...") if len(text) > 120 else text or type(error).__name__
