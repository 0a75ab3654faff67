"""What is remembered of an operation is what it gives: FlopCount counts the same as with every operation run anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine import flops
from engine.backbones import meta_model
from engine.flops import FlopCount


class Residual(nn.Module):
    """Normalisation, a step in place, a view, and an operation with several results."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.norm(inputs.transpose(1, 2)).transpose(1, 2)
        x = x + self.drop(self.attention(x, x, x)[0])
        x += torch.cat(torch.split(x, 4, dim=2)[::-1], dim=2)
        return functional.layer_norm(x, x.shape[-1:])


def residuals() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(*(Residual() for _ in range(3))), (5, 6, 8)


def backbone(name: str, size: int) -> Callable[[], tuple[nn.Module, tuple[int, ...]]]:
    return lambda: (meta_model(name, 3), (5, 3, size, size))


def counted(make: Callable[[], tuple[nn.Module, tuple[int, ...]]]) -> tuple[object, ...]:
    """Operations, bytes, and what every module gave."""
    given: list[tuple[object, ...]] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        for one in output if isinstance(output, tuple) else (output,):
            if isinstance(one, Tensor):
                given.append((one.shape, one.stride(), one.dtype, one.device.type))

    with torch.no_grad(), torch.device("meta"):
        network, shape = make()
        for module in network.modules():
            module.register_forward_hook(note)
        with FlopCount() as count:
            network(torch.empty(shape))
    return count.total, count.bytes, given


@pytest.mark.parametrize(
    "make",
    [residuals, backbone("resnet18", 40), backbone("mobilenet_v3_small", 40), backbone("swin_t", 64)],
    ids=["residuals", "resnet18", "mobilenet", "swin"],
)
def test_counts_and_results_are_those_without_anything_remembered(
    make: Callable[[], tuple[nn.Module, tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering = counted(make)
    monkeypatch.setattr(flops, "_key", lambda func, args, kwargs: None)
    assert remembering == counted(make)
    assert remembering[0]


def test_numbers_of_other_types_are_other_arguments() -> None:
    with FlopCount():
        whole = torch.ones(3, dtype=torch.int64, device="meta")
        assert [(whole * 2).dtype, (whole * 2.0).dtype, (whole * True).dtype] == [
            torch.int64, torch.float32, torch.int64,
        ]  # fmt: skip


def test_tensors_with_numbers_are_computed_with() -> None:
    with FlopCount():
        assert [float(torch.full((2,), number).sum()) for number in (1.0, 2.0)] == [2.0, 4.0]
        assert [int(torch.tensor(number) + 1) for number in (1, 2)] == [2, 3]


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 5), (4, 8, 5, 5), (2, 8, 3, 3, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_is_counted_as_pytorch_gives_it(shape: tuple[int, ...], training: bool) -> None:
    with torch.no_grad(), torch.device("meta"):
        inputs, ones = torch.empty(shape), torch.empty(8)
        given = (inputs, ones, ones, ones, ones, training, 0.1, 1e-5)
        wanted = torch.ops.aten.native_batch_norm.default(*given)
        with FlopCount() as count:
            found = torch.ops.aten.native_batch_norm.default(*given)
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine.shape, mine.stride(), mine.dtype) == (theirs.shape, theirs.stride(), theirs.dtype)
    assert count.bytes == sum(one.numel() * one.element_size() for one in wanted)
    with torch.device("meta"), FlopCount(), pytest.raises(RuntimeError):
        torch.nn.functional.batch_norm(torch.empty(4, 6), torch.empty(8), torch.empty(8), training=True)
