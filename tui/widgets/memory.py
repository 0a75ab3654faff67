"""Memory and load while a run is live: each GPU, the one that trains first, the process, the machine."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tui.output import duration, size
from tui.safe import safe
from tui.widgets.lines import Line, fit, line, split
from tui.widgets.rows import Rows
from tui.widgets.spark import bars, over_time

EIGHTHS = " ▏▎▍▌▋▊▉"
NAME = 11
TALLEST = 6
EMPTY = "memory is measured while a run is live"


@dataclass(frozen=True)
class Meter:
    """One reading: bytes, of how many, and a remark."""

    name: str
    used: float
    whole: float | None = None
    note: str = ""


class MemoryMeter(Rows):
    """The newest reading in numbers, and the course of what the training holds, with its highest point marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._telemetry: Sequence[Mapping[str, Any]] = ()
        self._newest: Mapping[str, Any] | None = None
        self._course: list[tuple[float, float]] = []

    def show(self, telemetry: Sequence[Mapping[str, Any]]) -> None:
        """Draw the newest of these readings, oldest first, as `engine.telemetry` takes them."""
        self._telemetry = telemetry
        newest = telemetry[-1] if telemetry else None
        if newest is not None and newest is self._newest:
            return
        self._follow_course(telemetry)
        self._newest = newest
        self._draw()

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self._draw()

    def _follow_course(self, telemetry: Sequence[Mapping[str, Any]]) -> None:
        """Take in the readings behind the last one that was seen: an hour holds thousands."""
        new: list[Mapping[str, Any]] = []
        for values in reversed(telemetry):
            if values is self._newest:
                break
            new.append(values)
        else:
            self._course = []
        for at, values in enumerate(reversed(new)):
            value, when = held(values), _number(values.get("time"))
            if value is not None:
                self._course.append((float(at) if when is None else when, value))
        del self._course[: -max(len(telemetry), 1)]

    def _draw(self) -> None:
        values = self._newest
        if values is None:
            self.set_rows([line((f" {EMPTY}", "dim"))], ())
            return
        gpus = gpus_of(values)
        above, below = self._gpu(gpus[0]) if gpus else [], []
        process = of_process(values)
        if gpus:
            below += [self._brief(gpu) for gpu in gpus[1:]]
            below += self._meters(process)
        else:
            above += self._meters(process[:1])
            below += self._meters(process[1:])
        notes = values.get("notes")
        for note in notes if isinstance(notes, list | tuple) else ():
            pieces = textwrap.wrap(safe(note, 500), max(self.size.width - 4, 20)) or [""]
            below += [line((f" {'·' if not at else ' '} {piece}", "dim")) for at, piece in enumerate(pieces)]
        self.set_rows([*above, *self._chart(self.room - len(above) - len(below)), *below], ())

    # ------------------------------------------------------------------ lines

    def _gpu(self, gpu: Mapping[str, Any]) -> list[Line]:
        load, total = _number(gpu.get("utilisation")), _number(gpu.get("total"))
        whole = "" if total is None else f"   {size(total)}"
        busy = "" if load is None else f"{load:.0f} % busy "
        head = split(
            line(" ", (_title(gpu), "strong"), (whole, "dim")), line((busy, "accent")), max(self.size.width, 1)
        )
        return [head, *self._meters(of_gpu(gpu), told=True)]

    def _brief(self, gpu: Mapping[str, Any]) -> Line:
        """A GPU that is not trained on, in a line."""
        used, total = _number(gpu.get("used")), _number(gpu.get("total"))
        told = [f"{size(used)} of {size(total)}" if used is not None else "memory not told"]
        load, processes = _number(gpu.get("utilisation")), _number(gpu.get("processes"))
        if load is not None:
            told.append(f"{load:.0f} %")
        if processes and self.size.width >= 70:
            told.append(_processes(processes))
        return split(line((f" {_title(gpu)}", "dim")), line(("  ".join(told) + " ", "")), max(self.size.width, 1))

    def _meters(self, meters: Sequence[Meter], told: bool = False) -> list[Line]:
        """`told`: of how much, stands above them."""
        wholes = max((len(f" of {size(meter.whole)}") for meter in meters if meter.whole and not told), default=0)
        notes = max((len(meter.note) + 2 for meter in meters if meter.whole), default=0)
        full = max(min(self.size.width - NAME - 12 - wholes - notes - 1, 24), 4)
        return [self._meter(meter, full, wholes) for meter in meters]

    def _meter(self, meter: Meter, full: int, wholes: int) -> Line:
        spans: list[tuple[str, str]] = [(f" {fit(meter.name, NAME)}", "dim"), (f"{size(meter.used):>10} ", "")]
        if meter.whole:
            share = max(0.0, min(meter.used / meter.whole, 1.0))
            eighths = round(share * full * 8)
            bar = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
            spans += [(bar, "bad" if share > 0.95 else "accent"), ("·" * (full - len(bar)), "dim")]
            if wholes:
                spans.append((f" of {size(meter.whole)}".ljust(wholes), "dim"))
        if meter.note:
            spans.append((f"  {meter.note}", "dim"))
        return tuple(spans)

    def _chart(self, room: int) -> list[Line]:
        """The course in as many lines as are free, at least one; its highest column stands out."""
        if len(self._course) < 2:
            return []
        highest = max(value for _, value in self._course)
        told = f"  highest {size(highest)} "
        columns = max(self.size.width - NAME - 2 - len(told), 4)
        cells = over_time(self._course, columns)
        peak = next(at for at, value in enumerate(cells) if value == highest)
        # What hardly changes is one low line, not a solid block.
        flat = min(value for _, value in self._course) > 0.8 * highest
        rows = bars(cells, 1 if flat else max(1, min(room, TALLEST)), highest * 1.15)
        span = self._course[-1][0] - self._course[0][0]
        lines: list[Line] = []
        for at, row in enumerate(rows):
            last = at == len(rows) - 1
            lines.append(
                line(
                    (f" {fit(duration(max(span, 0.0)) if last else '', NAME)} ", "dim"),
                    (row[:peak], "dim"),
                    (row[peak], "accent"),
                    (row[peak + 1 :], "dim"),
                    (told if last else "", "dim"),
                )
            )
        return lines


