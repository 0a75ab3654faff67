"""`layerlab train --detach`: a run in a process of its own, which no terminal can end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import LayerlabError, RunError

if TYPE_CHECKING:
    from engine.launch import Handle
    from engine.spec import Experiment
    from engine.store.reader import RunReader, RunView

_INTERVAL = 0.1
# A process may be gone a moment before its last words can be read.
_GRACE = 1.0


@dataclass(frozen=True)
class Detached:
    """A run that has begun in a process of its own."""

    view: RunView

    @property
    def pid(self) -> int | None:
        return self.view.owner.get("pid")

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.view.run,
            "path": str(self.view.path),
            "status": self.view.status,
            "pid": self.pid,
            "console": str(self.view.path / "console.log"),
        }


def train_detached(
    experiments: Sequence[Experiment], store: Path, data: Path, download: bool, allow: tuple[str, ...]
) -> list[Detached]:
    """Start each experiment in a process and session of its own, side by side, and wait until all train.

    Raises what `prepare_run` does where none could begin, and RunError where some did not; those that began go on then.
    """
    from engine.launch import prepare_run, start
    from engine.store.reader import RunReader

    begun: list[tuple[Handle, RunReader]] = []
    detached: list[Detached] = []
    problems: list[str] = []
    for experiment in experiments:
        try:
            path = prepare_run(experiment, store, data, download=download, allow=allow)
            handle = start(path, launcher="process", data_folder=data, download=download, allow=allow)
        except LayerlabError as error:
            if not begun and experiment is experiments[-1] and not problems:
                raise
            problems.append(f"{experiment.name} did not begin: {error}")
            continue
        begun.append((handle, RunReader(path)))
    for handle, reader in begun:
        problem = _wait(handle, reader)
        if problem:
            problems.append(problem)
        else:
            detached.append(Detached(reader.view))
    if problems:
        others = "".join(f"\n{one.view.run} has begun all the same" for one in detached)
        raise RunError("\n".join(problems) + others)
    return detached


def _wait(handle: Handle, reader: RunReader) -> str:
    """Wait until a run trains; gives in words why it does not, "" where it does."""
    from tui.follow import message_text, messages_after
    from tui.output import say

    last = None
    gone_since: float | None = None
    while True:
        # Asked first: what it has said by its end is read after that.
        alive = handle.alive
        reader.poll()
        view = reader.view
        for message in messages_after(last, view):
            if not message.text.startswith("Traceback"):
                say(message_text(message))
            last = message
        if view.status == "failed":
            return f"{view.name} failed before it trained: {view.reason or 'no reason was recorded'}"
        if view.started or view.status in ("finished", "stopped"):
            return ""
        if not alive:
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > _GRACE:
                why = _last_line(view.path / "console.log") or "it said nothing"
                return f"the process of {view.run} ended before it trained: {why}"
        time.sleep(_INTERVAL)


def _last_line(console: Path) -> str:
    """The last thing that was printed, without what a terminal would do with it."""
    from engine.store import files
    from tui.safe import safe

    try:
        lines = files.read_bounded(console, 1 << 20).decode(errors="replace").split("\n")
    except (OSError, ValueError):
        return ""
    return safe(next((line for line in reversed(lines) if line.strip()), ""), 500)


def tell(detached: Sequence[Detached]) -> None:
    """How to watch and stop what has begun."""
    from tui.output import say

    for one in detached:
        say(f"{one.view.name} is being trained by process {one.pid}, whatever becomes of this terminal")
        say(f"it lies in {one.view.path}; what it prints is in its console.log")
        say(f"layerlab watch {one.view.run}   follows it, as does the application")
        say(f"layerlab stop {one.view.run}    ends it, with a checkpoint")
