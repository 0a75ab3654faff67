"""A run whose process lives and trains no further: told as what was seen, for only its process knows why."""

from __future__ import annotations

from typing import Any

from engine.store import owner

# Long for a step and for most evaluations; what takes longer is told of, and not declared dead.
STALLED_SECONDS = 120.0


def stall(record: dict[str, Any], quiet: float | None, silent: bool, status: str) -> str:
    """What keeps a live run from going on, as far as others can see; "" where nothing does.

    `quiet` is for how many seconds its training had said nothing at its last beat, by its own steady clock. `silent`:
    its beat was watched for long and stayed the same.
    """
    if owner.is_stopped(record):
        return f"its process is stopped: `kill -CONT {record['pid']}` lets it go on"
    if silent:
        return "its process is there, but has recorded nothing for a minute"
    if status != "running" or quiet is None or quiet < STALLED_SECONDS:
        return ""
    return f"no step for {quiet // 60:.0f} minutes, though its process lives"
