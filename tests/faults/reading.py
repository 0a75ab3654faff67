"""Everything that layerlab reads of a run, read at once: whatever its folder holds, nothing of that may raise."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint import Saved, newest, verify
from engine.errors import LayerlabError
from engine.store import owner, segments
from engine.store.inbox import Inbox
from engine.store.index import StoreIndex
from engine.store.listing import Summary
from engine.store.reader import RunReader, RunView
from engine.store.trash import list_trash
from tui.console_tail import ConsoleTail
from tui.filtering import parse_filter
from tui.record import full_record, listed_record
from tui.run_curves import RunCurvesReader
from tui.run_picture import picture_of


@dataclass(frozen=True)
class Read:
    """What came of it; the checkpoints that verified, by kind."""

    view: RunView
    summary: Summary | None
    saved: dict[str, Saved]
    problems: list[str]

    def told(self) -> str:
        """All words of it that could reach a person."""
        return repr((self.view, self.summary, self.problems, self.view.environment, self.view.experiment))


def read_all(path: Path) -> Read:
    """A run, by every reader that there is. Raises only what they should not."""
    reader = RunReader(path)
    reader.poll()
    reader.poll()
    view = reader.view
    json.dumps(view.summary(), allow_nan=False)
    json.dumps(full_record(view))
    assert view.seconds is None or view.seconds >= 0
    _ = view.seconds_left, view.seconds_per_epoch, view.device, view.done
    curves = RunCurvesReader(view).read()
    for unit in ("epochs", "steps"):
        curves.total(unit)
    picture_of(view)
    ConsoleTail(path / "console.log").poll()
    index = StoreIndex(path.parent)
    found = {run.run: run for changes in index.refresh() for run in changes.changed}
    summary = found.get(path.name)
    if summary is not None:
        listed_record(summary)
        parse_filter("a tag:b val/loss<1 epochs:3 note:x").matches(summary)
    list_trash(path.parent)
    owner.is_alive(*segments.read_owner(path)[::2])
    with contextlib.suppress(OSError):
        Inbox(path / "control").take()
    for number in (0, 1):
        with contextlib.suppress(OSError):
            segments.first_event(segments.segment_path(path, number))
        with contextlib.suppress(OSError):
            segments.final_status(segments.segment_path(path, number))
    saved: dict[str, Saved] = {}
    problems: list[str] = []
    for kind in ("step", "best"):
        one, wrong = newest(path / "checkpoints", kind)
        problems += wrong
        if one is not None:
            saved[kind] = one
    return Read(view, summary, saved, problems)


def whole_checkpoints(path: Path) -> list[str]:
    """The names of the checkpoints that verify."""
    found = []
    for folder in sorted((path / "checkpoints").iterdir()):
        with contextlib.suppress(LayerlabError, OSError):
            verify(folder)
            found.append(folder.name)
    return found


def contents(path: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def flat(saved: Saved) -> dict[str, Any]:
    """The tensors of a checkpoint as lists, and what else it holds."""
    return {
        "networks": {
            name: {at: tensor.tolist() for at, tensor in network.items()} for name, network in saved.networks.items()
        },
        "optimizer": repr(saved.optimizer),
        "state": repr(saved.state),
        "where": (saved.kind, saved.step, saved.epoch, saved.batch),
    }
