"""The lines above and below the panels: where the person is, how far the run is, which keys there are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tui.output import MISSING, count, duration
from tui.safe import safe
from tui.widgets.lines import Line, Lines, fit, line, split, width_of
from tui.widgets.wrapped import READ_ON

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


VIEWS = (("1", "compose"), ("2", "train"), ("3", "runs"), ("4", "compare"))
WIDE = 96


class Header(Lines):
    """The name of the application, its views, and on the right what they are about."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[str, Line, bool, Mapping[str, int]] = ("", (), False, {})

    def show(self, active: str, right: Line, live: bool, counts: Mapping[str, int]) -> None:
        """Draw the views, each with how many there are of what it shows (for train: how many wait)."""
        self._shown = (active, right, live, counts)
        wide = self.size.width >= WIDE
        spans: list[tuple[str, str]] = [(" layerlab", "strong")] if wide else []
        for key, name in VIEWS:
            spans.append((f"   {key} " if wide else f"  {key} " if spans else f" {key} ", "dim"))
            spans.append((name.capitalize(), "accent" if name == active else "dim"))
            if name == "train" and live:
                spans.append((" ●", "accent"))
            if counts.get(name):
                spans.append((f" +{counts[name]}" if name == "train" else f" {counts[name]:,}", "dim"))
        self.set_lines(
            [split(tuple(spans), shorten(right, self.size.width - width_of(tuple(spans)) - 3), self.size.width)]
        )

    def on_resize(self) -> None:
        self.show(*self._shown)


def shorten(spans: Line, width: int) -> Line:
    """The line in at most `width` cells, with a space behind it; what is cut ends in an ellipsis."""
    kept: list[tuple[str, str]] = []
    room = width
    for text, style in spans:
        size = width_of(((text, style),))
        if size > room:
            if room > 1:
                kept.append((fit(text, room), style))
            break
        kept.append((text, style))
        room -= size
    return (*kept, (" ", ""))


class Footer(Lines):
    """The keys that can be used now, as many as fit; what is left out is a `?` away."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys: Sequence[tuple[str, str, str]] = ()

    def show(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Draw these: (key, label, where it holds); those that hold everywhere stand at the end of the line."""
        self._keys = keys
        tail: list[tuple[str, str]] = []
        for key, label, where in keys:
            if where == "everywhere":
                tail += [(f"{key} ", "accent"), (f"{label}  ", "dim")]
        spans: list[tuple[str, str]] = [(" ", "")]
        for key, label, where in keys:
            piece = [(key, "accent"), (f" {label}  ", "dim")]
            if where == "everywhere":
                continue
            if width_of((*spans, *piece, *tail)) > self.size.width - 1:
                break
            spans += piece
        self.set_lines([split(tuple(spans), tuple(tail), self.size.width)])

    def on_resize(self) -> None:
        self.show(self._keys)


def stops_after_epoch(view: Any) -> bool:
    """Whether a live run was asked, since its last epoch ended, to stop after the one under way."""
    since = view.history[-1].step if view.history else 0
    return view.status in LIVE and any(
        event.request == "stop_epoch" and event.step > since for event in reversed(view.controls)
    )


class Progress(Lines):
    """How far a run is, in a line for its state and a line with a bar; more lines where there is more to say."""

    shown_view: Any = None

    def show(self, view: Any) -> None:
        """Draw a RunView, or that there is none."""
        self.shown_view = view
        if view is None:
            key, runs = self.with_keys("{everywhere.train_now}"), self.with_keys("{everywhere.runs_view}")
            train = ((" no run yet: ", "dim"), (key, "accent"), (" trains what is composed, ", "dim"))
            self.set_lines([line(*train, (runs, "accent"), (" lists the runs of before", "dim")), ()])
            self._fit()
            return
        mark, style = MARKS.get(view.status, ("?", ""))
        reason, *more = self._reason(view)
        state = [(f" {mark} ", style), (view.status, style or "strong"), reason]
        done = view.status not in LIVE
        if stops_after_epoch(view):
            state.append((", stops after this epoch", "accent"))
        if view.preparing:
            state.append((f"   {view.preparing}", ""))
        elif view.features and not reason[0]:
            room = self.size.width - width_of(tuple(state))
            state.append((fit(f"   {saving(view.features)}", room).rstrip(), "dim"))
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
        self.set_lines([tuple(state), *((span,) for span in more), self._bar(counted, fraction(view), right)])
        self._fit()

    def _reason(self, view: Any) -> list[tuple[str, str]]:
        """Why the run is in its state, behind the state and on lines of its own where that is too little."""
        if view.reason in ("", view.status):
            return [("", "")]
        begun = len(view.status) + 3
        room = max(self.size.width - 1, 20)
        reason, more = f": {safe(view.reason)}", f" … {self.with_keys(READ_ON)}"
        pieces = textwrap.wrap("x" * begun + reason, room, subsequent_indent="   ", max_lines=3, placeholder=more)
        # A live one has a reason where it is stuck.
        style = "bad" if view.status in ("failed", "damaged") or view.status in LIVE else "dim"
        return [(pieces[0][begun:], style), *((piece, style) for piece in pieces[1:])]

    def _fit(self) -> None:
        height = max(len(self.lines), 2)
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height

    def on_resize(self) -> None:
        if self.shown_view is not None:
            self.show(self.shown_view)

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


def saving(features: Mapping[str, Any]) -> str:
    """What features that are kept save, in words: `features cached, saves 50.0 s an epoch: vgg16 features`."""
    layers, saved = features.get("layers"), features.get("saved")
    of = f": {layers}" if layers else ""
    known = isinstance(saved, int | float) and not isinstance(saved, bool) and math.isfinite(saved) and saved >= 0
    return "features cached" + (f", saves {duration(saved)} an epoch" if known else "") + of


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
