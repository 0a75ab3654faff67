"""The seam to the engine: what goes wrong at the start changes nothing of what was."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import LayerlabError
from engine.store.writer import RunWriter
from tests.engine.run_folders import new_run
from tui.live import EngineTraining


def test_prints_do_not_go_to_the_log_of_a_run_that_somebody_else_trains(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    console = [tmp_path / "console.log"]

    def log_to(log: Path) -> Path:
        console.append(log)
        return console[-2]

    training = EngineTraining(tmp_path, tmp_path, False)
    training.log_to = log_to
    writer = RunWriter(path)
    try:
        with pytest.raises(LayerlabError, match=path.name):
            training.resume(path)
    finally:
        writer.close("stopped", "")
    assert console[-1] == console[0]
    assert not training.alive
