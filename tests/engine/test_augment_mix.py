"""MixUp and CutMix: against torchvision's, in what they draw, and in a training written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import nn
from torchvision.transforms import v2

from engine.calls import parse_call
from engine.check import check
from engine.data.augment import CutMix, MixUp, RandomHorizontalFlip, augmented
from engine.data.info import Place
from engine.errors import RequestError
from engine.events import Checkpoint
from engine.losses import RULES, mixing_problem
from engine.metrics import ClassMeter
from engine.rng import Stream, generator
from tests.engine.augmenting import independent, pictures, random
from tests.engine.test_losses import CLASSES, HOT, LABELS, PAIR, criterion
from tests.engine.training import epochs_of, experiment, make_session, resume, stop_after, train

CPU = torch.device("cpu")
LABELS_OF_20 = torch.arange(20) % 5


@pytest.mark.parametrize("kind", ["images", "rows"])
def test_mixup_equals_torchvision_to_the_bit(kind):
    mix, reference = MixUp(0.4), v2.MixUp(num_classes=5)
    inputs = pictures(20) if kind == "images" else torch.randn(20, 6, generator=random(5))
    drawn = mix.draw(20, tuple(inputs.shape[1:]), random())
    found, targets = mix.apply(inputs, drawn), mix.apply_targets(LABELS_OF_20, drawn, 5)
    for row, share in enumerate(drawn.tolist()):
        params = {"lam": share, "labels": LABELS_OF_20, "batch_size": 20}
        if kind == "images":
            assert torch.equal(found[row], reference.transform(inputs, params)[row])
        assert torch.equal(found[row], (inputs.roll(1, 0).mul(1.0 - share).add(inputs.mul(share)))[row])
        assert torch.equal(targets[row], reference.transform(LABELS_OF_20, params)[row])


def test_cutmix_equals_torchvision():
    mix, reference = CutMix(), v2.CutMix(num_classes=5)
    images = pictures(20)
    drawn = mix.draw(20, (3, 18, 15), random())
    found, targets = mix.apply(images, drawn), mix.apply_targets(LABELS_OF_20, drawn, 5)
    for row, (top, left, height, width, share) in enumerate(drawn.tolist()):
        box = tuple(int(edge) for edge in (left, top, left + width, top + height))
        params = {"box": box, "lam_adjusted": 1 - height * width / (18 * 15), "labels": LABELS_OF_20, "batch_size": 20}
        assert share == pytest.approx(params["lam_adjusted"], abs=1e-7)
        assert torch.equal(found[row], reference.transform(images, params)[row])
        torch.testing.assert_close(targets[row], reference.transform(LABELS_OF_20, params)[row], atol=2e-7, rtol=0)
    torch.testing.assert_close(targets.sum(1), torch.ones(20))


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_shares_are_beta_and_each_sample_has_its_own(alpha):
    n = 5000
    drawn = MixUp(alpha).draw(n, (3, 4, 4), random())
    # float32 holds the middle of what is drawn; shares nearer to 0 or 1 than 1e-7 are 0 or 1.
    inside = (drawn > 1e-6) & (drawn < 1 - 1e-6)
    law = stats.beta(alpha, alpha)
    expected = law.cdf(1 - 1e-6) - law.cdf(1e-6)
    assert stats.binomtest(int(inside.sum()), n, expected).pvalue > 1e-4
    if alpha > 0.1:
        below = law.cdf(1e-6)
        assert stats.kstest(drawn[inside].double().numpy(), lambda x: (law.cdf(x) - below) / expected).pvalue > 1e-3
    assert stats.binomtest(int((drawn < 0.5).sum()), n, 0.5).pvalue > 1e-4
    assert independent(drawn, n)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_as_many_samples_are_mixed_as_asked_for(kind):
    n, mix = 3000, kind(p=0.3)
    drawn = mix.draw(n, (1, 64, 64), random())
    whole = drawn == 1 if kind is MixUp else ~drawn[:, :4].any(1)
    assert stats.binomtest(int((~whole).sum()), n, 0.3 if kind is MixUp else 0.3 * (1 - 1 / 400)).pvalue > 1e-4
    images = pictures(50, 1, 8, 8)
    assert torch.equal(kind(p=0.0)(images, random()), images)


def test_rectangles_of_cutmix_have_the_area_and_the_place_asked_for():
    n, size = 4000, 1000
    top, left, height, width, share = CutMix().draw(n, (3, size, size), random()).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= size).all()
    assert (left + width <= size).all()
    whole = (top > 0) & (left > 0) & (top + height < size) & (left + width < size)
    # Of those that no edge cut, height and width are even, and equal.
    assert torch.equal(height[whole], width[whole])
    assert torch.equal(share, (size**2 - height * width) / size**2)
    # Half the side is sqrt(1 - u) / 2 of the image: cut off or not, the longest sides come from the smallest shares.
    centre = torch.cat([(top + height / 2)[whole], (left + width / 2)[whole]])
    assert abs(float(centre.mean()) - size / 2) < 15
    assert independent(share, n)


def test_other_targets_mix_as_they_are_and_mixed_ones_once_more():
    values = torch.randn(20, 3, generator=random(2))
    mix, share = MixUp(), torch.full((20,), 0.25)
    torch.testing.assert_close(mix.apply_targets(values, share, 3), 0.25 * values + 0.75 * values.roll(1, 0))
    once = mix.apply_targets(LABELS_OF_20, share, 5)
    torch.testing.assert_close(mix.apply_targets(once, share, 5), 0.25 * once + 0.75 * once.roll(1, 0))
    inputs, targets = augmented(
        (RandomHorizontalFlip(), MixUp(), CutMix()), pictures(20), LABELS_OF_20, random(), classes=5
    )
    assert inputs.shape == (20, 3, 18, 15)
    torch.testing.assert_close(targets.sum(1), torch.ones(20))


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda: MixUp(0.0), "above 0"), (lambda: CutMix(-1), "above 0"), (lambda: MixUp(p=1.2), "probability")],
)
def test_arguments_that_make_no_sense_are_refused_with_what_would(make, words):
    with pytest.raises(RequestError) as caught:
        make()
    assert words in str(caught.value)


# -- losses and meters -------------------------------------------------------------------------------------------------

SOFT = 0.7 * HOT + 0.3 * HOT.roll(1, 0)
LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("loss", "plain"),
    [
        ("CrossEntropyLoss()", nn.CrossEntropyLoss()),
        ("CrossEntropyLoss(label_smoothing=0.1)", nn.CrossEntropyLoss(label_smoothing=0.1)),
        ("CrossEntropyLoss(weight=[1, 2, 3])", nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3]))),
        ("BCEWithLogitsLoss()", nn.BCEWithLogitsLoss()),
        ("MultiLabelSoftMarginLoss()", nn.MultiLabelSoftMarginLoss()),
        ("MSELoss()", nn.MSELoss()),
        ("HuberLoss()", nn.HuberLoss()),
    ],
)
def test_losses_of_mixed_classes_equal_torch(loss, plain):
    made = criterion(loss, CLASSES, 3)
    assert torch.equal(made(LOGITS, SOFT), plain(LOGITS, SOFT))
    # The mean of several batches by their weights is the mean of all, with class weights too.
    parts = [(made(LOGITS[part], SOFT[part]), made.weigh(SOFT[part])) for part in (slice(0, 3), slice(3, 8))]
    mean = sum(loss * weight for loss, weight in parts) / sum(weight for _, weight in parts)
    torch.testing.assert_close(mean, plain(LOGITS, SOFT))


def test_mixed_targets_of_two_classes_with_one_output_and_of_divergence():
    pair = torch.stack([1 - torch.linspace(0, 1, 8), torch.linspace(0, 1, 8)], dim=1)
    made = criterion("BCEWithLogitsLoss()", PAIR, 1)
    assert torch.equal(made(LOGITS[:, :1], pair), nn.BCEWithLogitsLoss()(LOGITS[:, :1], pair[:, 1:]))
    logs = LOGITS.log_softmax(1)
    assert torch.equal(
        criterion("KLDivLoss()", CLASSES, 3)(logs, SOFT), nn.KLDivLoss(reduction="batchmean")(logs, SOFT)
    )
    labels = torch.rand(8, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(
        criterion("BCEWithLogitsLoss()", LABELS, 3)(LOGITS, labels), nn.BCEWithLogitsLoss()(LOGITS, labels)
    )


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.soft and "Classification" in rule.tasks])
def test_losses_that_take_mixed_targets_lie_between_those_of_the_whole_ones(name):
    # Linear or convex in the target: never beyond the mean of the two, and never as if one of them were not there.
    made = criterion(f"{name}()", CLASSES, 3)
    output = {"log_probabilities": LOGITS.log_softmax(1), "probabilities": LOGITS.sigmoid()}.get(
        made.rule.output, LOGITS
    )
    classes = torch.tensor([0, 1, 2, 2, 1, 0, 1, 2])
    ends = made(output, classes), made(output, classes.roll(1))
    mixed = made(output, SOFT)
    entropy = float(-(SOFT * SOFT.clamp(min=1e-9).log()).sum(1).mean())
    assert float(mixed) <= float(0.7 * ends[0] + 0.3 * ends[1]) + 1e-5
    assert float(mixed) >= float(0.7 * ends[0] + 0.3 * ends[1]) - max(entropy, 1.0)


def test_the_heavier_class_counts_as_the_answer():
    mixed, plain = (ClassMeter(3, CPU, lambda output: output.argmax(1), top5=False) for _ in range(2))
    output = LOGITS + SOFT
    mixed.update(torch.tensor(0.5), 8.0, output, SOFT)
    plain.update(torch.tensor(0.5), 8.0, output, SOFT.argmax(1))
    assert mixed.compute() == plain.compute()
    assert 0 < plain.compute()["accuracy"] < 1


# -- trainings ---------------------------------------------------------------------------------------------------------

MIXED = 'data.augment=["RandomHorizontalFlip(0.3)", "MixUp(0.4)"]'


def test_training_with_mixup_gives_the_same_bits_as_a_loop_written_out():
    spec = experiment("activation", "data.validation=holdout(0.2)", MIXED)
    _, events = train(spec)
    data = make_session(spec).prepared.train
    torch.manual_seed(spec.seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    optimizer, loss_of = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    mean, std = make_session(spec).prepared.mean.view(-1, 1, 1), make_session(spec).prepared.std.view(-1, 1, 1)
    rows = []
    for epoch in range(2):
        order = torch.randperm(len(data), generator=generator("cpu", spec.seed, Stream.ORDER, epoch))
        total, hits = 0.0, 0
        for number, index in enumerate(order.split(64)):
            draws = generator("cpu", spec.seed, Stream.AUGMENT, epoch, number)
            images, labels = data.inputs[index].float() / 16, data.targets[index]
            flipped = torch.rand(len(index), generator=draws) < 0.3
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            share = MixUp(0.4).draw(len(index), (1, 8, 8), draws)[:, None]
            across = share[:, :, None, None]
            images = images.roll(1, 0) * (1 - across) + images * across
            hot = nn.functional.one_hot(labels, 10).float()
            soft = hot.roll(1, 0) * (1 - share) + hot * share
            optimizer.zero_grad()
            output = model((images - mean) / std)
            loss = loss_of(output, soft)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
            hits += int((output.argmax(1) == soft.argmax(1)).sum())
        rows.append((total / len(data), hits / len(data)))
    found = [(row.metrics["train/loss"], row.metrics["train/accuracy"]) for row in epochs_of(events)]
    assert found == rows
    last = [event for event in events if isinstance(event, Checkpoint) and event.kind == "step"][-1]
    for ours, theirs in zip(last.networks["model"].values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_streamed_samples_are_mixed_as_resident_ones():
    resident, streamed = (
        make_session(experiment("activation", MIXED, f"data.memory={memory}")).prepared.train
        for memory in ("auto", "0.001 MiB")
    )
    assert type(resident) is not type(streamed)
    for ours, theirs in zip(streamed.shuffled(0, 1, 100), resident.shuffled(0, 1, 100), strict=True):
        assert ours.targets.shape[1:] == (10,)
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)


def test_a_resume_with_cutmix_gives_the_same_bits():
    spec = experiment("activation", 'data.augment=["CutMix(0.5, p=0.5)"]')
    whole, _ = train(spec)
    _, checkpoint, events = stop_after(spec, 9)
    resumed, _ = resume(spec, checkpoint, events)
    for name, tensor in whole.networks["model"].state_dict().items():
        assert torch.equal(tensor, resumed.networks["model"].state_dict()[name])


@pytest.mark.parametrize(
    "settings",
    [
        ("accumulate=3",),
        ("optimizer=LBFGS(max_iter=3)", "data.batch_size=512"),
        ("loss=CrossEntropyLoss(label_smoothing=0.1)",),
    ],
)
def test_mixed_targets_go_with_everything_that_trains(settings):
    session, events = train(experiment("activation", "epochs=1", MIXED, *settings))
    assert session.status == "finished"
    assert math.isfinite(epochs_of(events)[0].metrics["train/loss"])


@pytest.mark.parametrize("loss", ["NLLLoss()", "MultiMarginLoss()", "CrossEntropyLoss(ignore_index=2)"])
def test_what_cannot_take_mixed_targets_is_refused_before_the_run(loss):
    layers = 'network.layers=["Flatten()", "Linear(classes)", "LogSoftmax(dim=1)"]'
    settings = (f"loss={loss}", *((layers,) if loss == "NLLLoss()" else ()))
    report = check(experiment("activation", MIXED, *settings), Place(Path("nowhere")))
    assert report.error is not None
    assert report.error.path == "data.augment.1"
    assert "MixUp(0.4) mixes targets" in report.error.message
    assert check(experiment("activation", *settings), Place(Path("nowhere"))).ok


def test_every_rule_says_whether_it_takes_mixed_targets():
    for name, rule in RULES.items():
        for task in rule.tasks:
            reason = mixing_problem(parse_call(f"{name}()"), task)
            assert (reason is None) == rule.soft
