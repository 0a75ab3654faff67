"""What of a layer trains, and from which epoch on, as a mark and in words; pure.

`thaws` are pairs as `engine.freezing.schedule` gives them: an epoch, and how many parameters begin to train with it.
"""

from __future__ import annotations

from collections.abc import Sequence

Thaws = Sequence[Sequence[int]]


def trained_now(trainable: int, thaws: Thaws, epoch: int = 1) -> int:
    """How many parameters train in an epoch, of those that do at some time."""
    return trainable - sum(size for begins, size in thaws if begins > epoch)


def mark(parameters: int, trainable: int, thaws: Thaws = (), epoch: int = 1) -> str:
    """❄ where nothing trains in an epoch, ◐ where a part does; nothing where all does, or there is nothing to train."""
    now = trained_now(trainable, thaws, epoch)
    return "" if now >= parameters else "◐" if now > 0 else "❄"


def begins(trainable: int, thaws: Thaws, epoch: int = 1) -> str:
    """`from epoch 5`, of what does not train yet; nothing of what does in part, or never will."""
    later = [first for first, _ in thaws if first > epoch]
    return f"from epoch {min(later)}" if later and trained_now(trainable, thaws, epoch) <= 0 else ""


def spoken(parameters: int, trainable: int, thaws: Thaws = ()) -> str:
    """The same where there is room for words: `yes`, `❄ no`, `◐ 12 %`, `❄ from epoch 5`."""
    sign, first = mark(parameters, trainable, thaws), begins(trainable, thaws)
    if not sign:
        return "yes" if parameters else ""
    if sign == "❄":
        return f"❄ {first or 'no'}"
    share = 100 * trained_now(trainable, thaws) / parameters
    return f"{sign} {share:.0f} %" if share >= 1 else f"{sign} < 1 %"


def rate(shares: Sequence[float]) -> str:
    """`  rate ×0.1`, `  rate ×0.01 to ×1`: of shares as `engine.freezing.shares` gives them; "" without any."""
    ends = dict.fromkeys((*shares[:1], *shares[-1:]))
    return f"  rate {' to '.join(f'×{share:.3g}' for share in ends)}" if shares else ""
