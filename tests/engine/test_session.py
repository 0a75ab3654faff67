"""The loop against plain PyTorch written out here."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from engine import evaluation
from engine import events as events_module
from engine.control import Mailbox, Request
from engine.data.info import Batch
from engine.errors import RunError
from engine.events import Checkpoint, Controlled, EpochEnded, Message, Progress, Started, StatusChanged
from engine.optimize import Schedule, build_optimizers
from engine.stepping import Stepper
from engine.tasks import Setting
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
        steps = evaluation.evaluate(session, session.prepared.val, watch=True)
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


@pytest.mark.parametrize(
    ("first", "second", "steps", "reason"),
    [
        ("stop", "stop_epoch", 10, "stopped"),
        ("discard", "stop_epoch", 10, "discarded"),
        ("discard", "stop", 10, "discarded"),
        ("stop", "discard", 10, "discarded"),
        ("stop_epoch", "stop", 10, "stopped"),
    ],
)
def test_of_two_ways_to_stop_the_stronger_one_counts(first, second, steps, reason):
    session = make_session(experiment("activation"), mailbox=Interrupter(11, Request(first), Request(second)))
    list(session.run())
    assert (session.status, session.reason, session.step) == ("stopped", reason, steps)


def test_stopping_after_the_epoch_asked_before_the_first_step_trains_that_epoch():
    session = make_session(experiment("activation"), mailbox=Interrupter(1, Request("stop_epoch")))
    events = list(session.run())
    assert (session.status, session.step) == ("stopped", 23)
    assert len(epochs_of(events)) == 1


def test_stopping_after_the_last_epoch_is_the_end_of_the_run():
    # Best weights restored, test measured: nothing was left out, so there is nothing to go on with.
    session = make_session(experiment("activation", "epochs=1"), mailbox=Interrupter(5, Request("stop_epoch")))
    events = list(session.run())
    assert len(epochs_of(events)) == 1
    assert (session.status, session.reason) == ("finished", "")


def test_epochs_added_to_a_run_that_stops_after_this_epoch_are_left_for_a_resume():
    asked = (Request("stop_epoch"), Request("add_epochs", 1))
    session = make_session(experiment("activation", "epochs=1"), mailbox=Interrupter(5, *asked))
    events = list(session.run())
    assert (session.status, len(epochs_of(events)), session.epochs) == ("stopped", 1, 2)


def test_early_stopping_is_the_reason_also_where_the_epoch_was_to_be_the_last():
    spec = experiment("activation", "epochs=9", "optimizer=SGD(lr=1e-12)", "early_stopping=1")
    # Two epochs of 23 steps; one look before the first, one after each step, one after each batch of evaluation and
    # one after each epoch.
    session = make_session(spec, mailbox=Interrupter(30, Request("stop_epoch")))
    list(session.run())
    assert session.epoch == 2
    assert session.status == "finished"
    assert "early stopping" in session.reason


def with_a_test_part(*settings: str, mailbox: Mailbox | None = None):
    """A session on digits whose held-out part is measured as the test part as well."""
    session = make_session(experiment("activation", *settings), mailbox=mailbox)
    session.prepared = dataclasses.replace(session.prepared, test=session.prepared.val)
    return session


def test_what_is_asked_while_the_test_is_measured_does_not_mix_best_and_last_weights():
    # One epoch: a look before the first step, 23 steps, one batch of evaluation, the end of the epoch, then the test.
    asked = (Request("checkpoint"), Request("add_epochs", 1), Request("set_lr", 0.5))
    session = with_a_test_part("epochs=1", mailbox=Interrupter(27, *asked))
    events = list(session.run())
    assert session.status == "finished"
    assert any(isinstance(event, events_module.Tested) for event in events)
    assert [event.step for event in events if isinstance(event, Checkpoint) and event.kind == "step"] == [23]
    # What came too late is told, not taken as done.
    assert [event.request for event in events if isinstance(event, Controlled)] == ["checkpoint"]
    told = [event.text for event in events if isinstance(event, Message)]
    assert len(told) == 2
    assert all("training is over" in text for text in told)


def test_discarding_while_the_test_is_measured_says_so():
    session = with_a_test_part("epochs=1", mailbox=Interrupter(27, Request("discard")))
    events = list(session.run())
    assert not any(isinstance(event, events_module.Tested) for event in events)
    assert (session.status, session.reason) == ("stopped", "discarded")


def test_progress_shows_the_rate_that_the_epoch_trains_with(monkeypatch):
    monkeypatch.setattr("engine.session.PROGRESS_SECONDS", 0.0)
    _, events = train(experiment("activation", "scheduler=StepLR(1, gamma=0.1)", "optimizer=SGD(lr=0.01)"))
    rates = {event.epoch: event.lr for event in events if isinstance(event, Progress)}
    assert rates == pytest.approx({1: 0.01, 2: 0.001})


def like_a_gpu(session):
    """Look at losses when they are read, as where reading each would make every step wait for the device."""
    for stepper in session.steppers.values():
        stepper._look = False
    return session


def test_no_checkpoint_is_made_of_weights_whose_loss_is_nan():
    session = make_session(experiment("mlp"), mailbox=Interrupter(4, Request("checkpoint")))
    like_a_gpu(session)
    with torch.no_grad():
        session.networks["model"][1].weight[0, 0] = math.nan
    events: list = []
    with pytest.raises(RunError, match="the loss is NaN at step 1 "):
        events.extend(session.run())
    assert not any(isinstance(event, Checkpoint) for event in events)


@pytest.mark.parametrize("broken_at", [1, 4, 7, 8], ids=["first", "in the middle", "last whole group", "short group"])
def test_losses_that_are_read_later_name_the_step_they_belong_to(broken_at, monkeypatch):
    # 23 batches in groups of 3: 7 steps, and an 8th of two batches.
    session = like_a_gpu(make_session(experiment("mlp", "accumulate=3")))
    assert session.batches == 23
    stepper = session.steppers["model"]
    original = stepper._forward
    seen = iter(range(1000))

    def forward(batch, note):
        bad = next(seen) == 3 * (broken_at - 1)
        return original(batch, (lambda o: note(dataclasses.replace(o, loss=o.loss * math.nan))) if bad else note)

    monkeypatch.setattr(stepper, "_forward", forward)
    monkeypatch.setattr("engine.session.PROGRESS_SECONDS", 1e9)
    with pytest.raises(RunError, match=rf"at step {broken_at} \("):
        list(session.run())


def test_weights_that_a_last_step_broke_are_neither_best_nor_the_end(monkeypatch):
    session = make_session(experiment("mlp", "epochs=1"))
    stepper = session.steppers["model"]
    original = stepper.step

    def step(batches, note):
        stepped = original(batches, note)
        if session.step == 22:
            with torch.no_grad():
                session.networks["model"][1].weight.fill_(math.inf)
        return stepped

    monkeypatch.setattr(stepper, "step", step)
    events: list = []
    with pytest.raises(RunError, match=r"layer 1 \(Linear\)"):
        events.extend(session.run())
    assert session.best is None
    assert not any(isinstance(event, Checkpoint) for event in events)


def test_the_best_weights_are_handed_over_whatever_ends_the_loop(monkeypatch):
    session = make_session(experiment("mlp", "epochs=3"))
    stepper = session.steppers["model"]
    original = stepper.step

    def step(batches, note):
        if session.step == 30:
            raise torch.OutOfMemoryError("no room")
        return original(batches, note)

    monkeypatch.setattr(stepper, "step", step)
    events: list = []
    with pytest.raises(torch.OutOfMemoryError):
        events.extend(session.run())
    assert [event.kind for event in events if isinstance(event, Checkpoint)] == ["best"]


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


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("accumulate=3", "clip_norm=1.0", "clip_value=0.5", "ema=0.9"),
        ("accumulate=3", "loss=CrossEntropyLoss(weight=[1, 1, 1, 1, 1, 2, 2, 2, 2, 2], ignore_index=3)"),
        ("scheduler=OneCycleLR(0.1)", "optimizer=AdamW(lr=1e-3)"),
        ("optimizer=Muon()",),
    ],
)
def test_a_step_reads_nothing_back_from_the_device(settings):
    # A meta tensor raises where its number is asked for, so this stands for every GPU.
    spec, meta = experiment("batchnorm", *settings), torch.device("meta")
    session = make_session(spec)
    network = session.networks["model"].to(meta)
    info = session.prepared.info
    session.task.set_up({"model": network}, Setting(info, spec.loss, meta, info.outputs))
    optimizers = build_optimizers(spec.optimizer, network.parameters())
    stepper = Stepper(spec, network, optimizers, session.task.objectives()[0], None, meta, closure=False)
    schedule = Schedule(spec.scheduler, optimizers, epochs=2, steps_per_epoch=4, monitor="val/loss")
    meter = session.task.meter(training=True)
    for _ in range(3):
        group = [
            Batch(torch.empty(8, *info.input_shape, device=meta), torch.empty(8, dtype=torch.int64, device=meta), n)
            for n in range(spec.accumulate)
        ]
        assert stepper.step(group, lambda o: meter.update(o.loss.detach(), o.weight, o.output.detach(), o.target))
        schedule.after_step()
    with pytest.raises(RuntimeError):
        meter.read_losses()
