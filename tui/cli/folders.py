"""Where the store and the data lie, and the person's settings, which may say so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.settings import Settings


def person() -> Settings:
    """The person's settings. What is wrong with their file `layerlab doctor` and the application tell."""
    from tui.settings import load_settings, settings_path

    return load_settings(settings_path())[0]


def store_folder(runs: Path | None) -> Path:
    """The store: what was given, else LAYERLAB_RUNS, else the settings' `store`, else `runs` in the current folder."""
    named = runs or os.environ.get("LAYERLAB_RUNS") or person().store or "runs"
    return Path(named).expanduser()


def data_folder(data: Path | None) -> Path:
    """The data folder: what was given, else LAYERLAB_DATA, else the settings' `data`, else one in the cache folder."""
    from engine.data.cache_folder import cache_folder

    named = data or os.environ.get("LAYERLAB_DATA") or person().data
    return Path(named).expanduser() if named else cache_folder() / "data"