# ------------------------------------------------------------------ what a reading says


def gpus_of(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The GPUs of a reading, the one that trains first."""
    found = values.get("gpus")
    known = [gpu for gpu in found if isinstance(gpu, Mapping)] if isinstance(found, list | tuple) else []
    return sorted(known, key=lambda gpu: not gpu.get("training"))


def of_gpu(gpu: Mapping[str, Any]) -> list[Meter]:
    """What is used of a GPU: by torch's tensors, by what torch keeps for more, by others."""
    whole = _number(gpu.get("total"))
    allocated, reserved, peak, used, own, others = (
        _number(gpu.get(name)) for name in ("allocated", "reserved", "peak", "used", "own", "processes")
    )
    meters = []
    if allocated is not None:
        meters.append(Meter("allocated", allocated, whole, "" if peak is None else f"peak {size(peak)}"))
    if reserved is not None:
        meters.append(Meter("reserved", reserved, whole))
    if used is not None and own is not None:
        meters.append(Meter("others", max(used - own, 0.0), whole, _processes(others) if others else ""))
    elif used is not None:
        # The processes are hidden: CUDA's own memory in this one cannot be told from what others use.
        held = max(used - (reserved or 0.0), 0.0)
        meters.append(Meter("the rest", held, whole, "CUDA and others"))
    return meters


def of_process(values: Mapping[str, Any]) -> list[Meter]:
    """What this process and all of the machine use of its main memory."""
    meters = []
    process, used = _number(values.get("rss")), _number(values.get("system_used"))
    if process is not None:
        peak, load = _number(values.get("rss_peak")), _number(values.get("cpu_percent"))
        notes = ("" if peak is None else f"peak {size(peak)}", "" if load is None else f"CPU {load:.0f} %")
        meters.append(Meter("process", process, None, "   ".join(note for note in notes if note)))
    if used is not None:
        meters.append(Meter("system", used, _number(values.get("system_total"))))
    return meters


def held(values: Mapping[str, Any]) -> float | None:
    """What the course is drawn of: memory of the GPU that trains, or of the process."""
    for gpu in gpus_of(values)[:1]:
        known = (_number(gpu.get(name)) for name in ("allocated", "own", "used"))
        return next((value for value in known if value is not None), None)
    return _number(values.get("rss"))


def _title(gpu: Mapping[str, Any]) -> str:
    index, device = gpu.get("index"), gpu.get("device")
    name = safe(gpu.get("name") or "", 60).removeprefix("NVIDIA ")
    number = safe(device, 20) if isinstance(device, str) else f"GPU {index}" if isinstance(index, int) else "GPU"
    return f"{number}  {name}" if name else number


def _processes(number: float) -> str:
    return f"{number:.0f} {'process' if number == 1 else 'processes'}"


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if known else None
