"""A store that nobody may write to: all that only looks works, all else says why not."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from engine import launch
from engine.control import Request
from engine.errors import LayerlabError
from engine.store.index import StoreIndex
from engine.store.notes import change_notes, read_notes
from engine.store.requests import send
from engine.store.trash import delete_run
from engine.store.writer import RunWriter
from tests.engine.run_folders import checkpoint, experiment
from tests.faults.processes import in_a_fork, obey_permissions, read_only
from tests.tui.fake_training import application, screen_text, until
from tests.tui.run_store import run_id, stored_run
from tui.cli import root
from tui.live import EngineTraining
from tui.screens.runs import RunsScreen


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two runs that ended and one that another process seems to train, where nothing can be written."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "runs"
    stored_run(store, 1, "alpha", accuracy=0.91)
    path = stored_run(store, 2, "beta", accuracy=0.97)
    change_notes(path, add_tags=["good"])
    (path / "checkpoints").mkdir()
    from engine.checkpoint import write_checkpoint

    write_checkpoint(path / "checkpoints", checkpoint(30))
    (stored_run(store, 3, "gamma", status="stopped", epochs=2) / "control").mkdir()
    with read_only(store):
        yield store


def run(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = root.run([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def commands(store: Path) -> list[tuple[int, str, str]]:
    obey_permissions()
    assert not os.access(store, os.W_OK)
    os.environ["LAYERLAB_RUNS"] = str(store)
    looks = [
        ("runs",),
        ("runs", "--json"),
        ("show", run_id(2)),
        ("compare", run_id(1), run_id(2)),
        ("watch", run_id(1)),
    ]
    return [run(*look) for look in looks]


def test_commands_that_only_look_work(store: Path) -> None:
    """Fault 11: list, show, compare, watch."""
    told = in_a_fork(commands, store)
    # `watch` leaves as the run did.
    assert [status for status, _, _ in told] == [0, 0, 0, 0, 0], told
    listed = json.loads(told[1][1])["runs"]
    assert {row["name"]: row["status"] for row in listed} == {
        "alpha": "finished", "beta": "finished", "gamma": "stopped",
    }  # fmt: skip
    assert "beta" in told[2][1]
    assert all("denied" not in err and "Traceback" not in err for _, _, err in told)


def changes(store: Path) -> list[tuple[int, str, str]]:
    obey_permissions()
    os.environ["LAYERLAB_RUNS"] = str(store)
    wanted = [("train", "mlp", "--set", "epochs=1"), ("resume", run_id(3)), ("note", run_id(2), "--tag", "x")]
    wanted.append(("delete", run_id(2)))
    return [run(*change) for change in wanted]


def test_commands_that_would_write_say_why_not(store: Path) -> None:
    """Fault 11: training, resuming, tagging and deleting."""
    train, resume, note, delete = in_a_fork(changes, store, seconds=120)
    assert (train[0], resume[0]) == (2, 1)
    assert f"the store {store} cannot be written to; choose another with --runs" in " ".join(train[2].split())
    for told in (resume, note, delete):
        assert told[0] != 0
        assert "Permission denied" in told[2], told
        assert "Traceback" not in told[2]
    assert read_notes(store / run_id(2)).tags == ("good",)


def refusals(store: Path) -> dict[str, str]:
    obey_permissions()
    path = store / run_id(3)
    actions: dict[str, Callable[[], object]] = {
        "create": lambda: launch.prepare_run(experiment(), store, store / "data"),
        "resume": lambda: RunWriter(path, resume=True),
        "note": lambda: change_notes(path, text="new"),
        "delete": lambda: delete_run(store, path.name),
        "ask": lambda: send(path, Request("stop")),
    }
    said = {}
    for name, action in actions.items():
        try:
            action()
        except LayerlabError as error:
            said[name] = str(error)
    rows = {row.run: row for changes in StoreIndex(store).refresh() for row in changes.changed}
    assert len(rows) == 3
    assert all(row.problem is None and row.notes.problem is None for row in rows.values())
    return said


def test_each_refusal_is_words(store: Path) -> None:
    """Fault 11: the engine's own words, for those who use it as a library."""
    before = sorted(str(path) for path in store.rglob("*"))
    said = in_a_fork(refusals, store, seconds=120)
    assert said.keys() == {"create", "resume", "note", "delete", "ask"}
    assert "cannot be written" in said["create"]
    assert all("Permission denied" in said[name] for name in ("resume", "note", "delete"))
    assert sorted(str(path) for path in store.rglob("*")) == before


def use_the_application(store: Path) -> str:
    obey_permissions()
    return asyncio.run(_use(store))


async def _use(store: Path) -> str:
    app, _ = application(store, experiment())
    app.running.training = EngineTraining(store, store / "data", False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.stored.complete)
        await until(pilot, lambda: "gamma" in screen_text(app))
        assert app.stored.rows[run_id(2)].notes.tags == ("good",)
        for keys, words in ((("t", *"new", "enter"), "Permission denied"), (("x",), "Permission denied")):
            await pilot.press(*keys)
            await until(pilot, lambda words=words: words in screen_text(app), 20)
            await pilot.press("down", "up")
        await pilot.press("enter")
        await until(pilot, lambda: app.mode_shown == "train" and "stopped" in screen_text(app))
        await pilot.press("1")
        await until(pilot, lambda: app.mode_shown == "compose" and app.checked)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "cannot be written" in screen_text(app), 40)
        return screen_text(app)


def test_the_application_looks_and_says_why_it_cannot_train(store: Path) -> None:
    """Fault 11: Runs, Train and Compose; what would write is refused in words on the screen."""
    screen = in_a_fork(use_the_application, store, seconds=150)
    assert "choose another with --runs" in " ".join(screen.split())
    assert read_notes(store / run_id(2)).tags == ("good",)
    assert (store / run_id(3)).is_dir()
