"""What is asked of a session while it trains, acted on between two optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.control import Request
from engine.events import Controlled, Event, Message, StatusChanged

if TYPE_CHECKING:
    from engine.session import Session

WAYS_TO_END = ("", "stop_epoch", "stop", "discard")  # the later one counts where several were asked for


def apply(session: Session, request: Request) -> Iterator[Event]:
    """Act on one request, and say so."""
    name, value = request.name, request.value
    if session._over and name in ("set_lr", "add_epochs", "pin_checkpoint"):
        yield Message("warning", f"{name} came when training is over; resume the run for more epochs", session.step)
        return
    if name == "pause" and not session._paused:
        session._paused = True
        yield StatusChanged("paused", "", session.step)
    elif name == "resume" and session._paused:
        session._paused = False
        yield StatusChanged("running", "", session.step)
    elif name in ("stop", "discard", "stop_epoch"):
        session._ending = max(session._ending, name, key=WAYS_TO_END.index)
        if name == "stop_epoch" and session._paused:
            session._paused = False
            yield StatusChanged("running", "", session.step)
    # Once it is over the networks hold the best weights, not the last.
    elif name in ("checkpoint", "pin_checkpoint") and not session._over:
        yield from session._checkpoint(pinned=name == "pin_checkpoint")
    elif name == "set_lr" and value is not None:
        session.schedule.set_lr(float(value))
        if session.batch < session.batches:  # otherwise it is the rate of the next epoch
            session._lr = session.schedule.lr
        session._plan.hasten()
    elif name == "add_epochs" and value is not None:
        session.epochs += int(value)
        session._plan.hasten()
        if session._out_of_patience:  # a run that stopped early would stop again at once
            session._epochs_since_best = 0
    yield Controlled(session.step, name, value, request.by)
