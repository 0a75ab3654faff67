"""The states in which the application may be, and keys pressed in them as fast as it takes them."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.events import Key
from textual.keys import key_to_character
from textual.pilot import Pilot
from textual.widgets import Static

from engine.presets import preset
from engine.spec import parse_experiment, with_settings
from tests.tui.fake_training import FakeTraining, application, screen_text, until
from tests.tui.run_store import run_id, stored_run
from tui.app import LayerlabApp
from tui.screens.choice import Choice
from tui.screens.note_editor import NoteEditor
from tui.screens.toml_editor import TomlEditor
from tui.screens.workspace import Workspace

_BYTES = {"enter": "\r", "tab": "\t", "escape": "\x1b", "space": " ", "backspace": "\x7f"}
# Longer than any dialogue is nested: a list over a form over a screen.
MOST_DIALOGUES = 5


async def press(app: LayerlabApp, *keys: str) -> None:
    """Press keys, and wait until all has been done that they do at once."""
    for key in keys:
        app.post_message(Key(key, _BYTES.get(key) or key_to_character(key)))
    await asyncio.sleep(0)
    end = time.monotonic() + 30
    while (app._typed or app._under_way or app._message_queue.qsize()) and app._exception is None:
        assert time.monotonic() < end, f"{keys} were not taken"
        await asyncio.sleep(0.001)
    # What the last of them opened has to be drawn before it can be looked at.
    while app.is_running and app._exception is None and not screen_text(app).strip() and time.monotonic() < end:
        await asyncio.sleep(0.001)


def assert_sound(app: LayerlabApp, after: object) -> None:
    """It runs, it draws, and a question on the screen can be read to its end."""
    if app._exception is not None:
        raise AssertionError(f"after {after}: {app._exception!r}") from app._exception
    assert app.is_running, after
    assert screen_text(app).strip(), f"nothing is drawn after {after}"
    for text in app.screen.query("#question"):
        assert isinstance(text, Static)
        needed = text.get_content_height(text.container_size, app.size, text.content_size.width)
        assert needed <= text.content_size.height, f"a question is cut after {after}:\n{screen_text(app)}"
        assert app.screen.region.contains_region(text.region), f"a question is cut after {after}"


async def back(app: LayerlabApp, after: object) -> None:
    """Leave whatever has been opened by escape; where that asks about a text that was changed, by leaving it so."""
    for _ in range(MOST_DIALOGUES):
        if isinstance(app.screen, Workspace):
            return
        asked = isinstance(app.screen, TomlEditor | NoteEditor)
        await press(app, "escape")
        if asked and isinstance(app.screen, Choice):
            await press(app, "l")
    assert isinstance(app.screen, Workspace), f"escape does not lead out of {app.screen} after {after}"


# ---------------------------------------------------------------------- states


async def _empty(app: LayerlabApp, training: FakeTraining) -> None:
    """A store without runs, nothing trained."""


async def _finished(app: LayerlabApp, training: FakeTraining) -> None:
    stored_run(app.store, 1, "alpha", accuracy=0.91)
    app.open_run(stored_run(app.store, 2, "beta", accuracy=0.97))


async def _failed(app: LayerlabApp, training: FakeTraining) -> None:
    app.open_run(stored_run(app.store, 1, "broken", status="failed", epochs=1))


async def _live(app: LayerlabApp, training: FakeTraining) -> None:
    app.action_train_now()
    await _began(app, training, 1)
    training.epoch(1)
    training.reading()
    training.say("warning", "layer 6: 31 % of ReLU units never fire")
    training.epoch(2)


async def _damaged(app: LayerlabApp, training: FakeTraining) -> None:
    path = stored_run(app.store, 1, "damaged")
    for name in ("summary.json", "experiment.toml", "events.000.jsonl"):
        (path / name).write_bytes(b"\x00\xff{[garbage\n" * 9)
        # One that has just been written might be about to start.
        os.utime(path / name, (1e9, 1e9))
    app.open_run(path)


async def _removed(app: LayerlabApp, training: FakeTraining) -> None:
    path = stored_run(app.store, 1, "gone")
    app.stored.want()
    app.open_run(path)
    shutil.rmtree(path)


async def _queued(app: LayerlabApp, training: FakeTraining) -> None:
    await _live(app, training)
    for name in ("cnn", "mlp", "lenet"):
        app.running.train(preset(name))


async def _marked(app: LayerlabApp, training: FakeTraining) -> None:
    for number, name in enumerate(("alpha", "beta", "gamma"), 1):
        stored_run(app.store, number, name, accuracy=0.9 + number / 100)
    app.marks.put((run_id(3), "20250101T000000Z-missing-aaaa", run_id(1)), "20250101T000000Z-missing-aaaa")
    app.marks_changed()


async def _filtered(app: LayerlabApp, training: FakeTraining) -> None:
    app.state.put("runs.filter", "name:nothing val/accuracy>2")
    await _finished(app, training)


async def _blank(app: LayerlabApp, training: FakeTraining) -> None:
    app.draft.begin_blank()
    app.draft_changed()


async def _unsuitable(app: LayerlabApp, training: FakeTraining) -> None:
    app.draft.begin(with_settings(preset("cnn"), ["network.layers.1=Linear(3, 4)"]))
    app.draft_changed()


async def _several(app: LayerlabApp, training: FakeTraining) -> None:
    text = preset("mlp").to_toml()
    head, layers = text.split("[network]")
    app.draft.begin(parse_experiment(f"{head}[network.one]{layers}\n[network.two]{layers}"))
    app.draft_changed()


async def _unreadable(app: LayerlabApp, training: FakeTraining) -> None:
    file = app.store / "draft.toml"
    app.draft.saved(file, b"name = 'as it was'")
    file.write_bytes(b"\xff\x00[[[")


async def _began(app: LayerlabApp, training: FakeTraining, count: int) -> None:
    while len(training.started) < count or app.view is None:
        await asyncio.sleep(0.01)


STATES: dict[str, Callable[[LayerlabApp, FakeTraining], Any]] = {
    "empty store": _empty,
    "finished run": _finished,
    "failed run": _failed,
    "live run": _live,
    "damaged run": _damaged,
    "run removed while shown": _removed,
    "queue": _queued,
    "a marked run is missing": _marked,
    "filter that finds nothing": _filtered,
    "blank network": _blank,
    "network that does not fit": _unsuitable,
    "several networks": _several,
    "file that cannot be read": _unreadable,
}


@asynccontextmanager
async def walk(store: Path, state: str, size: tuple[int, int]) -> AsyncIterator[tuple[LayerlabApp, Pilot[Any]]]:
    """The application in a state; quitting is noted in `app.return_value`, and it goes on."""
    app, training = application(store)
    async with app.run_test(size=size) as pilot:
        app.exit = lambda *arguments, **named: None  # type: ignore[method-assign]
        app.stored.want()
        await STATES[state](app, training)
        await until(pilot, lambda: app.checked and app.stored.complete)
        yield app, pilot
        await back(app, "all")


def random_keys(seed: int, count: int, keys: Iterable[str]) -> list[str]:
    """Keys at random; those that open, move and leave come more often."""
    choice = random.Random(seed)
    known = [*sorted(keys), *["enter", "escape", "tab", "down", "up", "1", "2", "3", "4"] * 3]
    return choice.choices(known, k=count)
