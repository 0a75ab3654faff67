"""The table of epochs: its columns, its mark, and that its length does not matter."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from tests.tui.one_widget import OneWidget, text_of
from tui.widgets.metrics_table import MetricsTable

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/top5_accuracy", "val/f1")


def epoch(number: int, loss: float = 1.0) -> SimpleNamespace:
    return SimpleNamespace(epoch=number, metrics={**dict.fromkeys(METRICS, loss), "lr": 0.01})


def titles(table: MetricsTable) -> list[str]:
    return text_of(table)[0].split()


async def test_columns_fit_the_width_and_the_learning_rate_stays() -> None:
    for width, expected in (
        (58, ["epoch", "train/loss", "train/acc", "val/loss", "★val/acc", "lr›"]),
        (40, ["epoch", "train/loss", "train/acc", "lr›"]),
        (120, ["epoch", "train/loss", "train/acc", "val/loss", "★val/acc", "val/top5_acc", "val/f1", "lr"]),
    ):
        table = MetricsTable(id="it")
        async with OneWidget(table).run_test(size=(width, 6)) as pilot:
            table.show([epoch(1), epoch(2)], 2, "val/accuracy")
            await pilot.pause()
            assert titles(table) == expected
            assert all(len(row) <= width for row in text_of(table))


async def test_a_long_learning_rate_keeps_its_distance() -> None:
    table = MetricsTable(id="it")
    rates = (0.00043691, 6.6649e-05, 0.0012881, 1.2e-08, 0.01)
    async with OneWidget(table).run_test(size=(58, 8)) as pilot:
        table.show(
            [
                SimpleNamespace(epoch=at, metrics={**dict.fromkeys(METRICS, 1.0), "lr": lr})
                for at, lr in enumerate(rates)
            ],
            None,
        )
        await pilot.pause()
        assert [row.split()[-1] for row in text_of(table)[1:6]] == [
            "0.000437",
            "6.66e-05",
            "0.001288",
            "1.2e-08",
            "0.01",
        ]


async def test_arrows_bring_the_other_metrics_into_view_and_stop_at_the_last() -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=(58, 6)) as pilot:
        table.show([epoch(1)], None)
        table.focus()
        await pilot.press("right")
        assert titles(table)[:3] == ["‹", "epoch", "train/acc"]
        await pilot.press(*["right"] * 9)
        assert titles(table)[-2:] == ["val/f1", "lr"]
        assert "›" not in titles(table)
        table.show([epoch(1), epoch(2)], None)
        await pilot.pause()
        assert titles(table)[-2:] == ["val/f1", "lr"]  # new epochs scroll nothing back
        await pilot.press(*["left"] * 9)
        assert titles(table)[:2] == ["epoch", "train/loss"]


@pytest.mark.parametrize("size", [(20, 3), (1, 1), (9, 2)])
async def test_the_smallest_panel_shows_a_metric_and_never_raises(size: tuple[int, int]) -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=size) as pilot:
        table.show([epoch(1), SimpleNamespace(epoch=2, metrics={})], 1, "val/loss")
        table.show([epoch(1)], 1, "val/loss")
        table.focus()
        await pilot.press("right", "left")
        assert len(text_of(table)) == size[1]
        assert all(len(row) <= size[0] for row in text_of(table))
        assert size[0] < 20 or "train/loss" in text_of(table)[0]


async def test_an_epoch_more_costs_as_much_behind_ten_thousand_as_behind_ten() -> None:
    costs = []
    for length in (10, 10_000):
        table = MetricsTable(id="it")
        async with OneWidget(table).run_test(size=(80, 12)) as pilot:
            history = [epoch(number) for number in range(1, length + 1)]
            table.show(history, 1)
            await pilot.pause()
            spent = []
            for number in range(length + 1, length + 41):
                history.append(epoch(number))
                began = time.perf_counter()
                table.show(history, 1)
                spent.append(time.perf_counter() - began)
            costs.append(sorted(spent)[20])
    assert costs[1] < 5 * costs[0] + 1e-3


async def test_the_newest_is_in_view_also_where_the_panel_was_out_of_sight_while_epochs_came() -> None:
    table = MetricsTable(id="it")
    async with OneWidget(table).run_test(size=(80, 12)) as pilot:
        table.display = False
        await pilot.pause()
        history = [epoch(number) for number in range(1, 41)]
        table.show(history, 1)
        await pilot.pause()
        table.display = True
        await pilot.pause()
        assert text_of(table)[-1].split()[0] == "40"
