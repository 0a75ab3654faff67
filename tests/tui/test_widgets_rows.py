"""Lists drawn by the line: what is drawn, what is not drawn again, and that no text is more than text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tui.one_widget import OneWidget, text_of
from tui.widgets.lines import Lines, fit, line, split, width_of
from tui.widgets.metrics_table import MetricsTable
from tui.widgets.rows import Rows
from tui.widgets.status import Progress, fraction


def epoch(number: int, loss: float, best: bool = False) -> SimpleNamespace:
    metrics = {"train/loss": loss, "val/loss": loss, "val/accuracy": 0.9, "lr": 0.01}
    return SimpleNamespace(epoch=number, metrics=metrics, best=best)


def test_fit_gives_exactly_the_width_also_for_wide_characters() -> None:
    assert fit("abc", 5) == "abc  "
    assert fit("abc", 5, right=True) == "  abc"
    assert fit("abcdef", 4) == "abc…"
    assert fit("日本語", 4) == "日… "
    assert fit("abc", 0) == ""


@pytest.mark.parametrize("width", [5, 10, 20, 40])
def test_split_fills_the_width_and_keeps_the_right_side(width: int) -> None:
    spans = split(line("left side of it"), line("end"), width)
    assert width_of(spans) == width
    assert "".join(text for text, _ in spans).endswith("end")


async def test_rows_draw_again_only_what_changed() -> None:
    rows = Rows(id="it")
    async with OneWidget(rows).run_test(size=(20, 6)) as pilot:
        rows.set_rows([line(f"row {number}") for number in range(5)])
        await pilot.pause()
        drawn: list[int] = []
        original = rows.render_line
        rows.render_line = lambda y: (drawn.append(y), original(y))[1]  # type: ignore[method-assign]
        rows.set_rows([line(f"row {number}" if number != 3 else "new") for number in range(5)])
        await pilot.pause()
        assert drawn == [3]
        rows.set_rows([line(f"row {number}" if number != 3 else "new") for number in range(5)])
        await pilot.pause()
        assert drawn == [3]
        assert text_of(rows)[:5] == ["row 0", "row 1", "row 2", "new", "row 4"]


async def test_markup_and_control_bytes_in_text_stay_text() -> None:
    rows = Rows(id="it")
    async with OneWidget(rows).run_test(size=(60, 4)) as pilot:
        rows.set_rows([line("[red]x[/red] [@click=app.quit]y[/]"), line("a\x1b]52;c;QUJD\x07b"), line("[/foo]")])
        await pilot.pause()
        shown = text_of(rows)
        assert shown[0] == "[red]x[/red] [@click=app.quit]y[/]"
        assert "\x1b" not in shown[1]
        assert "\x07" not in shown[1]
        assert shown[2] == "[/foo]"


async def test_the_cursor_passes_rows_that_cannot_be_selected() -> None:
    class List(Rows):
        with_cursor = True

    rows = List(id="it")
    rows.selectable = lambda index: index != 1
    async with OneWidget(rows).run_test(size=(20, 6)) as pilot:
        rows.set_rows([line(str(number)) for number in range(3)])
        rows.focus()
        await pilot.press("down")
        assert rows.cursor == 2
        await pilot.press("up")
        assert rows.cursor == 0
        await pilot.press("up")
        assert rows.cursor == 0


async def test_ten_thousand_epochs_cost_what_is_in_view() -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=(80, 12)) as pilot:
        history = [epoch(number, 1 / number) for number in range(1, 10_001)]
        made: list[int] = []
        original = table._line
        table._line = lambda index: (made.append(index), original(index))[1]  # type: ignore[method-assign]
        table.show(history, 7)
        await pilot.pause()
        assert set(made) <= set(range(9_980, 10_000)) | set(range(12))
        assert len(made) < 60
        shown = text_of(table)
        assert shown[0].split() == ["epoch", "train/loss", "val/loss", "val/acc", "lr"]
        assert shown[-1].split()[0] == "10000"


async def test_the_best_epoch_is_marked_and_the_mark_moves() -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=(80, 12)) as pilot:
        history = [epoch(1, 2.0), epoch(2, 1.0)]
        table.show(history, 1)
        await pilot.pause()
        assert "★" in text_of(table)[1]
        history.append(epoch(3, 0.5))
        table.show(history, 3)
        await pilot.pause()
        shown = text_of(table)
        assert "★" not in shown[1]
        assert "★" in shown[3]
        assert "0.5000" in shown[3]
        assert "90.00 %" in shown[3]


async def test_the_newest_epoch_stays_in_view_until_the_person_scrolls_back() -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=(80, 6)) as pilot:
        history = [epoch(number, 1.0) for number in range(1, 21)]
        table.show(history, None)
        await pilot.pause()
        assert text_of(table)[-1].split()[0] == "20"
        table.focus()
        await pilot.press("home")
        history.append(epoch(21, 1.0))
        table.show(history, None)
        await pilot.pause()
        assert text_of(table)[1].split()[0] == "1"


def test_progress_counts_whole_epochs_and_the_part_of_the_one_under_way() -> None:
    view = SimpleNamespace(epochs=4, status="running", history=[1], batch=5, batches=10, epoch=2)
    assert fraction(view) == 0.375
    view.epochs = 0
    assert fraction(view) == 0.0


async def test_progress_names_the_reason_of_a_failure() -> None:
    progress = Progress(id="it")
    view = SimpleNamespace(
        status="failed", reason="the loss became NaN at step 7 [/b]", epoch=1, epochs=4, history=[], step=7, batch=1,
        batches=9, samples_per_second=None, seconds_left=None, seconds_per_epoch=None, lr=10.0,
        preparing="", features=None,
    )  # fmt: skip
    async with OneWidget(progress).run_test(size=(100, 2)) as pilot:
        progress.show(view)
        await pilot.pause()
        assert "✗ failed: the loss became NaN at step 7 [/b]" in text_of(progress)[0]


async def test_lines_draw_nothing_where_nothing_changed() -> None:
    lines = Lines(id="it")
    async with OneWidget(lines).run_test(size=(30, 2)) as pilot:
        lines.set_lines([line("a"), line("b")])
        await pilot.pause()
        drawn: list[int] = []
        original = lines.render_line
        lines.render_line = lambda y: (drawn.append(y), original(y))[1]  # type: ignore[method-assign]
        lines.set_lines([line("a"), line("c")])
        await pilot.pause()
        assert drawn == [1]


def test_a_stop_after_the_epoch_is_announced_until_the_epoch_ends() -> None:
    from engine.events import Controlled, EpochEnded
    from engine.store.view import RunView
    from tui.widgets.status import stops_after_epoch

    view = RunView(Path("somewhere"), status="running")
    assert not stops_after_epoch(view)
    view.apply(EpochEnded(1, 23, {"val/loss": 1.0}, {"train": 1.0}, True), 0.0)
    view.apply(Controlled(30, "stop_epoch"), 0.0)
    assert stops_after_epoch(view)
    view.apply(EpochEnded(2, 46, {"val/loss": 1.0}, {"train": 1.0}, True), 0.0)
    assert not stops_after_epoch(view)
