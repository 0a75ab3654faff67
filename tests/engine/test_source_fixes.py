"""What is proposed where photographs do not suit a Backbone: a change of their source, not a random layer before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.check import Report, check
from engine.data.info import Place
from engine.presets import preset
from engine.spec import with_settings
from tests.engine.test_code_photographs import flat


def checked(folder: Path, source: str, layers: str) -> Report:
    flat(folder / "pets")
    return check(with_settings(preset("mlp"), [f"data.source={source}", f"network.layers=[{layers}]"]), Place(folder))


@pytest.mark.parametrize(
    ("source", "layers", "call", "text"),
    [
        (
            "LabelledFiles('pets', size=64, colour=False)",
            "Backbone('resnet18', weights=None)",
            "LabelledFiles('pets', size=64)",
            "leave colour=False out of the source",
        ),
        (
            "LabelledFiles('pets', '{label}.{id}.jpg', 64, resize_size=80)",
            "Identity(), Backbone('vit_b_16')",
            "LabelledFiles('pets', pattern='{label}.{id}.jpg', size=224)",
            "write size=224 in the source",
        ),
        (
            "LabelledFiles('pets', size=16, resize='pad')",
            "Backbone('vgg16', weights=None)",
            "LabelledFiles('pets', size=32, resize='pad')",
            "write size=32 in the source",
        ),
    ],
)
def test_the_source_is_what_changes(tmp_path: Path, source: str, layers: str, call: str, text: str) -> None:
    report = checked(tmp_path, source, layers)
    problem = report.error
    assert problem is not None
    assert problem.fix is not None
    assert (problem.fix.action, problem.fix.path, problem.fix.call) == ("replace", "data.source", call)
    assert problem.message.endswith(f"; {text}")
    assert "before it" not in problem.message
    after = check(with_settings(report.experiment, [f"data.source={call}"]), Place(tmp_path, download=True))
    assert after.error is None


@pytest.mark.parametrize("layers", ["AvgPool2d(2), Backbone('vgg16', weights=None)", "Conv2d(8, 3), Linear(classes)"])
def test_what_layers_make_of_pictures_is_no_matter_of_the_source(tmp_path: Path, layers: str) -> None:
    problem = checked(tmp_path, "LabelledFiles('pets', size=32)", layers).error
    assert problem is not None
    assert problem.fix is not None
    assert problem.fix.action == "insert"
