"""The fields of an experiment as lists need them, from its TOML alone: thousands of runs are not validated again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from sys import intern
from typing import Any

from engine.store import files

MAX_EXPERIMENT = 1 << 18
MAX_FIELDS = 1_000
MAX_FIELD = 100_000
# What the canonical TOML leaves out where it is as usual.
USUAL = {
    "scheduler": "none",
    "device": "auto",
    "precision": "fp32",
    "accumulate": "1",
    "clip_norm": "none",
    "clip_value": "none",
    "early_stopping": "none",
    "ema": "none",
    "monitor": "none",
    "checkpoint_minutes": "5.0",
    "checkpoint_epochs": "none",
    "data.augment": "none",
    "data.memory": "auto",
    "data.cache_features": "false",
}


def read_fields(path: Path) -> dict[str, str]:
    """What `spec.flatten` gives for the run in folder `path`; empty where its experiment cannot be read."""
    try:
        table = tomllib.loads(files.read_bounded(path / "experiment.toml", MAX_EXPERIMENT).decode())
        # A number with more digits than Python writes out is a ValueError, too.
        return stored_fields(flatten_table(table))
    except (OSError, ValueError, RecursionError):
        return {}


def flatten_table(table: dict[str, Any]) -> dict[str, str]:
    """Dotted fields and their text, from an experiment's canonical TOML; what is left out there is filled in."""
    found: dict[str, str] = {}
    try:
        _add(found, "", table)
    except RecursionError:
        return {}
    networks = {name.rpartition(".")[0] for name in found if name.startswith("network.") and name.endswith(".layers")}
    return USUAL | {f"{network}.init": "none" for network in networks} | found


def stored_fields(value: Any) -> dict[str, str]:
    """The fields out of a summary; empty where there are none, or something else stands there."""
    if not isinstance(value, dict) or len(value) > MAX_FIELDS:
        return {}
    # Thousands of runs say the same: each text is kept once.
    return {intern(name): intern(text) for name, text in value.items() if type(text) is str and len(text) <= MAX_FIELD}


def _add(found: dict[str, str], prefix: str, table: dict[str, Any]) -> None:
    for name, value in table.items():
        if len(found) >= MAX_FIELDS:
            return
        if isinstance(value, dict):
            _add(found, f"{prefix}{name}.", value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found[prefix + name] = ", ".join(value)[:MAX_FIELD] or "none"
        else:
            found[prefix + name] = (str(value).lower() if isinstance(value, bool) else str(value))[:MAX_FIELD]
