"""Containers and adapters compute what plain PyTorch computes, and name their parameters as PyTorch does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine import layers
from engine.errors import RequestError


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_residual_adds_the_input_or_its_shortcut() -> None:
    body, shortcut, inputs = nn.Linear(4, 6), nn.Linear(4, 6), torch.rand(3, 4)
    assert torch.equal(
        layers.Residual(body, nn.Tanh(), shortcut=shortcut)(inputs), body(inputs).tanh() + shortcut(inputs)
    )
    assert torch.equal(layers.Residual(nn.Tanh())(inputs), inputs.tanh() + inputs)
    names = set(layers.Residual(body, shortcut=shortcut).state_dict())
    assert names == {"body.0.weight", "body.0.bias", "shortcut.0.weight", "shortcut.0.bias"}


def test_residual_does_not_broadcast() -> None:
    with pytest.raises(RequestError, match=r"give \(N, 1\), which cannot be added to \(N, 4\)"):
        layers.Residual(nn.Linear(4, 1))(torch.rand(3, 4))


def test_parallel_joins_or_adds_its_branches() -> None:
    one, two, inputs = nn.Conv1d(2, 3, 1), nn.Conv1d(2, 3, 1), torch.rand(2, 2, 5)
    joined = layers.Parallel(one, two)
    assert torch.equal(joined(inputs), torch.cat([one(inputs), two(inputs)], 1))
    assert torch.equal(layers.Parallel(one, two, dim=2)(inputs), torch.cat([one(inputs), two(inputs)], 2))
    assert torch.equal(layers.Parallel(one, two, merge="add")(inputs), one(inputs) + two(inputs))
    assert set(joined.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_repeat_runs_copies_with_weights_of_their_own() -> None:
    parts = [nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh()]
    repeated, inputs = layers.Repeat(2, *parts), torch.rand(2, 3)
    assert torch.equal(repeated(inputs), nn.Sequential(*parts)(inputs))
    assert set(repeated.state_dict()) == {"0.0.weight", "0.0.bias", "1.0.weight", "1.0.bias"}


def test_reshape_keeps_the_batch() -> None:
    inputs = torch.rand(5, 12)
    assert layers.Reshape(3, -1)(inputs).shape == (5, 3, 4)
    assert torch.equal(layers.Reshape(3, 4)(inputs).flatten(1), inputs)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_give_the_output_sequence_of_torch(name: str) -> None:
    torch.manual_seed(1)
    ours = getattr(layers, name)(5, 4, num_layers=2, bidirectional=True)
    torch.manual_seed(1)
    torchs = getattr(nn, name)(5, 4, num_layers=2, bidirectional=True, batch_first=True)
    inputs = torch.rand(3, 7, 5)
    assert torch.equal(ours(inputs), torchs(inputs)[0])
    assert list(ours.state_dict()) == list(torchs.state_dict())


def test_attention_is_self_attention_over_the_sequence() -> None:
    torch.manual_seed(1)
    ours = layers.MultiheadAttention(8, 2)
    torch.manual_seed(1)
    torchs = nn.MultiheadAttention(8, 2, batch_first=True)
    inputs = torch.rand(3, 7, 8)
    torch.testing.assert_close(ours(inputs), torchs(inputs, inputs, inputs)[0])
    assert list(ours.state_dict()) == list(torchs.state_dict())


def test_an_encoder_is_that_of_torch() -> None:
    torch.manual_seed(1)
    ours = layers.TransformerEncoder(layers.TransformerEncoderLayer(8, 2, 16), 2).eval()
    torch.manual_seed(1)
    torchs = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    inputs = torch.rand(3, 7, 8)
    torch.testing.assert_close(ours(inputs), torchs(inputs))
    assert list(ours.state_dict()) == list(torchs.state_dict())


def test_lstm_cell_gives_h() -> None:
    cell, inputs = layers.LSTMCell(4, 3), torch.rand(2, 4)
    assert torch.equal(cell(inputs), nn.LSTMCell.forward(cell, inputs)[0])
