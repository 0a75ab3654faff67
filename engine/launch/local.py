"""Trains a run in the calling thread: from the run folder, into the run folder."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from engine import catalogue, checkpoint, device_errors
from engine.build import initial_networks
from engine.cached_training import describe, needs_weights, with_features
from engine.check import Report, check
from engine.control import Mailbox, Request
from engine.data.info import Place
from engine.data.normalise import TrainedWith
from engine.data.prepare import prepare
from engine.device import resolve
from engine.errors import LayerlabError
from engine.events import Message
from engine.feature_entry import Stopped
from engine.freezing import backbone_nodes
from engine.launch import Arguments
from engine.launch.continuing import newest_start, other_data, require_same_data
from engine.preprocessing import preprocessing
from engine.run_weights import normalisation
from engine.session import Session
from engine.spec import load_experiment
from engine.store.writer import RunWriter
from engine.weight_filling import State
from engine.weights import load_weights

TELL_EVERY = 2.0  # seconds between two messages on how far reading or downloading data has come


def execute(arguments: Arguments, mailbox: Mailbox, writer: RunWriter) -> str:
    """Train until the end and close the writer; returns the final status. Never raises: what goes wrong is the reason
    that the run records. Afterwards nothing of the network is left in memory, and `device_errors.lost` says whether
    this process can train again."""
    status, reason = "failed", ""
    try:
        status, reason = _train(arguments, mailbox, writer)
    finally:
        writer.close(status, reason)
    device_errors.free_memory()
    return status


def _train(arguments: Arguments, mailbox: Mailbox, writer: RunWriter) -> tuple[str, str]:
    """The final status and its reason. Only the frames within hold the network, and they are gone with the return."""
    known: dict[str, Any] = {}
    try:
        session = _session(arguments, mailbox, writer, known)
        for event in session.run():
            writer.put(event)
        return session.status, session.reason
    except Stopped:
        return "stopped", "stopped before training began"
    except LayerlabError as error:
        return "failed", str(error)
    except BaseException as error:  # a person's own module may call sys.exit
        device_errors.lost = device_errors.lost_device(known.get("device", ""))
        if device_errors.lost:
            writer.put(Message("error", traceback.format_exc()))
            return "failed", f"{device_errors.lost}; {device_errors.RESTART}"
        if device_errors.is_out_of_memory(error):
            return "failed", device_errors.out_of_memory(error, **known)
        writer.put(Message("error", traceback.format_exc()))
        return "failed", f"{type(error).__name__}: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a class of somebody else's, too
        text = "it has no text"
    return " ".join(text[:2000].split())[:500]


def _session(arguments: Arguments, mailbox: Mailbox, writer: RunWriter, known: dict[str, Any]) -> Session:
    """The session, ready to run; `known` is given what an error further on has to name."""
    for module in arguments.allow:
        catalogue.allow(module)
    experiment = load_experiment(arguments.run_path / "experiment.toml")
    saved = _newest(arguments.run_path, writer) if arguments.resume else None
    wants_weights = needs_weights(experiment, resume=saved is not None)
    store = arguments.run_path.parent
    report = check(experiment, Place(arguments.data_folder, arguments.download), store, weights=wants_weights)
    began = None if saved is None else newest_start(arguments.run_path)
    if began is not None:
        require_same_data(report, began, arguments.run_path.name)
    if report.refusal is not None:
        raise report.refusal
    device = resolve(experiment.device)
    known |= {"memory": report.memory, "batch_size": experiment.data.batch_size, "device": str(device)}
    for warning in report.warnings:
        writer.put(Message("warning", warning))
    place = Place(arguments.data_folder, arguments.download, _Teller(writer, mailbox))
    weights = _load_weights(report, place, store, writer) if wants_weights else {}
    ready = partial(
        prepare,
        experiment.data,
        seed=experiment.seed,
        device=device,
        place=place,
        standardize_targets=report.task.standardize_targets,
        trained_with=_trained_with(report, store, began),
    )
    cached = None
    if experiment.data.cache_features:
        networks = initial_networks(report.experiment, report.propagations, device, weights)
        prepared, cached = with_features(
            report,
            networks,
            ready,
            device=device,
            place=place,
            stopped=lambda: mailbox.pending and mailbox.asks_to_end(),
            weights=weights,
            began=began,
        )
        writer.put(Message("info", describe(cached.features)))
        for note in cached.notes:
            writer.put(Message("warning", note))
    else:
        prepared = ready()
    others = None if began is None or (cached is not None and cached.notes) else other_data(report, prepared, began)
    if others is not None:
        writer.put(Message("warning", others))
    for note in prepared.notes:
        if note not in report.warnings:  # what the check has told already
            writer.put(Message("warning", note))
    session = Session(
        report.experiment, report.task, report.propagations, prepared, mailbox, report.memory, cached, weights
    )
    if saved is not None:
        _restore(session, saved, writer)
    if arguments.add_epochs:
        mailbox.put(Request("add_epochs", arguments.add_epochs))
    return session


def _load_weights(report: Report, place: Place, store: Path, writer: RunWriter) -> dict[str, dict[str, State]]:
    """The weights of the backbones of each network; what there is to know of them is told."""
    notes: list[str] = []
    found = {
        name: load_weights(propagation, place, store, classes=report.info.classes, notes=notes)
        for name, propagation in report.propagations.items()
    }
    for note in notes:
        writer.put(Message("warning", note))
    return found


def _trained_with(report: Report, store: Path, began: Mapping[str, object] | None) -> TrainedWith | None:
    """What the inputs were normalised with where the weights were trained; for a resume what this run `began` with, as
    the run that its weights are of may be gone, or others now."""
    network = report.propagations[report.task.networks[0]]
    if began is not None and any(backbone_nodes(network.nodes)):
        return normalisation(began)
    found = preprocessing(network, store)
    return None if found is None else found.normalisation


def _newest(run_path: Path, writer: RunWriter) -> checkpoint.Saved | None:
    """The newest whole checkpoint of a run, None where there is none; what is wrong is told."""
    saved, problems = checkpoint.newest(run_path / "checkpoints")
    for problem in problems:
        writer.put(Message("warning", f"{problem}; going back to the one before it"))
    if saved is None:
        writer.put(Message("warning", "there is no checkpoint to go on from: training begins anew"))
    return saved


def _restore(session: Session, saved: checkpoint.Saved, writer: RunWriter) -> None:
    """Put the session where a checkpoint was taken."""
    best = None
    if saved.state["best"] is not None:
        best, problems = checkpoint.newest(saved.path.parent, "best", saved.state["best"]["step"])
        if best is None:
            why = "; ".join(problems) or "they are not there"
            writer.put(
                Message("warning", f"the best weights so far cannot be read ({why}); the next epoch counts as best")
            )
    session.resume_from(saved.networks, saved.optimizer, saved.state, None if best is None else best.networks)
    writer.put(Message("info", f"resumed at step {session.step} (epoch {session.epoch + 1}, batch {session.batch})"))


class _Teller:
    """Turns progress of reading, downloading and decoding into messages, a few seconds apart, with the time that is
    left; what is quick is not told. Raises Stopped where somebody wants an end: decoding may take long."""

    def __init__(self, writer: RunWriter, mailbox: Mailbox) -> None:
        self._writer = writer
        self._mailbox = mailbox
        self._told = time.monotonic()
        self._text = ""
        self._began = (self._told, 0)

    def __call__(self, text: str, done: int, total: int | None) -> None:
        if self._mailbox.asks_to_end():
            raise Stopped
        now = time.monotonic()
        if text != self._text:
            self._text, self._began = text, (now, done)
        if now - self._told >= TELL_EVERY:
            self._told = now
            share = f" {100 * done / total:.0f} %" if total else ""
            self._writer.put(Message("info", f"{text}{share}{self._left(now, done, total)}"))

    def _left(self, now: float, done: int, total: int | None) -> str:
        """How long the rest takes at the speed so far."""
        began, first = self._began
        if not total or done <= first or done >= total:
            return ""
        seconds = (now - began) / (done - first) * (total - done)
        if seconds < 1:  # "about 0 s" says nothing
            return ""
        return f", about {seconds:.0f} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"
