"""How the screens look, at three sizes of terminal; `pytest --snapshot-update` takes the pictures anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.fake_training import application, until

SIZES = [(80, 24), (120, 40), (200, 50)]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log shows the time of day; colours do not depend on the terminal of whoever runs the tests."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()


@pytest.mark.parametrize("size", SIZES)
def test_compose(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = application(tmp_path)

    async def checked(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("down", "down")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=checked)


@pytest.mark.parametrize("size", SIZES)
def test_train(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app, training = application(tmp_path)

    async def trained(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None)
        for number in range(1, 13):
            training.epoch(number, best=number != 12)
        training.reading()
        training.say("warning", "layer 6: 31 % of its ReLU units never fire; a lower learning rate may wake them")
        training.end("stopped", "as asked")
        await until(pilot, lambda: app.view is not None and app.view.status == "stopped" and not app.run_watch._stale)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=trained)


def test_help(snap_compare: Any, tmp_path: Path) -> None:
    app, _ = application(tmp_path)

    async def asked(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("question_mark")
        await pilot.pause()

    assert snap_compare(app, terminal_size=(120, 40), run_before=asked)
