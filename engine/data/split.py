"""Which samples are held out for validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.calls import Call
from engine.data.info import DataInfo
from engine.errors import RequestError
from engine.rng import Stream, mix


@dataclass(frozen=True)
class Validation:
    """How validation samples are chosen: a share held out, the official test split, or none."""

    kind: str
    fraction: float = 0.0
    stratify: bool = True


def holdout(fraction: float = 0.2, stratify: bool = True) -> Validation:
    """Hold out a share of the training samples, each class in proportion (`stratify`)."""
    if not 0 < fraction < 1:
        raise RequestError(f"holdout({fraction}): the share held out is between 0 and 1, for instance holdout(0.2)")
    return Validation("holdout", fraction, stratify)


def test() -> Validation:
    """Validate on the official test split."""
    return Validation("test")


def none() -> Validation:
    """Train on every sample, validate on none."""
    return Validation("none")


VALIDATIONS: dict[str, Callable[..., Validation]] = {"holdout": holdout, "test": test, "none": none}


def build_validation(call: Call) -> Validation:
    """The validation that a call names. Raises RequestError."""
    # Here, for the catalogue lists what this module holds.
    from engine.catalogue import bind, find

    entry = find("validations", call.name)
    arguments: dict[str, Any] = bind(entry, call)
    return VALIDATIONS[entry.name](**arguments)


def split(targets: Tensor, info: DataInfo, fraction: float, stratify: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the held-out samples, both int64 and ascending; a function of the seed.

    Classes are stratified by scikit-learn's train_test_split; values and several labels a sample are drawn at large.
    Raises RequestError where a part would be empty, or a class has too few samples to be in both.
    """
    n = len(targets)
    held = math.ceil(n * fraction)
    if held >= n:
        raise RequestError(f"holdout({fraction}) of {n} samples leaves none to train on")
    labels = targets.numpy() if stratify and info.kind == "classes" else None
    if labels is not None:
        _check_classes(labels, info, fraction, held)

    from sklearn.model_selection import train_test_split

    state = mix(seed, Stream.SPLIT) % 2**32
    train, val = train_test_split(np.arange(n), test_size=held, stratify=labels, random_state=state)
    return torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val))


def _check_classes(
    labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]], info: DataInfo, fraction: float, held: int
) -> None:
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        name = info.classes[int(names[counts.argmin()])]
        raise RequestError(
            f"class {name!r} has one sample, too few to be in training and in validation; add more of it, or split "
            f"without regard to classes: holdout({fraction}, stratify=False)"
        )
    smaller = min(held, len(labels) - held)
    if smaller < len(names):
        raise RequestError(
            f"holdout({fraction}) puts {held} of {len(labels)} samples aside, but each part needs one of each of the "
            f"{len(names)} classes; choose a share nearer to one half, or holdout({fraction}, stratify=False)"
        )
