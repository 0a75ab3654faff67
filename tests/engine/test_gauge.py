"""What the layers are measured to do, against plain PyTorch written out here."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from engine import measuring_plan
from engine.events import Checkpoint, Measured, from_line, to_line
from engine.gauge import Gauge
from engine.measuring_plan import MeasuringPlan
from engine.store.view import RunView
from tests.engine.run_folders import progress, started
from tests.engine.test_stepping import Scaled
from tests.engine.training import epochs_of, experiment, make_session, resume, stop_after, train

NEVER, ALWAYS = (math.inf, 0.0), (0.0, math.inf)


def measured(spec, plan=ALWAYS, folder=Path("nowhere")):
    """A session whose gauge measures always, or never, and its events."""
    session = make_session(spec, folder)
    session.gauge.steps, session.gauge.evaluations = MeasuringPlan(*plan), MeasuringPlan(*plan)
    return session, list(session.run())


def rows_of(events):
    return [{row["path"]: row for row in event.modules} for event in events if isinstance(event, Measured)]


def about(value):
    """Norms are told in five digits."""
    return pytest.approx(float(torch.as_tensor(value).detach()), rel=1e-4, abs=1e-12)


CONV = 'network.layers=["Conv2d(4, 3)","BatchNorm2d()","ReLU()","Dropout(0.3)","Flatten()","Linear(classes)"]'
FROZEN = 'network.layers=["Flatten()","Linear(20, frozen=True)","BatchNorm1d()","ReLU()","Linear(classes)"]'
TRAINED = {
    "plain": (),
    "momentum and clipping": ("optimizer=SGD(lr=0.1, momentum=0.9)", "clip_norm=0.5"),
    "a schedule": ("scheduler=OneCycleLR(0.2)",),
    "accumulation": ("accumulate=3", "data.batch_size=32"),
    "a moving average": ("ema=0.9",),
    "two optimizers": ("optimizer=Muon(lr=0.02)",),
    "BatchNorm and dropout": (CONV,),
    "a frozen layer": (FROZEN,),
    "half precision": ("precision=bf16",),
    "augmentation without validation": (CONV, "data.augment=[RandomCrop(8, padding=1)]", "data.validation=none"),
    "LBFGS": ("optimizer=LBFGS(max_iter=3)", "data.batch_size=512", "epochs=1"),
}  # fmt: skip


@pytest.mark.parametrize("settings", TRAINED.values(), ids=TRAINED.keys())
def test_a_training_has_the_same_bits_measured_at_every_step_and_never(settings):
    spec = experiment("activation", *settings)
    torch.manual_seed(3)
    quiet, before = measured(spec, NEVER)
    drawn = torch.get_rng_state()
    torch.manual_seed(3)
    session, events = measured(spec)
    assert len(rows_of(events)) >= session.step
    assert not rows_of(before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [e.metrics for e in epochs_of(events)] == [e.metrics for e in epochs_of(before)]
    for one, other in zip(checkpoints(events), checkpoints(before), strict=True):
        assert one.networks.keys() == other.networks.keys()
        for name, weights in one.networks.items():
            for key, value in weights.items():
                assert torch.equal(value, other.networks[name][key]), (name, key)
    for module, other in zip(session.networks["model"].modules(), quiet.networks["model"].modules(), strict=True):
        assert module.training == other.training
        assert not module._forward_hooks


def checkpoints(events):
    return [event for event in events if isinstance(event, Checkpoint)]


@pytest.mark.parametrize("settings", [(), ("clip_norm=0.01",), ("optimizer=Adam()",), ("accumulate=2",)])
def test_norms_equal_those_of_a_loop_written_out(settings):
    """Gradients before clipping, and those of the whole group of batches."""
    layers = 'network.layers=["Flatten()","Residual(Linear(64),ReLU(),Linear(64))","BatchNorm1d()","Linear(classes)"]'
    spec = experiment("activation", layers, "epochs=1", "optimizer=SGD(lr=0.05, momentum=0.9)", *settings)
    session, events = measured(spec)
    rows = rows_of(events)

    again = make_session(spec)
    model, stepper = again.networks["model"], again.steppers["model"]
    optimizer, loss_of = stepper.optimizers[0], nn.CrossEntropyLoss()
    batches = list(again.prepared.train.shuffled(spec.seed, 0, spec.data.batch_size))
    paths = ("1", "1.body.0", "1.body.2", "2", "3")
    model.train()
    for step in range(session.step):
        group = batches[step * spec.accumulate : (step + 1) * spec.accumulate]
        optimizer.zero_grad()
        samples = sum(len(batch.inputs) for batch in group)
        for batch in group:
            (loss_of(model(batch.inputs), batch.targets) * len(batch.inputs) / samples).backward()
        before = {path: flat(model.get_submodule(path)) for path in paths}
        gradients = {path: flat(model.get_submodule(path), gradients=True) for path in paths}
        if spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
        optimizer.step()
        for path in paths:
            row, weights = rows[step][path], before[path]
            change = flat(model.get_submodule(path)) - weights
            assert row["weight_norm"] == about(weights.norm())
            assert row["grad_norm"] == about(gradients[path].norm())
            assert row["update_ratio"] == about(change.norm() / weights.norm())
    assert "weight_norm" not in rows[0].get("0", {})


def flat(module, gradients=False):
    return torch.cat([(p.grad if gradients else p.detach()).flatten().clone() for p in module.parameters()])


def test_of_a_search_along_the_line_the_first_gradient_counts():
    spec = experiment("activation", "optimizer=LBFGS(max_iter=4)", "epochs=1", "data.batch_size=2000")
    _, events = measured(spec)
    again = make_session(spec)
    batch = next(again.prepared.train.shuffled(spec.seed, 0, 2000))
    model = again.networks["model"]
    nn.CrossEntropyLoss()(model(batch.inputs), batch.targets).backward()
    assert rows_of(events)[0]["1"]["grad_norm"] == about(flat(model[1], gradients=True).norm())


def test_what_is_frozen_has_weights_alone():
    _, events = measured(experiment("activation", FROZEN))
    row = rows_of(events)[0]["1"]
    assert set(row) == {"path", "weight_norm"}


def test_a_step_that_the_scaler_leaves_out_says_nothing():
    scaled = Scaled()
    gauge = Gauge({"model": nn.Sequential(scaled.model)}, {"model": ["0"]})
    gauge.steps = MeasuringPlan(*ALWAYS)
    scaled.factor = 1e35
    assert gauge.begin([scaled.stepper])
    assert not gauge.end(scaled.step())
    assert gauge.rows == ()
    scaled.factor = 1.0
    assert gauge.begin([scaled.stepper])
    assert gauge.end(scaled.step())
    (row,) = gauge.rows
    # What was scaled by 2 ** 15 is told as it is.
    gradient = torch.cat([scaled.model.weight.grad.flatten(), scaled.model.bias.grad])
    assert row["grad_norm"] == about(gradient.norm())
    assert scaled.stepper.before_clipping is None


def test_a_shared_parameter_counts_once_in_each_module_that_has_it():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    network = nn.Sequential(nn.Sequential(first, second))
    row = rows_after_one_step(network, ["0", "0.0", "0.1"], torch.randn(5, 3))
    size = about(first.weight.norm())
    assert [row[path]["weight_norm"] for path in ("0", "0.0", "0.1")] == [size] * 3
    assert row["0"]["grad_norm"] == row["0.1"]["grad_norm"] == about(first.weight.grad.norm())


def test_sparse_gradients_are_summed_before_their_norm():
    network = nn.Sequential(nn.Embedding(6, 2, sparse=True))
    row = rows_after_one_step(network, ["0"], torch.tensor([1, 1, 3]))
    assert row["0"]["grad_norm"] == about(network[0].weight.grad.to_dense().norm())
    assert not network[0].weight.grad.is_coalesced()


def rows_after_one_step(network, paths, inputs):
    """The gauge's rows by path, of a step in which no weight moves."""
    gauge, stepper = Gauge({"model": network}, {"model": paths}), SimpleNamespace(before_clipping=None)
    gauge.begin([stepper])
    network(inputs).square().sum().backward()
    stepper.before_clipping(list(network.parameters()))
    gauge.end(True)
    return {row["path"]: row for row in gauge.rows}


