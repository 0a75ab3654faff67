"""What + and - make of a number: the next value that people would try, by what the number is for."""

from __future__ import annotations

import math
from typing import Any

from engine.calls import Value

# Sizes go by powers of two where they are one.
SIZES = frozenset(
    {"out_features", "out_channels", "hidden_size", "dim_feedforward", "embedding_dim", "batch_size", "num_embeddings"}
)
# Shares near to one: what matters is how far from it they are.
NEAR_ONE = frozenset({"momentum", "gamma", "alpha", "rho", "ema", "betas", "decay"})
# Shares of a whole.
SHARES = frozenset({"p", "dropout", "fraction", "label_smoothing", "pct_start", "dampening"})
AT_LEAST_ONE = SIZES | frozenset(
    {
        "kernel_size",
        "stride",
        "dilation",
        "groups",
        "n",
        "num_layers",
        "num_heads",
        "nhead",
        "num_groups",
        "step_size",
        "epochs",
        "accumulate",
        "early_stopping",
        "T_max",
        "size",
        "output_size",
    }
)
# Where numbers begin that have to be given: what people try first.
BEGINNINGS: dict[str, int | float] = {
    "T_0": 10, "base_lr": 0.001, "degrees": 10.0, "dim": 1, "downscale_factor": 2, "embedding_dim": 64, "gamma": 0.9,
    "groups": 2, "hidden_size": 64, "kernel_size": 3, "max_lr": 0.1, "n": 2, "nhead": 4, "norm_type": 2.0,
    "num_embeddings": 1000, "num_groups": 4, "num_heads": 4, "num_layers": 2, "out_channels": 32, "out_features": 64,
    "output_size": 1, "padding": 1, "sparsity": 0.1, "std": 0.1, "step_size": 10, "swa_lr": 0.01, "threshold": 0.0,
    "upscale_factor": 2, "val": 0.0, "value": 0.0,
}  # fmt: skip
_ROUND = (1.0, 2.0, 5.0)


def stepped(name: str, value: Value, step: int) -> Any:
    """The next number above (`step` 1) or below (-1); of a tuple of numbers each. None where there is no such step."""
    if isinstance(value, tuple) and value:
        items = [stepped(name, item, step) for item in value]
        return None if any(item is None for item in items) else tuple(items)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return whole(value, step, size=name in SIZES, lowest=_lowest(name, value))
    if name in SHARES:
        return _rounded(min(max(round(value * 20 + step) / 20, 0.0), 1.0))
    if name in NEAR_ONE and value == 0 and step > 0:
        return 0.5
    if name in NEAR_ONE and (0.5 < value <= 1 or (value == 0.5 and step > 0)):
        return near_one(value, step)
    return round_number(value, step)


def _lowest(name: str, value: int) -> int | None:
    if name in AT_LEAST_ONE:
        return 1
    return 0 if value >= 0 and "dim" not in name else None


def whole(value: int, step: int, *, size: bool = False, lowest: int | None = None) -> int | None:
    """The next whole number: by 1; a size doubles or halves where it is a power of two, and goes by its second digit
    where it is another large number."""
    if size and value >= 4 and value & (value - 1) == 0:
        target = value * 2 if step > 0 else value // 2
    else:
        by = 10 ** max(len(str(abs(value))) - 2, 0) if size else 1
        target = value + step * by
    return None if lowest is not None and target < lowest else target


def round_number(value: float, step: int) -> float:
    """The next of ... 0.01, 0.02, 0.05, 0.1, ...; 0 goes up to 0.0001, and what is negative goes the other way."""
    if value == 0:
        return step * 1e-4
    if value < 0:
        return -round_number(-value, -step)
    exponent = math.floor(math.log10(value) + 1e-12)
    candidates = [_rounded(digit * 10.0**power) for power in range(exponent - 1, exponent + 2) for digit in _ROUND]
    if step > 0:
        return next(candidate for candidate in candidates if candidate > value * (1 + 1e-9))
    return next(candidate for candidate in reversed(candidates) if candidate < value * (1 - 1e-9))


def near_one(value: float, step: int) -> float:
    """The next of 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, ...: the distance to one goes by round numbers."""
    distance = 1 - value
    if distance < 1e-6:
        return 1.0 if step > 0 else 0.999
    return min(max(_rounded(1 - round_number(_rounded(distance), -step)), 0.0), 1.0)


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")
