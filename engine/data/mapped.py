"""Tensors of files that are mapped read-only."""

from __future__ import annotations

import warnings
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def tensor_of_mapped(values: npt.NDArray[Any]) -> Tensor:
    """A tensor that shares the memory of an array that cannot be written to. Nobody may write to the tensor: torch does
    not know, and the system ends the process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)
