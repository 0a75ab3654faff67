"""Processes for the fault tests: forks that do something and tell what came of it; waiting for things."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.watching import until

FORK = multiprocessing.get_context("fork")
CHECKOUT = Path(__file__).parents[2]
# linux/capability.h: version 3, two words of 32 capabilities, of which these two let root pass by permissions.
CAPABILITIES, DAC_OVERRIDE, DAC_READ_SEARCH = 0x20080522, 1, 2


def remove(folder: Path) -> None:
    """Take a folder away that others write into at the same time."""
    until(lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists())


def in_a_fork(act: Callable[..., Any], *arguments: Any, seconds: float = 60.0) -> Any:
    """What a function gives in a process of its own; its exceptions are this process's."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_tell, args=(theirs, act, arguments))
    process.start()
    theirs.close()
    try:
        assert ours.poll(seconds), f"it took longer than {seconds} s"
        result, error = ours.recv()
        assert not error, error
        return result
    finally:
        process.kill()
        process.join()


def _tell(pipe: Any, act: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((act(*arguments), ""))
    except BaseException:
        pipe.send((None, traceback.format_exc()))


@contextmanager
def at_once(act: Callable[..., None], calls: list[tuple[Any, ...]]) -> Iterator[Any]:
    """As many processes as there are calls, which wait for each other; gives a queue for their answers.

    Each gets a barrier and the queue before its own arguments.
    """
    barrier, answers = FORK.Barrier(len(calls)), FORK.Queue()
    processes: list[BaseProcess] = [FORK.Process(target=act, args=(barrier, answers, *call)) for call in calls]
    for process in processes:
        process.start()
    try:
        yield answers
        for process in processes:
            process.join(30)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
            process.join()


def obey_permissions() -> None:
    """Give up for good, in this process, what lets root write where nobody may; nobody else has it."""
    if os.getuid() or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same of the upper word
    assert not libc.capget(header, sets), os.strerror(ctypes.get_errno())
    keep = ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH) & 0xFFFFFFFF
    for at in range(3):
        sets[at] &= keep
    assert not libc.capset(header, sets), os.strerror(ctypes.get_errno())


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write anything in a folder, at any depth."""
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in everything:
            path.chmod(0o755 if path.is_dir() else 0o644)
