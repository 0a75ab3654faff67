"""What differs between experiments, and by how much their metrics do."""

from __future__ import annotations

import difflib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import metrics as engine_metrics
from engine.presets import preset
from engine.spec import flatten, with_settings
from tui import compare

names = st.sampled_from(["val/accuracy", "val/loss", "train/loss", "test/f1", "lr", "val/r2"])
columns = st.lists(st.dictionaries(names, st.floats(-10, 10)), min_size=1, max_size=5)


def test_only_what_differs_is_told_and_the_name_never_is() -> None:
    first = preset("mlp")
    other = with_settings(first, ["name=other", "data.batch_size=128", "optimizer=AdamW(lr=0.001)"])
    differs = compare.differing([flatten(first), flatten(other)])
    assert set(differs) == {"data.batch_size", "optimizer"}
    assert differs["data.batch_size"] == [str(first.data.batch_size), "128"]
    assert differs["optimizer"] == [str(first.optimizer), "AdamW(lr=0.001)"]
    assert compare.differing([flatten(first), flatten(first)]) == {}


def test_a_field_that_one_lacks_and_a_run_without_an_experiment_are_none() -> None:
    first = preset("mlp")
    other = with_settings(first, ["clip_norm=1.0"])
    differs = compare.differing([flatten(first), flatten(other), None])
    assert differs["clip_norm"] == ["none", "1.0", None]
    assert compare.differing([flatten(first), None]) == {}


@given(columns)
def test_differences_are_to_the_first(told: list[dict[str, float]]) -> None:
    for name in compare.metric_names(told):
        found = compare.differences(name, told)
        assert len(found) == len(told)
        assert found[0] is None
        for index in range(1, len(told)):
            if name in told[0] and name in told[index]:
                assert found[index] == told[index][name] - told[0][name]
            else:
                assert found[index] is None


@given(columns)
def test_every_metric_is_named_once(told: list[dict[str, float]]) -> None:
    listed = compare.metric_names(told)
    assert sorted(listed) == sorted({name for metrics in told for name in metrics})
    parts = [name.split("/")[0] for name in listed]
    assert parts == sorted(parts, key=["val", "test", "train", "lr"].index)


@pytest.mark.parametrize("name", ["accuracy", "f1", "top5", "r2", "loss", "mae", "rmse", "something"])
def test_directions_are_those_of_the_engine(name: str) -> None:
    assert compare.higher_is_better(f"val/{name}") == engine_metrics.higher_is_better(f"val/{name}")


def test_the_best_is_marked_only_where_there_is_a_choice() -> None:
    assert compare.best_column("val/accuracy", [{"val/accuracy": 0.9}, {"val/accuracy": 0.95}, {}]) == 1
    assert compare.best_column("val/loss", [{"val/loss": 0.9}, {"val/loss": 0.95}]) == 0
    assert compare.best_column("val/loss", [{"val/loss": 0.9}, {"val/loss": math.nan}]) is None
    assert compare.best_column("val/loss", [{"val/loss": 0.9}, {"val/loss": 0.9}]) is None


def test_the_main_metric_is_what_is_monitored_else_validation_first() -> None:
    metrics = {"train/accuracy": 1.0, "val/loss": 0.5, "val/accuracy": 0.9, "lr": 0.1}
    assert compare.main_metric(metrics) == "val/accuracy"
    assert compare.main_metric(metrics, "val/loss") == "val/loss"
    assert compare.main_metric(metrics, "val/f1") == "val/accuracy"
    assert compare.main_metric({"val/rmse": 1.0, "val/loss": 0.5}) == "val/loss"
    assert compare.main_metric({}) is None


layers = st.lists(st.sampled_from(["ReLU()", "Linear(10)", "Linear(20)", "Flatten()"]), max_size=8)


@given(layers, layers)
def test_a_difference_of_layers_leads_from_one_to_the_other(first: list[str], other: list[str]) -> None:
    lines = compare.layer_difference(first, other)
    assert [text for mark, text in lines if mark in " -"] == first
    assert [text for mark, text in lines if mark in " +"] == other
    common = sum(block.size for block in difflib.SequenceMatcher(None, first, other, False).get_matching_blocks())
    assert sum(mark == " " for mark, _ in lines) == common


def test_layers_are_compared_one_by_one() -> None:
    mlp, batchnorm = preset("activation"), preset("batchnorm")
    differs = compare.differing([flatten(mlp), flatten(batchnorm)])
    assert [field for field in differs if compare.is_layers(field)]
    [found] = compare.layer_differences([mlp, batchnorm, None]).values()
    assert all(mark == " " for mark, _ in found[0] or [])
    added = [text for mark, text in found[1] or [] if mark == "+"]
    assert added
    assert all(text.startswith("BatchNorm1d") for text in added)
    assert found[2] is None
    assert compare.layer_differences([mlp, mlp]) == {}
