"""What is frozen, what is thawed when, and at which share of the learning rate, against PyTorch written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from engine import freezing
from engine.build import build_network
from engine.calls import parse_call
from engine.check import check
from engine.data.info import Batch, Place
from engine.errors import RequestError
from engine.events import Checkpoint, Message
from engine.optimize import Schedule, build_grouped
from engine.shapes import propagate
from engine.stepping import Stepper
from engine.tasks import Objective, Outcome
from tests.engine.test_resume import assert_same_end
from tests.engine.training import epochs_of, experiment, make_session, resume, stop_after, train

STEPS = 23  # of an epoch of digits at batch 64, a fifth held out

# The first layer at a tenth of the rate, the second from the third epoch on.
LAYERS = (
    "network.layers=['Flatten()', 'Linear(16, lr_scale=0.1)', 'BatchNorm1d(thaw=3)', 'ReLU()', "
    "'Linear(12, frozen=True, thaw=3)', 'ReLU()', 'Linear(classes)']"
)


def thawing(*more: str):
    return experiment(
        "activation", LAYERS, "epochs=4", "optimizer=SGD(lr=0.05, momentum=0.9, weight_decay=0.01)", *more
    )


def last_weights(events) -> dict[str, torch.Tensor]:
    return [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1].networks["model"]


def by_hand(spec) -> dict[str, torch.Tensor]:
    """The same training in plain PyTorch."""
    prepared = make_session(spec).prepared
    torch.manual_seed(spec.seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10)
    )
    full = [*model[2].parameters(), *model[4].parameters(), *model[6].parameters()]
    groups = [{"params": full}, {"params": list(model[1].parameters()), "lr": 0.05 * 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=0.01)
    for epoch in range(spec.epochs):
        model.train()
        for layer in (model[2], model[4]):
            layer.requires_grad_(epoch + 1 >= 3)
            layer.train(epoch + 1 >= 3)
        for batch in prepared.train.shuffled(spec.seed, epoch, spec.data.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.inputs), batch.targets).backward()
            optimizer.step()
    return model.state_dict()


def test_thawing_and_shares_of_the_rate_equal_plain_pytorch_to_the_bit():
    spec = thawing()
    _, events = train(spec)
    expected = by_hand(spec)
    found = last_weights(events)
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_what_is_thawed_is_said_with_its_parameters():
    _, events = train(thawing())
    told = [event.text for event in events if isinstance(event, Message) and "thawed" in event.text]
    assert told == [f"epoch 3: layer 2 and layer 4 are thawed, {32 + 16 * 12 + 12} more parameters train"]
    epochs = [index for index, event in enumerate(events) if event in epochs_of(events)]
    said = next(index for index, event in enumerate(events) if isinstance(event, Message) and "thawed" in event.text)
    assert epochs[1] < said < epochs[2]


def test_a_backbone_thawed_by_schedule_equals_plain_pytorch_to_the_bit(tmp_path):
    draw = torch.Generator().manual_seed(2)
    tensors = {"x": torch.rand(40, 3, 32, 32, generator=draw), "y": torch.arange(40) % 3}
    save_file(tensors, tmp_path / "pictures.safetensors")
    backbone = (
        "Backbone('shufflenet_v2_x0_5', weights=None, frozen='all', thaw={2: ('conv5', 'stage4.3'), 3: 'all'}, "
        "lr_scale={'conv5': 0.1, 'stage4': 0.01, 'stage4.3': 0.5})"
    )
    spec = experiment(
        "activation", f"data.source=Tensors('{tmp_path / 'pictures.safetensors'}')", f"network.layers=[\"{backbone}\"]",
        "epochs=3", "optimizer=SGD(lr=0.02, momentum=0.9, weight_decay=0.01)", "data.batch_size=8",
        "data.normalize=none",
    )  # fmt: skip
    session = make_session(spec)
    events = list(session.run())
    told = [event.text for event in events if isinstance(event, Message) and "thawed" in event.text]
    assert [text.partition(" thawed")[0] for text in told] == [
        "epoch 2: stage4.3 and conv5 are", "epoch 3: conv1, stage2, stage3 and stage4 are",
    ]  # fmt: skip

    torch.manual_seed(spec.seed)
    model = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=3)
    share = {"stage4.3": 0.5, "conv5": 0.1, "stage4": 0.01}
    scales = {
        name: next((value for path, value in share.items() if name.startswith(f"{path}.")), 1.0)
        for name, _ in model.named_parameters()
    }
    groups = [
        {"params": [p for name, p in model.named_parameters() if scales[name] == scale], "lr": 0.02 * scale}
        for scale in (1.0, 0.5, 0.1, 0.01)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.9, weight_decay=0.01)
    for epoch in range(3):
        model.train()
        for module in (model.conv1, model.stage2, model.stage3, model.stage4, model.conv5):
            module.requires_grad_(epoch == 2)
            module.train(epoch == 2)
        model.fc.requires_grad_(True)
        if epoch == 1:
            for module in (model.conv5, model.stage4[3]):
                module.requires_grad_(True)
                module.train()
        for batch in session.prepared.train.shuffled(spec.seed, epoch, 8):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.inputs), batch.targets).backward()
            optimizer.step()
    found = last_weights(events)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, found[f"0.{name}"]), name


def test_frozen_layers_have_no_gradients_and_keep_their_numbers_until_they_are_thawed():
    session = make_session(thawing())
    network = session.networks["model"]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    looked = 0
    for event in session.run():
        if getattr(event, "epoch", 0) == 2 and event in epochs_of([event]):
            looked += 1
            # What trains has them at this moment.
            assert network.get_parameter("6.weight").grad is not None
            for path in ("2", "4"):
                module = network.get_submodule(path)
                assert all(parameter.grad is None for parameter in module.parameters())
                # Weight decay and running statistics, too.
                for name, tensor in module.state_dict().items():
                    assert torch.equal(tensor, before[f"{path}.{name}"]), name
    assert looked == 1
    assert not torch.equal(network.get_parameter("4.weight"), before["4.weight"])


@pytest.mark.parametrize(
    "looks",
    [9, STEPS + 3, 2 * STEPS + 4, 2 * (STEPS + 2) + 1, 2 * (STEPS + 2) + 9, 3 * (STEPS + 2) + 9],
    ids=["before", "the epoch before", "evaluating before", "between the epochs", "in the epoch", "after it"],
)
def test_stop_before_or_after_thawing_and_resume_gives_the_same_bits(looks):
    spec = thawing("scheduler=CosineAnnealingLR()", "ema=0.9", "optimizer=AdamW(lr=0.01)")
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, looks)
    later = resume(spec, checkpoint, events)
    assert_same_end(whole, later)
    # Each thawing is told once, by the part of the run in which it happens.
    told = [e for e in [*events, *later[1]] if isinstance(e, Message) and "thawed" in e.text]
    assert len(told) == 1


UNSCALED = (
    "network.layers=['Flatten()', 'BatchNorm1d(affine=False, {})', 'Linear(12)', 'ReLU()', 'Dropout(0.5, {})', "
    "'Linear(classes)']"
)


def test_a_frozen_layer_without_parameters_is_as_in_evaluation():
    """Its running statistics stay as they are, and a Dropout lets everything through."""
    spec = experiment("activation", UNSCALED.format("frozen=True", "frozen=True"), "epochs=2", "ema=0.9")
    session, events = train(spec)
    network = session.networks["model"]
    assert network[1].running_mean.eq(0).all()
    assert network[1].running_var.eq(1).all()
    assert network[1].num_batches_tracked == 0
    assert [module.training for module in network] == [True, False, True, True, False, True]

    prepared = make_session(spec).prepared
    torch.manual_seed(spec.seed)
    norm = nn.BatchNorm1d(64, affine=False).eval()
    model = nn.Sequential(nn.Flatten(), norm, nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = build_grouped(spec.optimizer, [freezing.Group(tuple(model.parameters()))])[0]
    for epoch in range(2):
        for batch in prepared.train.shuffled(spec.seed, epoch, spec.data.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch.inputs), batch.targets).backward()
            optimizer.step()
    found = last_weights(events)
    assert torch.equal(found["2.weight"], model[2].weight)
    assert torch.equal(found["5.bias"], model[4].bias)


@pytest.mark.parametrize("around", ["{}", "Sequential({}, thaw=3)", "Residual({}, thaw=3)"])
def test_statistics_begin_to_move_with_the_epoch_that_thaws_them(around):
    layer = around.format("BatchNorm1d(affine=False)" if around != "{}" else "BatchNorm1d(affine=False, thaw=3)")
    spec = experiment("activation", f"network.layers=['Flatten()', '{layer}', 'Linear(classes)']", "epochs=4")
    session = make_session(spec)
    norm = next(m for m in session.networks["model"].modules() if isinstance(m, nn.BatchNorm1d))
    seen = [int(norm.num_batches_tracked) for event in session.run() if event in epochs_of([event])]
    assert seen == [0, 0, STEPS, 2 * STEPS]
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, 2 * (STEPS + 2) + 9)
    assert_same_end(whole, resume(spec, checkpoint, events))


@pytest.mark.parametrize("optimizer", ["LBFGS(max_iter=2)", "Muon(lr=0.02)", "Adam(weight_decay=0.1)", "Adagrad()"])
def test_every_kind_of_optimizer_waits_for_what_is_thawed(optimizer):
    spec = experiment("activation", LAYERS.replace(", lr_scale=0.1", ""), "epochs=3", f"optimizer={optimizer}")
    session = make_session(spec)
    network = session.networks["model"]
    before = network.get_parameter("4.weight").detach().clone()
    seen = []
    for event in session.run():
        if event in epochs_of([event]):
            seen.append(torch.equal(network.get_parameter("4.weight"), before))
    assert seen == [True, True, False]
    whole = train(spec)
    _, checkpoint, events = stop_after(spec, 2 * (STEPS + 2) + 9)
    assert_same_end(whole, resume(spec, checkpoint, events))


def test_an_optimizer_with_one_rate_refuses_shares_in_words():
    error = check(thawing("optimizer=LBFGS()"), Place(Path("nowhere"))).error
    assert error.path == "optimizer"
    assert "LBFGS has one rate for all layers; leave lr_scale out" in error.message
    groups = [freezing.Group((nn.Parameter(torch.ones(2)),), share) for share in (1.0, 0.1)]
    with pytest.raises(RequestError, match="one rate for all layers"):
        build_grouped(parse_call("LBFGS()"), groups)


def problem(*layers: str):
    spec = experiment("activation", f"network.layers={list(layers)}")
    return check(spec, Place(Path("nowhere")))


def test_a_network_of_which_nothing_trains_at_first_is_refused():
    found = problem("Flatten()", "Linear(8, frozen=True)", "Linear(classes, thaw=3)")
    assert found.error.path == "2"
    assert found.error.message.startswith("nothing trains before epoch 3: all that has parameters is frozen until then")
    found = problem("Flatten()", "Linear(8, frozen=True)", "Linear(classes, frozen=True)")
    assert found.error.path == "optimizer"
    assert "nothing to train: every parameter is frozen" in found.error.message
    assert problem("Flatten()", "Linear(8, thaw=2)", "Linear(classes)").error is None


def test_thawing_after_the_last_epoch_is_told():
    found = problem("Flatten()", "Linear(8, thaw=20)", "Linear(classes)")
    assert found.ok
    assert "layer 1 is thawed with epoch 20, and the run has 2: it stays frozen" in found.warnings


def test_gradient_scaling_leaves_an_optimizer_out_that_is_all_frozen():
    # Muon has the matrix, which is frozen as yet; the vector is AdamW's.
    model = nn.Sequential(nn.Linear(4, 1))
    optimizers = build_grouped(parse_call("Muon()"), [freezing.Group(tuple(model.parameters()))])
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def compute(batch: Batch) -> Outcome:
        with torch.autocast("cpu", enabled=False):
            loss = (model(batch.inputs) - batch.targets).square().mean()
        return Outcome(loss, 8.0, batch.targets, batch.targets)

    objective = Objective("model", compute, lambda batch: 8.0)
    cpu = torch.device("cpu")
    stepper = Stepper(experiment("mlp"), model, optimizers, objective, torch.float16, cpu, closure=False)
    assert stepper.step((Batch(torch.ones(8, 4), torch.ones(8, 1), 0),), lambda outcome: None)
    assert torch.equal(model[0].weight, before["0.weight"])
    assert not torch.equal(model[0].bias, before["0.bias"])


# -- parameter groups over random networks -----------------------------------------------------------------------------

LEAVES = ["Linear(6", "BatchNorm1d(", "LayerNorm(", "PReLU("]


@st.composite
def layer(draw, depth=2):
    words = []
    if draw(st.booleans()):
        words.append(f"lr_scale={draw(st.sampled_from(['0.1', '0.01', '2.0', '1']))}")
    if draw(st.integers(0, 3)) == 0:
        words.append("frozen=True")
    if draw(st.integers(0, 3)) == 0:
        words.append(f"thaw={draw(st.integers(2, 4))}")
    if depth and draw(st.integers(0, 2)) == 0:
        inner = [draw(layer(depth - 1)) for _ in range(draw(st.integers(1, 2)))]
        kind = draw(st.sampled_from(["Sequential(", "Residual(", "Repeat(2, "]))
        return f"{kind}{', '.join([*inner, *words])})"
    head = draw(st.sampled_from(LEAVES))
    return f"{head}{', ' if words and not head.endswith('(') else ''}{', '.join(words)})"


@settings(max_examples=60, deadline=None)
@given(st.lists(layer(), min_size=1, max_size=4))
def test_groups_are_disjoint_and_hold_all_that_ever_trains(layers):
    found = propagate([parse_call(text) for text in layers], (6,))
    assert found.problem is None, found.problem
    network = build_network(found)
    groups = freezing.parameter_groups(network, found)
    ids = [id(parameter) for group in groups for parameter in group.parameters]
    assert len(ids) == len(set(ids))
    rules = freezing.rules(network, found)
    ever = {id(p) for name, p in network.named_parameters() if rules[name].begins < math.inf}
    assert set(ids) == ever
    assert len({group.lr_scale for group in groups}) == len(groups)
    if any(group.lr_scale == 1 for group in groups):
        assert groups[0].lr_scale == 1
    assert {group.lr_scale for group in groups} == {rule.lr_scale for rule in freezing.trained(found)}
    # Epoch by epoch more trains, and in the end all that is in the groups does.
    freezing.thaw(network, found, 1)
    trains = {id(p) for p in network.parameters() if p.requires_grad}
    for epoch in range(2, 5):
        begun = freezing.thaw(network, found, epoch)
        now = {id(p) for p in network.parameters() if p.requires_grad}
        assert trains <= now
        assert sum(begun.values()) == sum(p.numel() for p in network.parameters() if id(p) in now - trains)
        assert not begun or epoch in freezing.epochs(found)
        trains = now
    assert trains == ever
    assert not freezing.thaw(network, found, 5)


# -- rates -------------------------------------------------------------------------------------------------------------


def grouped(call: str | None, lr: float = 0.1, optimizer: str = "SGD", shares=(1.0, 0.1, 0.01)):
    groups = [freezing.Group((nn.Parameter(torch.ones(2, 2)),), share) for share in shares]
    for group in groups:
        group.parameters[0].grad = torch.zeros(2, 2)
    optimizers = build_grouped(parse_call(f"{optimizer}(lr={lr})"), groups)
    chosen = None if call is None else parse_call(call)
    return optimizers[0], Schedule(chosen, optimizers, epochs=10, steps_per_epoch=5, monitor="val/loss")


SCHEDULES = [
    None,
    "StepLR(3)",
    "OneCycleLR(0.3)",
    "CyclicLR(0.001, 0.2, step_size_up=7)",
    "CosineAnnealingLR(eta_min=0.01)",
    "CosineAnnealingWarmRestarts(3, eta_min=0.001)",
    "ReduceLROnPlateau(patience=0, min_lr=0.002)",
    "ReduceLROnPlateau(patience=0, factor=0.01)",
    "SWALR(0.02, anneal_epochs=3)",
    "SequentialLR([LinearLR(total_iters=2), CosineAnnealingLR(eta_min=0.01)], milestones=[2])",
    "ChainedScheduler([ConstantLR(total_iters=2), ExponentialLR(0.9)])",
]


@pytest.mark.parametrize("call", SCHEDULES)
def test_schedules_and_set_rates_keep_the_ratio_of_the_groups(call):
    optimizer, schedule = grouped(call)
    alone, single = grouped(call, shares=(1.0,))
    for epoch in range(10):
        for _ in range(5):
            rates = [group["lr"] for group in optimizer.param_groups]
            assert rates[0] == schedule.lr == pytest.approx(single.lr)
            assert rates[1] == pytest.approx(rates[0] * 0.1, rel=1e-6, abs=1e-15)
            assert rates[2] == pytest.approx(rates[0] * 0.01, rel=1e-6, abs=1e-15)
            optimizer.step()
            alone.step()
            schedule.after_step()
            single.after_step()
        for each in (schedule, single):
            each.after_epoch({"val/loss": 1.0})
        if epoch == 5:
            schedule.set_lr(0.07)
            single.set_lr(0.07)
            assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.07, 0.007, 0.0007])


def test_a_rate_set_while_it_is_nought_keeps_the_ratio():
    optimizer, schedule = grouped(None, lr=0.0)
    schedule.set_lr(0.2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.02, 0.002])


def test_one_cycle_with_shares_equals_torchs_own_with_a_list():
    optimizer, schedule = grouped("OneCycleLR(0.3)")
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    other = torch.optim.SGD([{"params": [p]} for p in parameters], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        other, [0.3 * 1.0, 0.3 * 0.1, 0.3 * 0.01], total_steps=50, cycle_momentum=False
    )
    for _ in range(49):
        assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in other.param_groups]
        optimizer.step()
        other.step()
        schedule.after_step()
        cycle.step()


def parameters_of(model: nn.Module, *paths: str) -> int:
    return sum(p.numel() for path in paths for p in model.get_submodule(path).parameters())


def test_what_is_thawed_is_known_of_every_row_by_epoch():
    layers = (
        "Backbone('resnet18', weights=None, frozen='to:layer4', thaw={5: 'layer4', 8: ('layer3.1', 'layer2')})",
        "Sequential(Linear(8), Linear(8, thaw=6), thaw=3)",
        "Linear(4, frozen=True)",
        "Linear(classes)",
    )
    found = propagate([parse_call(text) for text in layers], (3, 64, 64), symbols={"classes": 2})
    assert found.problem is None, found.problem
    schedule = freezing.schedule(found)
    model = torchvision.models.resnet18(num_classes=2)
    later = parameters_of(model, "layer2", "layer3.1")
    assert schedule["0"] == ((5, parameters_of(model, "layer4")), (8, later))
    assert schedule["0.layer4"] == ((5, parameters_of(model, "layer4")),)
    assert schedule["0.layer3"] == schedule["0.layer3.1"] == ((8, parameters_of(model, "layer3.1")),)
    assert schedule["1"] == ((3, 24), (6, 72))
    assert (schedule["1.0"], schedule["1.1"]) == (((3, 24),), ((6, 72),))
    assert not {"0.conv1", "0.layer1", "0.layer3.0", "0.fc", "2", "3"} & set(schedule)
    # What is not thawed and trains, and what is frozen for good, is what is left of each row.
    rows = {row.path: row for row in found.rows}
    assert rows["0"].trainable - sum(size for _, size in schedule["0"]) == parameters_of(model, "fc")


def test_shares_of_the_rate_are_known_of_every_row_that_trains_at_one():
    layers = (
        "Backbone('resnet18', None, None, 'to:layer1', lr_scale={'layer1': 0.5, 'layer3': 0.1, 'layer3.0': 0.01})",
        "Sequential(Linear(2), Linear(3, lr_scale=0.2), lr_scale=0.4)",
        "Linear(classes)",
    )
    found = propagate([parse_call(layer) for layer in layers], (3, 64, 64), symbols={"classes": 2})
    known = freezing.shares(found)
    assert {path: scales for path, scales in known.items() if path.count(".") < 2} == {
        "0": (0.01, 0.1, 1.0), "0.layer3": (0.01, 0.1), "1": (0.2, 0.4), "1.0": (0.4,), "1.1": (0.2,),
    }  # fmt: skip
    assert known["0.layer3.0"] == (0.01,)
    assert known["0.layer3.1"] == (0.1,)


RESNET = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}


@pytest.mark.parametrize(
    ("arguments", "first", "later"),
    [
        # What is not frozen at all is until then; of what is frozen in part, the rest trains before.
        ("thaw={2: 'layer4'}", {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"}, {"layer4"}),
        ("frozen='to:layer3', thaw={2: 'all'}", {"layer4", "fc"}, {"conv1", "bn1", "layer1", "layer2", "layer3"}),
        ("frozen=('layer4.0', 'layer2'), thaw={2: 'layer4'}", {"conv1", "bn1", "layer1", "layer3", "layer4.1", "fc"},
         {"layer4.0"}),
        # A head that is frozen thaws with all.
        ("frozen='to:fc', thaw={3: ('bn1', 'layer4'), 2: 'all'}", set(), RESNET),
        ("frozen=('fc', 'layer4'), thaw={2: 'all'}", RESNET - {"fc", "layer4"}, {"fc", "layer4"}),
        ("thaw={2: 'all'}", {"fc"}, RESNET - {"fc"}),
        ("frozen=('layer1',), thaw={2: ('layer1', 'layer2')}", {"conv1", "bn1", "layer3", "layer4", "fc"},
         {"layer1", "layer2"}),
    ],
)  # fmt: skip
def test_what_frozen_leaves_out_of_a_module_trains_before_it_is_thawed(arguments, first, later):
    found = propagate(
        [parse_call(f"Backbone('resnet18', weights=None, {arguments})")], (3, 64, 64), symbols={"classes": 2}
    )
    network = build_network(found)
    model = network[0]

    def training() -> set[str]:
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    def of(modules: set[str]) -> set[str]:
        return {name for name, _ in model.named_parameters() if any(name.startswith(f"{one}.") for one in modules)}

    freezing.thaw(network, found, 1)
    assert training() == of(first)
    freezing.thaw(network, found, 2)
    assert training() == of(first | later)
