"""Measures a part of the data, and leaves the session as it was: modes, buffers and generators."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from engine import snapshot
from engine.data.resident import Resident
from engine.events import Event
from engine.stepping import set_training

if TYPE_CHECKING:
    from engine.session import Session

BATCH_BYTES = 64 << 20  # of activations in a batch of evaluation
BATCH = 2000


def evaluate(
    session: Session, part: Resident, *, watch: bool = False
) -> Generator[Event, None, dict[str, float] | None]:
    """The metrics of a part as the return value, None where a request ended it. With `watch`, the session's gauge sees
    which units fire in the first batch."""
    found = None
    networks = {name: stepper.evaluated for name, stepper in session.steppers.items()}
    generators = snapshot.generators(session.device)
    meter = session.task.meter(training=False)
    for network in networks.values():
        network.eval()
    autocast = next(iter(session.steppers.values())).autocast
    watching: AbstractContextManager[Any] = session.gauge.watching(networks) if watch else nullcontext()
    for batch in part.ordered(batch_size(session)):
        with watching, torch.inference_mode(), autocast():
            outcome = session.task.evaluate(batch, networks)
            meter.update(outcome.loss, outcome.weight, outcome.output, outcome.target)
        watching = nullcontext()
        if session.mailbox.pending or session.checkpoint_due:
            # A resume evaluates from the beginning, so a checkpoint made here holds what it began with.
            drawn = snapshot.generators(session.device)
            snapshot.restore_generators(generators, session.device)
            yield from session._obey()
            if session._leaving:
                break
            if session.checkpoint_due:
                yield from session._checkpoint()
            snapshot.restore_generators(drawn, session.device)
    else:
        with torch.inference_mode():
            found = meter.compute()
    snapshot.restore_generators(generators, session.device)
    for network in session.networks.values():
        set_training(network)
    return found


def watch_units(session: Session) -> None:
    """See which units fire in a batch of training data, as an evaluation would: for where there is no validation."""
    networks = {name: stepper.evaluated for name, stepper in session.steppers.items()}
    generators = snapshot.generators(session.device)
    for network in networks.values():
        network.eval()
    autocast = next(iter(session.steppers.values())).autocast
    batch = next(session.prepared.train.ordered(batch_size(session)))
    with session.gauge.watching(networks, alone=True), torch.inference_mode(), autocast():
        session.task.evaluate(batch, networks)
    snapshot.restore_generators(generators, session.device)
    for network in session.networks.values():
        set_training(network)


def batch_size(session: Session) -> int:
    """How many samples to measure at once, so that their activations stay small."""
    skipped = 0 if session.cached is None else session.cached.layers
    size = max(
        sum([row.activation_bytes for row in found.rows if row.depth == 0][skipped:])
        for found in session.propagations.values()
    )
    return min(BATCH, max(session.experiment.data.batch_size, BATCH_BYTES // max(size, 1)))
