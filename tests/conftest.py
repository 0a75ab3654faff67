"""What tests of several parts share."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

# Before torch is imported, here and in the processes that tests start: on networks as small as these a second thread
# gains nothing, and on a busy machine the two wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

# What a shell starts in the background ignores ctrl+c, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As hypothesis itself does on a machine that it takes for one of CI: how long an example takes says more about what
# else runs there than about the code. The first text alone costs more than a second in a new clone.
hypothesis.settings.register_profile(
    "layerlab", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("layerlab")


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


@pytest.fixture(autouse=True, scope="module")
def what_was_imported_stays() -> None:
    """As in the application: what a process of the tests has imported by now is not looked through for garbage again
    and again, which took a quarter of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 4, 50)


def pytest_sessionfinish() -> None:
    # Extensions complain at exit of what they see no end of.
    gc.unfreeze()
