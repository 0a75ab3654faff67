"""The module tree: what each module holds, what was measured of it, and folding."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.calls import parse_call
from engine.shapes import propagate
from tests.tui.one_widget import OneWidget, text_of
from tui.widgets.module_tree import ModuleTree, norm, unusual

LAYERS = (
    "Conv2d(32, 3, padding=1)",
    "ReLU()",
    "Residual(Conv2d(32, 3, padding=1), ReLU())",
    "Repeat(2, Sequential(Conv2d(32, 3, padding=1), ReLU()))",
    "Flatten()",
    "Linear(10, frozen=True)",
)


@pytest.fixture(scope="module")
def modules() -> list[dict[str, Any]]:
    """As a session announces them."""
    rows = propagate([parse_call(text) for text in LAYERS], (1, 8, 8)).rows
    names = ("path", "call", "parameters", "trainable", "depth")
    return [{name: getattr(row, name) for name in names} | {"output_shape": list(row.output_shape)} for row in rows]


def measured(modules: list[dict[str, Any]], **changes: dict[str, float]) -> dict[str, dict[str, Any]]:
    usual = {"weight_norm": 9.81, "grad_norm": 0.12, "update_ratio": 1.23e-3}
    return {m["path"]: {"path": m["path"], **usual, **changes.get(f"at_{m['path']}", {})} for m in modules}


async def test_every_module_stands_in_its_container_with_output_and_parameters(modules: list[dict[str, Any]]) -> None:
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(90, 20)) as pilot:
        tree.show(modules)
        await pilot.pause()
        shown = text_of(tree)
        assert shown[0].split() == ["output", "params"]
        # 320 + 2 × 9,248 + 2 × 9,248 ... by hand: 320 + 9,248 + 2 × 9,248 + 20,490
        assert shown[1].split() == ["▾", "model", "48.6", "K"]
        assert shown[2].split()[-6:] == ["32", "×", "8", "×", "8", "320"]
        assert shown[4].split()[:3] == ["▾", "2", "Residual(…)"]
        assert shown[5].startswith("     body.0 Conv2d(32, 3, padding=1)")
        assert shown[7].split()[:4] == ["▾", "3", "Repeat(2,", "…)"]
        assert [row.endswith("❄") for row in shown[:16]] == [False] * 15 + [True]


async def test_measurements_fill_the_columns_and_what_is_unusual_is_marked(modules: list[dict[str, Any]]) -> None:
    tree = ModuleTree(id="it")
    values = measured(modules, at_0={"update_ratio": 0.3}, at_2={"grad_norm": math.nan}, at_5={"update_ratio": 1e-8})
    values["1"] = {"path": "1", "dead": 0.31}
    async with OneWidget(tree).run_test(size=(100, 20)) as pilot:
        tree.show(modules, values)
        await pilot.pause()
        shown = text_of(tree)
        assert shown[0].split() == ["output", "params", "‖weight‖", "‖grad‖", "Δ/w"]
        assert shown[2].split()[-5:] == ["320", "9.81", "0.120", "⚠", "3.0e-1"]
        assert shown[3].endswith("31 % dead")
        assert "✗ nan" in shown[4]
        assert shown[5].split()[-3:] == ["9.81", "0.120", "1.2e-3"]
        assert shown[15].endswith("⚠ 1.0e-8 ❄")


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (36, ["params", "Δ/w"]),
        (46, ["params", "‖grad‖", "Δ/w"]),
        (58, ["params", "‖weight‖", "‖grad‖", "Δ/w"]),
        (80, ["output", "params", "‖weight‖", "‖grad‖", "Δ/w"]),
    ],
)
async def test_a_narrow_panel_keeps_the_columns_that_tell_most(
    modules: list[dict[str, Any]], width: int, titles: list[str]
) -> None:
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(width, 20)) as pilot:
        tree.show(modules, measured(modules))
        await pilot.pause()
        shown = text_of(tree)
        assert shown[0].split() == titles
        assert all(row.endswith(("1.2e-3", "1.2e-3 ❄")) for row in shown[2:16])


async def test_containers_fold_and_unfold_and_stay_folded_while_measurements_come(
    modules: list[dict[str, Any]],
) -> None:
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(100, 20)) as pilot:
        tree.show(modules, measured(modules))
        tree.focus()
        await pilot.press("down", "down", "down", "left")
        shown = text_of(tree)
        assert shown[4].startswith(" ▸ 2 Residual(…)")
        assert shown[5].startswith(" ▾ 3 Repeat(2, …)")
        tree.show(modules, measured(modules, at_3={"grad_norm": 7.0}))
        await pilot.pause()
        assert text_of(tree)[5].split()[-3:] == ["9.81", "7.00", "1.2e-3"]
        await pilot.press("right", "right", "left")  # unfold, go inside, and out to what holds it
        assert text_of(tree)[5].startswith("     body.0")
        assert tree.cursor == 3
        await pilot.press("enter", "home", "enter")
        assert text_of(tree)[1].startswith(" ▸ model")
        assert not any(text_of(tree)[2:])


async def test_only_the_lines_whose_numbers_changed_are_drawn_again(modules: list[dict[str, Any]]) -> None:
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(100, 20)) as pilot:
        tree.show(modules, measured(modules))
        await pilot.pause()
        drawn: list[int] = []
        original = tree.render_line
        tree.render_line = lambda y: (drawn.append(y), original(y))[1]  # type: ignore[method-assign]
        tree.show(modules, measured(modules, at_0={"grad_norm": 3.0}))
        await pilot.pause()
        assert drawn == [2]


async def test_without_a_run_it_says_what_will_stand_there_and_keys_do_nothing() -> None:
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(60, 5)) as pilot:
        tree.show(())
        tree.focus()
        await pilot.press("enter", "left", "right", "down")
        assert "once a run has begun" in text_of(tree)[0]


async def test_modules_of_a_damaged_file_are_shown_as_far_as_they_go() -> None:
    tree = ModuleTree(id="it")
    strange = [{"path": "0", "call": "[red]x\x1b", "depth": 7}, {"depth": None, "parameters": "many"}, {}]
    async with OneWidget(tree).run_test(size=(60, 6)) as pilot:
        tree.show(strange, {"0": {"grad_norm": "high", "update_ratio": True}})
        tree.focus()
        await pilot.press("down", "left", "enter", "right")
        assert "[red]x" in text_of(tree)[2]


def test_norms_have_three_digits_that_mean_something() -> None:
    values = (9.8123, 0.12, 17.3, 100.0, 1234.5, 0.0, 1.23e-5, 4.56e7)
    assert [norm(value) for value in values] == ["9.81", "0.120", "17.3", "100", "1234", "0.00", "1.2e-5", "4.6e7"]


def test_updates_around_a_thousandth_are_usual() -> None:
    assert [unusual(value) for value in (1e-7, 1e-6, 1e-3, 0.1, 0.11, math.nan)] == [
        True,
        False,
        False,
        False,
        True,
        True,
    ]
