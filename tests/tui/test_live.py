"""The seam to the engine: what goes wrong at the start changes nothing of what was."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.control import Request
from engine.errors import LayerlabError, RequestError
from engine.spec import parse_experiment
from engine.store.folder import create_run
from engine.store.reader import RunReader
from engine.store.writer import RunWriter
from tests.engine.pictures import labelled_files
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


def test_a_resume_that_does_not_find_its_data_leaves_the_run_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        name = "pets"
        optimizer = "SGD(lr=0.1)"
        [data]
        source = 'LabelledFiles("pets", size=8)'
        [network]
        layers = ["Flatten()", "Linear(classes)"]
    """
    path = create_run(tmp_path / "runs", parse_experiment(text), {})
    RunWriter(path).close("stopped", "asked to")
    labelled_files(tmp_path / "photographs" / "pets")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    training = EngineTraining(tmp_path / "runs", tmp_path / "nowhere", False)
    # Begun in the folder that holds the photographs, and gone on with from another one.
    with pytest.raises(RequestError, match="no folder pets: looked for"):
        training.resume(path)
    training.join()
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    reader = RunReader(path)
    reader.poll()
    assert (reader.view.status, reader.view.reason) == ("stopped", "asked to")
    monkeypatch.chdir(tmp_path / "photographs")
    training.resume(path)
    training.request(Request("stop"))
    training.join()
    reader.poll()
    assert reader.view.status in ("stopped", "finished")
