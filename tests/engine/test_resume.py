"""Stopping and going on gives the bits of a run that was never stopped."""

from __future__ import annotations

import pytest
import torch

from engine.control import Request
from engine.events import Checkpoint
from tests.engine.training import Interrupter, epochs_of, experiment, make_session, resume, stop_after, train

# Everything that has a state: dropout, running statistics, momentum, a short last group, a moving average.
HARD = (
    "network.layers.3=Dropout(0.3)",
    "optimizer=SGD(lr=0.05, momentum=0.9)",
    "scheduler=ReduceLROnPlateau(patience=0, factor=0.5)",
    "accumulate=3",
    "data.batch_size=32",
    "clip_norm=1.0",
    "ema=0.9",
    "epochs=3",
)
# 1437 samples, 45 batches, 15 steps an epoch. The loop looks once at the start, once a step, an epoch and a batch of
# evaluation.
STEPS = 15


def tensors_of(value: object, path: str = "") -> dict[str, torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return {path: value}
    if isinstance(value, dict):
        return {k: t for key, item in value.items() for k, t in tensors_of(item, f"{path}.{key}").items()}
    if isinstance(value, list | tuple):
        return {k: t for i, item in enumerate(value) for k, t in tensors_of(item, f"{path}.{i}").items()}
    return {}


def last_step(events: list) -> Checkpoint:
    return [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1]


def assert_same_end(whole: tuple, resumed: tuple) -> None:
    session, events = whole
    other, later = resumed
    mine, theirs = last_step(events), last_step(later)
    for part in ("networks", "optimizer", "state"):
        wanted, found = tensors_of(getattr(mine, part)), tensors_of(getattr(theirs, part))
        assert wanted.keys() == found.keys()
        for key, tensor in wanted.items():
            assert torch.equal(tensor, found[key]), f"{part}{key}"
    for key, tensor in session.networks["model"].state_dict().items():
        assert torch.equal(tensor, other.networks["model"].state_dict()[key]), key
    metrics = {event.epoch: event.metrics for event in epochs_of(events)}
    for event in epochs_of(later):
        assert event.metrics == metrics[event.epoch]
    assert other.best is not None
    assert (other.best.epoch, other.best.value) == (session.best.epoch, session.best.value)
    assert mine.state["schedule"] == theirs.state["schedule"]


@pytest.mark.parametrize(
    "looks",
    [2, 9, STEPS + 1, STEPS + 2, 2 * STEPS + 3, 2 * STEPS + 4],
    ids=["first step", "mid-epoch", "last step of an epoch", "while evaluating", "second epoch", "evaluating again"],
)
def test_stop_at_a_step_and_resume_gives_the_same_bits(looks):
    spec = experiment("batchnorm", *HARD)
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, looks)
    assert 0 < checkpoint.step <= 3 * STEPS
    assert_same_end(whole, resume(spec, checkpoint, events))


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer=LBFGS(max_iter=3)",),
        ("optimizer=Muon(lr=0.02)",),
        ("optimizer=AdamW(lr=1e-3, amsgrad=True)", "scheduler=OneCycleLR(0.01)"),
        ("scheduler=SequentialLR([LinearLR(total_iters=1), CosineAnnealingLR()], milestones=[1])",),
        ("scheduler=CyclicLR(0.001, 0.1)", "optimizer=SGD(lr=0.01, momentum=0.9)"),
        ("scheduler=MultiStepLR([1, 1, 2])",),
    ],
    ids=lambda settings: settings[-1],
)
def test_every_kind_of_state_survives(settings):
    spec = experiment("activation", *settings)
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, 30)  # in the second epoch
    assert_same_end(whole, resume(spec, checkpoint, events))


def test_augmentation_and_the_order_of_samples_go_on_where_they_stopped():
    spec = experiment(
        "cnn", "data.augment=['RandomCrop(8, padding=1)', 'RandomRotation(10)', 'GaussianNoise(0.1)']", "epochs=2"
    )
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, 7)
    assert_same_end(whole, resume(spec, checkpoint, events))


