"""`layerlab new`, `check` and `catalogue`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.presets import PRESETS
from engine.spec import parse_experiment
from tests.tui.cli import HOSTILE, CommandLine, assert_safe
from tui.cli import names


def test_new_prints_what_can_be_read_again(layerlab: CommandLine) -> None:
    for name in PRESETS:
        told = layerlab("new", name)
        assert told.status == 0
        assert parse_experiment(told.out).name == name


def test_new_lists_the_presets_and_knows_the_nearest(layerlab: CommandLine) -> None:
    told = layerlab("new")
    assert all(f" {name} " in told.out for name in PRESETS)
    told = layerlab("new", "lennet")
    assert told.status == 2
    assert "did you mean `lenet`?" in told.err


def test_new_never_overwrites_unless_told_to(layerlab: CommandLine) -> None:
    path = layerlab.folder / "mine.toml"
    assert layerlab("new", "mlp", "-o", path).status == 0
    path.write_text("precious")
    told = layerlab("new", "mlp", "-o", path)
    assert told.status == 2
    assert "exists already" in told.err
    assert path.read_text() == "precious"
    assert layerlab("new", "mlp", "-o", path, "--force").status == 0
    assert parse_experiment(path.read_text()).name == "mlp"
    assert [child.name for child in layerlab.folder.glob("*mine*")] == ["mine.toml"], "nothing is left behind"
    assert layerlab("new", "mlp", "-o", layerlab.folder / "nowhere" / "a.toml").status == 2


def test_check_counts_what_pytorch_counts(layerlab: CommandLine) -> None:
    told = layerlab("check", "cnn", "--json")
    assert told.status == 0
    report = told.json
    assert report["ok"] is True
    assert report["error"] is None
    assert report["rows"][-1]["output_shape"] == [10]
    assert report["parameters"] == sum(row["parameters"] for row in report["rows"])
    assert report["memory"]["weights"] == 4 * report["parameters"]

    path = layerlab.write("small")
    network = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 3))
    expected = sum(parameter.numel() for parameter in network.parameters())
    report = layerlab("check", path, "--json").json
    assert report["rows"][0]["output_shape"] == list(network[0](torch.zeros(1, 2)).shape[1:])
    assert report["parameters"] == expected
    assert str(expected) in layerlab("check", path).out


def test_check_names_the_layer_that_fails_and_leaves_with_2(layerlab: CommandLine) -> None:
    path = layerlab.write("bad", layers='"Linear(8)", "Conv2d(4, 3)", "Linear(classes)"')
    told = layerlab("check", path, "--json")
    assert told.status == 2
    report = told.json
    assert report["ok"] is False
    assert report["error"]["path"] == "1"
    assert report["error"]["call"] == "Conv2d(4, 3)"
    told = layerlab("check", path)
    assert told.status == 2
    assert "layer 1" in told.err
    assert "Conv2d(4, 3)" in told.err


def test_check_says_in_which_line_the_failing_layer_stands(layerlab: CommandLine) -> None:
    path = layerlab.write("bad", layers='"Linear(8)",\n"Conv2d(4, 3)", "Linear(classes)"')
    assert f"error: {path}:10: layer 1: Conv2d(4, 3) after Linear(8): " in layerlab("check", path).err
    error = layerlab("check", path, "--json").json["error"]
    assert (error["file"], error["line"]) == (path, 10)


def test_a_misspelt_layer_is_told_with_file_line_and_the_nearest(layerlab: CommandLine) -> None:
    path = layerlab.write("typo", layers='"Linear(8)", "BatchNorm1()"')
    told = layerlab("check", path, "--json")
    assert told.status == 2
    error = told.json["error"]
    assert "BatchNorm1" in error["message"]
    assert error["file"] == path
    assert error["line"] == 9
    assert "did you mean `BatchNorm1d`?" in told.err


def test_settings_change_what_is_checked(layerlab: CommandLine) -> None:
    path = layerlab.write("small")
    report = layerlab("check", path, "--set", "network.layers.0=Linear(16)", "--json").json
    assert report["rows"][0]["output_shape"] == [16]
    told = layerlab("check", path, "--set", "data.batch_sise=3")
    assert told.status == 2
    assert "did you mean `data.batch_size`?" in told.err


@pytest.mark.parametrize("arguments", [("check", HOSTILE), ("check", f"{HOSTILE}.toml"), ("new", HOSTILE)])
def test_hostile_arguments_are_shown_safely(layerlab: CommandLine, arguments: tuple[str, ...]) -> None:
    told = layerlab(*arguments)
    assert told.status == 2
    assert_safe(told.out + told.err)
    told = layerlab(*arguments, "--json")
    assert_safe(told.out + told.err)
    assert told.json["error"]["message"]


def test_a_hostile_file_is_shown_safely(layerlab: CommandLine) -> None:
    escaped = "".join(f"\\u{ord(character):04x}" for character in HOSTILE)
    path = layerlab.folder / "h.toml"
    for text in (f'name = "{escaped}"\n[network]\nlayers = ["Linear({escaped})"]', f'"{escaped}" = 1', HOSTILE):
        path.write_text(text)
        for command in ("check", "train"):
            told = layerlab(command, path)
            assert told.status == 2
            assert_safe(told.out + told.err)


def test_the_catalogue_names_every_kind_and_every_layer_of_torch(layerlab: CommandLine) -> None:
    from engine import catalogue

    assert names.KINDS == catalogue.KINDS
    told = layerlab("catalogue", "--json")
    assert [row["kind"] for row in told.json["kinds"]] == list(names.KINDS)
    listed = {entry["name"]: entry for entry in layerlab("catalogue", "layers", "--all", "--json").json["entries"]}
    assert {"Linear", "Conv2d", "Residual"} <= set(listed)
    assert listed["Conv2d"]["inferred"] == ["in_channels"]
    refused = [entry for entry in listed.values() if entry["refused"]]
    assert refused
    told = layerlab("catalogue", "layers", "--all")
    assert all(f" {name} " in told.out for name in listed)
    assert "not usable: " in told.out


def test_a_container_takes_any_number_of_layers(layerlab: CommandLine) -> None:
    told = layerlab("catalogue", "layers", "Residual")
    assert "any number" in told.out
    assert "required" not in told.out
    assert layerlab("catalogue", "Residual", "--json").json["parameters"][0]["variadic"] is True


def test_one_name_is_found_without_its_kind(layerlab: CommandLine) -> None:
    told = layerlab("catalogue", "AdamW")
    assert told.status == 0
    assert told.out.startswith("AdamW(")
    assert "weight_decay" in told.out
    assert layerlab("catalogue", "optimizers", "AdamW").out == told.out
    entry = layerlab("catalogue", "layers", "Conv2d", "--json").json
    assert {parameter["name"] for parameter in entry["parameters"]} >= {"out_channels", "kernel_size", "stride"}
    assert "default" not in next(p for p in entry["parameters"] if p["name"] == "kernel_size")
    told = layerlab("catalogue", "Adm")
    assert told.status == 2
    assert "did you mean `Adam`?" in told.err
    assert layerlab("catalogue", "layer", "Conv2d").status == 2


def test_check_looks_for_the_runs_whose_weights_are_asked_for(layerlab: CommandLine) -> None:
    layers = "network.layers=[Upsample(32), Conv2d(3, 1), Backbone('squeezenet1_1', weights='run:nobody')]"
    told = layerlab("check", "lenet", "--set", layers)
    assert told.status == 2
    assert "nobody" in told.err
