"""`layerlab runs`, `show` and `compare` on runs that were trained, and on one that wants to do harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.store.reader import RunReader
from tests.tui.cli import HOSTILE, CommandLine, assert_safe, written
from tui.cli import root


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two experiments, and a store with their runs, which differ in learning rate and layers."""
    folder = tmp_path_factory.mktemp("trained")
    files = [
        written(folder, "first", epochs=2),
        written(folder, "second", epochs=1, lr=0.01, layers='"Linear(8)", "ReLU()", "Linear(classes)"'),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERLAB_CACHE", str(folder / "cache"))
        assert root.run(["train", *files, "--runs", str(folder / "runs"), "--data", str(folder / "data")]) == 0
    return folder


@pytest.fixture
def trained(layerlab: CommandLine, two_runs: Path) -> CommandLine:
    """A copy of those two runs: tests add to it and break it."""
    shutil.copytree(two_runs, layerlab.folder, dirs_exist_ok=True)
    return layerlab


def hostile_run(store: Path) -> Path:
    """A run whose events say whatever they like."""
    good = next(store.glob("*first*"))
    bad = store / "20200101T000000Z-evil-aaaa"
    shutil.copytree(good, bad)
    lines = []
    for line in (bad / "events.000.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "EpochEnded":
            event["metrics"] |= {HOSTILE: 1.0, f"val/accuracy{HOSTILE}": "NaN"}
        if event["event"] == "Started":
            event["modules"] = [dict(module, call=HOSTILE, path=HOSTILE) for module in event["modules"]]
        if event["event"] == "StatusChanged" and event["status"] == "finished":
            lines.append(json.dumps({"event": "Message", "time": 1.0, "level": HOSTILE, "text": HOSTILE, "step": 1}))
            event |= {"status": "failed", "reason": HOSTILE}
        lines.append(json.dumps(event))
    (bad / "events.000.jsonl").write_text("\n".join(lines) + "\n")
    summary = json.loads((bad / "summary.json").read_text()) | {"name": HOSTILE, "reason": HOSTILE, "status": "failed"}
    summary["best"]["metrics"] = {f"val/accuracy{HOSTILE}": 0.5}
    (bad / "summary.json").write_text(json.dumps(summary))
    environment = json.loads((bad / "environment.json").read_text()) | {HOSTILE: HOSTILE}
    (bad / "environment.json").write_text(json.dumps(environment))
    return bad


def test_runs_lists_filters_sorts_and_limits(trained: CommandLine) -> None:
    rows = trained("runs", "--json").json["runs"]
    assert [row["name"] for row in rows] == ["second", "first"]
    assert set(rows[0]) >= {"run", "name", "status", "started", "best", "last"}
    assert rows[0]["started"].endswith("Z")
    assert [row["name"] for row in trained("runs", "first", "finished", "--json").json["runs"]] == ["first"]
    assert trained("runs", "first", "failed", "--json").json == {"runs": []}
    assert [row["name"] for row in trained("runs", "--sort", "name", "--json").json["runs"]] == ["first", "second"]
    by_loss = trained("runs", "--sort", "val/loss", "--json").json["runs"]
    losses = [row["best"]["metrics"]["val/loss"] for row in by_loss]
    assert losses == sorted(losses)
    by_accuracy = trained("runs", "--sort", "val/accuracy", "--json").json["runs"]
    shares = [row["best"]["metrics"]["val/accuracy"] for row in by_accuracy]
    assert shares == sorted(shares, reverse=True)
    assert len(trained("runs", "--limit", "1", "--json").json["runs"]) == 1
    told = trained("runs", "-n", "1")
    assert "and 1 more" in told.err
    told = trained("runs", "--sort", "val/acuracy")
    assert told.status == 2
    assert "did you mean `val/accuracy`?" in told.err


def test_a_narrow_terminal_folds_headings_and_leaves_columns_out_but_cuts_no_number_and_no_id(
    trained: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = next((trained.folder / "runs").glob("*first*"))
    listed = trained("runs").out
    assert path.name in listed
    assert "training" not in listed
    accuracy = f"{100 * trained('show', 'first', '--json').json['last']['metrics']['val/accuracy']:.2f} %"
    assert accuracy in listed
    shown = trained("show", "first").out
    assert accuracy in shown
    assert "/f1" not in shown
    assert max(map(len, listed.splitlines())) <= 80


def test_an_empty_store_is_no_error(layerlab: CommandLine) -> None:
    told = layerlab("runs")
    assert told.status == 0
    assert told.out == ""
    assert "layerlab demo" in told.err
    assert layerlab("runs", "--json").json == {"runs": []}
    assert not (layerlab.folder / "runs").exists()


def test_the_store_is_named_by_option_or_environment(trained: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = trained.folder / "runs"
    monkeypatch.chdir("/")
    assert len(trained("runs", "--runs", store, "--json").json["runs"]) == 2
    monkeypatch.setenv("LAYERLAB_RUNS", str(store))
    assert len(trained("runs", "--json").json["runs"]) == 2


def test_show_tells_every_epoch_and_the_experiment(trained: CommandLine) -> None:
    shown = trained("show", "first", "--json").json
    reader = RunReader(next((trained.folder / "runs").glob("*first*")))
    reader.poll()
    assert [row["epoch"] for row in shown["history"]] == [1, 2]
    assert [row["metrics"] for row in shown["history"]] == [row.metrics for row in reader.view.history]
    assert set(shown["history"][0]["seconds"]) == {"train", "evaluate"}
    assert shown["experiment"]["data"]["batch_size"] == 64
    assert shown["environment"]
    told = trained("show", "first")
    assert told.status == 0
    assert 'optimizer = "SGD(lr=0.1)"' in told.out
    assert "finished" in told.out


def test_compare_shows_only_what_differs(trained: CommandLine) -> None:
    compared = trained("compare", "first", "second", "--json").json
    assert set(compared["differs"]) == {"epochs", "optimizer", "network.layers"}
    assert compared["differs"]["optimizer"] == ["SGD(lr=0.1)", "SGD(lr=0.01)"]
    assert [run["name"] for run in compared["runs"]] == ["first", "second"]
    told = trained("compare", "first", "second")
    assert "+ ReLU()" in told.out
    assert "batch_size" not in told.out
    first, second = (run["best"]["metrics"]["val/loss"] for run in compared["runs"])
    assert f"({second - first:+.4f})" in told.out or f"({second - first:+.3f})" in told.out


def test_compare_in_markdown_is_tables(trained: CommandLine) -> None:
    told = trained("compare", "first", "second", "--markdown")
    lines = told.out.splitlines()
    assert lines[0] == "| setting | first | second |"
    assert lines[1] == "| --- | --- | --- |"
    assert all(line == "" or (line.startswith("| ") and line.endswith(" |")) for line in lines)
    assert all(line.replace("\\|", "").count("|") in (0, 3, 4) for line in lines)


def test_equal_experiments_are_said_to_be_equal(trained: CommandLine) -> None:
    trained("train", trained.folder / "first.toml", "--set", "name=third")
    assert trained("compare", "first", "third", "--json").json["differs"] == {}
    assert "The experiments are the same." in trained("compare", "first", "third").out


def test_compare_wants_two_and_unknown_runs_are_refused(trained: CommandLine) -> None:
    assert trained("compare", "first").status == 2
    told = trained("compare", "first", "secnd", "--json")
    assert told.status == 2
    assert "secnd" in told.json["error"]["message"]
    assert trained("show", "../runs").status == 2


def test_a_hostile_run_is_shown_safely_everywhere(trained: CommandLine) -> None:
    bad = hostile_run(trained.folder / "runs").name
    commands = [
        ["runs"],
        ["runs", "--sort", "name"],
        ["show", bad],
        ["compare", "first", bad],
        ["compare", bad, "second", "--markdown"],
        ["watch", bad],
        ["resume", HOSTILE],
        ["stop", bad],
        ["runs", "--runs", f"nowhere{HOSTILE}"],
    ]
    for command in commands:
        told = trained(*command)
        assert told.status in (0, 2), told.err
        assert_safe(told.out + told.err)
        told = trained(*command, "--json") if "--markdown" not in command else told
        assert_safe(told.out + told.err)
        if "--markdown" not in command:
            assert isinstance(told.json, dict)
    assert "[@click=app.bell]x[/foo]" in trained("show", bad).out, "it is shown, and not interpreted"


def test_a_damaged_run_is_one_row(trained: CommandLine) -> None:
    store = trained.folder / "runs"
    (store / "20200101T000000Z-gone-aaaa").mkdir()
    rows = {row["run"]: row["status"] for row in trained("runs", "--json").json["runs"]}
    assert rows["20200101T000000Z-gone-aaaa"] == "damaged"
    assert len(rows) == 3
    assert trained("runs").status == 0
    told = trained("show", "gone")
    assert "damaged" in told.out
    assert trained("compare", "first", "gone").status == 0