def test_weights_beyond_the_limit_of_copies_go_without_the_ratio(monkeypatch):
    monkeypatch.setattr("engine.gauge.COPIED_BYTES", 300 * 64 * 4 + 300 * 4)
    _, events = measured(experiment("activation", "epochs=1"))
    row = rows_of(events)[0]
    assert "update_ratio" in row["1"]
    assert set(row["3"]) == {"path", "weight_norm", "grad_norm"}


@pytest.mark.parametrize("validation", ["holdout(0.2)", "none"])
def test_dead_units_are_those_that_no_sample_of_the_first_batch_makes_fire(validation):
    """Channels behind a convolution, features behind a linear layer, also where it stands on a sequence."""
    layers = (
        '["Conv2d(12, 3)","ReLU()","Conv2d(7, 3)","BatchNorm2d()","ReLU(inplace=True)","Reshape(7, 16)",'
        '"Linear(30)","ReLU6()","Flatten()","Linear(classes)"]'
    )
    spec = experiment("activation", f"network.layers={layers}", f"data.validation={validation}", "optimizer=SGD(lr=1)")
    session = make_session(spec)
    with torch.no_grad():  # some units that cannot fire
        session.networks["model"][0].bias[:3] = -100
        session.networks["model"][6].bias[:9] = -100
    session.gauge.evaluations = MeasuringPlan(*ALWAYS)
    events = []
    for event in session.run():
        events.append(event)
        if len(epochs_of(events)) == 1 and isinstance(event, Measured):
            break
    dead = {row["path"]: row["dead"] for row in events[-1].modules if "dead" in row}

    part = session.prepared.train if validation == "none" else session.prepared.val
    value, expected = next(part.ordered(2000)).inputs, {}
    model = session.networks["model"].eval()
    with torch.no_grad():
        for path, module in enumerate(model):
            value = module(value)
            if path in (1, 4):
                expected[str(path)] = (value == 0).all(dim=(0, 2, 3)).float().mean().item()
            elif path == 7:
                expected[str(path)] = (value == 0).flatten(0, 1).all(0).float().mean().item()
    assert dead == {path: about(share) for path, share in expected.items()}
    assert dead["1"] >= 3 / 12
    assert dead["7"] >= 9 / 30


