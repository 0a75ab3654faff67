"""Predicted shapes, parameters and MACs are those of a real forward pass; what fails for real fails in the check."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.build import build_network
from engine.calls import parse_call
from engine.errors import RequestError
from engine.shapes import Fix, apply_fix, propagate
from tests.engine.stacks import Layer, run_for_real, stacks


def calls(*texts: str):
    return [parse_call(text) for text in texts]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(stacks())
def test_random_stacks_are_predicted_as_they_run(stack: tuple[tuple[int, ...], list[Layer]]) -> None:
    check_stack(stack)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(stacks())
def test_thousands_of_random_stacks_are_predicted_as_they_run(stack: tuple[tuple[int, ...], list[Layer]]) -> None:
    check_stack(stack)


def check_stack(stack: tuple[tuple[int, ...], list[Layer]]) -> None:
    shape, layers = stack
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        real = run_for_real(layers, shape)
    predicted = propagate(calls(*(layer.text for layer in layers)), shape)
    assert (predicted.problem.path if predicted.problem else None) == real.failed, predicted.problem
    assert {row.path: row.output_shape for row in predicted.rows} == real.shapes
    assert {row.path: row.parameters for row in predicted.rows} == real.parameters
    if predicted.problem is not None and predicted.problem.fix is not None:
        fixed = apply_fix(calls(*(layer.text for layer in layers)), predicted.problem.fix)
        after = propagate(fixed, shape)
        told = (predicted.problem.path, predicted.problem.message)
        assert after.problem is None or (after.problem.path, after.problem.message) != told


def test_a_built_network_gives_the_predicted_shape_and_names() -> None:
    layers = calls(
        "Conv2d(8, 3, padding=1)",
        "Residual(Conv2d(16, 3, stride=2, padding=1), BatchNorm2d(), shortcut=Conv2d(16, 1, stride=2))",
        "Parallel(Conv2d(4, 1), Sequential(Conv2d(6, 3, padding=1), ReLU()))",
        "Repeat(2, Conv2d(5, 3), Tanh())",
        "Flatten()",
        "Linear(classes)",
    )
    predicted = propagate(layers, (3, 16, 16), symbols={"classes": 7})
    assert predicted.problem is None
    network = build_network(predicted)
    seen = {}

    def remember(name: str, outputs: torch.Tensor) -> None:
        seen[name] = tuple(outputs.shape[1:])

    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, inputs, outputs, name=name: remember(name, outputs))
    network(torch.rand(2, 3, 16, 16))
    for row in predicted.rows:
        assert seen[row.path] == row.output_shape
        own = network.get_submodule(row.path)
        assert row.parameters == sum(parameter.numel() for parameter in own.parameters())
    assert sum(row.parameters for row in predicted.rows if row.depth == 0) == sum(
        parameter.numel() for parameter in network.parameters()
    )
    assert {"1.body.0", "1.shortcut.0", "2.1.0", "3.1.0"} <= {row.path for row in predicted.rows}


MAC_STACKS = [
    ((1, 28, 28), ("Flatten()", "Linear(300)", "ReLU()", "Linear(10)")),
    ((3, 32, 32), ("Conv2d(16, 3, groups=1)", "MaxPool2d(2)", "ConvTranspose2d(4, 3)", "Flatten()", "Linear(10)")),
    ((8, 16), ("Conv1d(16, 3, groups=4)", "BatchNorm1d()")),
    ((6, 16), ("TransformerEncoderLayer(4, 32)",)),
    ((4, 8, 8), ("Residual(Conv2d(8, 3, padding=1), shortcut=Conv2d(8, 1))",)),
]


@pytest.mark.parametrize(("shape", "texts"), MAC_STACKS)
def test_macs_are_half_of_what_torch_counts_for_one_sample(shape: tuple[int, ...], texts: tuple[str, ...]) -> None:
    predicted = propagate(calls(*texts), shape)
    network = build_network(predicted)
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(4, *shape))
    # Fused attention on the CPU goes by the same formulas.
    assert sum(row.macs for row in predicted.rows if row.depth == 0) == counter.get_total_flops() // 2 // 4


def test_macs_of_recurrent_layers_follow_their_formula() -> None:
    # four gates, each a product of (input + hidden) by hidden, for every step
    assert propagate(calls("LSTM(32)"), (5, 16)).rows[0].macs == 5 * 4 * 32 * (16 + 32)


def test_activation_bytes_are_those_of_one_sample_and_frozen_layers_train_nothing() -> None:
    rows = propagate(calls("Conv2d(4, 3, frozen=True)", "Residual(Conv2d(4, 1))"), (1, 8, 8)).rows
    assert rows[0].activation_bytes == 4 * 6 * 6 * 4
    assert (rows[0].parameters, rows[0].trainable) == (40, 0)
    assert (rows[1].parameters, rows[1].trainable) == (20, 20)
    assert rows[1].activation_bytes == 2 * rows[2].activation_bytes, "the sum is a tensor of its own"


MESSAGES = [
    ((1, 28, 28), ("Conv2d(32, 3)", "Linear(300)"),
     "Linear(300) after Conv2d(32, 3): got (N, 32, 26, 26); put Flatten() before it", "insert", "1", "Flatten()"),
    ((3, 28, 28), ("nn.Conv2d(1, 32, 3)",),
     "nn.Conv2d(1, 32, 3): in_channels is 1, but 3 channels come in", "replace", "0", "Conv2d(32, 3)"),
    ((1, 8), ("nn.Conv1d(3, 32, 3)",), "in_channels is 3, but 1 channel comes in", "replace", "0", "Conv1d(32, 3)"),
    ((784,), ("BatchNorm1d(300)",), "num_features is 300, but 784 features come in", "replace", "0", "BatchNorm1d()"),
    ((1, 28, 28), ("Flatten()", "Conv2d(32, 3)"), "remove Flatten() before it", "remove", "0", ""),
    ((784,), ("Conv2d(32, 3)",),
     "got (N, 784), wants (N, channels, height, width)", "insert", "0", "Reshape(1, 28, 28)"),
    ((8, 8), ("Conv2d(32, 3)",), "put Reshape(1, 8, 8) before it", "insert", "0", "Reshape(1, 8, 8)"),
    ((1, 9, 9), ("Conv2d(4, 3)", "BatchNorm1d()"), "write BatchNorm2d()", "replace", "1", "BatchNorm2d()"),
    ((1, 9, 9), ("Flatten()", "BatchNorm2d()"), "write BatchNorm1d()", "replace", "1", "BatchNorm1d()"),
    ((1, 2, 2), ("MaxPool2d(4)",), "Output size is too small", "replace", "0", "MaxPool2d(2)"),
    ((1, 2, 2), ("Conv2d(3, 5)",), "write Conv2d(3, 5, padding=2)", "replace", "0", "Conv2d(3, 5, padding=2)"),
    ((1, 28, 28), ("Conv2d(1, 32, 3)",),
     "PyTorch's own form is nn.Conv2d(1, 32, 3), here Conv2d(32, 3) is enough", "replace", "0", "Conv2d(32, 3)"),
    ((6, 8, 8), ("Conv2d(8, 3, groups=4)",), "divisible by groups", "replace", "0", "Conv2d(8, 3, groups=2)"),
    ((6, 8, 8), ("GroupNorm(4)",), "divisible by num_groups", "replace", "0", "GroupNorm(2)"),
    ((64, 8, 8), ("Residual(Conv2d(128, 3, stride=2, padding=1))",),
     "add shortcut=Conv2d(128, 1, stride=2)", "replace", "0",
     "Residual(Conv2d(128, 3, stride=2, padding=1), shortcut=Conv2d(128, 1, stride=2))"),
    ((16,), ("Residual(Linear(8))",),
     "add shortcut=Linear(8)", "replace", "0", "Residual(Linear(8), shortcut=Linear(8))"),
    ((4, 8, 8), ("Sequential(ReLU(), Repeat(2, Linear(3)))",),
     "put Flatten() before it", "insert", "0.1.0.0", "Flatten()"),
    ((4, 8), ("Parallel(Conv1d(3, 1), Conv1d(4, 1), merge='add')",), "cannot be added", "replace", "0",
     "Parallel(Conv1d(3, 1), Conv1d(4, 1), merge='cat')"),
    ((1, 8, 8), ("Flatten(0)",), "the batch dimension is gone", "replace", "0", "Flatten()"),
    ((5, 4), ("Softmax()",), "mix the samples of a batch", "replace", "0", "Softmax(dim=-1)"),
    ((1, 28, 28), ("LSTM(16)",), "wants (N, sequence, features)", "insert", "0", "Flatten(1, 2)"),
    ((5, 6), ("MultiheadAttention(4)",), "divisible by num_heads", "replace", "0", "MultiheadAttention(2)"),
    ((4, 8, 8), ("Reshape(4, 63)",), "256 numbers for each sample", "replace", "0", "Reshape(4, 64)"),
    ((8,), ("Linaer(3)",), "did you mean `Linear`?", "replace", "0", "Linear(3)"),
    ((8,), ("LazyLinear(3)",), "sizes are inferred", "replace", "0", "Linear(3)"),
    ((8, 8), ("nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4), 2)",),
     "d_model is 16, but 8 features come in", "replace", "0", "TransformerEncoder(TransformerEncoderLayer(4), 2)"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "texts", "message", "action", "path", "call"), MESSAGES)
def test_the_first_layer_that_does_not_fit_is_named_with_a_fix_that_works(
    shape: tuple[int, ...], texts: tuple[str, ...], message: str, action: str, path: str, call: str
) -> None:
    problem = propagate(calls(*texts), shape).problem
    assert problem is not None
    assert message in problem.message
    assert "\n" not in problem.message
    assert problem.fix is not None
    assert (problem.fix.action, problem.fix.path, problem.fix.call) == (action, path, call)
    fixed = apply_fix(calls(*texts), problem.fix)
    assert propagate(fixed, shape).problem is None


PROBLEMS = [
    ((8,), "Linear(1000000000000000000)", "too large"),
    ((8,), "Linear(9223372036854775807)", "too large"),
    ((8,), "Linear(-3)", "negative dimension"),
    ((8,), "Linear(0)", "nothing is left"),
    ((8,), "Linear(classes)", "what `classes` stands for is not known"),
    ((8,), "Dropout(2.0)", "between 0 and 1"),
    ((8,), "Linear(3, 4, 5, 6)", "at most"),
    ((8,), "Linear(3, init=eye)", "is not an initialiser"),
    ((8,), "Repeat(1000, Repeat(1000, ReLU()))", "10000 layers at most"),
    ((8,), "Embedding(10, 4)", "wants whole numbers"),
    ((8,), "Parallel()", "one branch at least"),
    ((4, 8), "Unflatten(0, (1, 13))", "the batch dimension is gone"),
    ((4, 8), "Parallel(ReLU(), ReLU(), dim=0)", "the batch dimension is gone"),
    ((4, 8, 8), "Parallel(Conv2d(3, 1), Conv2d(3, 3))", "cannot be joined along dimension 1"),
]


@pytest.mark.parametrize(("shape", "text", "message"), PROBLEMS)
def test_what_has_no_obvious_fix_is_still_told_in_words(shape: tuple[int, ...], text: str, message: str) -> None:
    problem = propagate(calls("Identity()", text), shape).problem
    assert problem is not None
    assert message in problem.message


def test_a_network_too_large_for_any_machine_is_counted() -> None:
    result = propagate(calls("Linear(1000000000000)"), (784,))
    assert result.problem is None
    assert result.rows[0].parameters == 785 * 10**12


def test_propagation_draws_from_no_generator_and_leaves_no_mode_behind() -> None:
    texts = (
        "Conv2d(4, 3)",
        "Dropout(0.5)",
        "RReLU()",
        "FractionalMaxPool2d(2, output_size=4)",
        "Flatten()",
        "Linear(3)",
    )
    before = torch.get_rng_state()
    assert propagate(calls(*texts), (1, 16, 16)).problem is None
    assert propagate(calls("Nonsense()"), (1, 16, 16)).problem is not None
    assert torch.equal(before, torch.get_rng_state())
    assert nn.Linear(2, 2).weight.device.type == "cpu"
    assert torch.is_grad_enabled()


def test_whole_numbers_become_vectors_in_an_embedding() -> None:
    result = propagate(calls("Embedding(100, 16)", "LSTM(8)", "Flatten()", "Linear(2)"), (12,), dtype=torch.int64)
    assert result.problem is None
    assert [row.output_shape for row in result.rows] == [(12, 16), (12, 8), (96,), (2,)]


NESTED = [
    ("Residual(ReLU(), shortcut=Tanh())", "0.shortcut.0", "insert",
     "Residual(ReLU(), shortcut=Sequential(Flatten(), Tanh()))"),
    ("Residual(ReLU(), shortcut=Tanh())", "0.shortcut.0", "remove", "Residual(ReLU())"),
    ("Parallel(ReLU(), Tanh())", "0.1", "insert", "Parallel(ReLU(), Sequential(Flatten(), Tanh()))"),
    ("Parallel(ReLU(), Sequential(Tanh()))", "0.1.0", "replace", "Parallel(ReLU(), Sequential(Flatten()))"),
    ("Repeat(3, ReLU(), Tanh())", "0.2.1", "replace", "Repeat(3, ReLU(), Flatten())"),
    ("Sequential(ReLU(), Tanh())", "0.0", "remove", "Sequential(Tanh())"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "action", "expected"), NESTED)
def test_a_fix_reaches_into_containers(text: str, path: str, action: str, expected: str) -> None:
    (changed,) = apply_fix(calls(text), Fix("", action, path, "Flatten()"))
    assert str(changed) == expected


@pytest.mark.parametrize("path", ["3", "0.0", "x", "0.shortcut.0", "-1"])
def test_a_fix_for_another_network_is_refused(path: str) -> None:
    with pytest.raises(RequestError, match="there is no layer"):
        apply_fix(calls("ReLU()"), Fix("do it", "remove", path))
