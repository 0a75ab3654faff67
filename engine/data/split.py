"""Which samples are held out for validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


def check_split(n: int, counts: Sequence[int], info: DataInfo, fraction: float, stratify: bool) -> int:
    """How many of n samples are held out. `counts` are those of each class, in the order of the labels; empty where
    they are not known, and then not looked at.

    Raises RequestError where `split` cannot be: a part would be empty, or lack a class.
    """
    held = math.ceil(n * fraction)
    if held >= n:
        raise RequestError(f"holdout({fraction}) of {n} samples leaves none to train on")
    present = [count for count in counts if count] if stratify and info.kind == "classes" else []
    if present and min(present) < 2:
        name = info.classes[list(counts).index(min(present))]
        raise RequestError(
            f"class {name!r} has one sample, too few to be in training and in validation; add more of it, or split "
            f"without regard to classes: holdout({fraction}, stratify=False)"
        )
    if min(held, n - held) < len(present):
        raise RequestError(
            f"holdout({fraction}) puts {held} of {n} samples aside, but each part needs one of each of the "
            f"{len(present)} classes; choose a share nearer to one half, or holdout({fraction}, stratify=False)"
        )
    return held


def split(targets: Tensor, info: DataInfo, fraction: float, stratify: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the held-out samples, both int64 and ascending; a function of the seed.

    Classes are stratified by scikit-learn's train_test_split; values and several labels a sample are drawn at large.
    Raises RequestError as `check_split` does.
    """
    n = len(targets)
    labels = targets.numpy() if info.kind == "classes" else None
    held = check_split(n, [] if labels is None else np.bincount(labels).tolist(), info, fraction, stratify)

    from sklearn.model_selection import train_test_split

    state = mix(seed, Stream.SPLIT) % 2**32
    strata = labels if stratify else None
    train, val = train_test_split(np.arange(n), test_size=held, stratify=strata, random_state=state)
    return torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val))
