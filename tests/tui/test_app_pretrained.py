"""What the application says of pretrained models: which keys there are, what is thawed when, what is missing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from engine import backbones
from engine.calls import parse_call
from engine.errors import RequestError
from engine.presets import preset
from engine.spec import Experiment, with_settings
from tests.tui.fake_training import application, screen_text, until
from tests.tui.one_widget import OneWidget, text_of
from tests.tui.test_app_backbones import opened, pictures, row, to
from tui.screens.form import CallForm
from tui.screens.told import Told
from tui.widgets.module_tree import ModuleTree
from tui.widgets.wrapped import wrapped

SIZES = ((80, 24), (120, 40))


def thawed(folder: Path) -> Experiment:
    layers = "\"Backbone('resnet18', weights=None, frozen='to:layer4', thaw={5: 'layer4'})\""
    return with_settings(pictures(folder), [f"network.layers=[{layers}]", "epochs=9"])


def keys_of(text: str) -> str:
    return text.splitlines()[-1]


def plain(text: str) -> str:
    """What is told, as it was before it was wrapped."""
    return " ".join(text.split())


@pytest.mark.parametrize("size", SIZES)
async def test_the_keys_of_a_backbone_are_named_while_it_is_selected(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.pause()
        assert "space modules" not in keys_of(screen_text(app))
        await pilot.press("down")
        await until(pilot, lambda: "f freeze  space modules" in keys_of(screen_text(app)))
        await pilot.press("space")
        await until(pilot, lambda: row(app, "conv1"))
        await to(app, pilot, "layer1")
        await pilot.press("f")
        await until(pilot, lambda: "f train  space modules" in keys_of(screen_text(app)))
        await to(app, pilot, "layer2")
        await until(pilot, lambda: "f freeze  space modules" in keys_of(screen_text(app)))
        await pilot.press("tab")
        await until(pilot, lambda: "space modules" not in keys_of(screen_text(app)))


async def test_no_model_is_built_where_keys_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    built: list[threading.Thread] = []
    real = backbones.meta_model

    def noting(*given: Any, **named: Any) -> Any:
        built.append(threading.current_thread())
        return real(*given, **named)

    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        monkeypatch.setattr(backbones, "meta_model", noting)
        backbones._HEADS.clear()
        for module in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
            await to(app, pilot, module)
            await pilot.press("f")
            await until(pilot, lambda: app.report is not None)
        # All but the head, which the check has found.
        assert app.draft.layers[0].get("frozen") == "all"
    assert threading.main_thread() not in built


@pytest.mark.parametrize("size", [*SIZES, (160, 40)])
async def test_what_is_thawed_later_says_when(tmp_path: Path, size: tuple[int, int]) -> None:
    app, _ = application(tmp_path, thawed(tmp_path))
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        await to(app, pilot, "layer4.1")
        await until(pilot, lambda: "from epoch 5" in row(app, "layer4"))
        assert "❄" in row(app, "layer4")
        assert "❄" in row(app, "layer3")
        assert "from epoch" not in row(app, "layer3")
        await to(app, pilot, "fc")
        assert "❄" not in row(app, "fc")
        assert "from epoch" not in row(app, "fc")


@pytest.mark.parametrize("size", SIZES)
async def test_modules_with_a_rate_of_their_own_tell_it(tmp_path: Path, size: tuple[int, int]) -> None:
    layers = "\"Backbone('resnet18', weights=None, lr_scale={'layer4': 0.1, 'layer4.0': 0.01})\""
    app, _ = application(tmp_path, with_settings(pictures(tmp_path), [f"network.layers=[{layers}]"]))
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        await to(app, pilot, "layer4.1")
        await until(pilot, lambda: "rate ×0.01 to ×0.1" in row(app, "layer4"))
        await to(app, pilot, "fc")
        assert "rate" not in row(app, "fc")


@pytest.mark.parametrize("width", [58, 78, 120])
async def test_train_says_so_until_the_epoch_has_come(tmp_path: Path, width: int) -> None:
    common = {"output_shape": [512, 1, 1], "macs": 0}
    modules = [
        {"path": "0", "call": "Backbone('resnet18')", "parameters": 900, "trainable": 400, "depth": 0,
         "thaws": [[5, 300]], **common},
        {"path": "0.layer3", "call": "Sequential()", "parameters": 500, "trainable": 0, "depth": 1, **common},
        {"path": "0.layer4", "call": "Sequential()", "parameters": 300, "trainable": 300, "depth": 1,
         "thaws": [[5, 300]], **common},
        {"path": "0.fc", "call": "Linear(512, 2)", "parameters": 100, "trainable": 100, "depth": 1, **common},
    ]  # fmt: skip
    measured = {"0.fc": {"path": "0.fc", "weight_norm": 9.81, "grad_norm": 0.12, "update_ratio": 1e-3}}
    tree = ModuleTree(id="it")
    async with OneWidget(tree).run_test(size=(width, 12)) as pilot:
        for values in (None, measured):
            for epoch, told in ((4, "from epoch 5"), (5, "")):
                tree.show(modules, values, epoch)
                await pilot.pause()
                shown = {
                    name: next(text for text in text_of(tree) if f" {name} " in text) for name in ("layer3", "layer4")
                }
                assert "❄" in shown["layer3"]
                assert "from epoch" not in shown["layer3"]
                assert ("❄" in shown["layer4"]) == bool(told)
                assert told in shown["layer4"]
                assert told or "from epoch" not in shown["layer4"]
                assert "◐" in next(text for text in text_of(tree) if "0 Backbone" in text)


async def test_a_number_that_has_to_be_given_begins_with_a_step(tmp_path: Path) -> None:
    app, _ = application(tmp_path, with_settings(preset("mlp"), ["data.augment=[RandomRotation()]"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.checked)
        await pilot.press("tab")
        recipe = app.screen.query_one("#settings")
        while recipe.field != "data.augment.0":
            await pilot.press("down")
        await pilot.press("plus")
        await until(pilot, lambda: app.report is not None)
        assert [str(call) for call in app.draft.experiment.data.augment] == ["RandomRotation(10.0)"]
        await pilot.press("plus")
        await until(pilot, lambda: app.report is not None)
        assert [str(call) for call in app.draft.experiment.data.augment] == ["RandomRotation(20.0)"]
        app.push_screen(CallForm("augmentations", parse_call("RandomCrop()")))
        await until(pilot, lambda: "RandomCrop" in screen_text(app))
        await pilot.press("plus")
        await until(pilot, lambda: "size has no number to step from: = types one" in screen_text(app))


@pytest.mark.parametrize("size", SIZES)
async def test_missing_weights_are_told_and_leave_the_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    layers = "network.layers=[\"Backbone('resnet18')\"]"
    app, training = application(tmp_path, with_settings(pictures(tmp_path), [layers]))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.report is not None)
        await until(pilot, lambda: "layerlab --download" in plain(screen_text(app)))
        assert app.problem is None
        assert "11.2 M" in screen_text(app)
        (missing,) = app.report.missing
        training.refusal = RequestError(missing.message)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "elsewhere and put it into that folder" in plain(screen_text(app)))
        assert missing.url is not None
        assert missing.url in screen_text(app)


async def test_a_refusal_too_long_for_the_screen_is_read_with_the_key_that_it_names(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    words = [f"reason-{number}" for number in range(120)]
    training.refusal = RequestError(" ".join(words))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "reason-40" in screen_text(app))
        assert "… F3 reads on" in screen_text(app)
        assert "reason-119" not in screen_text(app)
        # The network still has its place.
        assert "Flatten()" in screen_text(app)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, Told) and "reason-119" in screen_text(app))
        assert all(word in screen_text(app) for word in words)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Told))


async def test_the_reason_of_a_failed_run_is_read_with_the_same_key(tmp_path: Path) -> None:
    app, training = application(tmp_path)
    words = [f"reason-{number}" for number in range(60)]
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("ctrl+r", "2")
        await until(pilot, lambda: app.view is not None)
        training.end("failed", " ".join(words))
        await until(pilot, lambda: "… F3 reads on" in screen_text(app))
        assert words[-1] not in screen_text(app)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, Told) and words[-1] in screen_text(app))


async def test_what_is_wrong_with_a_setting_stands_there_in_full(tmp_path: Path) -> None:
    monitor = "val/" + "very_" * 11 + "long"
    app, _ = application(tmp_path, with_settings(preset("mlp"), [f"monitor={monitor}"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.problem is not None)
        await until(pilot, lambda: "val/top5" in screen_text(app))
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, Told))
        await pilot.pause()
        assert app.problem.message in plain(screen_text(app).replace("│", " "))


def test_a_cut_text_ends_in_the_key_that_shows_the_rest() -> None:
    text = " ".join(f"word{number}" for number in range(50)) + "\n\nend"
    whole = wrapped(text, 40)
    assert " ".join(" ".join(whole).split()) == " ".join(text.split())
    assert whole[-2:] == ["", "end"]
    assert max(map(len, whole)) <= 40
    cut = wrapped(text, 40, 3, "F3 reads on")
    assert cut[:2] == whole[:2]
    assert cut[2].endswith("… F3 reads on")
    assert len(cut) == 3
    assert len(cut[2]) <= 40
    assert wrapped(text, 40, len(whole), "F3 reads on") == whole
