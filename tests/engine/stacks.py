"""Random stacks of layers, each with what PyTorch makes of it: an oracle that knows nothing of the engine.

A layer is a text, as a person types it, and a function that makes the module from the tensor that comes in. A stack is
run for real on the CPU, layer by layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

BATCH = 3


@dataclass(frozen=True)
class Layer:
    """`ranks` are the numbers of dimensions, batch included, for which PyTorch reads the first as the batch; Linear on
    an image is left out too. `inner` are the chains of a container."""

    text: str
    make: Callable[[Tensor], nn.Module] | None = None
    ranks: tuple[int, ...] = tuple(range(2, 7))
    inner: tuple[Layer, ...] = ()
    shortcut: Layer | None = None
    kind: str = "leaf"
    number: int = 1


@dataclass
class Outcome:
    shapes: dict[str, tuple[int, ...]]
    parameters: dict[str, int]
    failed: str | None = None


class Failed(Exception):
    pass


def run_for_real(stack: list[Layer], shape: tuple[int, ...]) -> Outcome:
    """Run a stack; where it fails, at which path."""
    outcome = Outcome({}, {})
    try:
        with torch.no_grad():
            _chain(tuple(stack), torch.rand(BATCH, *shape), "", outcome)
    except Failed as failure:
        outcome.failed = str(failure)
    return outcome


def _chain(layers: tuple[Layer, ...], inputs: Tensor, prefix: str, outcome: Outcome) -> Tensor:
    for index, layer in enumerate(layers):
        inputs = _layer(layer, inputs, f"{prefix}{index}", outcome)
    return inputs


def _layer(layer: Layer, inputs: Tensor, path: str, outcome: Outcome) -> Tensor:
    before = set(outcome.parameters)
    if layer.kind == "residual":
        outputs = _chain(layer.inner, inputs, f"{path}.body.", outcome)
        kept = inputs if layer.shortcut is None else _layer(layer.shortcut, inputs, f"{path}.shortcut.0", outcome)
        if outputs.shape != kept.shape:
            raise Failed(path)
        outputs = outputs + kept
    elif layer.kind == "parallel":
        found = [_layer(branch, inputs, f"{path}.{index}", outcome) for index, branch in enumerate(layer.inner)]
        try:
            outputs = torch.cat(found, 1)
        except (RuntimeError, IndexError):
            raise Failed(path) from None
    elif layer.kind == "repeat":
        outputs = inputs
        for copy in range(layer.number):
            outputs = _chain(layer.inner, outputs, f"{path}.{copy}.", outcome)
    elif layer.kind == "sequential":
        outputs = _chain(layer.inner, inputs, f"{path}.", outcome)
    else:
        assert layer.make is not None
        if inputs.dim() not in layer.ranks:
            raise Failed(path)
        try:
            module = layer.make(inputs)
            outputs = module(inputs)
        except Exception:
            raise Failed(path) from None
        if isinstance(outputs, tuple):
            outputs = outputs[0]
        if 0 in outputs.shape or outputs.shape[0] != BATCH:
            raise Failed(path)
        outcome.parameters[path] = sum(parameter.numel() for parameter in module.parameters())
    if layer.kind != "leaf":
        inside = [name for name in outcome.parameters if name not in before and "/" not in name]
        leaves = [name for name in inside if not any(other.startswith(f"{name}.") for other in inside)]
        outcome.parameters[path] = sum(outcome.parameters[name] for name in leaves)
    outcome.shapes[path] = tuple(outputs.shape[1:])
    return outputs


# -- strategies --------------------------------------------------------------------------------------------------------


class _Attention(nn.MultiheadAttention):
    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs, inputs, inputs)[0]


channels = st.sampled_from([1, 2, 4, 6, 8])
features = st.integers(1, 12)
ACTIVATIONS = ["ReLU", "Tanh", "GELU", "SiLU", "LeakyReLU", "Sigmoid", "ELU", "Softplus", "Mish", "PReLU", "Identity"]


@st.composite
def convolution(draw: st.DrawFn, d: int) -> Layer:
    transposed = draw(st.integers(0, 5)) == 0
    kernel = draw(st.one_of(st.integers(1, 4), st.tuples(*[st.integers(1, 3)] * d)))
    out = draw(channels)
    more = {}
    if draw(st.booleans()):
        more["stride"] = draw(st.integers(1, 3))
    if draw(st.booleans()):
        more["padding"] = draw(st.integers(0, 3))
    if draw(st.integers(0, 3)) == 0:
        more["groups"] = draw(st.sampled_from([1, 2, 3, 4]))
    if draw(st.integers(0, 3)) == 0:
        more["dilation"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 3)) == 0:
        more["bias"] = False
    if not transposed and draw(st.integers(0, 5)) == 0:
        more["padding_mode"] = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    name = f"Conv{'Transpose' if transposed else ''}{d}d"
    rest = "".join(f", {key}={value!r}" for key, value in more.items())
    if draw(st.integers(0, 9)) == 0:
        given = draw(channels)
        real = lambda x: getattr(nn, name)(given, out, kernel, **more)  # noqa: E731
        return Layer(f"nn.{name}({given}, {out}, {kernel}{rest})", real, (d + 2,))
    # Not the lazy form: it never checks that the groups divide the channels.
    return Layer(
        f"{name}({out}, {kernel}{rest})", lambda x: getattr(nn, name)(x.shape[1], out, kernel, **more), (d + 2,)
    )


@st.composite
def pool(draw: st.DrawFn, d: int) -> Layer:
    kind = draw(st.sampled_from(["MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool"]))
    name = f"{kind}{d}d"
    if kind.startswith("Adaptive"):
        size = draw(st.integers(1, 4))
        return Layer(f"{name}({size})", lambda x: getattr(nn, name)(size))
    arguments: list[int] = [2] if kind == "LPPool" else []
    arguments.append(draw(st.integers(1, 4)))
    if draw(st.booleans()):
        arguments.append(draw(st.integers(1, 3)))
        if kind != "LPPool" and draw(st.booleans()):
            arguments.append(draw(st.integers(0, 2)))
    ceil = draw(st.booleans())
    text = ", ".join(map(str, arguments)) + (", ceil_mode=True" if ceil else "")
    return Layer(f"{name}({text})", lambda x: getattr(nn, name)(*arguments, ceil_mode=ceil))


@st.composite
def norm(draw: st.DrawFn, d: int) -> Layer:
    kind = draw(st.sampled_from(["batch", "instance", "group", "layer", "rms", "given"]))
    if kind == "batch":
        affine = draw(st.booleans())
        ranks = (2, 3) if d == 1 else (d + 2,)
        return Layer(
            f"BatchNorm{d}d(affine={affine})", lambda x: getattr(nn, f"LazyBatchNorm{d}d")(affine=affine), ranks
        )
    if kind == "instance":
        return Layer(f"InstanceNorm{d}d()", lambda x: getattr(nn, f"InstanceNorm{d}d")(x.shape[1]), (d + 2,))
    if kind == "group":
        groups = draw(st.integers(1, 4))
        return Layer(f"GroupNorm({groups})", lambda x: nn.GroupNorm(groups, x.shape[1]))
    if kind == "given":
        size = draw(channels)
        ranks = (2, 3) if d == 1 else (d + 2,)
        return Layer(f"BatchNorm{d}d({size})", lambda x: getattr(nn, f"BatchNorm{d}d")(size), ranks)
    if kind == "layer":
        return Layer("LayerNorm()", lambda x: nn.LayerNorm(x.shape[-1]))
    return Layer("RMSNorm()", lambda x: nn.RMSNorm(x.shape[-1]))


@st.composite
def sequence(draw: st.DrawFn) -> Layer:
    size = draw(st.integers(1, 8))
    both = draw(st.booleans())
    name = draw(st.sampled_from(["RNN", "LSTM", "GRU", "GRUCell", "RNNCell", "LSTMCell", "attention", "encoder"]))
    if name == "attention":
        return Layer(f"MultiheadAttention({size})", lambda x: _Attention(x.shape[-1], size, batch_first=True), (3,))
    if name == "encoder":
        return Layer(
            f"TransformerEncoderLayer({size}, 7)",
            lambda x: nn.TransformerEncoderLayer(x.shape[-1], size, 7, batch_first=True),
            (3,),
        )
    if name.endswith("Cell"):
        return Layer(f"{name}({size})", lambda x: getattr(nn, name)(x.shape[-1], size), (2,))
    return Layer(
        f"{name}({size}, bidirectional={both})",
        lambda x: getattr(nn, name)(x.shape[-1], size, batch_first=True, bidirectional=both),
        (3,),
    )


@st.composite
def linear(draw: st.DrawFn) -> Layer:
    size, bias = draw(features), draw(st.booleans())
    if draw(st.integers(0, 9)) == 0:
        given = draw(features)
        return Layer(f"nn.Linear({given}, {size})", lambda x: nn.Linear(given, size), (2, 3))
    return Layer(f"Linear({size}, bias={bias})", lambda x: nn.LazyLinear(size, bias), (2, 3))


@st.composite
def plain(draw: st.DrawFn, d: int) -> Layer:
    kind = draw(st.sampled_from(["activation", "dropout", "flatten", "part", "glu", "pad", "shuffle", "upsample"]))
    if kind == "activation":
        name = draw(st.sampled_from(ACTIVATIONS))
        return Layer(f"{name}()", lambda x: getattr(nn, name)(), ranks=tuple(range(1, 7)))
    if kind == "dropout":
        name = draw(st.sampled_from(["Dropout", "AlphaDropout", f"Dropout{d}d"]))
        return Layer(f"{name}(0.3)", lambda x: getattr(nn, name)(0.3), ranks=tuple(range(1, 7)))
    if kind == "part":
        start = draw(st.sampled_from([0, 2, -2]))
        return Layer(f"Flatten({start})", lambda x: nn.Flatten(start), ranks=tuple(range(1, 7)))
    if kind == "glu":
        return Layer("GLU(1)", lambda x: nn.GLU(1))
    if kind == "pad":
        name, size = (
            draw(st.sampled_from(["ReflectionPad", "ZeroPad", "CircularPad"])) + f"{d}d",
            draw(st.integers(0, 3)),
        )
        return Layer(f"{name}({size})", lambda x: getattr(nn, name)(size))
    if kind == "shuffle":
        groups = draw(st.integers(1, 3))
        return Layer(f"ChannelShuffle({groups})", lambda x: nn.ChannelShuffle(groups))
    if kind == "upsample":
        return Layer("Upsample(scale_factor=2)", lambda x: nn.Upsample(scale_factor=2), (3, 4, 5))
    return Layer("Flatten()", lambda x: nn.Flatten())


def leaf(d: int) -> st.SearchStrategy[Layer]:
    return st.one_of(convolution(d), convolution(d), pool(d), norm(d), linear(), plain(d), plain(d), sequence())


def _same_size(d: int, out: int, kernel: int, stride: int) -> Layer:
    """A convolution that keeps height and width but for its stride."""
    more = {"stride": stride, "padding": kernel // 2}
    text = f"Conv{d}d({out}, {kernel}, stride={stride}, padding={kernel // 2})"
    return Layer(text, lambda x: getattr(nn, f"LazyConv{d}d")(out, kernel, **more), (d + 2,))


def _dense(out: int) -> Layer:
    return Layer(f"Linear({out})", lambda x: nn.LazyLinear(out), (2, 3))


@st.composite
def fitting(draw: st.DrawFn, d: int) -> Layer:
    """A residual block with a shortcut, or branches of equal size: what random layers hardly ever make."""
    out, stride = draw(channels), draw(st.integers(1, 2))
    if draw(st.booleans()):
        body, shortcut = _dense(out), _dense(out)
        branches = (_dense(out), _dense(draw(channels)))
    else:
        body, shortcut = _same_size(d, out, 3, stride), _same_size(d, out, 1, stride)
        branches = (_same_size(d, out, 1, stride), _same_size(d, draw(channels), 3, stride))
    if draw(st.booleans()):
        text = f"Residual({body.text}, ReLU(), shortcut={shortcut.text})"
        inner = (body, Layer("ReLU()", lambda x: nn.ReLU()))
        return Layer(text, inner=inner, shortcut=shortcut, kind="residual")
    return Layer(f"Parallel({branches[0].text}, {branches[1].text})", inner=branches, kind="parallel")


@st.composite
def container(draw: st.DrawFn, d: int) -> Layer:
    kind = draw(st.sampled_from(["residual", "fitting", "fitting", "parallel", "repeat", "sequential"]))
    if kind == "fitting":
        return draw(fitting(d))
    inner = tuple(draw(st.lists(leaf(d), min_size=1, max_size=3)))
    text = ", ".join(layer.text for layer in inner)
    if kind == "residual":
        shortcut = draw(st.none() | leaf(d))
        rest = f", shortcut={shortcut.text}" if shortcut else ""
        return Layer(f"Residual({text}{rest})", inner=inner, shortcut=shortcut, kind="residual")
    if kind == "parallel":
        return Layer(f"Parallel({text})", inner=inner, kind="parallel")
    if kind == "repeat":
        number = draw(st.integers(1, 3))
        return Layer(f"Repeat({number}, {text})", inner=inner, kind="repeat", number=number)
    return Layer(f"Sequential({text})", inner=inner, kind="sequential")


@st.composite
def stacks(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Layer]]:
    """The shape of a sample and up to seven layers. Most fit what comes in, so that stacks get deep; one in eight of
    those that do not is left in."""
    rank = draw(st.integers(1, 4))
    largest = 14 if rank < 4 else 8
    shape = (draw(channels), *draw(st.lists(st.integers(1, largest), min_size=rank - 1, max_size=rank - 1)))
    layers: list[Layer] = []
    inputs: tuple[int, ...] | None = shape
    for _ in range(draw(st.integers(1, 7))):
        d = draw(st.integers(1, 3)) if inputs is None or not draw(st.integers(0, 9)) else max(1, len(inputs) - 1)
        layer = draw(container(d) if draw(st.integers(0, 3)) == 0 else leaf(d))
        if inputs is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = run_for_real([layer], inputs)
            if outcome.failed is not None and draw(st.integers(0, 7)):
                continue
            inputs = None if outcome.failed is not None or len(outcome.shapes["0"]) > 4 else outcome.shapes["0"]
        layers.append(layer)
    return shape, layers
