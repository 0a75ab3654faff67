"""Labels are 0, 1, ..., k-1, each of them there. Anything else is refused with the value, never renumbered silently."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.errors import RequestError


def check_labels(labels: NDArray[np.int64], name: str, where: Callable[[int], str]) -> int:
    """The number of classes k of integer labels (N,).

    `name` is the file or key that errors begin with, `where(i)` tells where sample i stands ("line 17"). Raises
    RequestError for labels that are negative, begin above 0, leave a gap, or where there is only one class.
    """
    lowest = int(labels.min())
    if lowest < 0:
        at = where(int(labels.argmin()))
        raise RequestError(f"{name}: label {lowest} ({at}) is negative; labels are 0, 1, 2, ...")
    if lowest > 0:
        at = where(int(labels.argmin()))
        raise RequestError(
            f"{name}: the smallest label is {lowest} ({at}), but labels begin at 0; subtract {lowest} from all of them"
        )
    distinct = np.unique(labels)
    gaps = np.flatnonzero(distinct != np.arange(len(distinct)))
    if len(gaps):
        missing = int(gaps[0])
        found = int(distinct[missing])
        at = where(int(np.flatnonzero(labels == found)[0]))
        raise RequestError(
            f"{name}: no sample has label {missing}, but {at} has label {found}; number the {len(distinct)} classes "
            f"0 to {len(distinct) - 1} without gaps"
        )
    if len(distinct) < 2:
        raise RequestError(f"{name}: every sample has label {lowest}; a classification needs two classes or more")
    return len(distinct)
