"""The memory meter: the device's where it has its own, the process's and the machine's otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tui.output import size
from tui.widgets.lines import Line, Lines, line

EIGHTHS = " ▏▎▍▌▋▊▉"
SPARKS = "▁▂▃▄▅▆▇█"


class MemoryMeter(Lines, can_focus=True):
    """Readings by name, each with a bar where its limit is known, and the course of the first one once it has one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._telemetry: Sequence[Mapping[str, Any]] = ()
        self._newest: Mapping[str, Any] | None = None

    def show(self, telemetry: Sequence[Mapping[str, Any]]) -> None:
        """Draw the newest of these readings, oldest first."""
        if telemetry and telemetry[-1] is self._newest:
            return
        self._telemetry = telemetry
        self._newest = telemetry[-1] if telemetry else None
        if not telemetry:
            self.set_lines([line((" memory is measured while a run is live", "dim"))])
            return
        meters = readings(telemetry[-1])
        lines: list[Line] = [self._meter(*meter) for meter in meters]
        course = [values for values in (first_reading(item) for item in telemetry[-self._room :]) if values is not None]
        if len(course) > 1 and min(course) < 0.95 * max(course) and self.size.height > len(lines):
            lines.append(line((f" {'over time':<12}", "dim"), (spark(course), "dim")))
        self.set_lines(lines)

    def on_resize(self) -> None:
        self._newest = None
        self.show(self._telemetry)

    @property
    def _room(self) -> int:
        return max(self.size.width - 14, 1)

    def _meter(self, name: str, used: float, whole: float | None, note: str) -> Line:
        spans: list[tuple[str, str]] = [(f" {name:<12}", "dim"), (f"{size(used):>10} ", "")]
        if whole:
            share = max(0.0, min(used / whole, 1.0))
            full = max(min(self.size.width - 44, 24), 4)
            eighths = round(share * full * 8)
            bar = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
            style = "bad" if share > 0.95 else "accent"
            spans += [(bar, style), ("·" * (full - len(bar)), "dim"), (f" of {size(whole)}", "dim")]
        if note:
            spans.append((f"  {note}", "dim"))
        return tuple(spans)


def readings(values: Mapping[str, Any]) -> list[tuple[str, float, float | None, str]]:
    """A reading of `engine.telemetry` as (name, bytes, of how many bytes, remark), the GPU's own memory first."""
    meters: list[tuple[str, float, float | None, str]] = []
    gpu = _gpu_in_use(values.get("gpus"))
    allocated, reserved = _number(values.get("cuda_allocated")), _number(values.get("cuda_reserved"))
    if allocated is not None:
        whole, load = _number(gpu.get("total")), _number(gpu.get("utilisation"))
        peak, used = _number(values.get("cuda_peak")), _number(gpu.get("used"))
        own = _number(gpu.get("own"))
        own = reserved if own is None else own
        meters.append(("allocated", allocated, whole, "" if peak is None else f"peak {size(peak)}"))
        if reserved is not None:
            meters.append(("reserved", reserved, whole, "" if load is None else f"GPU {load:.0f} % busy"))
        if used is not None and own is not None:
            meters.append(("others", max(used - own, 0.0), whole, ""))
    process = _number(values.get("rss"))
    if process is not None:
        peak, load = _number(values.get("rss_peak")), _number(values.get("cpu_percent"))
        notes = ("" if peak is None else f"peak {size(peak)}", "" if load is None else f"CPU {load:.0f} %")
        meters.append(("process", process, None, "   ".join(note for note in notes if note)))
    used = _number(values.get("system_used"))
    if used is not None:
        meters.append(("system", used, _number(values.get("system_total")), ""))
    return meters


def _gpu_in_use(gpus: Any) -> Mapping[str, Any]:
    """The GPU on which this process holds memory, or the first."""
    known = [gpu for gpu in gpus if isinstance(gpu, Mapping)] if isinstance(gpus, list | tuple) else []
    return next((gpu for gpu in known if gpu.get("own")), known[0] if known else {})


def first_reading(values: Mapping[str, Any]) -> float | None:
    """What the course is drawn of: the device's allocated memory, or the process's."""
    meters = readings(values)
    return meters[0][1] if meters else None


def spark(values: Sequence[float]) -> str:
    """The course of a number as bars of eight heights, from 0 to its largest."""
    top = max(values) or 1.0
    return "".join(SPARKS[min(int(value / top * 7.999), 7)] for value in values)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
