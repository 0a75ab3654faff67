"""What tests of several parts share."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported, here and in the processes that tests start: on networks as small as these a second thread
# gains nothing, and on a busy machine the two wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that holds MNIST: LAYERLAB_DATA, or ../shared/data beside the checkout. Skips where there is none."""
    folder = Path(os.environ.get("LAYERLAB_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {folder}; name a data folder with LAYERLAB_DATA")
    return folder


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of its own for every test, empty at first: no test reads or leaves anything in the person's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LAYERLAB_CACHE", str(folder))
    return folder
