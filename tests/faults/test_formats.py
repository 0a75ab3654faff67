"""Formats of before are read as they are and never rewritten by reading; those of later are shown and left alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import checkpoint
from engine.errors import LayerlabError, RequestError
from engine.store.listing import summarize
from engine.store.notes import change_notes
from engine.store.reader import RunReader
from engine.store.trash import delete_run, restore
from engine.store.writer import RunWriter
from tests.faults.reading import contents, read_all
from tests.faults.test_bytes import full_run
from tui.state import State

# Runs of three epochs, trained and written by the layerlab of their time.
FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = "20260115T142233Z-golden-k3f9"
# By file: what a newer layerlab would have written there.
NEWER = (
    "summary.json",
    "events.000.jsonl",
    "events.001.jsonl",
    "notes.json",
    "checkpoints/step-000000020/manifest.json",
)


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a fixture; the folders that are empty are not in it."""
    store = tmp_path / "store"
    shutil.copytree(FIXTURES / request.param, store)
    return store / GOLDEN


@pytest.mark.parametrize("golden", ["format-1-without-fields", "format-1"], indirect=True)
def test_runs_of_every_format_are_read_as_they_are(golden: Path) -> None:
    """Fault 27: with their numbers, which stand here as they were; not a byte is written, also not by what looks."""
    before = contents(golden)
    found = read_all(golden)
    expected = json.loads((golden.parent / "expected.json").read_text())
    view = found.view
    assert (view.status, view.epochs, view.done, view.skipped_lines, view.problem) == ("finished", 3, 3, 0, None)
    assert [row.metrics for row in view.history] == expected["metrics"]
    assert view.best == expected["best"]
    assert view.experiment is not None
    assert view.experiment.name == "golden"
    assert [str(layer) for layer in view.experiment.network.layers] == ["Linear(3)", "Tanh()", "Linear(classes)"]
    saved = found.saved["step"]
    assert not found.problems
    assert (saved.step, saved.epoch) == (12, 3)
    weights = {name: tensor.tolist() for name, tensor in saved.networks["model"].items()}
    assert weights == expected["weights"]
    best = {name: tensor.tolist() for name, tensor in found.saved["best"].networks["model"].items()}
    assert best == expected["best_weights"]
    summary = summarize(golden)
    assert (summary.status, summary.epoch, summary.fields["epochs"]) == ("finished", 3, "3")
    assert summary.fields["network.layers"] == "Linear(3), Tanh(), Linear(classes)"
    assert list(summary.notes.tags) == expected["tags"]
    assert contents(golden) == before


@pytest.mark.parametrize("golden", ["format-1-without-fields", "format-1"], indirect=True)
def test_runs_of_every_format_can_be_annotated_deleted_and_trained_further(golden: Path, tmp_path: Path) -> None:
    """Fault 27: what was there before stays byte for byte; a resume adds files of its own."""
    from engine.launch import start

    before = contents(golden)
    assert change_notes(golden, add_tags=["new"]).tags[-1] == "new"
    assert restore(golden.parent, delete_run(golden.parent, GOLDEN).name) == golden
    handle = start(golden, launcher="thread", data_folder=tmp_path, resume=True)
    handle.join(60)
    after = contents(golden)
    kept = {name for name in before if name.startswith(("events.000", "experiment", "environment"))}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    reader = RunReader(golden)
    reader.poll()
    assert reader.view.status == "finished"
    assert len(reader.view.history) == 3


def newer(path: Path, name: str) -> None:
    """The file as a version 2 would have it, with a field that nobody knows yet."""
    file = path / name
    if name.startswith("events"):
        first, rest = file.read_text().split("\n", 1)
        file.write_text(json.dumps(json.loads(first) | {"version": 2, "future": 1}) + "\n" + rest)
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 2, "future": [1]}))


@pytest.mark.parametrize("name", NEWER)
def test_what_a_newer_layerlab_wrote_is_shown_and_neither_resumed_nor_edited(tmp_path: Path, name: str) -> None:
    """Fault 27: whichever of the files is of a newer version."""
    path = full_run(tmp_path)
    newer(path, name)
    before = contents(path)
    found = read_all(path)
    assert len(found.view.history) == 3
    assert found.summary is not None
    if name.startswith("checkpoints"):
        # The one before is of this version, and is gone on from: that loses steps, and is said.
        assert found.saved["step"].step == 10
        assert any("version 2" in problem for problem in found.problems)
        return
    if name == "notes.json":
        with pytest.raises(RequestError, match="newer layerlab"):
            change_notes(path, text="mine")
    else:
        assert found.view.read_only
        assert "newer layerlab" in (found.view.problem or "")
        with pytest.raises(RequestError, match="newer layerlab"):
            RunWriter(path, resume=True, resumed_step=20, telemetry=False)
    assert contents(path) == before


