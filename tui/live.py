"""Where the application meets the engine: it starts a run and asks things of it; all else it reads in the folder."""

from __future__ import annotations

from collections.abc import Callable
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

    def resume(self, path: Path) -> Path:
        """Go on with a run that has ended before its time; the same errors."""
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

    def __init__(self, store: Path, data_folder: Path, download: bool, allow: tuple[str, ...] = ()) -> None:
        """`allow` are the modules of which a person lets layers be imported."""
        self._store = store
        self._data_folder = data_folder
        self._download = download
        self._allow = allow
        self._handle: Any = None
        # What takes prints to a file: told before the training begins, so that its first print is there.
        # Gives the file that they went to before.
        self.log_to: Callable[[Path], Path] | None = None

    def start(self, experiment: Experiment) -> Path:
        from engine.launch import prepare_run
        from engine.launch.thread import refuse_lost

        refuse_lost()  # before there is a folder that nothing would ever train
        path = prepare_run(experiment, self._store, self._data_folder, download=self._download, allow=self._allow)
        self._begin(path, resume=False)
        return path

    def resume(self, path: Path) -> Path:
        self._begin(path, resume=True)
        return path

    def _begin(self, path: Path, resume: bool) -> None:
        from engine.launch import start

        before = self.log_to(path / "console.log") if self.log_to is not None else None
        try:
            self._handle = start(
                path,
                launcher="thread",
                data_folder=self._data_folder,
                download=self._download,
                resume=resume,
                allow=self._allow,
            )
        except BaseException:
            # Somebody else trains it: that log is theirs.
            if self.log_to is not None and before is not None:
                self.log_to(before)
            raise

    def request(self, request: Request) -> None:
        if self._handle is not None and self._handle.alive:
            self._handle.request(request)

    @property
    def alive(self) -> bool:
        return self._handle is not None and bool(self._handle.alive)

    def join(self, timeout: float | None = None) -> None:
        if self._handle is not None:
            self._handle.join(timeout)