def test_a_learning_rate_that_was_set_and_epochs_that_were_added_are_kept():
    spec = experiment("activation", "scheduler=StepLR(1, gamma=0.5)")
    asked = (Request("set_lr", 0.003), Request("add_epochs", 1))
    whole = make_session(spec, mailbox=Interrupter(5, *asked))
    whole_events = list(whole.run())
    stopped = make_session(spec, mailbox=Interrupter(5, *asked, Request("stop")))
    events = list(stopped.run())
    assert_same_end((whole, whole_events), resume(spec, last_step(events), events))


def test_a_finished_run_goes_on_with_more_epochs_as_if_it_had_been_asked_for_them():
    short, events = train(experiment("batchnorm", "epochs=2"))
    assert short.status == "finished"
    spec = experiment("batchnorm", "epochs=2")
    session = make_session(spec, mailbox=Interrupter(1, Request("add_epochs", 2)))
    best = [event for event in events if isinstance(event, Checkpoint) and event.kind == "best"][-1]
    end = last_step(events)
    session.resume_from(end.networks, end.optimizer, end.state, best.networks)
    later = list(session.run())
    assert [event.epoch for event in epochs_of(later)] == [3, 4]
    whole = train(experiment("batchnorm", "epochs=4"))
    for key, tensor in last_step(whole[1]).networks["model"].items():
        assert torch.equal(tensor, last_step(later).networks["model"][key])


def test_a_run_stopped_where_early_stopping_was_due_ends_there_when_resumed():
    spec = experiment("activation", "epochs=9", "optimizer=SGD(lr=1e-12)", "early_stopping=1")
    whole, _ = train(spec)
    assert whole.epoch == 2
    # A look before the first step, and after each of 23 steps, one batch of evaluation and each epoch.
    _, checkpoint, events = stop_after(spec, 1 + 2 * 25)
    assert (checkpoint.epoch, checkpoint.batch) == (2, 0)
    session, later = resume(spec, checkpoint, events)
    assert epochs_of(later) == []
    assert (session.status, session.reason) == (whole.status, whole.reason)


def test_epochs_added_to_a_run_that_stopped_early_are_given_its_patience_again():
    spec = experiment("activation", "epochs=9", "optimizer=SGD(lr=1e-12)", "early_stopping=2")
    _, events = train(spec)
    session = make_session(spec, mailbox=Interrupter(1, Request("add_epochs", 5)))
    best = [event for event in events if isinstance(event, Checkpoint) and event.kind == "best"][-1]
    end = last_step(events)
    session.resume_from(end.networks, end.optimizer, end.state, best.networks)
    assert [event.epoch for event in epochs_of(list(session.run()))] == [4, 5]


def test_layers_that_draw_in_evaluation_too_go_on_to_the_same_bits(monkeypatch):
    # FractionalMaxPool2d draws its regions in eval mode as well; small batches: several a pass.
    layers = "['FractionalMaxPool2d(2, output_size=5)', 'Dropout(0.1)', 'Flatten()', 'Linear(10)']"
    spec = experiment("activation", f"network.layers={layers}", "data.batch_size=64")
    monkeypatch.setattr("engine.evaluation.BATCH", 64)
    whole = train(spec)
    # After the third batch of evaluation; what ends the run later makes no other checkpoint.
    session = make_session(spec, mailbox=Interrupter(1 + 23 + 3, Request("checkpoint"), Request("discard")))
    events = list(session.run())
    checkpoint = last_step(events)
    assert (checkpoint.epoch, checkpoint.batch) == (0, 23)
    assert_same_end(whole, resume(spec, checkpoint, events))


def test_the_rate_of_an_epoch_is_the_same_where_the_next_one_was_set_while_evaluating():
    spec = experiment("activation", "optimizer=SGD(lr=0.01)")
    asked = (Request("set_lr", 0.001), Request("stop"))
    stopped = make_session(spec, mailbox=Interrupter(1 + 23 + 1, *asked))
    events = list(stopped.run())
    _, later = resume(spec, last_step(events), events)
    assert [event.metrics["lr"] for event in epochs_of(later)] == [0.01, 0.001]
