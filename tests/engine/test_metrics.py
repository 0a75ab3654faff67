"""Meters against scikit-learn, and their state through a checkpoint."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import nn

from engine.metrics import ClassMeter, LabelMeter, Meter, ValueMeter, higher_is_better, improves

CPU = torch.device("cpu")


def feed(meter: Meter, outputs: torch.Tensor, targets: torch.Tensor, size: int) -> None:
    for output, target in zip(outputs.split(size), targets.split(size), strict=True):
        meter.update(output.float().mean(), float(len(output)), output, target)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(1, 200), st.integers(1, 70))
def test_accuracy_and_macro_f1_equal_scikit_learns_also_with_absent_classes(seed, classes, count, size):
    draw = torch.Generator().manual_seed(seed)
    outputs = torch.randn(count, classes, generator=draw)
    targets = torch.randint(0, max(1, classes - 1), (count,), generator=draw)  # the last class never occurs
    meter = ClassMeter(classes, CPU, lambda output: output.argmax(1), top5=classes > 5)
    feed(meter, outputs, targets, size)
    found = meter.compute()
    predicted = outputs.argmax(1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted), abs=1e-12)
    assert found["f1"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"), abs=1e-12)
    if classes > 5:
        expected = sk.top_k_accuracy_score(targets, outputs, k=5, labels=range(classes))
        assert found["top5"] == pytest.approx(expected, abs=1e-12)


def test_several_labels_equal_scikit_learns():
    outputs = torch.randn(150, 4, generator=torch.Generator().manual_seed(0))
    targets = (torch.rand(150, 4, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    meter = LabelMeter(4, CPU, lambda output: output > 0)
    feed(meter, outputs, targets, 32)
    found = meter.compute()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, outputs > 0))
    assert found["f1"] == pytest.approx(sk.f1_score(targets, outputs > 0, average="macro", zero_division=0))


@pytest.mark.parametrize("columns", [1, 3])
def test_regression_errors_are_in_the_targets_own_units_and_equal_scikit_learns(columns):
    draw = torch.Generator().manual_seed(3)
    standard = torch.randn(500, columns, generator=draw)
    predicted = standard + 0.3 * torch.randn(500, columns, generator=draw)
    mean, scale = torch.tensor([100.0, -5.0, 1e4])[:columns], torch.tensor([25.0, 0.1, 300.0])[:columns]
    meter = ValueMeter(CPU, lambda output: output, scale)
    feed(meter, predicted, standard, 64)
    found = meter.compute()
    true, guess = (standard * scale + mean).double(), (predicted * scale + mean).double()
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(true, guess), rel=1e-4)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(true, guess), rel=1e-4)
    assert found["r2"] == pytest.approx(sk.r2_score(true, guess), rel=1e-4)


def test_r2_of_equal_targets_is_zero_unless_the_prediction_is_perfect():
    for error, expected in ((0.0, 1.0), (0.5, 0.0)):
        meter = ValueMeter(CPU, lambda output: output, torch.ones(1))
        feed(meter, torch.full((10, 1), 2.0 + error), torch.full((10, 1), 2.0), 4)
        assert meter.compute()["r2"] == expected


def test_epoch_loss_of_1000_samples_in_batches_of_64_equals_the_loss_over_all_at_once():
    draw = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(1000, 10, generator=draw), torch.randint(0, 10, (1000,), generator=draw)
    loss_of = nn.CrossEntropyLoss()
    meter = ClassMeter(10, CPU, lambda output: output.argmax(1), top5=False)
    for output, target in zip(outputs.split(64), targets.split(64), strict=True):
        meter.update(loss_of(output, target), float(len(target)), output, target)
    assert meter.compute()["loss"] == pytest.approx(loss_of(outputs.double(), targets).item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["classes", "values", "labels"])
@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, 130])
def test_a_meter_goes_on_from_its_state_to_the_same_bits(kind, cut):
    def make() -> Meter:
        if kind == "classes":
            return ClassMeter(7, CPU, lambda output: output.argmax(1), top5=True)
        if kind == "labels":
            return LabelMeter(7, CPU, lambda output: output > 0)
        return ValueMeter(CPU, lambda output: output, torch.full((7,), 3.0))

    draw = torch.Generator().manual_seed(5)
    outputs = torch.randn(150, 5, 7, generator=draw)
    targets = torch.randint(0, 7, (150, 5), generator=draw) if kind == "classes" else torch.rand(150, 5, 7).round()

    def feed_steps(meter: Meter, steps: range) -> None:
        for i in steps:
            meter.update(outputs[i].sum(), 5.0, outputs[i], targets[i])
            if i % 7 == cut % 7:
                meter.read_losses()  # whenever somebody looks

    whole, first, second = make(), make(), make()
    feed_steps(whole, range(150))
    feed_steps(first, range(cut))
    second.load(first.state(), CPU)
    feed_steps(second, range(cut, 150))
    assert second.compute() == whole.compute()


def test_reading_losses_gives_each_once_and_in_order():
    meter = ClassMeter(2, CPU, lambda output: output.argmax(1), top5=False)
    for value in (1.0, math.nan, 3.0):
        meter.update(torch.tensor(value), 1.0, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    assert [str(value) for value in meter.read_losses()] == ["1.0", "nan", "3.0"]
    assert meter.read_losses() == []


def test_direction_belongs_to_the_metric():
    assert higher_is_better("val/accuracy")
    assert higher_is_better("test/r2")
    assert not higher_is_better("train/loss")
    assert improves("val/loss", 0.1, 0.2)
    assert not improves("val/accuracy", 0.1, 0.2)
    assert not improves("val/accuracy", math.nan, None)
    assert improves("val/accuracy", 0.5, math.nan)


def test_weights_that_are_still_on_the_device_are_read_with_the_losses():
    plain, later = (ClassMeter(3, CPU, lambda output: output.argmax(1), False) for _ in range(2))
    for weight, loss in ((2.0, 1.0), (5.0, 0.25), (3.0, 4.0)):
        output, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
        plain.update(torch.tensor(loss), weight, output, target)
        later.update(torch.tensor(loss), torch.tensor(weight, dtype=torch.float64), output, target)
    assert later.read_losses() == plain.read_losses() == [1.0, 0.25, 4.0]
    assert later.compute() == plain.compute()
    assert type(later.weight) is float
