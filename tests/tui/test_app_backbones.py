"""A pretrained model in Compose and Train: found by name, opened to its modules, frozen and thawed one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from textual.pilot import Pilot

from engine.events import Message, Opened, Started, StatusChanged
from engine.presets import preset
from engine.spec import Experiment, with_settings
from engine.store.owner import begin, this_process
from tests.tui.fake_training import application, screen_text, until
from tui.app import LayerlabApp
from tui.suggestions import suggest
from tui.widgets.layer_table import LayerTable
from tui.widgets.module_tree import ModuleTree
from tui.widgets.status import Progress

RESNET18 = 11_689_512


def pictures(folder: Path) -> Experiment:
    """Twenty coloured pictures of 32 pixels a side in two classes, for a ResNet18 without trained weights."""
    (folder / "data").mkdir()
    inputs = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    np.savez(folder / "data" / "pictures.npz", x=inputs, y=np.arange(20) % 2)
    layers = """network.layers=["Backbone('resnet18', weights=None)"]"""
    return with_settings(preset("cnn"), ["data.source=Tensors('pictures.npz')", layers])


def lines_of(app: LayerlabApp) -> list[str]:
    return screen_text(app).splitlines()


def row(app: LayerlabApp, name: str) -> str:
    """The line of the layers panel in which a module stands."""
    return next((line.split("││")[0] for line in lines_of(app) if f" {name} " in line.split("││")[0]), "")


async def opened(app: LayerlabApp, pilot: Pilot[None]) -> None:
    """With the cursor on the Backbone, which shows its modules."""
    await until(pilot, lambda: app.report is not None)
    await pilot.press("down", "space")
    await until(pilot, lambda: row(app, "layer4"))


async def to(app: LayerlabApp, pilot: Pilot[None], module: str, key: str = "down") -> None:
    """Move the cursor down to a module, or up."""
    table = app.screen.query_one(LayerTable)
    for _ in range(40):
        if table.module == module:
            return
        await pilot.press(key)
    raise AssertionError(f"no {module} there")


async def test_a_backbone_opens_and_closes_and_is_closed_at_first(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await until(pilot, lambda: "▸ Backbone('resnet18'" in screen_text(app))
        assert "layer4" not in screen_text(app)
        await pilot.press("down", "space")
        await until(pilot, lambda: row(app, "layer4"))
        assert "▾ Backbone('resnet18'" in screen_text(app)
        assert "512 × 1 × 1" in row(app, "layer4")
        assert "8.4 M" in row(app, "layer4")
        # A block of it, one level further down.
        assert sum("BasicBlock" in line for line in lines_of(app)) == 8
        await pilot.press("left")
        await until(pilot, lambda: not row(app, "layer4"))
        await pilot.press("right", "right")
        await until(pilot, lambda: app.screen.query_one(LayerTable).module == "conv1")
        await pilot.press("left", "left")
        await until(pilot, lambda: not row(app, "layer4"))
        assert app.draft.layers == app.draft.experiment.network.layers
        assert not app.draft.changed


async def test_modules_are_frozen_and_thawed_one_by_one_with_undo(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await to(app, pilot, "layer4")
        await pilot.press("f")
        await until(pilot, lambda: app.report is not None)
        assert str(app.draft.layers[0]) == "Backbone('resnet18', weights=None, frozen=('layer4',))"
        assert app.report.rows[0].trainable == app.report.rows[0].parameters - 8_393_728
        await until(pilot, lambda: "❄" in row(app, "layer4"))
        assert app.screen.query_one(LayerTable).module == "layer4"
        # One block of it trains again: what is left is frozen.
        await to(app, pilot, "layer4.1")
        await pilot.press("f")
        await until(pilot, lambda: app.report is not None)
        assert app.draft.layers[0].get("frozen") == ("layer4.0",)
        await pilot.press("u")
        await until(pilot, lambda: app.report is not None)
        assert app.draft.layers[0].get("frozen") == ("layer4",)
        await pilot.press("u")
        await until(pilot, lambda: app.report is not None and app.report.rows[0].trainable == app.report.parameters)
        assert app.draft.layers[0].get("frozen") is None
        assert app.screen.query_one(LayerTable).module == "layer4.1"


async def test_the_whole_backbone_is_frozen_but_for_its_head(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.press("f")
        await until(pilot, lambda: app.report is not None and app.report.rows[0].trainable == 2 * 513)
        assert app.draft.layers[0].get("frozen") == "all"
        await to(app, pilot, "layer4")
        await pilot.press("f")
        await until(pilot, lambda: app.report is not None)
        assert app.draft.layers[0].get("frozen") == "to:layer3"
        await until(pilot, lambda: "1,026" not in screen_text(app) and "❄" in row(app, "layer3"))
        assert "❄" not in row(app, "layer4")


async def test_one_module_of_a_vision_transformer_trains_and_nothing_beside_it(tmp_path: Path) -> None:
    """Its class token and its positions are parameters of no module that has a row: they have rows of their own."""
    layers = """network.layers=["Backbone('vit_b_32', weights=None, frozen='all')"]"""
    app, _ = application(tmp_path, with_settings(pictures(tmp_path), [layers]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("down", "space")
        await until(pilot, lambda: row(app, "pos_embedding"))
        assert "Parameter()" in row(app, "class_token")
        assert "1 × 1 × 768" in row(app, "class_token")
        await to(app, pilot, "encoder.ln")
        head, norm = 2 * 769, 2 * 768
        for trained in (head + norm, head, head + norm):
            await pilot.press("f")
            await until(pilot, lambda: app.report is not None)
            assert app.report.rows[0].trainable == trained
        assert "❄" in row(app, "class_token")
        await to(app, pilot, "encoder.pos_embedding", "up")
        await pilot.press("enter")
        await until(pilot, lambda: "encoder.pos_embedding is part of Backbone" in screen_text(app))
        assert "until='encoder" not in screen_text(app)
        await pilot.press("f")
        await until(pilot, lambda: app.report is not None)
        assert app.report.rows[0].trainable == head + norm + 2 * 768
        assert "❄" not in row(app, "pos_embedding")


async def test_a_module_cannot_be_moved_edited_or_deleted(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await to(app, pilot, "layer1")
        before = app.draft.layers
        for key in ("enter", "e", "x", "d", "J", "K", "w", "W", "X", "i"):
            await pilot.press(key)
            await pilot.pause()
            assert len(app.screen_stack) == 1, key
            assert app.draft.layers == before, key
        assert "layer1 is part of Backbone" in screen_text(app)
        assert "until='layer1' there cuts off the rest" in screen_text(app)
        # Behind the Backbone is where a layer is added.
        await pilot.press("a", *"Flatten", "enter")
        await until(pilot, lambda: len(app.draft.layers) == 2)
        assert str(app.draft.layers[1]) == "Flatten()"


async def test_what_has_no_parameters_cannot_be_frozen(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await to(app, pilot, "maxpool")
        await pilot.press("f")
        await until(pilot, lambda: "maxpool has no parameters" in screen_text(app))
        assert not app.draft.changed


async def test_the_models_are_found_by_name_and_by_what_they_are(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("n", "a", *"resnet18")
        await until(pilot, lambda: "11.7 M params, 69.8 % ImageNet" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.draft.layers)
        assert str(app.draft.layers[0]) == "Backbone('resnet18')"
    for typed in ("resnet", "vgg16", "vgg 16", "pretrained", "backbone"):
        found = suggest(typed, (3, 224, 224)) or []
        models = [one for one in found if one.call.startswith("Backbone('")]
        assert models, typed
        assert all("params" in one.line for one in models)
        assert len({one.call for one in models}) == len(models)


async def test_photographs_and_frozen_layers_bring_their_settings(tmp_path: Path) -> None:
    app, _ = application(tmp_path, pictures(tmp_path))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        text = screen_text(app)
        assert "features    false" in text
        assert "memory      auto" not in text
        await pilot.press("tab")
        recipe = app.screen.query_one("#settings")
        while recipe.field != "data.cache_features":
            await pilot.press("down")
        await pilot.press("plus")
        await until(pilot, lambda: app.draft.experiment.data.cache_features)
        await until(pilot, lambda: "features    true" in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: not app.draft.experiment.data.cache_features)
        app.draft.set("data.source", "LabelledFiles('photographs')")
        app.draft_changed()
        await until(pilot, lambda: "memory      auto" in screen_text(app))


def begun(features: dict[str, object] | None) -> tuple[object, ...]:
    modules = (
        {"path": "0", "call": "Backbone('resnet18', frozen='to:layer3')", "output_shape": [2], "parameters": 900,
         "trainable": 300, "macs": 0, "depth": 0},
        {"path": "0.layer3", "call": "Sequential", "output_shape": [9], "parameters": 600, "trainable": 0, "depth": 1},
        {"path": "0.layer3.0", "call": "BasicBlock", "output_shape": [9], "parameters": 600, "depth": 2},
        {"path": "0.fc", "call": "Linear(9, 2)", "output_shape": [2], "parameters": 300, "trainable": 300, "depth": 1},
    )  # fmt: skip
    started = Started(
        "cpu", "fp32", 5, 25, 32, 800, 200, None, 900, 300, (3, 32, 32), ("cat", "dog"), modules, {}, features=features
    )
    return (started, StatusChanged("running"))


async def test_train_tells_what_is_prepared_then_what_is_saved_and_what_is_frozen(tmp_path: Path) -> None:
    app, training = application(tmp_path, pictures(tmp_path))
    training.start = start_slowly(training)  # type: ignore[method-assign]
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.report is not None)
        await pilot.press("ctrl+r", "2")
        training.say("info", "decoding 400 of 1,000 photographs, 0:07 left")
        progress = app.screen.query_one(Progress)
        await until(pilot, lambda: "decoding 400 of 1,000 photographs, 0:07 left" in str(progress.lines))
        features = {"layers": "vgg16 features", "samples": 1000, "seconds": 61.0, "saved": 50.0, "reused": False}
        training.emit(*begun(features))
        await until(pilot, lambda: "features cached, saves 50.0 s an epoch: vgg16 features" in str(progress.lines))
        assert "decoding" not in str(progress.lines)
        tree = app.screen.query_one(ModuleTree)
        await until(pilot, lambda: "Backbone('resnet18')" in screen_text(app))
        drawn = ["".join(text for text, _ in tree._row(index)) for index in range(tree.count)]
        assert [("❄" in text, "◐" in text) for text in drawn] == [
            (False, False), (False, True), (True, False), (False, False)
        ]  # fmt: skip
        assert not any("BasicBlock" in line for line in drawn)
        tree.focus()
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: "BasicBlock" in screen_text(app))


def start_slowly(training: Any) -> Any:
    """A run that has begun, and prepares."""

    def start(experiment: Experiment) -> Path:
        path = training.store / "20260115T142233Z-slow-k3f9"
        path.mkdir(parents=True)
        (path / "experiment.toml").write_text(experiment.to_toml())
        training.path, training.epochs, training.alive = path, experiment.epochs, True
        owner = this_process()
        begin(owner)
        training.emit(Opened(1, owner), Message("warning", "3 photographs were left out"))
        return path

    return start
