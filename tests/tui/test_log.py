"""The log: everything that was said and printed, in order, safe to look at, with the newest in view."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from engine.events import Controlled, Message
from engine.presets import preset
from tests.tui.fake_training import BEGAN, FakeTraining, application, screen_text, until
from tests.tui.one_widget import OneWidget, text_of
from tui.watching import LogLine, RunWatch
from tui.widgets.log import KINDS, ROWS_A_MESSAGE, Log, wrap
from tui.widgets.panel import Panel


class InPanel(App[None]):
    """The log in its frame, which says what is left out."""

    CSS = """
    Panel { width: 60; height: 8; border: round white; }
    Log { height: 1fr; overflow-x: hidden; scrollbar-size: 1 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_view = Log(id="log")

    def compose(self) -> ComposeResult:
        yield Panel("Log", self.log_view, id="log-panel")

    @property
    def said(self) -> str:
        shown = self.query_one(Panel)._border_subtitle
        assert (shown.plain if shown is not None else "") == self.log_view.hint
        return self.log_view.hint


def lines(count: int, level: str = "info") -> list[LogLine]:
    return [LogLine(1.0, level, f"message {number}") for number in range(count)]


async def test_long_messages_go_on_beneath_and_marks_stand_once() -> None:
    log = Log(id="it")
    async with OneWidget(log).run_test(size=(60, 12)) as pilot:
        log.show([LogLine(0.0, "warning", "word " * 30), LogLine(None, "printed", "x" * 60)])
        await pilot.pause()
        shown = text_of(log)
        assert "⚠ word" in shown[0]
        assert shown[1].startswith(" " * 12 + "word")
        assert "".join(row[10:] for row in shown if "│" in row).replace("│ ", "").count("x") == 60
        assert all(len(row) <= 60 for row in shown)


async def test_what_was_printed_has_a_bar_and_keeps_its_spaces() -> None:
    log = Log(id="it")
    async with OneWidget(log).run_test(size=(60, 4)) as pilot:
        log.show([LogLine(1.0, "printed", "a   b [red]c[/] \x1b]52;c;QQ\x07")])
        await pilot.pause()
        assert "│ a   b [red]c[/] ␛]52;c;QQ␇" in text_of(log)[0]


async def test_a_traceback_is_shown_by_the_line_and_bounded() -> None:
    log = Log(id="it")
    async with OneWidget(log).run_test(size=(60, 60)) as pilot:
        log.show([LogLine(1.0, "error", "\n".join(f"line {number}" for number in range(100)))])
        await pilot.pause()
        shown = [row for row in text_of(log) if row]
        assert len(shown) == ROWS_A_MESSAGE
        assert "✗ line 0" in shown[0]
        assert shown[1].endswith("line 1")
        assert shown[-1].endswith("… 61 lines more")


async def test_the_newest_is_in_view_until_the_person_scrolls_back_and_end_returns() -> None:
    app = InPanel()
    async with app.run_test(size=(60, 8)) as pilot:
        log, messages = app.log_view, lines(20)
        log.show(messages)
        log.focus()
        await pilot.pause()
        assert text_of(log)[-1].endswith("message 19")
        assert app.said == ""
        await pilot.press("pageup")
        assert "end: back to the newest" in app.said
        before = text_of(log)
        messages.append(LogLine(2.0, "info", "newer"))
        log.show(messages)
        await pilot.pause()
        assert text_of(log) == before
        assert "1 more" in app.said
        await pilot.press("end")
        assert text_of(log)[-1].endswith("newer")
        assert app.said == ""


async def test_the_newest_is_in_view_also_where_the_panel_was_out_of_sight_while_lines_came() -> None:
    app = InPanel()
    async with app.run_test(size=(60, 8)) as pilot:
        panel = app.query_one(Panel)
        panel.display = False
        await pilot.pause()
        app.log_view.show(lines(50))
        await pilot.pause()
        panel.display = True
        await pilot.pause()
        assert text_of(app.log_view)[-1].endswith("message 49")
        assert app.said == ""


async def test_what_is_read_does_not_move_when_the_oldest_lines_are_dropped() -> None:
    app = InPanel()
    async with app.run_test(size=(60, 8)) as pilot:
        log, messages = app.log_view, lines(100)
        log.show(messages)
        log.focus()
        await pilot.press("pageup", "pageup")
        before = text_of(log)
        del messages[:30]
        messages += [LogLine(2.0, "info", f"newer {number}") for number in range(30)]
        log.show(messages)
        await pilot.pause()
        assert text_of(log) == before


async def test_a_key_shows_warnings_alone_then_no_prints_then_prints_then_all() -> None:
    app = InPanel()
    async with app.run_test(size=(60, 8)) as pilot:
        log = app.log_view
        log.show([LogLine(1.0, "info", "began"), LogLine(2.0, "printed", "hello"), LogLine(3.0, "warning", "careful")])
        log.focus()
        shown = []
        for kind in (*range(1, len(KINDS)), 0):
            await pilot.press("e")
            shown.append([row.split()[-1] for row in text_of(log) if row])
            assert app.said == KINDS[kind][0]
        assert shown == [["careful"], ["began", "careful"], ["hello"], ["began", "hello", "careful"]]
        log.show([LogLine(1.0, "info", "began")])
        await pilot.press("e")
        assert "nothing of this kind yet" in text_of(log)[0]


async def test_a_line_more_among_many_wraps_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(id="it")
    async with OneWidget(log).run_test(size=(60, 8)) as pilot:
        messages = lines(400, "printed")
        log.show(messages)
        await pilot.pause()
        made: list[Any] = []
        original = log._rows
        monkeypatch.setattr(log, "_rows", lambda message: (made.append(message), original(message))[1])
        messages.append(LogLine(2.0, "printed", "one more"))
        log.show(messages)
        assert [message.text for message in made] == ["one more"]


async def test_times_that_are_none_are_left_blank() -> None:
    log = Log(id="it")
    async with OneWidget(log).run_test(size=(40, 4)) as pilot:
        log.show([SimpleNamespace(level="info", text="far", time=1e300), LogLine(None, "info", "x")])
        await pilot.pause()
        assert text_of(log)[0] == " " * 10 + "far"


# Without the zero width joiner: rich cuts what it joins at the wrong place at times ("\u200d\u200d世👩", in four cells
# for two), and the log writes out the joiner, as it does all that `safe` finds not to be printable, before it wraps.
@given(st.text(max_size=200).map(lambda text: text.replace("\u200d", "")), st.integers(2, 40), st.booleans())
def test_wrapped_text_fits_and_loses_nothing(text: str, width: int, exact: bool) -> None:
    pieces = wrap(text, width, exact)
    assert all(cell_len(piece) <= width for piece in pieces)
    if exact:
        assert "".join(pieces) == text
    elif cell_len(text) > width:
        assert "".join("".join(pieces).split()) == "".join(text.split())


async def test_what_has_a_text_in_it_is_found_wherever_it_stands(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.live)
        training.emit(Message("warning", "a Plateau was reached"), *(Message("info", f"line {n}") for n in range(100)))
        app.screen.query_one(Log).focus()
        await until(pilot, lambda: "line 99" in screen_text(app))
        await pilot.press("f", *"plateau", "enter")
        await until(pilot, lambda: "a Plateau was reached" in screen_text(app))
        assert "line 99" not in screen_text(app)
        assert "with `plateau`" in screen_text(app)
        await pilot.press("f", *"[b]zebra", "enter")
        await until(pilot, lambda: "nothing has `[b]zebra` in it yet" in screen_text(app))
        await pilot.press("f", "backspace", "enter")
        await until(pilot, lambda: "line 99" in screen_text(app))


def test_what_was_asked_for_stands_in_the_log_with_the_time_at_which_it_was_acted_on(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    path = training.start(preset("mlp"))
    training.emit(Controlled(3, "set_lr", 0.001))
    training.say("info", "in between")
    training.emit(Controlled(5, "checkpoint", None))
    watch = RunWatch(path, now=lambda: BEGAN + 9e6)
    watch.poll()
    lines = [(line.time, line.text) for line in watch.log]
    times = [time for time, _ in lines]
    assert [text for _, text in lines] == ["learning rate set to 0.001", "in between", "asked for a checkpoint"]
    assert times == [BEGAN + 4, BEGAN + 5, BEGAN + 6]
