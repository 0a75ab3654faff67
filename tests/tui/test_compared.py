"""Runs side by side: differences, layers in line with each other, Markdown, and the screen that shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.presets import preset
from engine.spec import Experiment, with_settings
from tests.tui.fake_training import FakeTraining, application, screen_text, until
from tests.tui.one_widget import OneWidget, text_of
from tui.app import LayerlabApp
from tui.compared import Cell, Compared, align, comparison, markdown
from tui.widgets.compare_table import CompareTable

layers = st.lists(st.sampled_from(["Linear(1)", "Linear(2)", "ReLU()", "Flatten()", "Dropout(0.5)"]), max_size=8)


@given(layers, st.lists(layers, min_size=1, max_size=4))
def test_every_layer_of_every_run_stands_in_its_column_in_order(base: list[str], others: list[list[str]]) -> None:
    lines = align(base, others)
    for at, column in enumerate([base, *others]):
        assert [line[at] for line in lines if line[at] is not None] == column
    assert all(any(text is not None for text in line) for line in lines)


def test_equal_layers_stand_beside_each_other_and_those_of_the_same_name_too() -> None:
    base = ["Flatten()", "Linear(300)", "ReLU()", "Linear(10)"]
    other = ["Flatten()", "Linear(100)", "BatchNorm1d()", "ReLU()", "Linear(10)"]
    assert align(base, [other]) == [
        ("Flatten()", "Flatten()"),
        ("Linear(300)", "Linear(100)"),
        (None, "BatchNorm1d()"),
        ("ReLU()", "ReLU()"),
        ("Linear(10)", "Linear(10)"),
    ]
    assert align(["Conv2d(8, 3)", "ReLU()"], [["Linear(3)", "ReLU()"]]) == [
        ("Conv2d(8, 3)", None),
        (None, "Linear(3)"),
        ("ReLU()", "ReLU()"),
    ]


@pytest.mark.parametrize("size", [(120, 30), (80, 24), (24, 10), (3, 2)])
async def test_the_end_of_a_long_value_is_there_to_be_compared(size: tuple[int, int]) -> None:
    source = "LabelledFiles('photographs-of-pets', resize='pad', size={})"
    both = [run(name, 0.9, 1, **{"data.source": source.format(side)}) for name, side in (("a", 64), ("b", 224))]
    table = CompareTable(id="it")
    async with OneWidget(table).run_test(size=size) as pilot:
        table.show(both, comparison(both), ["", ""])
        await pilot.pause()
        rows = text_of(table)
        assert all(len(row) <= size[0] for row in rows)
        if size[0] >= 80:
            first = next(at for at, row in enumerate(rows) if "data.source" in row)
            ends = " ".join(rows[first : first + 3])
            assert "size=64)" in ends
            assert "size=224)" in ends


def run(name: str, accuracy: float, seconds: float, **fields: str) -> Compared:
    return Compared(
        name,
        name,
        epoch=3,
        epochs=5,
        metrics={"val/accuracy": accuracy, "train/loss": 1 - accuracy, "val/loss": 1.5 - accuracy},
        fields={"seed": "0", "optimizer": "SGD(lr=0.01)", **fields},
        parameters=1000 if name == "a" else 1500,
        macs=2000,
        seconds=seconds,
    )


def test_only_what_differs_is_told_with_differences_to_the_baseline() -> None:
    rows = {(row.section, row.name): row.cells for row in comparison([run("a", 0.9, 10), run("b", 0.95, 25, seed="1")])}
    assert rows["metrics", "val/accuracy"] == (Cell("90.00 %"), Cell("95.00 %", "+5.00", best=True))
    assert rows["metrics", "val/loss"][1] == Cell("0.5500", "-0.0500", best=True)
    assert rows["cost", "parameters"][1] == Cell("1.5 K", "+500")
    assert rows["cost", "time"][1] == Cell("25.0 s", "×2.5")
    assert rows["cost", "MACs"][1] == Cell("2.0 K", "×1")
    assert rows["experiment", "seed"] == (Cell("0"), Cell("1"))
    assert ("experiment", "optimizer") not in rows
    assert ("cost", "memory") not in rows
    assert ("cost", "with preparation") not in rows
    # What training says of itself matters less where there is a validation.
    assert rows["more metrics", "train/loss"][1].away == "-0.0500"


def test_what_was_prepared_before_the_epochs_is_part_of_what_a_run_costs() -> None:
    cached, plain = replace(run("a", 0.9, 10), running=60.0), replace(run("b", 0.9, 100), running=100.5)
    rows = {row.name: row.cells for row in comparison([cached, plain])}
    assert rows["time"][1] == Cell("1 m 40 s", "×10")
    assert rows["with preparation"] == (Cell("1 m 00 s"), Cell("1 m 40 s", "×1.7"))


def test_runs_without_anything_measured_are_compared_in_words() -> None:
    rows = comparison([Compared("a", "a"), Compared("b", "b")])
    assert [row.note for row in rows if row.note] == ["no epoch has ended yet", "the experiments are the same"]
    assert comparison([]) == []


def test_markdown_has_a_table_a_section_and_escapes_what_could_be_markup() -> None:
    text = markdown([run("a", 0.9, 10), run("b|*<x>", 0.95, 25, seed="1")])
    assert "| metrics | a (baseline) | b\\|\\*\\<x\\> |" in text
    assert "| val/accuracy | 90.00 % | 95.00 % (+5.00) |" in text
    assert "| seed | 0 | 1 |" in text


async def trained(app: LayerlabApp, training: FakeTraining, pilot: Any, experiments: list[Experiment]) -> list[str]:
    """Runs in the store, of three epochs each, all of them marked."""
    for number, experiment in enumerate(experiments):
        training.start(experiment)
        for epoch in range(1, 4 + number):
            training.epoch(epoch)
        training.end()
    app.stored.want()
    await until(pilot, lambda: len(app.stored.rows) == len(experiments))
    runs = sorted(app.stored.rows)
    for name in runs:
        app.marks.toggle(name)
    return runs


@pytest.fixture
def three() -> list[Experiment]:
    return [
        preset("mlp"),
        with_settings(preset("batchnorm"), ["optimizer=Adam(lr=0.002)"]),
        preset("cnn"),
    ]


async def test_marked_runs_stand_side_by_side_and_another_can_be_the_baseline(
    tmp_path: Path, three: list[Experiment]
) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        runs = await trained(app, training, pilot, three)
        await pilot.press("4")
        await until(pilot, lambda: "Adam(lr=0.002)" in screen_text(app))
        text = screen_text(app)
        assert "baseline" in text
        assert "★" in text
        table = app.screen.query_one(CompareTable)
        assert any("BatchNorm1d()" in text for row in table._listed for text, _ in row)
        await pilot.press("right", "b")
        await until(pilot, lambda: app.marks.baseline == runs[1])
        await pilot.pause()
        assert table._runs[0].run == runs[1]
        await pilot.press("d")
        await until(pilot, lambda: len(app.marks) == 2)
        await pilot.press("Y")
        await pilot.pause()
        assert "| val/accuracy |" in app.clipboard
        await pilot.press("right", "enter")
        await until(pilot, lambda: app.mode_shown == "train" and app.view is not None)
        await pilot.press("4", "M")
        await until(pilot, lambda: "space marks one" in screen_text(app))


async def test_more_runs_than_fit_come_into_view_with_the_cursor(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await trained(app, training, pilot, [with_settings(preset("mlp"), [f"seed={seed}"]) for seed in range(7)])
        await pilot.press("4")
        await until(pilot, lambda: "5 more →" in screen_text(app))
        await pilot.press(*["right"] * 6)
        await pilot.pause()
        assert "← 5" in screen_text(app)
        assert "→" not in screen_text(app).splitlines()[3]


async def test_the_marks_and_the_baseline_are_there_again_the_next_time(
    tmp_path: Path, three: list[Experiment]
) -> None:
    app, training = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        runs = await trained(app, training, pilot, three)
        app.marks.set_baseline(runs[2])
        app.marks_changed()
        await pilot.pause()
    state = app.state
    second, _ = application(tmp_path)
    second.state = state
    async with second.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert list(second.marks.runs) == runs
        assert second.marks.baseline == runs[2]
