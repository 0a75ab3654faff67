"""Every optimizer and every schedule of the catalogue, trained, and their rates against torch stepped by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, lr_scheduler, swa_utils

from engine import catalogue
from engine.calls import parse_call
from engine.errors import RequestError
from engine.optimize import Schedule, build_optimizers
from tests.engine.training import epochs_of, experiment, train

STEPS = 23  # of an epoch of digits at batch 64, a fifth held out

# What a schedule cannot do without. Everything else is tried as it stands.
ARGUMENTS = {
    "ChainedScheduler": "ChainedScheduler([ConstantLR(total_iters=1), ExponentialLR(0.9)])",
    "CosineAnnealingWarmRestarts": "CosineAnnealingWarmRestarts(1)",
    "CyclicLR": "CyclicLR(0.001, 0.05, step_size_up=10)",
    "ExponentialLR": "ExponentialLR(0.5)",
    "MultiStepLR": "MultiStepLR([1])",
    "OneCycleLR": "OneCycleLR(0.1)",
    "SequentialLR": "SequentialLR([LinearLR(total_iters=1), StepLR(1)], milestones=[1])",
    "StepLR": "StepLR(1)",
    "SWALR": "SWALR(0.05, anneal_epochs=2)",
}

# The same schedules, made and stepped by hand.
BY_HAND = {
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, total_iters=1), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 2),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.05, step_size_up=10, cycle_momentum=False),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.5),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1]),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=2 * STEPS, cycle_momentum=False),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, total_iters=1), lr_scheduler.StepLR(o, 1)], milestones=[1]
    ),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 1),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.05, anneal_epochs=2),
}


@pytest.mark.parametrize("name", sorted(catalogue.entries("optimizers")))
def test_every_optimizer_trains(name):
    # A step of LBFGS is twenty of the others: a few of them do.
    batch = 479 if name == "LBFGS" else 64
    _, events = train(experiment("activation", f"optimizer={name}()", f"data.batch_size={batch}"))
    first, second = epochs_of(events)
    assert math.isfinite(second.metrics["train/loss"])
    assert second.metrics["train/loss"] < first.metrics["train/loss"]


@pytest.mark.parametrize("name", sorted(catalogue.entries("schedulers")))
def test_every_schedule_gives_the_rates_of_torchs_own_stepped_by_hand(name):
    assert name in BY_HAND, "a schedule that this test does not know: add it"
    _, events = train(
        experiment("activation", f"scheduler={ARGUMENTS.get(name, name + '()')}", "optimizer=SGD(lr=0.02)")
    )
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = SGD([parameter], lr=0.02)
    scheduler = BY_HAND[name](optimizer)
    per_batch = name in ("OneCycleLR", "CyclicLR")
    for event in epochs_of(events):
        for _ in range(STEPS):
            optimizer.step()
            rate = optimizer.param_groups[0]["lr"]
            if per_batch:
                scheduler.step()
        assert event.metrics["lr"] == rate, event.epoch
        if name == "ReduceLROnPlateau":
            scheduler.step(event.metrics["val/loss"])
        elif not per_batch:
            scheduler.step()


def schedule(call: str, lr: float = 0.1, epochs: int = 10, steps: int = 5, monitor: str = "val/loss") -> tuple:
    parameter = nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.zeros(2, 2)
    optimizers = build_optimizers(parse_call(f"SGD(lr={lr})"), [parameter])
    return optimizers[0], Schedule(parse_call(call), optimizers, epochs=epochs, steps_per_epoch=steps, monitor=monitor)


@pytest.mark.parametrize(
    ("call", "closed_form"),
    [
        ("StepLR(3, gamma=0.5)", lambda e: 0.1 * 0.5 ** (e // 3)),
        ("ExponentialLR(0.9)", lambda e: 0.1 * 0.9**e),
        ("CosineAnnealingLR()", lambda e: 0.05 * (1 + math.cos(math.pi * e / 10))),
        ("CosineAnnealingLR(T_max=epochs)", lambda e: 0.05 * (1 + math.cos(math.pi * e / 10))),
        ("LinearLR(start_factor=0.5, total_iters=4)", lambda e: 0.1 * min(1.0, 0.5 + 0.5 * e / 4)),
        ("PolynomialLR(total_iters=10, power=2.0)", lambda e: 0.1 * (1 - e / 10) ** 2),
        ("MultiStepLR([2, 5])", lambda e: 0.1 * 0.1 ** ((e >= 2) + (e >= 5))),
    ],
)
def test_rates_equal_the_closed_form(call, closed_form):
    optimizer, made = schedule(call)
    for epoch in range(10):
        assert made.lr == pytest.approx(closed_form(epoch), rel=1e-9, abs=1e-12)
        optimizer.step()
        made.after_step()
        made.after_epoch({"val/loss": 1.0})


def test_a_plateau_is_seen_in_the_direction_of_its_metric():
    for monitor, values in (("val/loss", [1.0, 2.0, 3.0]), ("val/accuracy", [0.3, 0.2, 0.1])):
        _, made = schedule("ReduceLROnPlateau(patience=0, factor=0.5)", monitor=monitor)
        for value in values:
            made.after_epoch({monitor: value})
        assert made.lr == pytest.approx(0.1 * 0.25), monitor
        _, made = schedule("ReduceLROnPlateau(patience=0, factor=0.5)", monitor=monitor)
        for value in reversed(values):
            made.after_epoch({monitor: value})
        assert made.lr == pytest.approx(0.1), monitor


def test_parameter_groups_are_disjoint_and_complete():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
    model[1].weight.requires_grad = False
    for call in ("SGD(lr=0.1)", "Muon()", "AdamW()"):
        # A layer that stands twice in a network is trained once.
        optimizers = build_optimizers(parse_call(call), [*model.parameters(), *model.parameters()])
        ids = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        assert len(ids) == len(set(ids))
        assert set(ids) == {id(p) for p in model.parameters() if p.requires_grad}


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    first, second = build_optimizers(parse_call("Muon(lr=0.02)"), model.parameters())
    assert [p.ndim for group in first.param_groups for p in group["params"]] == [2]
    assert type(second).__name__ == "AdamW"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("SGD(lr=-1.0)", "SGD"),
        ("SGD(lr=0.1, nesterov=True)", "[Nn]esterov"),
        ("Adm()", "did you mean `Adam`"),
        ("SparseAdam()", "sparse"),
    ],
)
def test_a_wrong_optimizer_is_refused_with_words(call, words):
    with pytest.raises(RequestError, match=words):
        build_optimizers(parse_call(call), [nn.Parameter(torch.zeros(2, 2))])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("StepLR()", "step_size"),
        ("LambdaLR()", "function"),
        ("SequentialLR([OneCycleLR(0.1), StepLR(1)], milestones=[1])", "does not count epochs"),
        ("SequentialLR([StepLR(1), StepLR(1)], milestones=[1, 2, 3])", "SequentialLR"),
        ("ChainedScheduler([])", "list of schedulers"),
    ],
)
def test_a_wrong_schedule_is_refused_with_words(call, words):
    with pytest.raises(RequestError, match=words):
        schedule(call)


def test_nothing_to_train_is_said():
    with pytest.raises(RequestError, match="nothing to train"):
        build_optimizers(parse_call("SGD(lr=0.1)"), [nn.Parameter(torch.zeros(1), requires_grad=False)])


@pytest.mark.parametrize("call", ["StepLR(3)", "CosineAnnealingLR()", "OneCycleLR(0.1)", "CyclicLR(0.01, 0.1)"])
def test_setting_the_rate_scales_the_rest_of_the_schedule(call):
    optimizer, made = schedule(call, epochs=10, steps=5)
    _, plain = schedule(call, epochs=10, steps=5)
    other = plain._optimizers[0]
    for step in range(30):
        if step == 10:
            made.set_lr(made.lr * 0.5)
        for one, two in ((optimizer, made), (other, plain)):
            one.step()
            two.after_step()
            if step % 5 == 4:
                two.after_epoch({"val/loss": 1.0})
        if step >= 10:
            assert made.lr == pytest.approx(0.5 * plain.lr, rel=1e-6), step


@pytest.mark.parametrize("call", ["StepLR(3)", "CosineAnnealingLR()", "OneCycleLR(0.1)", "CyclicLR(0.01, 0.1)"])
def test_a_rate_of_nothing_can_be_taken_back(call):
    optimizer, made = schedule(call, epochs=10, steps=5)
    _, plain = schedule(call, epochs=10, steps=5)
    other = plain._optimizers[0]
    weights, asked = optimizer.param_groups[0]["params"][0], None
    for step in range(30):
        if step == 10:
            made.set_lr(0.0)
        if step == 20:
            asked = plain.lr
            made.set_lr(0.05)
        for parameter in (*optimizer.param_groups[0]["params"], *other.param_groups[0]["params"]):
            parameter.grad = torch.ones(2, 2)
        before = weights.detach().clone()
        for one, two in ((optimizer, made), (other, plain)):
            one.step()
            two.after_step()
            if step % 5 == 4:
                two.after_epoch({"val/loss": 1.0})
        assert torch.equal(before, weights) == (10 <= step < 20), step
        if 10 <= step < 19:
            assert made.lr == 0.0
        if asked is not None:
            assert made.lr == pytest.approx(0.05 / asked * plain.lr, rel=1e-6), step
