"""Every loss that can serve, against torch's own on targets written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from engine import catalogue
from engine.calls import parse_call
from engine.data.info import DataInfo
from engine.errors import RequestError
from engine.losses import REFUSED, RULES, Criterion, rule_of
from engine.tasks import Regression, Setting
from tests.engine.training import epochs_of, experiment, train

CPU = torch.device("cpu")
CLASSES = DataInfo((4,), "float32", "classes", ("a", "b", "c"), 3, 100, None, False)
PAIR = DataInfo((4,), "float32", "classes", ("a", "b"), 2, 100, None, False)
LABELS = DataInfo((4,), "float32", "multilabel", ("a", "b", "c"), 3, 100, None, False)
VALUES = DataInfo((4,), "float32", "values", (), 2, 100, None, False)

OUTPUT = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 1, 2, 2, 1, 0, 1, 2])
HOT = torch.eye(3)[TARGET]
MANY = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])


def criterion(loss: str, info: DataInfo, outputs: int, task: str = "Classification") -> Criterion:
    return Criterion(parse_call(loss), task, info, outputs, CPU)


def test_every_loss_of_the_catalogue_serves_a_task_or_is_refused_with_a_reason():
    for name in catalogue.entries("losses"):
        assert (name in RULES) != (name in REFUSED), name
        if name in REFUSED:
            with pytest.raises(RequestError, match="cannot serve"):
                rule_of(parse_call(f"{name}()"), "Classification")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("CrossEntropyLoss()", F.cross_entropy(OUTPUT, TARGET)),
        ("CrossEntropyLoss(label_smoothing=0.1)", F.cross_entropy(OUTPUT, TARGET, label_smoothing=0.1)),
        ("CrossEntropyLoss(weight=[1, 2, 3])", F.cross_entropy(OUTPUT, TARGET, torch.tensor([1.0, 2, 3]))),
        ("MultiMarginLoss()", F.multi_margin_loss(OUTPUT, TARGET)),
        ("MSELoss()", F.mse_loss(OUTPUT, HOT)),
        ("L1Loss()", F.l1_loss(OUTPUT, HOT)),
        ("HuberLoss()", F.huber_loss(OUTPUT, HOT)),
        ("BCEWithLogitsLoss()", F.binary_cross_entropy_with_logits(OUTPUT, HOT)),
        ("SoftMarginLoss()", F.soft_margin_loss(OUTPUT, HOT * 2 - 1)),
        ("MultiLabelSoftMarginLoss()", F.multilabel_soft_margin_loss(OUTPUT, HOT)),
        (
            "MultiLabelMarginLoss()",
            F.multilabel_margin_loss(OUTPUT, torch.stack([TARGET, *[torch.full((8,), -1)] * 2], 1)),
        ),
    ],
)
def test_single_label_losses(loss, expected):
    torch.testing.assert_close(criterion(loss, CLASSES, 3)(OUTPUT, TARGET), expected)


def test_log_probabilities():
    logs = F.log_softmax(OUTPUT, 1)
    torch.testing.assert_close(criterion("NLLLoss()", CLASSES, 3)(logs, TARGET), F.nll_loss(logs, TARGET))
    wanted = F.kl_div(logs, HOT, reduction="batchmean")
    torch.testing.assert_close(criterion("KLDivLoss()", CLASSES, 3)(logs, TARGET), wanted)


def test_two_classes_with_one_output():
    output, target = OUTPUT[:, :1], TARGET.clamp(max=1)
    made = criterion("BCEWithLogitsLoss(pos_weight=[2.0])", PAIR, 1)
    wanted = F.binary_cross_entropy_with_logits(output[:, 0], target.float(), pos_weight=torch.tensor([2.0]))
    torch.testing.assert_close(made(output, target), wanted)
    assert torch.equal(made.predict(output), (output[:, 0] > 0).long())
    sure = criterion("BCELoss()", PAIR, 1)
    assert torch.equal(sure.predict(output.sigmoid()), (output[:, 0] > 0).long())


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("BCEWithLogitsLoss()", F.binary_cross_entropy_with_logits(OUTPUT, MANY)),
        ("MultiLabelSoftMarginLoss()", F.multilabel_soft_margin_loss(OUTPUT, MANY)),
        ("SoftMarginLoss()", F.soft_margin_loss(OUTPUT, MANY * 2 - 1)),
    ],
)
def test_multi_label_losses(loss, expected):
    made = criterion(loss, LABELS, 3)
    torch.testing.assert_close(made(OUTPUT, MANY), expected)
    assert torch.equal(made.predict(OUTPUT), OUTPUT > 0)


def test_multi_label_margin_lists_the_labels_that_apply():
    lists = [[0, 2], [], [0, 1, 2], [1], [0], [2], [0, 1], [1, 2]]
    wanted = torch.tensor([[*row, *[-1] * (3 - len(row))] for row in lists])
    made = criterion("MultiLabelMarginLoss()", LABELS, 3)
    torch.testing.assert_close(made(OUTPUT, MANY), F.multilabel_margin_loss(OUTPUT, wanted))


def test_regression_losses():
    output, target = torch.randn(8, 2), torch.randn(8, 2)
    for loss, plain in (("MSELoss()", F.mse_loss), ("L1Loss()", F.l1_loss), ("SmoothL1Loss()", F.smooth_l1_loss)):
        torch.testing.assert_close(criterion(loss, VALUES, 2, "Regression")(output, target), plain(output, target))
    wide = torch.randn(8, 4)
    wanted = F.gaussian_nll_loss(wide[:, :2], target, F.softplus(wide[:, 2:]))
    torch.testing.assert_close(criterion("GaussianNLLLoss()", VALUES, 4, "Regression")(wide, target), wanted)
    counts = torch.randint(0, 5, (8, 2)).float()
    wanted = F.poisson_nll_loss(output, counts)
    torch.testing.assert_close(criterion("PoissonNLLLoss()", VALUES, 2, "Regression")(output, counts), wanted)


def test_the_weight_of_a_batch_is_what_its_mean_was_divided_by():
    made = criterion("CrossEntropyLoss(weight=[1, 2, 3])", CLASSES, 3)
    assert made.weigh(TARGET) == 2 * 1 + 3 * 2 + 3 * 3
    ignoring = criterion("CrossEntropyLoss(ignore_index=2)", CLASSES, 3)
    assert ignoring.weigh(TARGET) == 5
    assert criterion("CrossEntropyLoss()", CLASSES, 3).weigh(TARGET) == 8


@pytest.mark.parametrize("loss", ["MultiMarginLoss(weight=[1, 2, 3])", "CrossEntropyLoss(weight=[1, 2, 3])"])
def test_means_of_parts_by_their_weights_give_the_mean_of_the_whole(loss):
    made = criterion(loss, CLASSES, 3)
    parts = [(OUTPUT[:3], TARGET[:3]), (OUTPUT[3:], TARGET[3:])]
    weights = [made.weigh(target) for _, target in parts]
    total = sum(made(*part) * weight for part, weight in zip(parts, weights, strict=True)) / sum(weights)
    torch.testing.assert_close(total, made(OUTPUT, TARGET))


@pytest.mark.parametrize(
    "loss", ["CrossEntropyLoss(weight=[1, 2, 3])", "CrossEntropyLoss(ignore_index=1)", "NLLLoss(weight=[1, 2, 3])"]
)
def test_a_weight_is_not_read_back_from_the_device(loss):
    # Reading a number of a meta tensor raises, so this stands for every device that a step must not wait for.
    made = Criterion(parse_call(loss), "Classification", CLASSES, 3, torch.device("meta"))
    assert isinstance(made.weigh(TARGET.to("meta")), torch.Tensor)


@pytest.mark.parametrize(
    ("loss", "info", "target", "task"),
    [
        ("GaussianNLLLoss()", VALUES, torch.randn(8, 1), "Regression"),
        ("SoftMarginLoss()", PAIR, TARGET.clamp(max=1), "Classification"),
        ("MultiLabelSoftMarginLoss()", PAIR, TARGET.clamp(max=1), "Classification"),
    ],
)
def test_a_loss_is_taken_in_full_precision_also_under_autocast(loss, info, target, task):
    output = OUTPUT[:, :2].to(torch.bfloat16)
    made = criterion(loss, info, 2, task)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(output, target)
    assert torch.equal(found, made(output.float(), target))


def test_predictions_of_rates_follow_the_loss_however_its_arguments_are_written():
    for loss in ("PoissonNLLLoss(False)", "PoissonNLLLoss(log_input=False)"):
        task = Regression(standardize=False)
        task.set_up({"model": nn.Identity()}, Setting(VALUES, parse_call(loss), CPU, 2))
        assert torch.equal(task._values(OUTPUT), OUTPUT)


@pytest.mark.parametrize(
    ("loss", "task", "words"),
    [
        ("MSELoss('sum')", "Classification", "leave it out"),
        ("MultiMarginLoss(p=7)", "Classification", "MultiMarginLoss"),
        ("CTCLoss()", "Classification", "sequences"),
        ("CrossEntropyLoss()", "Regression", "these can: "),
        ("CrossEntropyLoss(reduction='sum')", "Classification", "leave it out"),
        ("CrossEntropyLos()", "Classification", "did you mean `CrossEntropyLoss`"),
        ("CrossEntropyLoss(weight=[1, 2])", "Classification", "2 numbers, but the network has 3 outputs"),
    ],
)
def test_a_loss_that_cannot_serve_is_refused_with_words(loss, task, words):
    with pytest.raises(RequestError, match=words):
        criterion(loss, CLASSES, 3, task)


# With which last layer each loss trains digits, or diabetes.
_ENDS = {"NLLLoss": "LogSoftmax(dim=1)", "KLDivLoss": "LogSoftmax(dim=1)", "BCELoss": "Sigmoid()"}


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if "Classification" in rule.tasks])
def test_every_classification_loss_trains_digits(name):
    spec = experiment("activation", f"loss={name}()", "optimizer=Adam(lr=1e-3)", "epochs=4")
    if name in _ENDS:
        network = spec.networks["model"]
        layers = ", ".join(f'"{layer}"' for layer in (*network.layers, _ENDS[name]))
        spec = experiment(
            "activation", f"loss={name}()", "optimizer=Adam(lr=1e-3)", "epochs=4", f"network.layers=[{layers}]"
        )
    _, events = train(spec)
    assert epochs_of(events)[-1].metrics["val/accuracy"] > 0.8


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if "Regression" in rule.tasks])
def test_every_regression_loss_trains_diabetes(name):
    settings = [f"loss={name}()", "optimizer=Adam(lr=3e-3)", "epochs=15"]
    last = "Linear(1)"
    if name == "GaussianNLLLoss":
        last = "Linear(2)"
    if name == "PoissonNLLLoss":
        settings.append("task=Regression(standardize=False)")
    settings.append(f'network.layers=["Linear(32)", "ReLU()", "{last}"]')
    _, events = train(experiment("regression", *settings))
    found = epochs_of(events)
    assert found[-1].metrics["val/mae"] < 80
    assert found[-1].metrics["train/loss"] < found[0].metrics["train/loss"]
    assert set(found[0].metrics) >= {"val/mae", "val/rmse", "val/r2"}


def test_no_loss_is_left_on_another_device():
    made = criterion("CrossEntropyLoss(weight=[1, 2, 3])", CLASSES, 3)
    assert isinstance(made.loss, nn.Module)
    assert made.loss.weight.device == CPU
