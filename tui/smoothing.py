"""Smoothing of curves: the exponential moving average, without the bias of its beginning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smooth(x: NDArray[np.float64], y: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """The debiased exponential moving average of `y` over ascending `x`, both of shape (N,).

    Points as far apart as is usual in this curve (the median distance) keep `weight` of what was before them; the
    weight follows the distance, `weight ** (distance / median)`, so a gap forgets more and a cluster less. Equally
    spaced, it is the bias-corrected average of Adam (Kingma and Ba, 2015, section 3). What is not finite stays as it is
    and has no part in its neighbours. A weight of 0 gives `y` itself.
    """
    if not 0 < weight < 1 or not len(y):
        return y
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return y
    distance = np.diff(x[finite])
    usual = float(np.median(distance)) if len(distance) else 0.0
    decay = np.full(int(finite.sum()), weight)
    if usual > 0 and np.isfinite(usual):
        # Two points in one place are two all the same: neither of them would count for nothing.
        decay[1:] = weight ** np.maximum(distance / usual, 1e-3)
    # s = decay * s + (1 - decay) * y for all points at once, in log2(N) passes (Hillis and Steele, 1986).
    kept, total = decay.copy(), (1 - decay) * y[finite]
    reach = 1
    while reach < len(kept):
        total[reach:] = total[reach:] + kept[reach:] * total[:-reach]
        kept[reach:] = kept[reach:] * kept[:-reach]
        reach *= 2
    out = y.copy()
    out[finite] = total / (1 - kept)
    return out
