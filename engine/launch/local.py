"""Trains a run in the calling thread: from the run folder, into the run folder."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

from engine import catalogue, checkpoint, device_errors
from engine.check import check
from engine.control import Mailbox, Request
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.device import resolve
from engine.errors import LayerlabError
from engine.events import Message
from engine.launch import Arguments
from engine.session import Session
from engine.spec import load_experiment
from engine.store.writer import RunWriter

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
    report = check(experiment, Place(arguments.data_folder, arguments.download))
    if report.refusal is not None:
        raise report.refusal
    device = resolve(experiment.device)
    known |= {"memory": report.memory, "batch_size": experiment.data.batch_size, "device": str(device)}
    for warning in report.warnings:
        writer.put(Message("warning", warning))
    prepared = prepare(
        experiment.data,
        seed=experiment.seed,
        device=device,
        place=Place(arguments.data_folder, arguments.download, _Teller(writer)),
        standardize_targets=report.task.standardize_targets,
    )
    session = Session(report.experiment, report.task, report.propagations, prepared, mailbox, report.memory)
    if arguments.resume:
        _restore(session, arguments.run_path, writer)
    if arguments.add_epochs:
        mailbox.put(Request("add_epochs", arguments.add_epochs))
    return session


def _restore(session: Session, run_path: Path, writer: RunWriter) -> None:
    """Put the session where the newest whole checkpoint was taken; at the beginning where there is none."""
    folder = run_path / "checkpoints"
    saved, problems = checkpoint.newest(folder)
    for problem in problems:
        writer.put(Message("warning", f"{problem}; going back to the one before it"))
    if saved is None:
        writer.put(Message("warning", "there is no checkpoint to go on from: training begins anew"))
        return
    best = None
    if saved.state["best"] is not None:
        best, problems = checkpoint.newest(folder, "best", saved.state["best"]["step"])
        if best is None:
            why = "; ".join(problems) or "they are not there"
            writer.put(
                Message("warning", f"the best weights so far cannot be read ({why}); the next epoch counts as best")
            )
    session.resume_from(saved.networks, saved.optimizer, saved.state, None if best is None else best.networks)
    writer.put(Message("info", f"resumed at step {session.step} (epoch {session.epoch + 1}, batch {session.batch})"))


class _Teller:
    """Turns progress of reading and downloading into messages, a few seconds apart; what is quick is not told."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._told = time.monotonic()

    def __call__(self, text: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            share = f" {100 * done / total:.0f} %" if total else ""
            self._writer.put(Message("info", f"{text}{share}"))
