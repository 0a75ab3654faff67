"""The application in a pty of 120 columns and 40 rows, as installed, with no state but what a benchmark leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.bars import DATA, LAYERLAB, ROOT
from tests.benchmarks.screen import Terminal

ACTIVATION = ("data.source=MNIST()", "data.batch_size=64", "data.validation=test")


def environment(folder: Path) -> dict[str, str]:
    """State and settings in the folder; modules compiled once, as an installer leaves them."""
    own = {name: str(folder / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    return own | {"LAYERLAB_DATA": str(DATA), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


def opened(folder: Path, *arguments: str, store: Path | None = None, more: dict[str, str] | None = None) -> Terminal:
    """The application, begun but not yet drawn."""
    own = environment(folder) | {"LAYERLAB_RUNS": str(store or folder / "runs")} | (more or {})
    return Terminal([str(LAYERLAB), *arguments], 120, 40, own)


def activation(folder: Path, epochs: int) -> Path:
    """A file with the experiment that speed is measured with."""
    from engine.presets import preset
    from engine.spec import with_settings

    file = folder / "activation.toml"
    file.write_text(with_settings(preset("activation"), [*ACTIVATION, f"epochs={epochs}"]).to_toml())
    return file


@contextlib.contextmanager
def training(folder: Path, epochs: int = 1000) -> Iterator[Terminal]:
    """The application on Train, with a run that goes on for long and has curves to zoom into."""
    with opened(folder, "open", str(activation(folder, epochs))) as terminal:
        terminal.wait_for("^r", timeout=60)
        terminal.settle(6.0)  # torch is imported, the check has answered
        terminal.send("\x12")
        terminal.wait_until(lambda: epochs_of(folder / "runs") >= 6 or None, timeout=120)
        yield terminal


def epochs_of(store: Path) -> int:
    """How many epochs the runs of a store have recorded."""
    return sum(path.read_text().count('"event":"EpochEnded"') for path in store.glob("*/events.*.jsonl"))
