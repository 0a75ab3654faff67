"""Where the application meets the engine: it starts a run and asks things of it; all else it reads in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from engine.control import Request
    from engine.spec import Experiment


class Training(Protocol):
    """One run at a time. `start` may take seconds (torch, files): it is called off the main thread."""

    def start(self, experiment: Experiment) -> Path:
        """Create the run's folder and begin to train; raises LayerlabError where that cannot be."""
        ...

    def request(self, request: Request) -> None:
        """Ask the run under way; nothing happens where there is none."""
        ...

    @property
    def alive(self) -> bool:
        """Whether the training thread is still at work."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait until the training thread has ended."""
        ...


class EngineTraining:
    """Training in a thread of this process."""

    def __init__(self, store: Path, data_folder: Path, download: bool) -> None:
        self._store = store
        self._data_folder = data_folder
        self._download = download
        self._handle: Any = None

    def start(self, experiment: Experiment) -> Path:
        from engine.launch import prepare_run, start

        path = prepare_run(experiment, self._store, self._data_folder, download=self._download)
        self._handle = start(path, launcher="thread", data_folder=self._data_folder, download=self._download)
        return path

    def request(self, request: Request) -> None:
        if self._handle is not None and self._handle.alive:
            self._handle.request(request)

    @property
    def alive(self) -> bool:
        return self._handle is not None and bool(self._handle.alive)

    def join(self, timeout: float | None = None) -> None:
        if self._handle is not None:
            self._handle.join(timeout)
