"""The layers that torch.nn lacks, and those of torch.nn that need another face to stand in a chain.

Shapes are written with the batch dimension N first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.errors import RequestError


class Sequential(nn.Sequential):
    """Runs its layers one after another: a group that counts as one layer, for a branch or a shortcut.

    Args:
        layers: what it holds, with commas between
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)


class Residual(nn.Module):
    """Adds the input to what its layers make of it: `body(x) + shortcut(x)`, after He et al., arXiv:1512.03385.

    Without a shortcut the input is added as it is, so the layers must keep its shape; `shortcut` is one layer (or a
    Sequential) that brings the input to the shape of the body's output, such as `Conv2d(64, 1, stride=2)`.

    Args:
        layers: the body, with commas between its layers
        shortcut: what the input passes through before it is added; left out, nothing
    """

    def __init__(self, *layers: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.shortcut = None if shortcut is None else nn.Sequential(shortcut)

    def forward(self, inputs: Tensor) -> Tensor:
        """Input and output: (N, ...)."""
        outputs: Tensor = self.body(inputs)
        kept: Tensor = inputs if self.shortcut is None else self.shortcut(inputs)
        return added(outputs, kept)


def added(outputs: Tensor, kept: Tensor) -> Tensor:
    """The sum of two tensors of equal shape; RequestError where they differ, for broadcasting is not meant here."""
    if outputs.shape != kept.shape:
        raise RequestError(f"its layers give {_shape(outputs)}, which cannot be added to {_shape(kept)}")
    return outputs + kept


def _shape(tensor: Tensor) -> str:
    return f"(N, {', '.join(map(str, tensor.shape[1:]))})"


class Parallel(nn.ModuleList):
    """Gives the same input to every branch and merges the outputs: `cat` along `dim` (1: channels), or `add`.

    A branch is one layer; group several with Sequential.

    Args:
        branches: one layer each, with commas between; group several with Sequential
        merge: cat joins the outputs along dim, add sums them up
        dim: the dimension along which cat joins, counted with that of the batch: 1 is the channels
    """

    def __init__(self, *branches: nn.Module, merge: str = "cat", dim: int = 1) -> None:
        super().__init__(branches)
        self.merge = merge
        self.dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        """Input (N, ...); outputs of equal shape, for `cat` up to `dim`."""
        return merged([branch(inputs) for branch in self], self.merge, self.dim)


def merged(outputs: list[Tensor], merge: str, dim: int) -> Tensor:
    """What Parallel makes of the outputs of its branches."""
    if not outputs:
        raise RequestError("it wants one branch at least")
    if merge == "cat":
        try:
            return torch.cat(outputs, dim)
        except (RuntimeError, IndexError) as error:
            shapes = " and ".join(map(_shape, outputs))
            raise RequestError(f"its branches give {shapes}, which cannot be joined along dimension {dim}") from error
    total = outputs[0]
    for output in outputs[1:]:
        total = added(total, output)
    return total


class Repeat(nn.Sequential):
    """Runs its layers `n` times in a row, each time with weights of its own.

    Args:
        n: how many copies there are
        layers: what is copied, with commas between
    """

    def __init__(self, n: int, *layers: nn.Module) -> None:
        # Called with the layers of all n copies, in order: every copy may have other input sizes.
        if n < 1 or len(layers) % n:
            raise RequestError(f"Repeat wants the layers of {n} copies, found {len(layers)} layers")
        size = len(layers) // n
        super().__init__(*(nn.Sequential(*layers[copy * size : (copy + 1) * size]) for copy in range(n)))


class Reshape(nn.Module):
    """Gives each sample another shape, written without the batch dimension; one size may be -1: `Reshape(16, 7, 7)`."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor) -> Tensor:
        """Input (N, ...), output (N, *shape)."""
        return inputs.reshape(inputs.shape[0], *self.shape)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.shape))


class RNN(nn.RNN):
    """A recurrent network after Elman: the output sequence, without the last state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Input (N, sequence, input_size), output (N, sequence, hidden_size), twice that where bidirectional."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class LSTM(nn.LSTM):
    """A long short-term memory: the output sequence, without the last states."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Input (N, sequence, input_size), output (N, sequence, hidden_size), twice that where bidirectional."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class GRU(nn.GRU):
    """A gated recurrent unit: the output sequence, without the last state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Input (N, sequence, input_size), output (N, sequence, hidden_size), twice that where bidirectional."""
        outputs: Tensor = super().forward(inputs)[0]
        return outputs


class LSTMCell(nn.LSTMCell):
    """One step of a long short-term memory from a zero state: h, without the cell state."""

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Input (N, input_size), output (N, hidden_size)."""
        hidden: Tensor = super().forward(inputs)[0]
        return hidden


class MultiheadAttention(nn.MultiheadAttention):
    """Self-attention with several heads, after Vaswani et al., arXiv:1706.03762: query, key and value are the input."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        batch_first: bool = True,
    ) -> None:
        super().__init__(embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, batch_first=batch_first)

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Input and output: (N, sequence, embed_dim)."""
        outputs: Tensor = super().forward(inputs, inputs, inputs, need_weights=False)[0]
        return outputs


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    """Self-attention and a feed-forward network with residual connections, after Vaswani et al., arXiv:1706.03762."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = True,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        )  # fmt: skip


class TransformerEncoder(nn.TransformerEncoder):
    """A stack of `num_layers` copies of one TransformerEncoderLayer; all copies begin with the same weights."""

    def __init__(self, encoder_layer: nn.Module, num_layers: int, norm: nn.Module | None = None) -> None:
        # Nested tensors serve padding masks, which a chain of layers has not.
        super().__init__(encoder_layer, num_layers, norm, enable_nested_tensor=False)  # type: ignore[arg-type]


CONTAINERS = {layer.__name__: layer for layer in (Sequential, Residual, Parallel, Repeat)}
OWN = {layer.__name__: layer for layer in (Residual, Parallel, Repeat, Reshape)}
ADAPTERS = {
    layer.__name__: layer
    for layer in (RNN, LSTM, GRU, LSTMCell, MultiheadAttention, TransformerEncoderLayer, TransformerEncoder)
}
