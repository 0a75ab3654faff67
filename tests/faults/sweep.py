"""Sweeps an action of the store: for N = 1, 2, ... it goes wrong at file operation N, until it completes untouched.

Each time it runs in a process of its own, on a fresh copy of the same store, and what it leaves is looked at.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import LayerlabError
from engine.store import files
from tests.faults.file_layer import CRASHED, Fault, FaultLayer, layer_for

DONE, TOLD, RAISED = 0, 10, 11
LONGEST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended: done, told in words that it could not be, or ended with its process."""

    fault: Fault
    at: int
    code: int
    operations: int
    words: str

    @property
    def done(self) -> bool:
        return self.code == DONE

    @property
    def crashed(self) -> bool:
        return self.code == CRASHED

    @property
    def reached(self) -> bool:
        """Whether there was an operation N."""
        return self.crashed or self.operations >= self.at

    @property
    def whole(self) -> bool:
        """Whether what was to be done must be there: it was said to be, and the disk did not fail for good."""
        return self.done and not self.fault.for_good


@dataclass(frozen=True, slots=True)
class Action:
    """`act(store, arm)` is swept from where it calls `arm`; `check(store, outcome)` looks at what it left."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path, Callable[[], None]], None]
    check: Callable[[Path, Outcome], None]


def sweep(action: Action, fault: Fault, folder: Path, every: int = 1) -> int:
    """Let every `every`-th operation go wrong; how many did."""
    before, root, grave = folder / "before", folder / "root", folder / "grave"
    before.mkdir(parents=True)
    action.prepare(before)
    for tried in itertools.count():
        at = 1 + tried * every
        root.mkdir()
        grave.mkdir()
        shutil.copytree(before, root / "runs", symlinks=True)
        outcome = _attempt(action, layer_for(fault, at, root, grave), root / "runs")
        context = f"{action.name}, {fault.name}, at operation {at}: {outcome.words}"
        assert outcome.code in (DONE, TOLD, CRASHED), context
        assert outcome.reached or outcome.done, context
        try:
            action.check(root / "runs", outcome)
        except BaseException as error:
            error.add_note(context)
            raise
        shutil.rmtree(root)
        shutil.rmtree(grave)
        if not outcome.reached:
            return tried


def _attempt(action: Action, layer: FaultLayer, store: Path) -> Outcome:
    said = store.parent.parent / "said"
    said.write_text("0\n")
    child = os.fork()
    if child == 0:
        _act_and_exit(action, layer, store, said)
    status = os.waitpid(child, 0)[1]
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    operations, _, words = said.read_text().partition("\n")
    return Outcome(layer.fault, layer.at, code, int(operations), words or f"exit status {code}")


def _act_and_exit(action: Action, layer: FaultLayer, store: Path, said: Path) -> None:
    code, words = RAISED, ""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_SECONDS)
        threads: list[str] = []
        threading.excepthook = lambda arguments: threads.append(
            "".join(traceback.format_exception(arguments.exc_value))
        )
        files.system = layer
        open_before = _open_descriptors()
        try:
            action.act(store, layer.arm)
            code = DONE
        except LayerlabError as error:
            code, words = TOLD, str(error)
        layer.armed = False
        if threads:
            code, words = RAISED, threads[0]
        elif _open_descriptors() > open_before:
            code, words = RAISED, "descriptors were left open"
        elif layer.fault.power is not None:
            # What was said to be done lasts, whatever happens next.
            layer.power_off()
    except BaseException:
        code, words = RAISED, traceback.format_exc()
    finally:
        try:
            said.write_text(f"{layer.count}\n{words}")
        finally:
            os._exit(code)


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
