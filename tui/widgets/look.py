"""How a chart looks at its curves, and the curves themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui.widgets.window import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNITS = ("epoch", "step", "time", "samples")
WEIGHTS = (0.0, 0.6, 0.9, 0.97)


@dataclass(frozen=True)
class Series:
    """One curve: `x` ascends; `style` names a style of lines.py; `dashed` is the number of a pattern of dashes, by
    which it is told from the others where there is no colour (False or 0: none, True or 1: the first)."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    style: str
    dashed: int = 0


@dataclass(frozen=True)
class Look:
    """`weight` is that of smoothing, 0.0 for none; `log` makes the y axis logarithmic."""

    weight: float = 0.0
    log: bool = False
    window: Window = field(default_factory=Window)

    @property
    def notes(self) -> list[str]:
        """What is not as usual, in words."""
        said = [f"smoothed {self.weight:g}"] if self.weight else []
        said += ["logarithmic"] if self.log else []
        if self.window.low is None and self.window.part < 1:
            said.append(f"last {100 * self.window.part:.3g} %")
        return said + (["zoomed"] if self.window.low is not None else [])
