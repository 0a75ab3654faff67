"""What stands below the layers, in the room there is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.tui.fake_training import application, screen_text, until
from tui.widgets.lines import Line
from tui.widgets.totals import totals

MIB = 2**20


def text(one: Line) -> str:
    return "".join(words for words, _ in one)


def report(trainable: int) -> SimpleNamespace:
    parts = {"weights": 42 * MIB, "gradients": 40 * MIB, "optimizer": 40 * MIB, "activations": 8 * MIB}
    memory = {**parts, "total": 130 * MIB, "available": 20_000 * MIB}
    row = SimpleNamespace(depth=0, trainable=trainable)
    return SimpleNamespace(rows=[row], parameters=11_200_000, macs=148_000_000, memory=memory)


def test_operations_are_told_whole_or_not_at_all() -> None:
    first, _ = totals(report(10_500_000), None, 1, 90)
    assert "11.2 M parameters, 10.5 M trained   148.0 M MACs" in text(first)
    first, _ = totals(report(10_500_000), None, 1, 70)
    assert "11.2 M parameters, 10.5 M trained  " in text(first)
    assert "148" not in text(first)
    assert "…" not in text(first)


def test_what_cannot_be_trained_is_named() -> None:
    layer = SimpleNamespace(path="1.0", message="told on its row")
    field = SimpleNamespace(path="optimizer", message="nothing to train: every parameter is frozen, or there is none")
    first, second = totals(None, layer, 1, 70)
    assert text(first).endswith("as it is: layer 1.0")
    assert text(second) == ""
    # The row of a setting may be out of sight.
    first, second = totals(None, field, 1, 40)
    assert text(first).endswith("as it is: optimizer")
    assert text(second).startswith("   nothing to train: every parameter")
    assert text(second).endswith("…")


async def test_what_the_check_says_while_the_layers_are_out_of_sight_is_there_when_they_are_not(
    tmp_path: Path,
) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab")
        await until(pilot, lambda: app.checked and app.report is not None, 20)
        app.draft.set("data.batch_size", "16")
        app.draft_changed()
        await until(pilot, lambda: app.checked)
        await pilot.press("tab")
        await until(pilot, lambda: " parameters " in screen_text(app))
        assert "weights" in screen_text(app)
