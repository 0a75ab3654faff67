"""What tests of several parts watch runs with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import checkpoint
from engine.store.reader import RunReader, RunView


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something to be true, and give it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.01)
    return found


def view_of(path: Path) -> RunView:
    """A run as its folder tells it now."""
    reader = RunReader(path)
    reader.poll()
    return reader.view


def assert_stopped_with_a_checkpoint(path: Path) -> None:
    """It was asked to stop, and what it had come to by then was saved."""
    view = view_of(path)
    assert view.status == "stopped"
    saved, problems = checkpoint.newest(path / "checkpoints")
    assert not problems
    assert saved is not None
    assert saved.step == view.controls[-1].step
