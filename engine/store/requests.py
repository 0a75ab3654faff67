"""Asking something of a run that another process, or another thread, trains."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from engine.control import Request
from engine.errors import RequestError, RunError
from engine.store import files
from engine.store.listing import summarize
from engine.store.view import LIVE_STATUSES


def send(path: Path, request: Request) -> None:
    """Put a request into a live run's control folder; its session acts on it within a step.

    Raises RequestError where the run is not being trained or belongs to another user, RunError where the disk refuses.
    """
    if not files.is_folder(path):
        raise RequestError(f"there is no run {path.name} in {path.parent}")
    status = summarize(path).status
    if status not in LIVE_STATUSES:
        raise RequestError(f"the run {path.name} is {status}: there is nothing to {request.name.replace('_', ' ')}")
    folder = path / "control"
    if not files.is_folder(folder):
        raise RequestError(f"the run {path.name} has no control folder")
    if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
        raise RequestError(f"the run {path.name} belongs to another user, who alone can control it")
    # By time, so that the oldest is taken first.
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    try:
        files.atomic_write(folder / name, request.to_json().encode())
    except OSError as error:
        raise RunError(f"the run {path.name} cannot be reached: {error.strerror or error}") from None
