"""The loop against plain PyTorch written out here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from engine import events as events_module
from engine.control import Mailbox, Request
from engine.errors import RunError
from engine.events import Checkpoint, Controlled, EpochEnded, Progress, Started, StatusChanged
from tests.engine.training import Interrupter, epochs_of, experiment, make_session, train

DIGITS = ("data.validation=holdout(0.2)",)


def plain_network(batchnorm: bool) -> nn.Sequential:
    norm = [lambda n: nn.BatchNorm1d(n)] if batchnorm else []
    layers: list[nn.Module] = [nn.Flatten()]
    width = 64
    for units in (300, 100):
        layers += [nn.Linear(width, units), *[make(units) for make in norm], nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 10))


@pytest.mark.parametrize("name", ["activation", "batchnorm"])
def test_two_epochs_give_the_same_bits_as_a_loop_written_out(name):
    spec = experiment(name, *DIGITS)
    session, events = train(spec)
    prepared = make_session(spec).prepared

    torch.manual_seed(spec.seed)
    model = plain_network(name == "batchnorm")
    optimizer, loss_of = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    rows = []
    for epoch in range(2):
        model.train()
        total, hits, count = 0.0, 0, 0
        for batch in prepared.train.shuffled(spec.seed, epoch, 64):
            optimizer.zero_grad()
            output = model(batch.inputs)
            loss = loss_of(output, batch.targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(output)
            hits += (output.argmax(1) == batch.targets).sum().item()
            count += len(output)
        rows.append((total / count, hits / count))

    last = [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1]
    for key, value in model.state_dict().items():
        assert torch.equal(last.networks["model"][key], value), key
    for row, event in zip(rows, epochs_of(events), strict=True):
        assert event.metrics["train/loss"] == row[0]
        assert event.metrics["train/accuracy"] == row[1]
    assert session.status == "finished"


def test_accumulation_over_four_batches_equals_one_batch_of_their_size():
    few, _ = train(experiment("activation", "data.batch_size=64"))
    many, _ = train(experiment("activation", "data.batch_size=16", "accumulate=4"))
    assert few.step == many.step
    for a, b in zip(few.networks["model"].parameters(), many.networks["model"].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_class_weights_count_in_accumulation_and_in_the_epochs_loss():
    weight = "[" + ", ".join(str(1.0 + i) for i in range(10)) + "]"
    loss = f"loss=CrossEntropyLoss(weight={weight})"
    _, few = train(experiment("activation", "data.batch_size=64", loss))
    _, many = train(experiment("activation", "data.batch_size=16", "accumulate=4", loss))
    for a, b in zip(epochs_of(few), epochs_of(many), strict=True):
        assert a.metrics["val/loss"] == pytest.approx(b.metrics["val/loss"], rel=1e-5)
        assert a.metrics["train/loss"] == pytest.approx(b.metrics["train/loss"], rel=1e-4)


def test_evaluation_leaves_buffers_generators_and_modes_as_they_were():
    session = make_session(experiment("batchnorm", "network.layers.3=Dropout(0.5)"))
    model = session.networks["model"]
    model.train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    before = torch.get_rng_state()

    def evaluate() -> dict[str, float]:
        steps = session._evaluate(session.prepared.val)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            return end.value

    first, second = evaluate(), evaluate()
    assert first == second
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert all(module.training for module in model.modules())


def test_a_frozen_batchnorm_keeps_its_running_statistics():
    session, _ = train(experiment("batchnorm", "network.layers.2=BatchNorm1d(frozen=True)"))
    norm = session.networks["model"][2]
    assert torch.equal(norm.running_mean, torch.zeros(300))
    assert norm.weight.grad is None
    assert torch.equal(norm.weight, torch.ones(300))


def test_best_weights_are_restored_without_early_stopping_and_differ_from_the_last():
    # A rate so high that the loss jumps about: some epoch before the last one is the best.
    session, events = train(experiment("batchnorm", "epochs=6", "optimizer=SGD(lr=2.0, momentum=0.9)", "seed=1"))
    flagged = [event for event in epochs_of(events) if event.best]
    assert flagged[-1].epoch < 6, "the test needs a run whose best epoch is not the last"
    last = [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1].networks["model"]
    best = [event for event in events if isinstance(event, Checkpoint) and event.kind == "best"][-1].networks["model"]
    now = session.networks["model"].state_dict()
    assert all(torch.equal(now[key], best[key]) for key in best)
    assert any(not torch.equal(last[key], best[key]) for key in best)
    accuracies = [event.metrics["val/accuracy"] for event in epochs_of(events)]
    assert flagged[-1].metrics["val/accuracy"] == max(accuracies)


def test_early_stopping_ends_the_run_after_its_patience():
    session, events = train(experiment("activation", "epochs=50", "optimizer=SGD(lr=1e-12)", "early_stopping=3"))
    assert len(epochs_of(events)) == 4
    assert session.status == "finished"
    assert "early stopping" in session.reason


def test_nan_names_step_layer_and_learning_rate():
    session = make_session(experiment("batchnorm", "optimizer=SGD(lr=0.25)"))
    with torch.no_grad():
        session.networks["model"][4].weight[0, 0] = math.nan
    with pytest.raises(RunError, match=r"loss is NaN at step 1 \(epoch 1\), learning rate 0.25: .*layer 4 \(Linear\)"):
        list(session.run())


def test_a_diverging_run_stops_with_words_and_keeps_the_best_weights():
    session = make_session(experiment("mlp", "optimizer=SGD(lr=50.0)", "epochs=30"))
    events: list = []
    with pytest.raises(RunError, match=r"the loss is (NaN|infinite) at step"):
        events.extend(session.run())
    saved = [event for event in events if isinstance(event, Checkpoint)]
    for event in saved:
        assert all(torch.isfinite(value).all() for value in event.networks["model"].values())


def test_the_average_of_weights_follows_its_formula():
    spec = experiment("mlp", "ema=0.9", "epochs=1")
    session = make_session(spec)
    model = session.networks["model"]
    expected = None
    for _ in session.prepared.train.shuffled(spec.seed, 0, 64):
        break
    original = session.steppers["model"].step

    def watched(batches, note):
        nonlocal expected
        stepped = original(batches, note)
        now = [p.detach().clone() for p in model.parameters()]
        expected = now if expected is None else [0.9 * e + 0.1 * n for e, n in zip(expected, now, strict=True)]
        return stepped

    session.steppers["model"].step = watched
    events = list(session.run())
    saved = [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1]
    assert not any("module." in key or "_orig_mod." in key for key in saved.networks["model.average"])
    for value, wanted in zip(saved.networks["model.average"].values(), expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "norm"), [("clip_norm=0.01", lambda g: g.norm()), ("clip_value=0.001", lambda g: g.abs().max())]
)
def test_clipping_bounds_the_gradients(setting, norm):
    bound = float(setting.partition("=")[2])
    session, _ = train(experiment("mlp", setting, "epochs=1"))
    gradients = torch.cat([p.grad.flatten() for p in session.networks["model"].parameters()])
    assert norm(gradients) <= bound * 1.001


def test_bf16_trains_on_the_cpu_and_keeps_weights_in_float32():
    session, events = train(experiment("batchnorm", "precision=bf16", "epochs=4"))
    assert all(p.dtype == torch.float32 for p in session.networks["model"].parameters())
    assert epochs_of(events)[-1].metrics["val/accuracy"] > 0.7


def test_pause_and_resume_change_nothing():
    undisturbed, _ = train(experiment("batchnorm"))
    mailbox = Interrupter(10, Request("pause"), Request("resume"))
    paused = make_session(experiment("batchnorm"), mailbox=mailbox)
    events = list(paused.run())
    statuses = [event.status for event in events if isinstance(event, StatusChanged)]
    assert statuses == ["running", "paused", "running"]
    for a, b in zip(undisturbed.networks["model"].parameters(), paused.networks["model"].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("request_name", "steps"), [("stop", 10), ("discard", 10), ("stop_epoch", 23)])
def test_each_way_to_stop_acts_within_one_step(request_name, steps):
    session = make_session(experiment("activation"), mailbox=Interrupter(11, Request(request_name)))
    events = list(session.run())
    assert session.status == "stopped"
    assert session.step == steps
    kinds = [event.kind for event in events if isinstance(event, Checkpoint)]
    assert ("step" in kinds) == (request_name != "discard")


def test_learning_rate_set_and_epochs_added_while_training():
    mailbox = Interrupter(5, Request("set_lr", 0.005), Request("add_epochs", 1), Request("checkpoint"))
    session = make_session(experiment("activation", "scheduler=StepLR(1, gamma=0.1)"), mailbox=mailbox)
    events = list(session.run())
    assert [event.metrics["lr"] for event in epochs_of(events)] == pytest.approx([0.005, 0.0005, 0.00005])
    assert [e.request for e in events if isinstance(e, Controlled)] == ["set_lr", "add_epochs", "checkpoint"]
    assert [e.step for e in events if isinstance(e, Checkpoint) and e.kind == "step"] == [4, 69]


def test_added_epochs_after_a_one_cycle_schedule_keep_its_last_rate():
    mailbox = Interrupter(5, Request("add_epochs", 1))
    session = make_session(experiment("activation", "scheduler=OneCycleLR(0.1)"), mailbox=mailbox)
    rates = [event.metrics["lr"] for event in epochs_of(list(session.run()))]
    assert len(rates) == 3
    assert rates[2] == rates[1]


def test_how_often_one_looks_changes_no_weight(monkeypatch):
    quiet, _ = train(experiment("batchnorm", "network.layers.3=Dropout(0.5)"))
    monkeypatch.setattr("engine.session.PROGRESS_SECONDS", 0.0)
    watched, events = train(experiment("batchnorm", "network.layers.3=Dropout(0.5)"))
    assert sum(isinstance(event, Progress) for event in events) == watched.step
    for a, b in zip(quiet.networks["model"].parameters(), watched.networks["model"].parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_tells_what_it_is_about_to_do():
    session, events = train(experiment("batchnorm"))
    started = events[0]
    assert isinstance(started, Started)
    model = plain_network(batchnorm=True)
    assert started.parameters == sum(p.numel() for p in model.parameters())
    assert [module["path"] for module in started.modules] == [str(i) for i in range(8)]
    assert started.train + started.val == 1797
    assert not any(isinstance(event, events_module.Tested) for event in events)  # digits have no official test part
    assert isinstance(events[-1], Checkpoint)
    assert session.best is not None


def test_the_test_part_is_measured_once_with_the_best_weights(data_folder):
    spec = experiment("mlp", "data.source=MNIST()", "epochs=1", "data.batch_size=500", "data.validation=holdout(0.1)")
    session, events = train(spec, data_folder)
    tested = [event for event in events if isinstance(event, events_module.Tested)]
    assert len(tested) == 1
    part = session.prepared.test
    assert len(part) == 10_000
    model = session.networks["model"].eval()
    hits = sum((model(b.inputs).argmax(1) == b.targets).sum().item() for b in part.ordered(1000))
    assert tested[0].metrics["test/accuracy"] == hits / 10_000


def test_a_last_batch_of_one_with_batchnorm_joins_the_batch_before_it():
    # 1437 samples to train on: 1437 % 4 == 1
    session, events = train(experiment("batchnorm", "data.batch_size=4", "epochs=1"))
    assert session.step == 359
    assert [event.samples for event in events if isinstance(event, EpochEnded)] == [1437]


def test_nothing_is_left_to_do_for_a_mailbox_that_nobody_writes_to():
    assert Mailbox().take() == []
