"""One optimizer step with a gradient scaler, which works on the CPU as on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.data.info import Batch
from engine.stepping import Stepper, set_training
from engine.tasks import Objective, Outcome
from tests.engine.training import experiment, make_session

CPU = torch.device("cpu")


class Scaled:
    """A linear model under a scaler; `factor` blows the loss up so that its scaled gradients overflow."""

    def __init__(self, *settings: str) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 1)
        self.factor = 1.0
        spec = experiment("mlp", *settings)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        objective = Objective("model", self._compute, lambda batch: float(len(batch.inputs)))
        self.stepper = Stepper(spec, self.model, [self.optimizer], objective, torch.float16, CPU, closure=False)
        draw = torch.Generator().manual_seed(1)
        self.batch = Batch(torch.randn(8, 4, generator=draw), torch.randn(8, 1, generator=draw), 0)

    def _compute(self, batch: Batch) -> Outcome:
        with torch.autocast("cpu", enabled=False):
            loss = self.factor * (self.model(batch.inputs) - batch.targets).square().mean()
        return Outcome(loss, float(len(batch.inputs)), batch.targets, batch.targets)

    def step(self) -> bool:
        return self.stepper.step((self.batch,), lambda outcome: None)


def test_clipping_sees_unscaled_gradients():
    scaled = Scaled("clip_norm=0.5")
    plain = nn.Linear(4, 1)
    plain.load_state_dict(scaled.model.state_dict())
    loss = (plain(scaled.batch.inputs) - scaled.batch.targets).square().mean()
    loss.backward()
    assert nn.utils.clip_grad_norm_(plain.parameters(), 0.5) > 0.5, "the test needs a gradient to clip"
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter -= 0.1 * parameter.grad
    assert scaled.step()
    for parameter, wanted in zip(scaled.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, wanted)


def test_a_step_that_overflows_is_left_out_and_the_next_one_is_not():
    scaled = Scaled()
    before = [parameter.clone() for parameter in scaled.model.parameters()]
    scaled.factor = 1e36  # finite, but not once it is scaled
    assert not scaled.step()
    assert all(torch.equal(a, b) for a, b in zip(before, scaled.model.parameters(), strict=True))
    scaled.factor = 1.0
    assert scaled.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, scaled.model.parameters(), strict=True))


def test_the_scale_survives_a_checkpoint():
    scaled = Scaled()
    scaled.factor = 1e36
    scaled.step()
    other = Scaled()
    other.stepper.load(scaled.stepper.state(), None)
    assert other.stepper.scaler.get_scale() == scaled.stepper.scaler.get_scale() == 2.0**15


@pytest.mark.parametrize("every", [1, 2])
def test_a_skipped_step_does_not_advance_the_schedule(every, monkeypatch):
    session = make_session(experiment("mlp", "scheduler=OneCycleLR(0.1)"))
    stepper, calls = session.steppers["model"], 0
    real = stepper.step

    def sometimes(batches, note):
        nonlocal calls
        calls += 1
        real(batches, note)
        return every == 2 and calls % 2 == 0

    monkeypatch.setattr(stepper, "step", sometimes)
    list(session.run())
    assert calls == 46
    advanced = session.schedule._schedulers[0].last_epoch
    assert advanced == (calls // 2 if every == 2 else 0)


def test_what_is_frozen_is_in_evaluation_mode_and_the_rest_trains():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)), nn.BatchNorm1d(3))
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    set_training(model)
    assert not model[0][1].training
    assert not model[0].training
    assert model[1].training
    assert model.training
