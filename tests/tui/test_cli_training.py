"""`layerlab train`, `resume`, `demo`, `watch`, `stop` and `control`, with real runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.store.reader import RunReader
from tests.engine.pictures import labelled_files, save
from tests.tui.cli import CommandLine, assert_safe


def live_run(store: Path, epochs: int = 1) -> Path:
    """Wait until a run in the store has trained for some epochs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in store.glob("2*"):
            reader = RunReader(path)
            reader.poll()
            if reader.view.done >= epochs:
                return path
        time.sleep(0.05)
    raise AssertionError("nothing trained")


def meanwhile(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_train_prints_one_document_read_back_from_the_run(layerlab: CommandLine) -> None:
    told = layerlab("train", layerlab.write("one"), "--json", "--set", "epochs=3")
    assert told.status == 0, told.err
    record = told.json
    assert record["status"] == "finished"
    assert record["epochs"] == 3
    assert Path(record["path"], "experiment.toml").is_file()
    assert 0 < record["seconds_per_epoch"] < 60
    assert record["last"]["epoch"] == 3
    assert 0 <= record["last"]["metrics"]["val/accuracy"] <= 1
    assert "epoch 3/3" in told.err
    reader = RunReader(Path(record["path"]))
    reader.poll()
    assert record["best"] == {"epoch": reader.view.best["epoch"], "metrics": reader.view.best["metrics"]}


def test_a_resume_that_does_not_find_its_data_leaves_the_run_as_it_is(layerlab: CommandLine) -> None:
    for number in range(4):
        save(layerlab.folder / "pets" / f"cat.{number}.jpg", number)
        save(layerlab.folder / "pets" / f"dog.{number}.jpg", 10 + number)
    layers = '"Flatten()", "Linear(classes)"'
    source = 'data.source=LabelledFiles("pets", size=8)'
    told = layerlab("train", layerlab.write("one", epochs=1, layers=layers), "--json", "--set", source)
    path = told.json["path"]
    (layerlab.folder / "pets").rename(layerlab.folder / "elsewhere")
    told = layerlab("resume", Path(path).name, "--add-epochs", "1")
    assert (told.status, "no folder pets" in told.err) == (2, True), told.err
    reader = RunReader(Path(path))
    reader.poll()
    assert (reader.view.status, reader.view.done) == ("finished", 1)


@pytest.mark.parametrize("change", ["a class renamed", "a class added"])
def test_a_resume_with_other_classes_is_refused_and_the_run_stays_as_it_is(layerlab: CommandLine, change: str) -> None:
    pets = labelled_files(layerlab.folder / "pets")
    layers = '"Flatten()", "Linear(classes)"'
    source = 'data.source=LabelledFiles("pets", size=8)'
    path = Path(
        layerlab("train", layerlab.write("one", epochs=1, layers=layers), "--json", "--set", source).json["path"]
    )
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if change == "a class renamed":
        for file in pets.glob("cat.*"):
            file.rename(pets / file.name.replace("cat", "wolf"))
    else:
        for number in range(6):
            save(pets / f"wolf.{number}.jpg", 900 + number)
    told = layerlab("resume", path.name, "--add-epochs", "1")
    assert told.status == 2
    assert "it was trained on the classes cat, dog" in told.err
    assert "wolf" in told.err
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_several_files_give_a_list_and_a_table(layerlab: CommandLine) -> None:
    first, second = layerlab.write("first"), layerlab.write("second", lr=0.01)
    told = layerlab("train", first, second, "--json")
    assert [record["name"] for record in told.json] == ["first", "second"]
    told = layerlab("train", first, second, "--runs", "other")
    assert told.status == 0
    assert "first" in told.out
    assert "%" in told.out
    assert len(list((layerlab.folder / "other").glob("2*"))) == 2


def test_all_files_are_checked_before_the_first_is_trained(layerlab: CommandLine) -> None:
    good, bad = layerlab.write("good"), layerlab.write("bad", layers='"Conv2d(4, 3)", "Linear(classes)"')
    told = layerlab("train", good, bad)
    assert told.status == 2
    assert f"{bad}:9: layer 0: " in told.err
    assert not (layerlab.folder / "runs").exists()


@pytest.mark.parametrize("source", ["KMNIST()", "CIFAR10()"])
def test_data_that_is_not_there_is_told_before_a_run_is_made(layerlab: CommandLine, source: str) -> None:
    told = layerlab("train", "mlp", "--set", f"data.source={source}", "--data", "sets", "--json")
    assert told.status == 2
    assert "--download" in told.json["error"]["message"]
    assert f"is not in sets{os.sep}" in told.json["error"]["message"]
    assert not (layerlab.folder / "runs").exists()


def test_a_loss_that_is_nan_fails_with_a_reason_and_status_1(layerlab: CommandLine) -> None:
    told = layerlab("train", layerlab.write("wild", lr=1e38, epochs=3), "--json")
    assert told.status == 1
    assert told.json["status"] == "failed"
    assert told.json["reason"]
    assert "error: wild failed: " in told.err
    assert "layerlab train" not in told.out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_a_checkpoint_and_resume_goes_on(layerlab: CommandLine, number: int, status: int) -> None:
    path = layerlab.write("long", epochs=100_000)
    store = layerlab.folder / "runs"
    before = signal.getsignal(number)

    def interrupt() -> None:
        live_run(store)
        os.kill(os.getpid(), number)

    thread = meanwhile(interrupt)
    told = layerlab("train", path, "--json")
    thread.join()
    assert told.status == status
    stopped = told.json
    assert stopped["status"] == "stopped"
    assert f"layerlab resume {stopped['run']}" in told.err
    assert signal.getsignal(number) is before

    def stop() -> None:
        live_run(store, stopped["epochs"] + 2)
        os.kill(os.getpid(), number)

    thread = meanwhile(stop)
    told = layerlab("resume", "long", "--json")
    thread.join()
    assert told.json["run"] == stopped["run"]
    assert told.json["epochs"] > stopped["epochs"]
    assert "epoch 1/" not in told.err, "what was trained before is not told again"


def test_stop_and_control_reach_a_run_and_hear_back(layerlab: CommandLine) -> None:
    """The run is trained by another process, as a person at another terminal has it."""
    path = layerlab.write("far", epochs=100_000)
    trainer = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "train", path, "--json", "--launcher", "process"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    try:
        live_run(layerlab.folder / "runs")
        told = layerlab("control", "far", "set-lr", "0.001", "--json")
        assert told.status == 0, told.err
        assert told.json["acted"] is True
        assert layerlab("control", "far", "checkpoint", "--pin").status == 0
        assert "--pin keeps a checkpoint" in layerlab("control", "far", "pause", "--pin").err
        assert layerlab("control", "far", "pause").err.endswith("it is paused\n")
        # The list is read from the summary, which is written a moment later.
        deadline = time.monotonic() + 30
        while not (paused := layerlab("runs", "paused", "--json").json["runs"]) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert [run["name"] for run in paused] == ["far"]
        assert layerlab("control", "far", "resume").status == 0
        told = layerlab("control", "far", "set_lr")
        assert told.status == 2
        told = layerlab("control", "far", "add_epochs", "x")
        assert told.status == 2
        assert "whole number" in told.err
        assert "did you mean `pause`?" in layerlab("control", "far", "pouse").err
        told = layerlab("stop", "far", "--json")
        assert told.json["status"] == "stopped"
        out, _ = trainer.communicate(timeout=60)
        assert trainer.returncode == 130
        assert json.loads(out)["last"]["metrics"]["lr"] == 0.001
        pinned = [one for one in layerlab("show", "far", "--json").json["checkpoints"] if one["pinned"]]
        assert [(one["kind"], one["whole"]) for one in pinned] == [("step", True)]
        shown = layerlab("show", "far").out
        assert [line for line in shown.splitlines() if Path(pinned[0]["path"]).name in line and "pinned" in line]
        told = layerlab("stop", "far")
        assert told.status == 2
        assert "stopped" in told.err
        told = layerlab("watch", "far", "--json")
        assert told.status == 0
        assert told.json["status"] == "stopped"
    finally:
        trainer.kill()
        trainer.wait()


def test_stop_wants_one_way_to_stop(layerlab: CommandLine) -> None:
    assert layerlab("stop", "x", "--after-epoch", "--discard").status == 2
    assert layerlab("stop", "nobody").status == 2


def test_hostile_names_are_trained_and_shown_safely(layerlab: CommandLine) -> None:
    told = layerlab("train", layerlab.write("plain"), "--set", 'name="[@click=app.bell]x[/foo] \u05d0\u200f"')
    assert_safe(told.out + told.err)


def test_a_finished_run_is_trained_further_only_where_epochs_are_added(layerlab: CommandLine) -> None:
    layerlab("train", layerlab.write("one"))
    told = layerlab("resume", "one")
    assert told.status == 2
    assert "finished (2 of 2 epochs)" in told.err
    assert "--add-epochs 10" in told.err
    further = layerlab("resume", "one", "--add-epochs", 3, "--json")
    assert further.status == 0
    assert further.json["epochs"] == 5
    assert layerlab("resume", "one", "--add-epochs", -1).status == 2


def test_a_file_in_place_of_a_command_is_answered_with_the_commands_that_take_it(layerlab: CommandLine) -> None:
    told = layerlab("mine.toml")
    assert told.status == 2
    assert "`layerlab open mine.toml`" in told.err


def test_resume_of_an_unknown_run_is_refused(layerlab: CommandLine) -> None:
    layerlab("train", layerlab.write("one"))
    told = layerlab("resume", "two")
    assert told.status == 2
    assert "no run `two`" in told.err


def test_the_demo_compares_three_networks_on_real_digits(layerlab: CommandLine) -> None:
    told = layerlab("demo", "--json")
    assert told.status == 0, told.err
    runs = {run["name"]: run for run in told.json["runs"]}
    assert list(runs) == ["mlp", "batchnorm", "cnn"]
    accuracy = {name: run["best"]["metrics"]["val/accuracy"] for name, run in runs.items()}
    assert accuracy["mlp"] > 0.93
    assert accuracy["batchnorm"] > 0.95
    assert accuracy["cnn"] > 0.96
    assert layerlab("compare", *(run["run"] for run in runs.values()), "--json").status == 0


def test_the_demo_finds_another_store_where_this_one_cannot_be_written(tmp_path: Path) -> None:
    from tui.cli.demonstration import demo_store

    (tmp_path / "file").write_text("")
    store, temporary = demo_store(tmp_path / "file" / "runs")
    assert temporary
    assert store.is_dir()
    store.rmdir()
    assert demo_store(tmp_path / "new" / "runs") == (tmp_path / "new" / "runs", False)
