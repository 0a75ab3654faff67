"""Trains experiments in the test's own thread, without a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine.build import initial_networks
from engine.cached_training import with_features
from engine.check import check
from engine.control import Mailbox, Request
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.device import resolve
from engine.events import Checkpoint, EpochEnded, Event
from engine.presets import preset
from engine.session import Session
from engine.spec import Experiment, with_settings


def experiment(name: str = "activation", *settings: str) -> Experiment:
    """A preset on digits, two epochs, with settings as on the command line."""
    return with_settings(preset(name), ["epochs=2", *settings])


def make_session(spec: Experiment, folder: Path = Path("nowhere"), mailbox: Mailbox | None = None) -> Session:
    report = check(spec, Place(folder))
    assert report.error is None, report.error
    device, place = resolve(spec.device), Place(folder)
    ready = partial(
        prepare,
        report.experiment.data,
        seed=spec.seed,
        device=device,
        place=place,
        standardize_targets=report.task.standardize_targets,
    )
    mailbox = mailbox or Mailbox()
    if not spec.data.cache_features:
        return Session(report.experiment, report.task, report.propagations, ready(), mailbox, report.memory)
    networks = initial_networks(report.experiment, report.propagations, device)
    prepared, cached = with_features(report, networks, ready, device=device, place=place)
    return Session(report.experiment, report.task, report.propagations, prepared, mailbox, report.memory, cached)


def train(spec: Experiment, folder: Path = Path("nowhere")) -> tuple[Session, list[Event]]:
    session = make_session(spec, folder)
    return session, list(session.run())


def epochs_of(events: Sequence[Event]) -> list[EpochEnded]:
    return [event for event in events if isinstance(event, EpochEnded)]


class Interrupter(Mailbox):
    """A mailbox into which a request falls after so many looks at it: the loop looks once a step and once a batch
    of evaluation, so this names a moment exactly."""

    def __init__(self, looks: int, *requests: Request) -> None:
        self._looks = looks
        self._falling = requests
        super().__init__()

    @property
    def pending(self) -> bool:
        self._looks -= 1
        if self._looks == 0:
            for request in self._falling:
                self.put(request)
        return self._full

    @pending.setter
    def pending(self, value: bool) -> None:
        self._full = value


def stop_after(spec: Experiment, looks: int, folder: Path = Path("nowhere")) -> tuple[Session, Checkpoint, list[Event]]:
    session = make_session(spec, folder, Interrupter(looks, Request("stop")))
    events = list(session.run())
    steps = [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"]
    return session, steps[-1], events


def resume(
    spec: Experiment, checkpoint: Checkpoint, events: Sequence[Event], change: Callable[[object], object] = lambda x: x
) -> tuple[Session, list[Event]]:
    """A fresh session put where the checkpoint was taken, and run to its end."""
    best = [event for event in events if isinstance(event, Checkpoint) and event.kind == "best"]
    session = make_session(spec)
    weights = next((b.networks for b in reversed(best) if b.step == (checkpoint.state["best"] or {}).get("step")), None)
    session.resume_from(checkpoint.networks, checkpoint.optimizer, checkpoint.state, weights)
    return session, list(session.run())
