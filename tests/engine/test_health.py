"""Trainings that ail, made to: each is told of in a sentence, once; and trainings that are well are left alone."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RunError
from engine.events import Message
from engine.health import Health
from engine.measuring_plan import MeasuringPlan
from engine.nodes import Row
from tests.engine.training import experiment, make_session, resume, stop_after


def warnings(spec, folder=None):
    """What a real training is warned of, as (step, text), whatever ends it."""
    session = make_session(spec) if folder is None else make_session(spec, folder)
    # Which later evaluations are watched depends on the clock; a test must not.
    session.gauge.evaluations = MeasuringPlan(0.0, math.inf)
    found = []
    with contextlib.suppress(RunError):
        found.extend((e.step, e.text) for e in session.run() if isinstance(e, Message) and e.level == "warning")
    return found


def stack(*layers):
    return "network.layers=[" + ",".join(f'"{layer}"' for layer in ("Flatten()", *layers, "Linear(classes)")) + "]"


# -- real trainings that ail


@pytest.mark.parametrize("optimizer", ["SGD(lr=0.01)", "Adam()"])
def test_twenty_sigmoids_let_the_gradients_vanish(optimizer):
    spec = experiment("activation", stack(*["Linear(32)", "Sigmoid()"] * 20), f"optimizer={optimizer}")
    ((step, text),) = warnings(spec)
    assert step == 4
    assert text.startswith("vanishing gradients: that of layer 1 (Linear) is ")
    assert "layer 41 (Linear)" in text
    assert "ReLU" in text


def test_a_learning_rate_of_ten_explodes_and_kills_relus():
    exploding, dead = warnings(experiment("activation", "optimizer=SGD(lr=10)"))
    assert exploding[0] <= 4
    assert exploding[1].startswith("exploding gradients: one step changed the weights of layer 5 (Linear) by ")
    assert "lower learning rate" in exploding[1]
    assert "clip_norm" in exploding[1]
    assert dead[1].startswith("dead ReLUs: 99 % of the units of layer 2 (ReLU) never fire")
    assert "1 more layer)" in dead[1]
    assert "LeakyReLU" in dead[1]


def test_a_gradient_that_grows_without_bound_explodes_also_where_weights_are_large():
    """A deep linear network without normalisation, whose loss climbs from step to step until it is no number."""
    deep = stack(*["Linear(64, init=orthogonal_(gain=2))"] * 8)
    spec = experiment("mlp", deep, "optimizer=SGD(lr=0.2)")
    assert any(text.startswith("exploding gradients: ") for _, text in warnings(spec))


def test_biases_far_below_zero_are_dead_relus_of_a_convolution():
    layers = '["Conv2d(16, 3)","ReLU()","Flatten()","Linear(classes)"]'
    spec = experiment("activation", f"network.layers={layers}", "epochs=2")
    session = make_session(spec)
    with torch.no_grad():
        session.networks["model"][0].bias[:6] = -100
    found = [event for event in session.run() if isinstance(event, Message)]
    assert [event.text.partition(" never")[0] for event in found] == ["dead ReLUs: 38 % of the units of layer 1 (ReLU)"]


def test_a_learning_rate_of_next_to_nothing_is_a_plateau():
    ((step, text),) = warnings(experiment("activation", "optimizer=SGD(lr=1e-9)", "epochs=14"))
    assert step == 11 * 23
    assert text.startswith("plateau: val/accuracy has not improved on ")
    assert "nothing has been learned" in text


def test_a_large_network_on_few_samples_overfits():
    settings = ("data.validation=holdout(0.95)", "optimizer=Adam(lr=0.01)", "epochs=40", stack("Linear(300)", "ReLU()"))
    found = [text for _, text in warnings(experiment("activation", *settings))]
    over = [text for text in found if text.startswith("overfitting: since epoch ")]
    assert len(over) == 1, found
    assert "Dropout" in over[0]
    assert not any(text.startswith(("vanishing", "exploding")) for text in found)


# -- real trainings that are well


@pytest.mark.parametrize("name", ["mlp", "activation", "batchnorm", "cnn", "lenet", "regression"])
def test_nothing_is_said_of_the_presets(name):
    assert warnings(experiment(name, "epochs=10")) == []


@pytest.mark.parametrize("optimizer", ["AdamW(lr=0.01)", "Muon(lr=0.02)", "SGD(lr=0.1, momentum=0.9)"])
def test_nothing_is_said_of_usual_optimizers(optimizer):
    assert warnings(experiment("batchnorm", f"optimizer={optimizer}", "epochs=5")) == []


def test_nothing_is_said_of_layers_that_begin_at_zero_or_are_frozen():
    layers = stack("Linear(64, frozen=True)", "ReLU()", "Residual(Linear(64), ReLU(), Linear(64, init=zeros_()))")
    assert warnings(experiment("activation", layers, "optimizer=Adam()", "epochs=3")) == []


def test_nothing_is_said_of_a_preset_on_mnist(data_folder):
    spec = experiment("activation", "data.source=MNIST()", "data.validation=test", "epochs=1")
    assert warnings(spec, data_folder) == []


def test_after_a_resume_it_begins_anew():
    spec = experiment("activation", "optimizer=SGD(lr=1e-9)", "epochs=14")
    _, checkpoint, events = stop_after(spec, 5 * 26)
    session, later = resume(spec, checkpoint, events)
    found = [event for event in later if isinstance(event, Message)]
    assert session.status == "finished"
    assert found == []  # nine epochs more are not ten


# -- what it says of numbers


def row(path, call, parameters=100):
    return Row(path, call, (10,), parameters, parameters, 0, 0, path.count("."))


def health(monitor="val/accuracy"):
    rows = [row("1", "Linear(10)"), row("2", "ReLU()", 0), row("3", "Residual(Linear(10), ReLU())")]
    rows += [row("3.body.0", "Linear(10)"), row("3.body.1", "ReLU()", 0), row("4", "Linear(classes)")]
    return Health({row.path: row for row in rows}, monitor)


def layers(first=0.1, second=0.1, third=0.1, ratio=1e-3, **dead):
    rows = [
        {"path": path, "weight_norm": 5.0, "grad_norm": gradient, "update_ratio": ratio}
        for path, gradient in (("1", first), ("3", 1e9), ("3.body.0", second), ("4", third))
    ]
    return rows + [{"path": path.replace("_", ".").lstrip("p"), "dead": share} for path, share in dead.items()]


def said(messages):
    return [message.text.partition(":")[0] for message in messages]


def epochs(judge, values, train=None, monitor="val/accuracy", first=1):
    found = []
    for at, value in enumerate(values):
        metrics = {monitor: value, "train/loss": 1.0 if train is None else train[at]}
        found += [(first + at, m.text) for m in judge.epoch_ended(first + at, first + at, metrics)]
    return found


def test_dead_relus_are_told_once_and_again_after_they_came_back():
    judge = health()
    shares = [0.1, 0.29, 0.35, 0.5, 0.25, 0.35, 0.1, 0.4]
    assert [len(list(judge.measured(1, layers(p2=share)))) for share in shares] == [0, 0, 1, 0, 0, 0, 0, 1]


def test_a_dead_relu_inside_of_a_container_is_named_by_its_path():
    (message,) = health().measured(9, layers(p2=0.0, p3_body_1=1.0))
    assert message.text.startswith("dead ReLUs: all of the units of layer 3.body.1 (ReLU) never fire")
    assert (message.level, message.step) == ("warning", 9)


def test_exploding_is_told_of_the_layer_inside_and_again_only_after_calm():
    judge = health()
    calm, wild = layers(), layers(second=900.0, third=100.0)
    found = [said(judge.measured(1, rows)) for rows in [calm] * 5 + [wild] * 4 + [calm] + [wild] * 3]
    assert found == [[]] * 6 + [["exploding gradients"]] + [[]] * 4 + [["exploding gradients"]] + [[]]
    judge = health()
    texts = [m.text for rows in [calm] * 5 + [wild] * 2 for m in judge.measured(1, rows)]
    assert "largest in layer 3.body.0 (Linear)" in texts[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_no_numbers_are_exploding(value):
    judge = health()
    found = [said(judge.measured(1, layers(third=value))) for _ in range(3)]
    assert found == [[], ["exploding gradients"], []]


def test_one_large_first_step_is_left_alone_but_two_are_not():
    judge = health()
    assert [said(judge.measured(1, layers(ratio=ratio))) for ratio in (2.5, 0.1, 3.0, 3.0)][:3] == [[], [], []]
    judge = health()
    assert [said(judge.measured(1, layers(ratio=ratio))) for ratio in (2.5, 3.0)] == [[], ["exploding gradients"]]


def test_vanishing_wants_several_readings_and_idle_weights():
    judge = health()
    low = layers(first=1e-7, ratio=1e-6)
    assert [said(judge.measured(1, rows)) for rows in (low, low, layers(), low, low, low, low)] == [
        *[[]] * 5,
        ["vanishing gradients"],
        [],
    ]
    judge = health()
    moving = layers(first=1e-7, ratio=1e-3)
    assert [said(judge.measured(1, moving)) for _ in range(5)] == [[]] * 5


def test_behind_dead_relus_the_gradients_are_not_said_to_vanish():
    judge = health()
    rows = layers(first=0.0, second=0.0, ratio=0.0, p2=1.0)
    assert [said(judge.measured(1, rows)) for _ in range(4)] == [["dead ReLUs"], [], [], []]


def test_a_plateau_is_told_after_ten_epochs_and_after_it_was_left_only_when_it_lasts_twice_as_long():
    judge = health()
    found = epochs(judge, [0.5, *[0.5] * 20, 0.6, *[0.6] * 22])
    assert [epoch for epoch, _ in found] == [11, 42]


def test_a_metric_that_creeps_on_for_hundreds_of_epochs_is_one_plateau():
    found = epochs(health(), [0.9 + 1e-3 * (n // 15) for n in range(400)])
    assert [epoch for epoch, _ in found] == [11]


def test_rounding_is_no_improvement_and_a_falling_loss_is():
    assert epochs(health("val/loss"), [1 - 1e-7 * n for n in range(15)], monitor="val/loss")
    assert not epochs(health("val/loss"), [0.99**n for n in range(40)], monitor="val/loss")


def test_at_its_ceiling_a_metric_has_no_plateau():
    assert epochs(health(), [0.9995] * 30) == []
    assert epochs(health(), [1.0] * 30) == []


def test_a_plateau_says_what_may_help_where_the_network_had_learned():
    learned = epochs(health(), [0.9] * 12, train=[1 / n for n in range(1, 13)])
    assert "ten times lower" in learned[0][1]
    stuck = epochs(health(), [0.1] * 12, train=[2.3] * 12)
    assert "ten times higher or lower" in stuck[0][1]


def overfitted(judge, pairs):
    return [
        (epoch, message.text.partition(":")[0])
        for epoch, (train, val) in enumerate(pairs, 1)
        for message in judge.epoch_ended(epoch, epoch, {"train/loss": train, "val/loss": val, "val/accuracy": epoch})
    ]


def test_overfitting_wants_a_rise_of_several_epochs_while_the_other_loss_falls():
    rise = [(1 - 0.05 * n, 1 + 0.04 * n) for n in range(12)]
    assert overfitted(health(), rise) == [(6, "overfitting")]
    both = [(1 + 0.05 * n, 1 + 0.04 * n) for n in range(12)]
    assert overfitted(health(), both) == []
    nothing_learned = [(2.38 - 0.01 * (n % 5), 2.3 + 0.3 * (n % 2) + 0.3 * (n % 7 > 3)) for n in range(60)]
    assert overfitted(health(), nothing_learned) == []
    noise = [(1 / n, 1 / n * (1.2 if n % 3 == 0 else 1.0)) for n in range(1, 30)]
    assert overfitted(health(), noise) == []


NUMBERS = st.one_of(st.floats(), st.floats(0, 10))


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=30))
def test_whatever_the_numbers_there_is_never_an_error(rows):
    judge = health()
    for step, (one, two, three, four) in enumerate(rows):
        list(judge.measured(step, layers(one, two, three, four, p2=abs(one) % 1 if math.isfinite(one) else 0.5)))
        metrics = {"train/loss": one, "val/loss": two, "val/accuracy": three, "train/accuracy": four}
        for message in judge.epoch_ended(step, step + 1, metrics):
            assert message.level == "warning"
    list(judge.measured(0, []))
    list(judge.epoch_ended(0, 0, {}))
