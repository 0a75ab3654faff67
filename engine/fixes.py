"""What could be done about a layer that does not fit: candidates, best first, and how one is applied.

A candidate is only a guess from the shape and the arguments; `shapes.propagate` offers the first one with which the
layer passes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.calls import Call, Value, parse_call
from engine.catalogue import canonical_call, entries, shorten
from engine.entry import Entry
from engine.errors import RequestError, nearest

_DIMENSIONS = re.compile(r"^(.+?)([123])d$")


@dataclass(frozen=True)
class Fix:
    """An edit of the layers: insert `call` before `path`, replace what is there by `call`, or remove it."""

    text: str
    action: str
    path: str
    call: str = ""


@dataclass(frozen=True)
class Failure:
    """A layer that does not fit, and what came in: shapes without the batch dimension, `siblings` its chain."""

    path: str
    call: Call
    reason: str
    detail: str
    shape: tuple[int, ...] = ()
    expected: str = ""
    previous: str = ""
    entry: Entry | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    siblings: tuple[Call, ...] = ()
    index: int = 0
    output: tuple[int, ...] = ()


def candidates(failure: Failure) -> Iterator[Fix]:
    """Fixes that may help, best first."""
    if failure.reason == "name":
        yield from _names(failure)
    elif failure.reason == "given":
        entry, name = failure.entry, failure.expected
        if entry is not None:
            yield _replace(failure, canonical_call("layers", failure.call), name)
    elif failure.reason == "rank":
        yield from _ranks(failure)
    elif failure.reason == "batch":
        if failure.call.name == "Flatten":
            yield _replace(failure, Call("Flatten"))
        elif failure.entry is not None and failure.entry.parameter("dim") is not None:
            yield _replace(failure, _set(failure, "dim", -1))
    elif failure.reason == "residual":
        yield from _shortcuts(failure)
    elif failure.reason == "parallel":
        other = "cat" if failure.arguments.get("merge") == "add" else "add"
        yield _replace(failure, _set(failure, "merge", other))
    elif failure.reason == "channels":
        yield _insert(failure, Call("Conv2d", (3, 1)))
    elif failure.reason == "size":
        yield _insert(failure, Call("Upsample", (int(failure.expected),)))
    elif failure.reason == "torch" and failure.entry is not None:
        yield from _arguments(failure)


def _names(failure: Failure) -> Iterator[Fix]:
    call = failure.call
    known = entries("layers")
    name = call.name.removeprefix("Lazy")
    close = name if name in known else nearest(call.name, known)
    if close:
        yield _replace(failure, Call(close, call.args, call.kwargs, call.prefix))


def _ranks(failure: Failure) -> Iterator[Fix]:
    call, shape = failure.call, failure.shape
    rank = len(shape)
    name = call.name
    match = _DIMENSIONS.match(name)
    wanted = int(match.group(2)) + 1 if match else None
    if match and ("Norm" in name or (wanted is not None and rank > wanted)):
        # The same layer for as many dimensions as come in.
        other = f"{match.group(1)}{max(1, rank - 1)}d"
        if other in entries("layers") and other != name:
            yield _replace(failure, Call(other, call.args, call.kwargs, call.prefix))
    before = failure.siblings[failure.index - 1] if failure.index > 0 else None
    if before is not None and before.name == "Flatten" and name != "Linear":
        yield Fix(f"remove {before} before it", "remove", _sibling(failure.path, -1))
    if wanted is not None:
        for reshaped in _reshapes(shape, wanted):
            yield _insert(failure, Call("Reshape", reshaped))
    elif "sequence" in failure.expected and rank == 3 and name != "Linear":
        # The rows of a grey image are a sequence; of other maps, each channel is one step.
        yield _insert(failure, Call("Flatten", (1, 2) if shape[0] == 1 else (2,)))
    elif rank > 1:
        yield _insert(failure, Call("Flatten"))
        # In PyTorch's own form the size that was given may be wrong, too.
        short = Call("Sequential", (Call("Flatten"), canonical_call("layers", call)))
        yield Fix("put Flatten() before it, and leave its input size out", "replace", failure.path, str(short))
    elif "sequence" in failure.expected and rank == 1:
        side = math.isqrt(shape[0])
        if side * side == shape[0]:
            yield _insert(failure, Call("Reshape", (side, side)))


def _reshapes(shape: tuple[int, ...], wanted: int) -> Iterator[tuple[int, ...]]:
    """Shapes of `wanted` dimensions, channels first, that hold the same numbers."""
    if len(shape) == wanted - 1 and wanted > 2:
        yield (1, *shape)
    if len(shape) == 1:
        for channels in (1, 3):
            side = round((shape[0] / channels) ** (1 / (wanted - 1)))
            if channels * side ** (wanted - 1) == shape[0]:
                yield (channels, *(side,) * (wanted - 1))


def _shortcuts(failure: Failure) -> Iterator[Fix]:
    before, after = failure.shape, failure.output
    found: list[Call] = []
    if len(before) == len(after) >= 2 and all(before) and all(after):
        steps = tuple(math.ceil(old / new) for old, new in zip(before[1:], after[1:], strict=True))
        step: Value = steps[0] if len(set(steps)) == 1 else steps
        convolution = Call(f"Conv{len(after) - 1}d", (after[0], 1))
        if len(after) <= 4:
            found.append(convolution if step == 1 else convolution.replace(stride=step))
    if len(before) == len(after) <= 2 and before[:-1] == after[:-1]:
        found.insert(0, Call("Linear", (after[-1],)))
    for shortcut in found:
        call = failure.call.replace(shortcut=shortcut)
        yield _replace(failure, call, f"add shortcut={shortcut}")


def _arguments(failure: Failure) -> Iterator[Fix]:
    """Other values for the arguments that have to agree with the shape."""
    arguments, shape = failure.arguments, failure.shape
    name = failure.call.name
    yield from _own_form(failure)
    for parameter in ("num_groups", "num_heads", "nhead", "groups"):
        value = arguments.get(parameter)
        if isinstance(value, int) and value > 0 and shape:
            size = shape[-1] if parameter in ("num_heads", "nhead") else shape[0]
            out = arguments.get("out_channels")
            divisor = math.gcd(value, size, out) if isinstance(out, int) else math.gcd(value, size)
            if divisor != value:
                yield _replace(failure, _set(failure, parameter, divisor))
    if "num_parameters" in arguments and shape:
        yield _replace(failure, _set(failure, "num_parameters", shape[0]))
    if name == "Reshape":
        yield from _reshaped(failure)
    match = _DIMENSIONS.match(name)
    kernel = arguments.get("kernel_size")
    if match is None or kernel is None:
        return
    spatial = shape[-int(match.group(2)) :]
    given = kernel if isinstance(kernel, tuple) else (kernel,) * len(spatial)
    sizes = [size for size in given if isinstance(size, int) and size > 0]
    if len(sizes) != len(spatial):
        return
    if name.startswith("Conv"):
        yield _replace(failure, _set(failure, "padding", _one([size // 2 for size in sizes])))
    smaller = [min(pair) for pair in zip(sizes, spatial, strict=True)]
    if smaller != sizes:
        yield _replace(failure, _set(failure, "kernel_size", _one(smaller)))
    if "Pool" in name:
        yield Fix(f"remove {failure.call}", "remove", failure.path)


def _own_form(failure: Failure) -> Iterator[Fix]:
    """`Conv2d(1, 32, 3)` meant as PyTorch writes it: the size that comes in stands first."""
    own = Call(failure.call.name, failure.call.args, failure.call.kwargs, "nn")
    if failure.call.prefix or failure.entry is None or len(own.args) < 2:
        return
    try:
        short, given = shorten("layers", own)
    except RequestError:
        return
    if given and set(given.values()) <= {failure.shape[0], failure.shape[-1]}:
        yield _replace(failure, short, f"PyTorch's own form is {own}, here {short} is enough")


def _reshaped(failure: Failure) -> Iterator[Fix]:
    sizes = failure.call.args
    total = math.prod(failure.shape)
    for position in range(len(sizes)):
        others = 1
        for at, size in enumerate(sizes):
            others *= size if at != position and isinstance(size, int) else 1
        if -1 not in sizes and others > 0 and total % others == 0:
            new = (*sizes[:position], total // others, *sizes[position + 1 :])
            yield _replace(failure, Call("Reshape", new))


def _one(sizes: Sequence[int]) -> Value:
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)


def _set(failure: Failure, name: str, value: Value) -> Call:
    """The call in short form with one argument changed, in its place where it stood without a name."""
    call = canonical_call("layers", failure.call)
    if failure.entry is not None:
        order = [parameter.name for parameter in failure.entry.short if not parameter.keyword_only]
        position = order.index(name) if name in order else len(call.args)
        if position < len(call.args) and not failure.entry.short[position].variadic:
            args = (*call.args[:position], value, *call.args[position + 1 :])
            return Call(call.name, args, call.kwargs)
    return call.replace(**{name: value})


def _replace(failure: Failure, call: Call, text: str = "") -> Fix:
    return Fix(text or f"write {call}", "replace", failure.path, str(call))


def _insert(failure: Failure, call: Call) -> Fix:
    return Fix(f"put {call} before it", "insert", failure.path, str(call))


def _sibling(path: str, step: int) -> str:
    head, _, last = path.rpartition(".")
    number = str(int(last) + step)
    return f"{head}.{number}" if head else number


# -- applying ----------------------------------------------------------------------------------------------------------


def apply_fix(layers: Sequence[Call], fix: Fix) -> tuple[Call, ...]:
    """The layers with the fix applied; in a Repeat it holds for every copy.

    Raises RequestError where the fix does not belong to these layers.
    """
    try:
        return _edited(tuple(layers), fix.path.split("."), fix)
    except (IndexError, ValueError) as error:
        raise RequestError(f"there is no layer {fix.path} to apply `{fix.text}` to") from error


def target_path(fix: Fix) -> str:
    """Where the layer that the fix is for stands afterwards."""
    return _sibling(fix.path, 1) if fix.action == "insert" else fix.path


def _edited(layers: tuple[Call, ...], parts: list[str], fix: Fix) -> tuple[Call, ...]:
    at = int(parts[0])
    # A layer may also be put in behind the last one.
    behind = at == len(layers) and len(parts) == 1 and fix.action == "insert"
    if not (0 <= at < len(layers) or behind):
        raise IndexError(at)
    if len(parts) > 1:
        return (*layers[:at], _inside(layers[at], parts[1:], fix), *layers[at + 1 :])
    if fix.action == "remove":
        return (*layers[:at], *layers[at + 1 :])
    call = parse_call(fix.call)
    return (*layers[:at], call, *layers[at + (fix.action == "replace") :])


def _inside(call: Call, parts: list[str], fix: Fix) -> Call:
    args = call.args
    if call.name == "Residual" and parts[0] == "shortcut":
        shortcut = call.get("shortcut")
        if not isinstance(shortcut, Call):
            raise ValueError(parts[0])
        new = _edited((shortcut,), parts[1:], fix)
        return call.replace(shortcut=_grouped(new)) if new else call.without("shortcut")
    if call.name == "Residual":
        args = _edited(_calls(args), parts[1:], fix)
    elif call.name == "Repeat":
        args = (args[0], *_edited(_calls(args[1:]), parts[1:], fix))
    elif call.name == "Parallel":
        at = int(parts[0])
        new = _edited((_calls(args)[at],), ["0", *parts[1:]], fix)
        args = (*args[:at], *((_grouped(new),) if new else ()), *args[at + 1 :])
    elif call.name == "Sequential":
        args = _edited(_calls(args), parts, fix)
    else:
        raise ValueError(parts[0])
    return Call(call.name, args, call.kwargs, call.prefix)


def _calls(values: Sequence[Value]) -> tuple[Call, ...]:
    return tuple(value for value in values if isinstance(value, Call))


def _grouped(layers: tuple[Call, ...]) -> Call:
    return layers[0] if len(layers) == 1 else Call("Sequential", layers)
