"""Backbones on the command line: weights that have to be fetched, and tables that are no wider than a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.cli import CommandLine
from tui.output import middle
from tui.safe import safe

FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of weights, which is not there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def pets(layerlab: CommandLine) -> str:
    """An experiment on twenty pictures of 32 pixels a side, with a ResNet18 that wants torchvision's weights."""
    inputs = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    np.savez(layerlab.folder / "pictures.npz", x=inputs, y=np.arange(20) % 2)
    path = layerlab.folder / "pets.toml"
    path.write_text(
        'name = "pets"\noptimizer = "SGD(lr=0.1)"\nepochs = 9\n\n[data]\nsource = "Tensors(\'pictures.npz\')"\n\n'
        "[network]\nlayers = [\"Backbone('resnet18', frozen='to:layer4', thaw={5: 'layer4'})\"]\n"
    )
    return str(path)


def test_weights_that_can_be_fetched_are_no_fault_of_the_experiment(
    layerlab: CommandLine, pets: str, hub: Path
) -> None:
    told = layerlab("check", pets, "--data", layerlab.folder, "--json")
    assert told.status == 0
    assert told.json["ok"]
    assert told.json["error"] is None
    (missing,) = told.json["missing"]
    assert (missing["files"], missing["folder"]) == ([FILE], str(hub))
    assert missing["url"].endswith(f"/{FILE}")
    told = layerlab("check", pets, "--data", layerlab.folder)
    assert told.status == 0
    assert "512 × 1 × 1" in told.out
    line = next(line for line in told.err.splitlines() if line.startswith("to fetch: "))
    assert FILE in line
    assert str(hub) in line
    assert "`layerlab train ... --download`" in line
    assert layerlab("check", pets, "--data", layerlab.folder, "--download", "--json").json["missing"] == []


@pytest.mark.parametrize("source", ["MNIST()", "CIFAR10()"])
def test_data_that_can_be_fetched_is_told_alike(layerlab: CommandLine, source: str) -> None:
    arguments = ("check", "mlp", "--set", f"data.source={source}", "--data", "sets")
    told = layerlab(*arguments, "--json")
    assert told.status == 0
    (missing,) = told.json["missing"]
    assert missing["what"] == source.removesuffix("()")
    assert missing["folder"].startswith("sets")
    assert f"to fetch: {missing['what']} is not in sets" in layerlab(*arguments).err


def test_a_run_is_refused_as_long_as_its_weights_are_missing(layerlab: CommandLine, pets: str, hub: Path) -> None:
    told = layerlab("train", pets, "--data", layerlab.folder)
    assert told.status == 2
    assert f"{FILE} is not in {hub}" in told.err
    assert "--download" in told.err
    assert not (layerlab.folder / "runs").exists()


def test_download_before_a_command_is_not_passed_over(layerlab: CommandLine) -> None:
    told = layerlab("--download", "check", "mlp")
    assert told.status == 2
    assert "`layerlab check ... --download`" in told.err
    # Alone it is the application's, which wants a terminal.
    assert "needs a terminal" in layerlab("--download").err


def test_tables_of_layers_are_no_wider_than_a_line_and_json_keeps_all(
    layerlab: CommandLine, pets: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    call = "Backbone('resnet18', weights=None, frozen='to:layer4', thaw={5: 'layer4', 8: 'all'}, lr_scale={'fc': 0.5})"
    arguments = ("check", pets, "--data", layerlab.folder, "--set", f'network.layers=["{call}"]')
    assert layerlab(*arguments, "--json").json["rows"][0]["call"] == call
    for width, limit in (("", 100), ("90", 90), ("200", 200)):
        if width:
            monkeypatch.setenv("COLUMNS", width)
        told = layerlab(*arguments).out
        table = told[: told.index("parameters  11.2 M")].splitlines()
        assert max(map(len, table)) <= limit
        assert any("0.layer4.1" in line and "BasicBlock()" in line and "512 × 1 × 1" in line for line in table)
        # Each layer is one line, the ends of its call in it.
        assert len(table) == 19 + 4
        assert any("Backbone('resnet18'" in line and "0.5})" in line for line in table)
        assert (call in told) == (width == "200")


@given(st.text(max_size=60), st.integers(1, 40))
def test_what_loses_its_middle_keeps_its_ends(text: str, width: int) -> None:
    found = middle(text, width)
    assert cell_len(found) <= width
    if cell_len(safe(text)) <= width:
        assert found == safe(text)
    else:
        front, _, _ = found.partition("…")
        assert safe(text).startswith(front)
