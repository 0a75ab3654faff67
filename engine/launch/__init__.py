"""Who starts a session, and where it executes. Every launcher leaves the same run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.control import Request
from engine.errors import RequestError
from engine.spec import Experiment

LAUNCHERS = ("thread", "process")


@dataclass(frozen=True)
class Arguments:
    """What a launcher has to know: the run, where the data lies and whether it may be downloaded, whether to go on from
    the newest checkpoint and with how many epochs more, and whose own modules may be imported."""

    run_path: Path
    data_folder: Path
    download: bool = False
    resume: bool = False
    add_epochs: int = 0
    allow: tuple[str, ...] = ()


class Handle(Protocol):
    """A session that was started."""

    run_path: Path

    @property
    def alive(self) -> bool:
        """Whether it still executes; what it left is in the run folder."""

    def request(self, request: Request) -> None:
        """Ask something of it; acted on within one step."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds."""


def prepare_run(
    experiment: Experiment,
    store: Path,
    data_folder: Path,
    *,
    download: bool = False,
    allow: Sequence[str] = (),
) -> Path:
    """Check an experiment and make its run folder; nothing is trained yet.

    Raises CheckFailed where the network does not fit, and other RequestErrors where something named does not exist.
    """
    from engine import catalogue
    from engine.check import check
    from engine.data.info import Place
    from engine.store.environment import environment
    from engine.store.folder import create_run

    for module in allow:
        catalogue.allow(module)
    report = check(experiment, Place(data_folder, download))
    if report.error is not None:
        raise CheckFailed(report.error.path, report.error.message)
    return create_run(store, catalogue.canonical(report.experiment), environment())


class CheckFailed(RequestError):
    """The experiment cannot run as it is: `path` names the layer or the field."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(message if not path.replace(".", "").isdigit() else f"layer {path}: {message}")


def start(
    run_path: Path,
    *,
    launcher: str = "thread",
    data_folder: Path,
    download: bool = False,
    resume: bool = False,
    add_epochs: int = 0,
    allow: Sequence[str] = (),
) -> Handle:
    """Start training a run that was made, or resume one that has ended.

    Raises RequestError where the launcher is unknown, somebody else trains the run, or (for "thread") this process
    trains another one.
    """
    arguments = Arguments(run_path, data_folder, download, resume, add_epochs, tuple(allow))
    if launcher == "thread":
        from engine.launch import thread

        return thread.start(arguments)
    if launcher == "process":
        from engine.launch import process

        return process.start(arguments)
    raise RequestError(f"`{launcher}` is not a launcher; there are {' and '.join(LAUNCHERS)}")
