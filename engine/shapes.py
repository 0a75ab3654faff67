"""Shapes, parameters, multiply-accumulates and activations of a stack of layers, without computing anything.

Every layer is built and run once on PyTorch's meta device, where tensors have shapes and no numbers. Nothing is drawn
from a random generator and no memory is taken, so a stack that is too large for any machine can be looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine import rules
from engine.backbone_rows import Misfit, backbone_layer
from engine.backbones import Backbone
from engine.calls import Call
from engine.catalogue import bind, find, reserved
from engine.entry import Entry
from engine.errors import RequestError
from engine.fixes import Failure, Fix, apply_fix, candidates, target_path
from engine.flops import FlopCount
from engine.layers import added, merged
from engine.nodes import Node, Problem, Propagation, Row, construct, is_container

__all__ = ["Fix", "Node", "Problem", "Propagation", "Row", "apply_fix", "construct", "propagate"]

# A prime that no layer is likely to name: where the batch is folded into another dimension, it shows.
BATCH = 13
MAX_LAYERS = 10_000


def propagate(
    layers: Sequence[Call],
    input_shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    symbols: Mapping[str, int] | None = None,
) -> Propagation:
    """Send a shape (without the batch dimension) through a stack of layers.

    Calls may be in the short form or PyTorch's own; given sizes are checked. Whatever is wrong, names and arguments
    included, is the `problem` of what is returned, with a fix where one was found that makes the layer pass.

    Stricter than PyTorch in three cases: Linear wants (features) or (sequence, features); a layer must not read the
    batch as channels or as a sequence (`rules.RANKS`, Softmax over the batch); shapes without any number are refused.
    """
    shape, known = tuple(input_shape), dict(symbols or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result, failure = _run(tuple(layers), shape, dtype, known)
        if failure is None:
            return result
        fix = None
        for candidate in candidates(failure):
            try:
                changed = apply_fix(layers, candidate)
            except RequestError:
                continue
            _, after = _run(changed, shape, dtype, known)
            if after is None or _order(after.path) > _order(target_path(candidate)):
                fix = candidate
                break
    return Propagation(result.rows, result.nodes, None, _problem(failure, fix))


def _order(path: str) -> tuple[float, ...]:
    """Sorts paths as they are run; a container comes after what it holds."""
    words = {"body": 0.0, "shortcut": 1.0}
    return (*(words[part] if part in words else float(part) for part in path.split(".")), float("inf"))


def _problem(failure: Failure, fix: Fix | None) -> Problem:
    after = f" after {failure.previous}" if failure.previous else ""
    shape = f"(N, {', '.join(map(str, failure.shape))})" if failure.shape else "(N,)"
    if failure.reason in ("name", "call"):
        message = failure.detail
        expected = ""
    elif failure.reason == "given":
        return Problem(failure.path, str(failure.call), f"{failure.call}{after}: {failure.detail}", fix,
                       failure.expected, failure.shape)  # fmt: skip
    else:
        expected = "" if failure.reason == "size" else failure.expected
        message = f"{failure.call}{after}: got {shape}"
        if failure.detail:
            message += f": {failure.detail}"
        elif expected and not (fix and fix.action == "insert" and fix.call == "Flatten()"):
            message += f", wants {expected.replace('(', '(N, ')}"
    if fix is not None and failure.reason != "name":
        message += f"; {fix.text}"
    return Problem(failure.path, str(failure.call), message, fix, expected, failure.shape)


# -- one walk through the layers ---------------------------------------------------------------------------------------


class _Stop(Exception):
    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def _run(
    layers: tuple[Call, ...], shape: tuple[int, ...], dtype: torch.dtype, symbols: Mapping[str, int]
) -> tuple[Propagation, Failure | None]:
    flops = FlopCount()
    walk = _Walk(symbols, flops)
    nodes: list[Node] = []
    with torch.no_grad(), torch.device("meta"), flops:
        try:
            inputs = torch.empty((BATCH, *shape), dtype=dtype)
            outputs = walk.chain(layers, inputs, "", 0, False, nodes)
        except _Stop as stop:
            return Propagation(tuple(walk.rows), tuple(nodes), None), stop.failure
    return Propagation(tuple(walk.rows), tuple(nodes), tuple(outputs.shape[1:])), None


class _Walk:
    def __init__(self, symbols: Mapping[str, int], flops: FlopCount) -> None:
        self.symbols = symbols
        self.flops = flops
        self.rows: list[Row] = []
        self.previous = ""
        self.count = 0

    def chain(
        self, layers: tuple[Call, ...], inputs: Tensor, prefix: str, depth: int, frozen: bool, nodes: list[Node]
    ) -> Tensor:
        """Run layers one after another, appending their nodes as they pass."""
        for index, call in enumerate(layers):
            failure = Failure(
                f"{prefix}{index}", call, "call", "",
                shape=tuple(inputs.shape[1:]), previous=self.previous, siblings=layers, index=index,
            )  # fmt: skip
            node, inputs = self.layer(failure, inputs, depth, frozen)
            nodes.append(node)
            self.previous = str(call)
        return inputs

    def layer(self, at: Failure, inputs: Tensor, depth: int, frozen: bool) -> tuple[Node, Tensor]:
        call = at.call
        self.count += 1
        if self.count > MAX_LAYERS or _size(call) > MAX_LAYERS:
            raise _Stop(_failed(at, "call", f"`{call}`: a network may have {MAX_LAYERS} layers at most"))
        try:
            entry = find("layers", call.name)
        except RequestError as error:
            raise _Stop(_failed(at, "name", str(error))) from None
        try:
            arguments = bind(entry, call, self.symbols)
            init = reserved(entry, call).get("init")
            if isinstance(init, Call):
                bind(find("initialisers", init.name), init, self.symbols)
        except RequestError as error:
            raise _Stop(_failed(at, "call", str(error))) from None
        at = _with(at, entry, arguments)
        frozen = frozen or (call.get("frozen") is True and not call.get("thaw"))
        if is_container(entry):
            return self.container(at, entry, arguments, inputs, depth, frozen)
        if entry.target is Backbone:
            return self.backbone(at, entry, arguments, inputs, depth, frozen)
        return self.leaf(at, entry, arguments, inputs, depth, frozen)

    # -- a layer that holds no others

    def leaf(
        self, at: Failure, entry: Entry, arguments: dict[str, object], inputs: Tensor, depth: int, frozen: bool
    ) -> tuple[Node, Tensor]:
        node = self.resolved(at, entry, arguments, inputs)
        before = self.flops.total
        try:
            module = construct(node)
            outputs = module(inputs)
        except Exception as error:  # whatever PyTorch raises for arguments and shapes that do not fit
            detail = _one_line(error)
            if entry.name == "Reshape":
                numbers = inputs.numel() // BATCH
                detail = f"{numbers} numbers for each sample, which do not fill that shape"
            raise _Stop(_failed(at, "torch", detail)) from None
        self.check_output(at, outputs)
        macs = (self.flops.total - before) // 2 // BATCH
        sizes = [(parameter.numel(), parameter.requires_grad and not frozen) for parameter in module.parameters()]
        shape = tuple(outputs.shape[1:])
        self.rows.append(
            Row(
                at.path, str(at.call), shape, sum(size for size, _ in sizes),
                sum(size for size, trained in sizes if trained), macs,
                outputs.numel() // BATCH * outputs.element_size(), depth,
            )
        )  # fmt: skip
        return Node(at.path, at.call, entry, node.arguments, (), shape), outputs

    def backbone(
        self, at: Failure, entry: Entry, arguments: dict[str, object], inputs: Tensor, depth: int, frozen: bool
    ) -> tuple[Node, Tensor]:
        # It keeps its auxiliary heads where its output is that of the network.
        last = depth == 0 and at.index == len(at.siblings) - 1
        try:
            found = backbone_layer(at.path, at.call, arguments, inputs, self.symbols, last, depth, frozen)
        except Misfit as misfit:
            raise _Stop(_failed(at, misfit.reason, str(misfit), misfit.expected)) from None
        except RequestError as error:
            raise _Stop(_failed(at, "call", f"`{at.call}`: {error}")) from None
        self.rows += found.rows
        shape = found.rows[0].output_shape
        outputs = torch.empty((BATCH, *shape))
        return Node(at.path, at.call, entry, {**arguments, **found.inferred}, (), shape), outputs

    def resolved(self, at: Failure, entry: Entry, arguments: dict[str, object], inputs: Tensor) -> Node:
        """The node with its inferred sizes filled in and checked, and with nested layers resolved in the same way."""
        shape = tuple(inputs.shape[1:])
        _check_input(at, entry, inputs)
        full = dict(arguments)
        for name, value in arguments.items():
            if isinstance(value, Call):
                full[name] = self.nested(at, value, inputs)
        if entry.name in rules.INFERRED and entry.inferred:
            name, which = rules.INFERRED[entry.name]
            size = shape[0 if which == rules.CHANNELS else -1] if shape else 0
            if name not in arguments:
                full[name] = size
            else:
                _check_given(at, name, arguments[name], shape, which)
        return Node(at.path, at.call, entry, full)

    def nested(self, at: Failure, call: Call, inputs: Tensor) -> Node:
        try:
            entry = find("layers", call.name)
            arguments = bind(entry, call, self.symbols)
        except RequestError as error:
            raise _Stop(_failed(at, "call", str(error))) from None
        if is_container(entry):
            raise _Stop(_failed(at, "call", f"`{at.call}`: {call} cannot stand there"))
        return self.resolved(at, entry, arguments, inputs)

    def check_output(self, at: Failure, outputs: object) -> None:
        if not isinstance(outputs, Tensor):
            raise _Stop(_failed(at, "torch", f"gives {type(outputs).__name__} and not one tensor"))
        if outputs.dim() == 0 or outputs.shape[0] != BATCH:
            raise _Stop(_failed(at, "batch", "the batch dimension is gone"))
        if 0 in outputs.shape:
            sizes = ", ".join(map(str, outputs.shape[1:]))
            raise _Stop(_failed(at, "torch", f"nothing is left: the output would be (N, {sizes})"))

    # -- containers

    def container(
        self, at: Failure, entry: Entry, arguments: dict[str, object], inputs: Tensor, depth: int, frozen: bool
    ) -> tuple[Node, Tensor]:
        first = len(self.rows)
        chains, outputs = self.inside(at, arguments, inputs, depth + 1, frozen)
        held = [row for row in self.rows[first:] if row.depth == depth + 1]
        shape = tuple(outputs.shape[1:])
        # Adding and concatenating make a new tensor; a chain gives on that of its last layer.
        new = at.call.name in ("Residual", "Parallel")
        own = outputs.numel() // BATCH * outputs.element_size() if new else 0
        row = Row(
            at.path, str(at.call), shape, sum(row.parameters for row in held), sum(row.trainable for row in held),
            sum(row.macs for row in held), sum(row.activation_bytes for row in held) + own, depth,
        )  # fmt: skip
        self.rows.insert(first, row)
        rest = {name: value for name, value in arguments.items() if name in ("n", "merge", "dim")}
        return Node(at.path, at.call, entry, rest, chains, shape), outputs

    def inside(
        self, at: Failure, arguments: dict[str, object], inputs: Tensor, depth: int, frozen: bool
    ) -> tuple[tuple[tuple[str, tuple[Node, ...]], ...], Tensor]:
        layers: Any = arguments.get("branches" if at.call.name == "Parallel" else "layers", ())
        before = self.previous

        def run(calls: tuple[Call, ...], name: str, inputs: Tensor) -> tuple[tuple[str, tuple[Node, ...]], Tensor]:
            nodes: list[Node] = []
            prefix = f"{at.path}.{name}." if name else f"{at.path}."
            outputs = self.chain(calls, inputs, prefix, depth, frozen, nodes)
            return (name, tuple(nodes)), outputs

        if at.call.name == "Residual":
            body, outputs = run(layers, "body", inputs)
            shortcut = arguments.get("shortcut")
            self.previous = before
            side = run((shortcut,), "shortcut", inputs) if isinstance(shortcut, Call) else None
            kept = side[1] if side else inputs
            try:
                return (body, side[0]) if side else (body,), added(outputs, kept)
            except RequestError as error:
                raise _Stop(_failed(at, "residual", str(error), output=tuple(outputs.shape[1:]))) from None
        if at.call.name == "Parallel":
            return self.branches(at, arguments, layers, inputs, depth, frozen)
        if at.call.name == "Repeat":
            chains = []
            n: Any = arguments["n"]
            for copy in range(n):
                chain, inputs = run(layers, str(copy), inputs)
                chains.append(chain)
            return tuple(chains), inputs
        chain, outputs = run(layers, "", inputs)
        return (chain,), outputs

    def branches(
        self, at: Failure, arguments: dict[str, object], calls: Any, inputs: Tensor, depth: int, frozen: bool
    ) -> tuple[tuple[tuple[str, tuple[Node, ...]], ...], Tensor]:
        before = self.previous
        nodes: list[Node] = []
        outputs: list[Tensor] = []
        for index, call in enumerate(calls):
            self.previous = before
            branch = Failure(
                f"{at.path}.{index}", call, "call", "",
                shape=tuple(inputs.shape[1:]), previous=before, siblings=(call,),
            )  # fmt: skip
            node, output = self.layer(branch, inputs, depth, frozen)
            nodes.append(node)
            outputs.append(output)
        merge, dim = arguments.get("merge", "cat"), arguments.get("dim", 1)
        try:
            result = merged(outputs, str(merge), dim if isinstance(dim, int) else 1)
        except Exception as error:
            raise _Stop(_failed(at, "parallel", _one_line(error))) from None
        self.check_output(at, result)
        return (("", tuple(nodes)),), result


def _failed(at: Failure, reason: str, detail: str, expected: str = "", output: tuple[int, ...] = ()) -> Failure:
    return Failure(
        at.path, at.call, reason, detail, at.shape, expected, at.previous, at.entry, at.arguments, at.siblings,
        at.index, output,
    )  # fmt: skip


def _with(at: Failure, entry: Entry, arguments: Mapping[str, object]) -> Failure:
    return Failure(
        at.path, at.call, at.reason, at.detail, at.shape, "", at.previous, entry, arguments, at.siblings, at.index
    )  # fmt: skip


def _check_input(at: Failure, entry: Entry, inputs: Tensor) -> None:
    rank = inputs.dim() - 1
    if entry.name in rules.RANKS:
        ranks, words = rules.RANKS[entry.name]
        if rank not in ranks:
            raise _Stop(_failed(at, "rank", "", words))
    if entry.name in rules.INDEX_LAYERS and inputs.is_floating_point():
        raise _Stop(_failed(at, "input", "of numbers with a fraction; it wants whole numbers, the rows of its table"))
    if entry.name in ("Softmax", "LogSoftmax", "Softmin"):
        dim = at.arguments.get("dim")
        if dim is None:
            dim = 0 if inputs.dim() in (1, 3) else 1  # as torch.nn.functional guesses it
        if isinstance(dim, int) and dim % inputs.dim() == 0:
            raise _Stop(_failed(at, "batch", "it would mix the samples of a batch"))


def _check_given(at: Failure, name: str, given: object, shape: tuple[int, ...], which: str) -> None:
    sizes = given if isinstance(given, tuple) else (given,)
    tail = shape[-len(sizes) :] if which == rules.FEATURES else shape[: len(sizes)]
    if tuple(sizes) == tail:
        return
    what = "channels" if which == rules.CHANNELS and len(shape) > 1 else "features"
    found = tail[0] if len(tail) == 1 else tail
    come = f"1 {what[:-1]} comes" if found == 1 else f"{found} {what} come"
    detail = f"{name} is {given}, but {come} in"
    raise _Stop(_failed(at, "given", detail, f"{name} is {found}"))


def _size(call: Call) -> int:
    """How many layers a call stands for, the copies of a Repeat counted each."""
    inside = sum(_size(value) for value in call.args if isinstance(value, Call))
    times = call.args[0] if call.name == "Repeat" and call.args else 1
    return 1 + inside * (times if isinstance(times, int) else 1)


def _one_line(error: Exception) -> str:
    """PyTorch's own words, as one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if "overflow" in str(error).lower():
        text = "it is too large: more numbers than can be counted in 64 bits"
    return text if len(text) <= 200 else text[:197] + "..."
