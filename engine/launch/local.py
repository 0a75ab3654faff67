"""Trains a run in the calling thread: from the run folder, into the run folder."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import torch

from engine import catalogue, checkpoint
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

CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch's error of the CPU is a plain RuntimeError that names it
TELL_EVERY = 2.0  # seconds between two messages on how far reading or downloading data has come


def execute(arguments: Arguments, mailbox: Mailbox, writer: RunWriter) -> str:
    """Train until the end and close the writer; returns the final status. Never raises: what goes wrong is the reason
    that the run records."""
    status, reason = "failed", ""
    try:
        session = _session(arguments, mailbox, writer)
        for event in session.run():
            writer.put(event)
        status, reason = session.status, session.reason
    except LayerlabError as error:
        reason = str(error)
    except BaseException as error:  # a person's own module may call sys.exit
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or CPU_ALLOCATOR in _one_line(error):
            reason = f"out of memory: {_one_line(error)}; a smaller batch_size or network fits in less"
        else:
            reason = f"{type(error).__name__}: {_one_line(error)}"
            writer.put(Message("error", traceback.format_exc()))
    finally:
        writer.close(status, reason)
    return status


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a class of somebody else's, too
        text = "it has no text"
    return " ".join(text[:2000].split())[:500]


def _session(arguments: Arguments, mailbox: Mailbox, writer: RunWriter) -> Session:
    for module in arguments.allow:
        catalogue.allow(module)
    experiment = load_experiment(arguments.run_path / "experiment.toml")
    report = check(experiment, Place(arguments.data_folder, arguments.download))
    if report.refusal is not None:
        raise report.refusal
    for warning in report.warnings:
        writer.put(Message("warning", warning))
    prepared = prepare(
        experiment.data,
        seed=experiment.seed,
        device=resolve(experiment.device),
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
