"""The lines above and below the panels: where the person is, how far the run is, which keys there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tui.output import MISSING, count, duration
from tui.safe import safe
from tui.widgets.lines import Line, Lines, line, split, width_of

if TYPE_CHECKING:
    from tui.commands import Command

MARKS = {
    "starting": ("●", "accent"),
    "running": ("●", "accent"),
    "paused": ("‖", "accent"),
    "finished": ("✓", "good"),
    "stopped": ("■", ""),
    "failed": ("✗", "bad"),
    "interrupted": ("◌", "accent"),
    "damaged": ("✗", "bad"),
}
LIVE = ("starting", "running", "paused")
EIGHTHS = " ▏▎▍▌▋▊▉"


class Header(Lines):
    """The name of the application, its views, and on the right what they are about."""

    def show(self, active: str, right: Line, live: bool) -> None:
        spans: list[tuple[str, str]] = [(" layerlab", "strong")]
        for key, name in (("1", "Compose"), ("2", "Train")):
            style = "accent" if name.lower() == active else "dim"
            spans.append((f"   {key} ", "dim"))
            spans.append((name, style))
            if name == "Train" and live:
                spans.append((" ●", "accent"))
        self.set_lines([split(tuple(spans), (*right, (" ", "")), self.size.width)])


class Footer(Lines):
    """The keys that can be used now, as many as fit; what is left out is a `?` away."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._commands: Sequence[Command] = ()

    def show(self, commands: Sequence[Command]) -> None:
        """Draw the keys of these commands."""
        self._commands = commands
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        always = [command for command in self._commands if command.id in ("next_panel", "train_now", "help", "leave")]
        tail: list[tuple[str, str]] = []
        for command in always:
            tail += [(f"{command.shown} ", "accent"), (f"{command.label}  ", "dim")]
        spans: list[tuple[str, str]] = [(" ", "")]
        for command in self._commands:
            if command in always:
                continue
            piece = [(command.shown, "accent"), (f" {command.label}  ", "dim")]
            if width_of((*spans, *piece, *tail)) > self.size.width - 1:
                break
            spans += piece
        self.set_lines([split(tuple(spans), tuple(tail), self.size.width)])


def stops_after_epoch(view: Any) -> bool:
    """Whether a live run was asked, since its last epoch ended, to stop after the one under way."""
    since = view.history[-1].step if view.history else 0
    return view.status in LIVE and any(
        event.request == "stop_epoch" and event.step > since for event in reversed(view.controls)
    )


class Progress(Lines):
    """How far a run is, in a line for its state and a line with a bar."""

    def show(self, view: Any) -> None:
        """Draw a RunView, or that there is none."""
        if view is None:
            self.set_lines([line((" no run yet: ", "dim"), ("^r", "accent"), (" trains what is composed", "dim")), ()])
            return
        mark, style = MARKS.get(view.status, ("?", ""))
        state = [(f" {mark} ", style), (view.status, style or "strong")]
        if view.reason not in ("", view.status):
            state.append((f": {safe(view.reason)}", "bad" if view.status in ("failed", "damaged") else "dim"))
        done = view.status not in LIVE
        if stops_after_epoch(view):
            state.append((", stops after this epoch", "accent"))
        counted = f"epoch {min(view.epoch, view.epochs) if view.epoch else 0} of {view.epochs}" if view.epochs else ""
        numbers: list[str] = []
        if view.step and self.size.width >= 100:
            numbers.append(f"step {view.step:,}")
        if view.samples_per_second and not done:
            numbers.append(f"{_speed(view.samples_per_second)} samples/s")
        if view.seconds_left is not None and not done:
            numbers.append(f"{duration(view.seconds_left)} left")
        elif view.seconds_per_epoch and done:
            numbers.append(f"{duration(view.seconds_per_epoch)} an epoch")
        if view.lr is not None:
            numbers.append(f"lr {rate(view.lr)}")
        right = line(("   ".join(numbers), "dim"))
        self.set_lines([tuple(state), self._bar(counted, fraction(view), right)])

    def _bar(self, counted: str, done: float, right: Line) -> Line:
        width = self.size.width
        room = max(min(width - len(counted) - width_of(right) - 14, 48), 0)
        eighths = round(done * room * 8)
        full, part = divmod(eighths, 8)
        bar = "█" * full + (EIGHTHS[part] if part else "")
        left = line(
            f" {counted}  ",
            (bar, "accent"),
            ("·" * (room - len(bar)), "dim"),
            f" {100 * done:3.0f} %",
        )
        return split(left, (*right, (" ", "")), width)


def fraction(view: Any) -> float:
    """How much of a run is done, from 0 to 1."""
    if not view.epochs:
        return 0.0
    if view.status == "finished":
        return 1.0
    whole = len(view.history)
    part = view.batch / view.batches if view.batches and view.epoch > whole else 0.0
    return float(max(0.0, min((whole + part) / view.epochs, 1.0)))


def rate(lr: float | None) -> str:
    """A learning rate as a person writes it: 0.01, 0.0025, 1e-05."""
    return MISSING if lr is None else f"{lr:.4g}"


def _speed(samples_per_second: float) -> str:
    return f"{samples_per_second:,.0f}" if samples_per_second < 100_000 else count(samples_per_second)