def test_of_a_handful_of_samples_nothing_is_said_to_be_dead():
    spec = experiment("activation", "data.validation=holdout(0.05)")
    _, events = measured(spec)
    assert not any("dead" in row for rows in rows_of(events) for row in rows.values())


def test_rows_stand_in_the_order_of_the_layers():
    _, events = measured(experiment("cnn", "epochs=1"))
    paths = list(rows_of(events)[-1])
    assert paths == sorted(paths, key=int)
    assert set(paths) == {str(n) for n in range(16)} - {"3", "7", "11"}  # the poolings and Flatten have nothing to tell


def test_the_first_reading_comes_with_the_first_step():
    _, events = train(experiment("activation", "epochs=1"))
    steps = [event.step for event in events if isinstance(event, Measured)]
    assert steps[:4] == [1, 2, 4, 8]


def test_measuring_goes_on_after_a_resume():
    spec = experiment("activation")
    _, checkpoint, events = stop_after(spec, 30)
    session, later = resume(spec, checkpoint, events)
    assert rows_of(later)
    assert next(event.step for event in later if isinstance(event, Measured)) == checkpoint.step + 1
    assert session.status == "finished"


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        # Its own clock alone: any other thread of this process goes by the real one.
        monkeypatch.setattr(measuring_plan, "time", SimpleNamespace(monotonic=lambda: self.now))


def readings(plan, clock, seconds, step=0.01, cost=0.001):
    """When a plan measures, in a training of steps that take so long."""
    found, began = [], clock.now
    while clock.now - began < seconds:
        if plan.next():
            found.append(clock.now - began)
            clock.now += cost
            plan.took(cost)
        clock.now += step
    return found


def test_after_the_first_steps_it_is_measured_every_two_seconds(monkeypatch):
    found = readings(MeasuringPlan(), Clock(monkeypatch), 60)
    assert len([when for when in found if when < 1]) == 7  # steps 1 to 64
    late = [when for when in found if when > 10]
    gaps = [b - a for a, b in itertools.pairwise(late)]
    assert all(1.99 < gap < 2.1 for gap in gaps)


def test_measuring_that_takes_long_is_rare(monkeypatch):
    found = readings(MeasuringPlan(), Clock(monkeypatch), 2000, step=0.1, cost=0.2)
    assert len(found) >= 3
    assert len(found) * 0.2 <= 0.0062 * 2000


def test_a_day_of_training_is_measured_a_few_thousand_times(monkeypatch):
    found = readings(MeasuringPlan(), Clock(monkeypatch), 86_400, step=1.0)
    assert 2500 < len(found) < 3500


# -- what readers see of it


def test_readings_reach_the_view_through_a_line():
    rows = (
        {"path": "1", "weight_norm": 2.5, "grad_norm": math.inf, "update_ratio": 1e-3},
        {"path": "2", "dead": 0.25},
        {"path": "3", "grad_norm": math.nan},
    )
    event, _ = from_line(to_line(Measured(7, rows), 1.0))
    view = RunView(Path("run"))
    view.apply(event, 1.0)
    assert view.measured_step == 7
    assert view.measured["1"] == {"path": "1", "weight_norm": 2.5, "grad_norm": math.inf, "update_ratio": 1e-3}
    assert view.measured["2"] == {"path": "2", "dead": 0.25}
    assert math.isnan(view.measured["3"]["grad_norm"])


def test_what_is_no_reading_is_left_out_of_the_view():
    view = RunView(Path("run"))
    view.apply(Measured(1, ({"path": 5, "weight_norm": "big", "grad_norm": True, "more": 1, "dead": None}, {})), 1.0)
    assert view.measured == {"5": {"path": "5"}, "": {"path": ""}}


def test_readings_of_later_steps_are_forgotten_where_a_run_is_resumed_before_them():
    view = RunView(Path("run"))
    view.apply(started(), 1.0)
    view.apply(progress(12), 1.0)
    view.apply(Measured(12, ({"path": "1", "weight_norm": 1.0},)), 1.0)
    view.apply(started(start_step=12, start_epoch=1), 2.0)
    assert view.measured_step == 12
    view.apply(started(start_step=10, start_epoch=1), 3.0)
    assert view.measured == {}
    assert view.measured_step is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_on_a_gpu_the_readings_are_those_of_the_cpu():
    spec = experiment("activation", "epochs=1", "device=cuda")
    _, events = measured(spec)
    _, expected = measured(experiment("activation", "epochs=1", "device=cpu"))
    for path, row in rows_of(expected)[0].items():
        for name, value in row.items():
            assert rows_of(events)[0][path][name] == (value if name == "path" else pytest.approx(value, rel=1e-3))
