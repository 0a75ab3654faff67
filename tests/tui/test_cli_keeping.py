"""`layerlab note`, `delete` and `restore`, and filters on `layerlab runs`, on a store with runs of several kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.spec import parse_experiment
from engine.store import files, owner
from engine.store.folder import create_run
from engine.store.notes import read_notes
from tests.tui.cli import HOSTILE, TINY, CommandLine, assert_safe


def stored(store: Path, name: str, lr: float = 0.1, accuracy: float = 0.9, status: str = "finished") -> Path:
    """A run as it lies there after its end."""
    experiment = parse_experiment(TINY.format(name=name, epochs=2, lr=lr, layers='"Linear(classes)"'))
    path = create_run(store, experiment, {})
    data = json.loads((path / "summary.json").read_text())
    entry = {"epoch": 2, "metrics": {"val/accuracy": accuracy, "val/loss": 1 - accuracy}}
    files.write_json(path / "summary.json", data | {"status": status, "best": entry, "last": entry, "epoch": 2})
    return path


@pytest.fixture
def store(layerlab: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAYERLAB_RUNS", str(layerlab.folder / "runs"))
    return layerlab.folder / "runs"


def listed(layerlab: CommandLine, *arguments: str) -> list[str]:
    told = layerlab("runs", *arguments, "--json")
    assert told.status == 0, told.err
    return [row["name"] for row in told.json["runs"]]


def test_a_note_is_kept_shown_and_found(layerlab: CommandLine, store: Path) -> None:
    path = stored(store, "mlp")
    other = stored(store, "cnn")
    told = layerlab("note", "mlp", "--name", "base line", "--tag", "good", "--tag", "old", "--text", "a try", "--pin")
    assert (told.status, told.out.splitlines()[0]) == (0, path.name)
    assert "base line" in told.out
    told = layerlab("note", "mlp", "--untag", "old", "--star", "--unpin", "--json")
    assert told.json["tags"] == ["good"]
    assert (told.json["starred"], told.json["pinned"], told.json["name"]) == (True, False, "base line")
    assert layerlab("note", "mlp", "--json").json == told.json
    assert listed(layerlab, "tag:good") == ["mlp"]
    assert "base line" in layerlab("runs").out
    assert layerlab("note", "mlp", "--name", "", "--text", "", "--json").json["name"] is None
    assert read_notes(other).tags == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("note", "mlp", "--tag", "two words"), "such as two-words"),
        (("note", "nothing", "--pin"), "there is no run `nothing`"),
        (("delete", "mlp", "nothing"), "there is no run `nothing`"),
        (("restore", "mlp"), "the trash of"),
        (("restore", "latest"), "the trash of"),
        (("runs", "val/accuracy>"), "wants a value; such as val/accuracy>97%"),
        (("runs", "is:pined"), "did you mean `pinned`?"),
        (("runs", "--sort", "val/acuracy"), "did you mean `val/accuracy`?"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(layerlab, store, arguments, words) -> None:
    path = stored(store, "mlp")
    told = layerlab(*arguments)
    assert told.status == 2
    assert words in " ".join(told.err.split())
    assert path.is_dir()
    assert layerlab(*arguments, "--json").json["ok"] is False


def test_runs_are_filtered_and_sorted_by_anything(layerlab: CommandLine, store: Path) -> None:
    stored(store, "slow", lr=0.01, accuracy=0.95)
    stored(store, "fast", lr=0.1, accuracy=0.9)
    stored(store, "bad", lr=10.0, accuracy=0.1, status="failed")
    assert listed(layerlab, "val/accuracy>0.5", "not", "slow") == ["fast"]
    assert listed(layerlab, "lr>=0.1 and not is:failed") == ["fast"]
    assert listed(layerlab, "(slow", "or", "status:failed)", "--sort", "name") == ["bad", "slow"]
    assert listed(layerlab, "--sort", "val/accuracy") == ["slow", "fast", "bad"]
    assert listed(layerlab, "--sort", "val/accuracy", "--reverse") == ["bad", "fast", "slow"]
    assert listed(layerlab, "--sort", "optimizer.lr") == ["slow", "fast", "bad"]
    layerlab("note", "bad", "--pin")
    assert listed(layerlab, "--sort", "val/accuracy") == ["bad", "slow", "fast"]
    told = layerlab("runs", "optimzer:sgd")
    assert "no run has `optimzer`; did you mean `optimizer`?" in told.err + told.out


def test_deleted_runs_come_back(layerlab: CommandLine, store: Path) -> None:
    first, second = stored(store, "first"), stored(store, "second")
    told = layerlab("delete", "first", "second", first.name)
    assert told.status == 0
    assert f"layerlab restore {first.name[-4:]}" in told.err + told.out
    assert listed(layerlab) == []
    trash = layerlab("restore", "--json").json["trash"]
    assert {row["run"] for row in trash} == {first.name, second.name}
    assert first.name in layerlab("restore").out
    assert layerlab("restore", "first", "--json").json["restored"]["run"] == first.name
    assert layerlab("restore", "latest").status == 0
    assert sorted(listed(layerlab)) == ["first", "second"]
    assert layerlab("delete", "first", "--json").json["deleted"][0]["run"] == first.name


def test_a_live_run_is_not_deleted(layerlab: CommandLine, store: Path) -> None:
    path = stored(store, "live", status="running")
    record = owner.this_process()
    owner.begin(record)
    try:
        files.write_json(path / "owner.json", {"version": 1, "owner": record, "beat": 1, "time": 1.0})
        told = layerlab("delete", "live")
        assert told.status == 2
        assert "is running; stop it before it is deleted" in told.err
    finally:
        owner.end(record)
    assert path.is_dir()


def test_a_silent_run_on_another_machine_can_be_deleted(layerlab, store, monkeypatch) -> None:
    path = stored(store, "far", status="running")
    record = owner.this_process() | {"host": "elsewhere"}
    files.write_json(path / "owner.json", {"version": 1, "owner": record, "beat": 1, "time": 1.0})
    monkeypatch.setattr(owner, "SILENT_SECONDS", 0.1)
    assert layerlab("delete", "far").status == 0
    assert not path.exists()


def test_notes_that_want_to_do_harm_are_shown_as_text(layerlab: CommandLine, store: Path) -> None:
    path = stored(store, "mlp")
    word = "".join(HOSTILE.split())[:60]
    notes = {"version": 1, "name": HOSTILE, "text": HOSTILE, "tags": [word], "pinned": True}
    (path / "notes.json").write_text(json.dumps(notes))
    for command in ("note mlp", "runs", "runs is:pinned --sort tag", "delete mlp", "restore", "restore latest"):
        told = layerlab(*command.split())
        assert told.status == 0
        assert_safe(told.out)
        assert_safe(told.err)
