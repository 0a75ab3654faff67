"""The learning rate over a run before it is run, against the closed form and against a run."""

from __future__ import annotations

import math
import threading

import pytest

from engine.errors import RequestError
from engine.presets import preset
from engine.rates import MOST_STEPS, learning_rates
from engine.spec import with_settings
from tests.engine.training import epochs_of, experiment, train


def test_a_step_schedule_follows_its_closed_form() -> None:
    spec = with_settings(preset("mlp"), ["epochs=20", "scheduler=StepLR(7, 0.1)"])
    assert learning_rates(spec, 5) == pytest.approx([0.01 * 0.1 ** (epoch // 7) for epoch in range(20)])


def test_a_cosine_ends_with_the_run() -> None:
    spec = with_settings(preset("mlp"), ["epochs=10", "scheduler=CosineAnnealingLR()"])
    wanted = [0.01 * (1 + math.cos(math.pi * epoch / 10)) / 2 for epoch in range(10)]
    assert learning_rates(spec, 5) == pytest.approx(wanted)


@pytest.mark.parametrize("scheduler", ["ExponentialLR(0.5)", "LinearLR(total_iters=2)"])
def test_a_run_has_the_rates_that_were_foretold(scheduler: str) -> None:
    spec = experiment("activation", f"scheduler={scheduler}", "epochs=3")
    measured = [event.metrics["lr"] for event in epochs_of(train(spec)[1])]
    assert list(learning_rates(spec, 23)) == pytest.approx(measured)


def test_a_schedule_of_steps_is_told_by_the_step_and_a_long_one_keeps_its_form() -> None:
    spec = with_settings(preset("mlp"), ["epochs=4", "scheduler=OneCycleLR(max_lr=0.1)"])
    short = learning_rates(spec, 50)
    assert len(short) == 200
    assert max(short) == pytest.approx(0.1)
    long = learning_rates(with_settings(spec, ["epochs=1000"]), 1000)
    assert len(long) <= MOST_STEPS
    assert max(long) == pytest.approx(0.1)
    assert long.index(max(long)) / len(long) == pytest.approx(0.3, abs=0.01)


def test_what_depends_on_measurements_is_not_foretold_and_a_wrong_call_is_refused() -> None:
    assert learning_rates(with_settings(preset("mlp"), ["scheduler=ReduceLROnPlateau()"]), 5) == ()
    with pytest.raises(RequestError, match="StepLR"):
        learning_rates(with_settings(preset("mlp"), ["scheduler=StepLR()"]), 5)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    learning_rates(preset("resnet"), 5)
    assert threading.active_count() == before
