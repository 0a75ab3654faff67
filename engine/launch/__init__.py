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

    Raises SpecError where something in the experiment cannot work (with the layer or the field, the file and the line),
    other RequestErrors where something named does not exist or data is missing and may not be fetched.
    """
    from engine import catalogue
    from engine.check import check
    from engine.data.info import Place
    from engine.run_weights import name_runs
    from engine.store.environment import environment
    from engine.store.folder import create_run

    for module in allow:
        catalogue.allow(module)
    place = Place(data_folder, download)
    report = check(experiment, place, store)
    report.require()
    return create_run(store, catalogue.canonical(name_runs(report.experiment, store)), environment())


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
    trains another one; and, with the run left as it is, where one to be resumed does not find what it needs.
    """
    if resume:
        _require(run_path, data_folder, download, allow)
    arguments = Arguments(run_path, data_folder, download, resume, add_epochs, tuple(allow))
    if launcher == "thread":
        from engine.launch import thread

        return thread.start(arguments)
    if launcher == "process":
        from engine.launch import process

        return process.start(arguments)
    raise RequestError(f"`{launcher}` is not a launcher; there are {' and '.join(LAUNCHERS)}")


def _require(run_path: Path, data_folder: Path, download: bool, allow: Sequence[str]) -> None:
    """Raise RequestError where a run cannot go on here, for want of its data, of weights, of its device, ..., or as the
    data are others now: a session that finds this out itself ends as failed, and so would a run that had finished."""
    from engine import catalogue
    from engine.cached_training import needs_weights
    from engine.check import check
    from engine.data.info import Place
    from engine.launch.continuing import newest_start, require_same_data
    from engine.spec import load_experiment

    for module in allow:
        catalogue.allow(module)
    experiment = load_experiment(run_path / "experiment.toml")
    begun = any((run_path / "checkpoints").glob("step-*"))
    wanted = needs_weights(experiment, resume=begun)
    report = check(experiment, Place(data_folder, download), run_path.parent, weights=wanted)
    if begun:
        # Before what else is wrong: a network that does not suit the data is that of the data that were there.
        require_same_data(report, newest_start(run_path), run_path.name)
    report.require()
