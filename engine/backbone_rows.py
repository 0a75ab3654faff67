"""A backbone among the layers of a network: what it is told of the data, whether it fits, and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from engine.backbone_shapes import LEVELS, Measured, measure
from engine.backbones import (
    IMAGENET,
    WITH_AUXILIARY,
    below,
    check_module,
    check_name,
    chosen_parameters,
    fixed_size,
    smallest_size,
    torchvision_weights,
)
from engine.binding import bind
from engine.calls import Call, Table
from engine.catalogue import find
from engine.errors import RequestError
from engine.nodes import Node, Row
from engine.rules import AUXILIARY_SMALLEST, SIZE_STEPS


class Misfit(RequestError):
    """The input does not suit the model; `expected` is the size that would."""

    def __init__(self, reason: str, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.expected = expected


@dataclass(frozen=True)
class BackboneLayer:
    """The rows of a backbone, its own first, and the arguments that it has from its place in the network."""

    rows: tuple[Row, ...]
    inferred: dict[str, object]


def backbone_layer(
    path: str,
    call: Call,
    arguments: Mapping[str, object],
    inputs: Tensor,
    symbols: Mapping[str, int],
    last: bool,
    depth: int,
    frozen: bool,
) -> BackboneLayer:
    """Check a backbone against its input (N, ...), and measure it.

    `last`: whether the network ends with it; `frozen`: whether a container around it is. Raises Misfit for an input
    that does not suit the model, RequestError for whatever else is wrong with the call.
    """
    name, weights, until = str(arguments["name"]), arguments.get("weights", "DEFAULT"), arguments.get("until")
    check_name(name)
    kind = None if weights is None else str(weights)
    torchvision_weights(name, kind)
    classes = symbols.get("classes") if until is None else IMAGENET
    if classes is None:
        raise RequestError("how many classes there are is not known here; cut the head off with until")
    shape = tuple(inputs.shape[1:])
    auxiliary = last and until is None and name in WITH_AUXILIARY
    check_input(name, kind, shape, inputs, auxiliary)
    found = _measured(name, kind, None if until is None else str(until), classes, shape, auxiliary)
    trained = _trained(name, arguments, found, frozen)
    sizes = dict(found.parameters)
    rows = [
        Row(
            path, str(call), found.output_shape, sum(sizes.values()), sum(sizes[one] for one in trained), found.macs,
            found.activation_bytes, depth,
        )
    ]  # fmt: skip
    for module in found.modules:
        own = [one for one in sizes if below(one, (module.path,))]
        level = module.path.count(".") + 1
        if level <= LEVELS:
            rows.append(
                Row(
                    f"{path}.{module.path}", module.text, module.output_shape, sum(sizes[one] for one in own),
                    sum(sizes[one] for one in own if one in trained), module.macs, module.activation_bytes,
                    depth + level,
                )
            )  # fmt: skip
    inferred: dict[str, object] = {"num_classes": classes, "input_shape": shape, "auxiliary": auxiliary}
    return BackboneLayer(tuple(rows), inferred)


def check_input(name: str, weights: str | None, shape: tuple[int, ...], inputs: Tensor, auxiliary: bool) -> None:
    """Raises Misfit where a model cannot take samples of this shape."""
    if len(shape) != 3:
        raise Misfit("rank", "", "(channels, height, width)")
    if not inputs.is_floating_point():
        raise Misfit("input", "of whole numbers; it wants pictures")
    if shape[0] != 3:
        raise Misfit("channels", f"{shape[0]} channel{'' if shape[0] == 1 else 's'}, and it wants 3 (colour)")
    height, width = shape[1:]
    exact = fixed_size(name, weights)
    if exact is not None and (height, width) != (exact, exact):
        raise Misfit(
            "size",
            f"the weights are for {exact} × {exact} and nothing else",
            str(exact),
        )
    step = next((step for start, step in SIZE_STEPS.items() if name.startswith(start)), None)
    if step is not None and (height != width or height % step or not height):
        near = max(round(min(height, width) / step), 1) * step
        raise Misfit("size", f"it wants squares whose side is a multiple of {step}, such as {near} × {near}", str(near))
    least = AUXILIARY_SMALLEST.get(name) if auxiliary else None
    if least is not None and min(height, width) < least:
        raise Misfit(
            "size",
            f"its auxiliary head wants {least} × {least} at least; Identity() behind it leaves that head out",
            str(least),
        )


def _measured(
    name: str, weights: str | None, until: str | None, classes: int, shape: tuple[int, ...], auxiliary: bool
) -> Measured:
    try:
        return measure(name, weights, until, classes, shape, auxiliary)
    except RequestError:
        raise
    except Exception as error:  # whatever PyTorch raises for a picture that the model shrinks to nothing
        least = smallest_size(name)
        if min(shape[1:]) < least:
            raise Misfit(
                "size",
                f"it wants {least} × {least} at least",
                str(least),
            ) from None
        raise Misfit("torch", str(error).splitlines()[0] if str(error) else type(error).__name__) from None


def _trained(name: str, arguments: Mapping[str, object], found: Measured, frozen: bool) -> frozenset[str]:
    """The parameters that train at some time; RequestError where a module that is named is not there."""
    paths = [path for path, _ in found.parameters]
    modules = ["", *found.module_paths]
    if (until := arguments.get("until")) is not None:
        # A module that is missing may have been cut off.
        name = f"{name} until '{until}'"
    _check_tables(name, arguments, modules, paths)
    still = set(chosen_parameters(paths, modules, _which(arguments.get("frozen", "none")), found.heads, name))
    thaw = arguments.get("thaw")
    if isinstance(thaw, Table):
        for _, which in thaw.items:
            still -= set(thawed_parameters(paths, modules, which, name))
    return frozenset() if frozen else frozenset(path for path in paths if path not in still)


def measured(node: Node) -> Measured:
    """What is known of the Backbone of a node."""
    given: dict[str, Any] = node.arguments
    until = given.get("until")
    classes = given["num_classes"]
    return measure(
        given["name"], given.get("weights", "DEFAULT"), until, classes, tuple(given["input_shape"]), given["auxiliary"]
    )


def single_value_norm(node: Node) -> str | None:
    """The path of the first BatchNorm of a Backbone that trains and has a single value a channel and sample; None
    without one. Batches of one sample have no variance there."""
    found = measured(node)
    trained = _trained(str(node.arguments["name"]), node.arguments, found, False)
    path = next((path for path in found.single if any(below(one, (path,)) for one in trained)), None)
    return None if path is None else f"{node.path}.{path}"


def _check_tables(name: str, arguments: Mapping[str, object], modules: list[str], parameters: list[str]) -> None:
    """Raises RequestError where lr_scale, init or thaw holds what it cannot."""
    scale = arguments.get("lr_scale", 1.0)
    for module, value in scale.items if isinstance(scale, Table) else (("", scale),):
        if module != "":
            chosen_parameters(parameters, modules, (str(module),), name=name)  # which refuses what has none
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise RequestError(f"lr_scale wants a number above 0, the share of the learning rate, found {value!r}")
    init = arguments.get("init")
    for module, value in init.items if isinstance(init, Table) else ():
        check_module(str(module), modules, name)
        if not isinstance(value, Call):
            raise RequestError(f"init wants an initialiser such as kaiming_normal_() for '{module}', found {value!r}")
        bind(find("initialisers", value.name), value)
    thaw = arguments.get("thaw")
    for epoch, value in thaw.items if isinstance(thaw, Table) else ():
        if not isinstance(epoch, int) or epoch < 2:
            raise RequestError(f"thaw wants epochs, from 2, as in {{5: 'layer4'}}, found {epoch!r}")
        if not isinstance(value, str | tuple) or not value:
            raise RequestError(f"thaw wants modules, as in {{5: 'layer4', 8: 'all'}}, found {value!r}")


def thawed_parameters(paths: list[str], modules: list[str], which: object, name: str) -> tuple[str, ...]:
    """The parameters that an entry of `thaw` means: those of a module, of several, or "all"."""
    if which == "all":
        return tuple(paths)
    return chosen_parameters(paths, modules, _which(which if isinstance(which, tuple) else (which,)), (), name)


def _which(value: object) -> str | tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else str(value)