def test_checkpoints_that_are_all_newer_are_not_started_from_scratch_again(tmp_path: Path) -> None:
    """Fault 27: a resume that finds no checkpoint that it can read says which layerlab wrote them."""
    path = full_run(tmp_path)
    for folder in (path / "checkpoints").iterdir():
        newer(path, f"checkpoints/{folder.name}/manifest.json")
    before = contents(path)
    saved, problems = checkpoint.newest(path / "checkpoints")
    assert saved is None
    assert len(problems) == 2
    assert all("version 2" in problem for problem in problems)
    assert contents(path) == before


def test_a_newer_state_of_the_application_is_left_alone(tmp_path: Path) -> None:
    """Fault 27, beside the store."""
    file = tmp_path / "state.json"
    file.write_text('{"format": 2, "values": {"theme": "dark"}, "future": 1}')
    state = State(file, delay=60)
    assert state.get("theme") is None
    state.put("theme", "light")
    state.flush()
    assert json.loads(file.read_text()) == {"format": 2, "values": {"theme": "dark"}, "future": 1}


def test_a_request_of_a_newer_layerlab_is_not_guessed_at(tmp_path: Path) -> None:
    """Fault 27: it may mean something else there."""
    from engine.control import Request

    with pytest.raises(RequestError, match="newer layerlab"):
        Request.from_json('{"version": 2, "request": "stop", "value": null, "by": ""}')
    assert Request.from_json('{"version": 1, "request": "stop"}').name == "stop"
    assert Request.from_json('{"request": "stop"}').name == "stop"


# ---------------------------------------------------------------------- fault 32

NAMES = {
    "parent": "..", "path up": "../../etc/passwd", "absolute": "/etc/passwd", "dot": ".", "hidden": ".hidden",
    "nul": "a\0b", "long": "x" * 300, "option": "-rf", "options": "--rf=/", "right to left": "\u202efdp.exe",
    "surrogate": "a\ud800b", "byte": "a\udcffb", "newline": "a\nb", "tilde": "~root", "glob": "*", "star": "[a-z]?",
    "dollar": "$HOME", "backtick": "`id`", "space": " ", "empty": "", "windows": "CON", "backslash": "..\\..\\x",
    "drive": "C:\\x", "wide": "名" * 100, "trash": ".trash", "latest": "latest", "temporary": ".tmp-x",
    "combining": "e" + "\u0301" * 300, "emoji": "👩\u200d👧",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_leads_elsewhere_leads_nowhere(tmp_path: Path, name: str) -> None:
    """Fault 32: as name of an experiment, of a run in the store, as what is asked for, as tag, name and file."""
    from engine.presets import preset
    from engine.spec import parse_experiment
    from engine.store.folder import create_run, find_run, new_run_id, run_names
    from tui.state import state_path

    outside = tmp_path / "outside"
    outside.mkdir()
    store = tmp_path / "store"
    plain = full_run(store)
    around = sorted(os.listdir(tmp_path))

    # A run's folder is named by what is plain of a name alone.
    made = new_run_id(name)
    assert made == Path(made).name
    assert len(made) <= 80
    assert made.isascii()
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-TZ")
    told = _refused(lambda: preset("mlp").with_(name=name))
    if told is None:
        path = create_run(store, preset("mlp").with_(name=name), {})
        assert path.parent == store
        assert read_all(path).view.name == name
        assert parse_experiment((path / "experiment.toml").read_text()).name == name
        shutil.rmtree(path)

    # Asked for, it is found in the store or not at all.
    for act in (find_run, delete_run, restore):
        found: list[Path] = []
        told = _refused(lambda act=act, found=found: found.append(act(store, name)))
        assert told is not None or found[0].parent in (store, store / ".trash")
        if act is delete_run and told is None:
            restore(store, plain.name)
    assert _refused(lambda: change_notes(plain, add_tags=[name])) is not None or name.strip() in read_tags(plain)
    assert _refused(lambda: change_notes(plain, name=name)) is None or len(name) > 200

    # As a folder in the store it is a run where it has an experiment, and hidden ones are none.
    if name not in ("", ".", "..") and "/" not in name and "\0" not in name:
        try:
            shutil.copytree(plain, store / name)
        except (OSError, UnicodeEncodeError):
            pass
        else:
            assert (name in run_names(store)) != name.startswith(".")
            read_all(store / name)
    for folder in (Path(name), store / name if "\0" not in name else Path("x")):
        state = state_path(folder, {"XDG_STATE_HOME": str(outside)})
        assert state is None or state.parent == outside / "layerlab"
    assert sorted(os.listdir(tmp_path)) == around
    assert not os.listdir(outside)


def read_tags(path: Path) -> tuple[str, ...]:
    return summarize(path).notes.tags


def _refused(act: Callable[[], object]) -> str | None:
    """The words in which it was refused; None where it was done."""
    try:
        act()
    except LayerlabError as error:
        return str(error)
    return None
