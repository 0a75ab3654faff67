"""Where a network can be cut in two: a frozen beginning, which gives every sample the same features in every epoch, and
the rest, which trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.catalogue import reserved
from engine.errors import RequestError
from engine.freezing import backbone_nodes
from engine.nodes import Node, Problem, construct
from engine.stepping import set_training

if TYPE_CHECKING:
    from engine.check import Report

FLATTEN = "flatten"  # a step between two modules that is no module of its own: torch.flatten(x, 1)
# What does something else in train mode than in eval mode, of the layers that have no parameters.
_MODED = (
    nn.modules.dropout._DropoutNd,
    nn.RReLU,
    nn.modules.batchnorm._NormBase,
    nn.modules.lazy.LazyModuleMixin,
)
_ALWAYS_RANDOM = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_KNOWN = ("torch.nn.modules.", "torchvision.ops.misc", "engine.layers")


@dataclass(frozen=True)
class Prefix:
    """The frozen beginning of a network: its first `layers` layers and, where `inside` is given, the layer after them
    up to the input of the module at that path ("0.fc"). `remaining` are the modules of that layer which come
    afterwards, in order, by their paths; FLATTEN between two of them flattens each sample. `text` names the beginning,
    `shape` is one sample's features, `parameters` counts the weights that are not needed once these are there.
    """

    layers: int
    inside: str | None
    text: str
    shape: tuple[int, ...]
    parameters: int
    remaining: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why a network has no beginning whose outputs could be kept, and what would help, in words."""

    text: str

    def __str__(self) -> str:
        return self.text


def frozen_prefix(report: Report) -> Prefix | Reason:
    """The longest beginning of a checked network that is frozen for good, does in train mode what it does in eval mode,
    and has no augmentation before it; or why there is none. Nothing is computed: it looks on the meta device."""
    experiment = report.experiment
    if len(report.propagations) != 1:
        names = " and ".join(report.propagations)
        return Reason(f"the experiment has several networks ({names}); features are kept for one alone")
    found = next(iter(report.propagations.values()))
    if found.problem is not None:
        return Reason(found.problem.message)
    if experiment.data.augment:
        call = experiment.data.augment[0]
        return Reason(f"{call} changes the samples in every epoch, and their features with them; leave augment out")
    with torch.device("meta"):
        network = nn.Sequential(*(construct(node) for node in found.nodes))
    set_training(network)
    layers = 0
    while layers < len(found.nodes) and not _thaws(found.nodes[layers]) and _fixed(network[layers]):
        layers += 1
    if layers == len(found.nodes):
        return Reason("every layer is frozen, so that nothing is left to train")
    before = found.nodes[layers - 1].output_shape if layers else report.info.input_shape
    first, shape = found.nodes[layers], before
    remaining: tuple[str, ...] = ()
    calls = [str(node.call) for node in found.nodes[:layers]]
    # One that is cut with until ends by leaving its last module, which the rest could not.
    if first.entry.name == "Backbone" and first.arguments.get("until") is None and not _thaws(first):
        if first.arguments.get("auxiliary"):
            return Reason(
                f"the auxiliary head of `{first.call}` needs what the frozen part computes on its way; with Identity() "
                "behind the Backbone that head is left out"
            )
        cut = _inside(network[layers], str(layers), before, first.output_shape)
        if isinstance(cut, Reason):
            return cut
        if cut is not None:
            remaining, shape = cut
            calls.append(f"{first.call} before {_below(remaining[0], str(layers))}")
    prefix = Prefix(layers, remaining[0] if remaining else None, ", ".join(calls), shape, 0, remaining)
    kept = {id(parameter) for parameter in rest(network, prefix).parameters()}
    parameters = sum(parameter.numel() for parameter in network.parameters() if id(parameter) not in kept)
    if parameters == 0:
        return Reason(_nothing_frozen(found.nodes, layers))
    return replace(prefix, parameters=parameters)


def checked(report: Report) -> Report:
    """A report without an error, with what is wrong with its cache_features, or with the hint that it would help."""
    if report.experiment.data.cache_features:
        found = frozen_prefix(report)
        if isinstance(found, Prefix):
            return report
        return replace(report, error=Problem("data.cache_features", "", f"cache_features = true, but {found}"))
    if not _would_help(report):
        return report
    hint = (
        "the Backbone is frozen and nothing changes the samples before it: with cache_features = true in [data] its "
        "outputs are computed once instead of in every epoch"
    )
    return replace(report, warnings=(*report.warnings, hint))


def _would_help(report: Report) -> bool:
    """Whether the outputs of a Backbone could be kept; answered without building it again."""
    if len(report.propagations) != 1 or report.experiment.data.augment or report.experiment.epochs < 2:
        return False
    first = next(iter(report.propagations.values())).nodes[0]
    given = first.arguments
    frozen = given.get("frozen") == "all" or reserved(first.entry, first.call).get("frozen") is True
    return first.entry.name == "Backbone" and frozen and not _thaws(first) and not given.get("auxiliary")


def _nothing_frozen(nodes: Sequence[Node], layers: int) -> str:
    first = nodes[layers]
    where = f"layer {first.path} `{first.call}`"
    if _thaws(first):
        return f"{where} begins to train in a later epoch, and its features change from then on; leave thaw out"
    if first.entry.name != "Backbone" and any(backbone_nodes([first])):
        return (
            f"the Backbone stands within {where}, and features are kept of one that is a layer of its own; take it out "
            "of there"
        )
    return (
        f"the network does not begin with frozen layers: {where} trains or is random; "
        'give the layers before the head frozen=True, or a Backbone frozen="all"'
    )


def rest(network: nn.Sequential, prefix: Prefix) -> nn.Sequential:
    """What comes after a prefix, sharing its modules with the full network, under the same names: the keys of its
    state_dict are keys of the full network's. Takes features (N, *prefix.shape)."""
    whole = nn.Sequential()
    # A step without parameters stands beside the modules of its layer, under a name that none of these has.
    for path in prefix.remaining:
        parent, names = whole, path.split(".")
        for name in names[:-1]:
            if name not in parent._modules:
                parent.add_module(name, nn.Sequential())
            parent = parent.get_submodule(name)  # type: ignore[assignment]
        is_step = names[-1] == FLATTEN and not _has(network, path)
        parent.add_module(names[-1], nn.Flatten(1) if is_step else network.get_submodule(path))
    first = prefix.layers + (1 if prefix.remaining else 0)
    for index in range(first, len(network)):
        whole.add_module(str(index), network[index])
    return whole


class _Stop(Exception):
    """Carries features out of a forward pass that need not go on."""

    def __init__(self, features: Tensor) -> None:
        self.features = features


def compute(network: nn.Sequential, prefix: Prefix, inputs: Tensor) -> Tensor:
    """The features (N, *prefix.shape) of a batch of inputs (N, ...), as the network's modes are."""
    outputs = inputs
    for index in range(prefix.layers):
        outputs = network[index](outputs)
    if prefix.inside is None:
        return outputs

    def leave(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        raise _Stop(given[0])

    handle = network.get_submodule(prefix.inside).register_forward_pre_hook(leave)
    try:
        network[prefix.layers](outputs)
    except _Stop as stop:
        return stop.features
    finally:
        handle.remove()
    raise RequestError(f"cache_features: {prefix.inside} is not reached in eval mode; give the Backbone until=...")


# -- what may belong to a prefix -----------------------------------------------------------------------------------


def _thaws(node: Node) -> bool:
    """Whether anything of a layer begins to train in the course of the run."""
    if node.arguments.get("thaw") is not None or reserved(node.entry, node.call).get("thaw") is not None:
        return True
    return any(_thaws(child) for _, chain in node.children for child in chain)


def _fixed(module: nn.Module) -> bool:
    """Whether nothing of a module trains, and it does to each sample the same in every epoch, in the modes it is in."""
    if any(parameter.requires_grad for parameter in module.parameters()):
        return False
    return all(_steady(part) for part in module.modules())


def _steady(module: nn.Module) -> bool:
    if isinstance(module, _ALWAYS_RANDOM):
        return False
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
        return False  # it takes its statistics from the batch, in eval mode too
    if not module.training:
        return True
    # A person's own module may do anything in train mode.
    return type(module).__module__.startswith(_KNOWN) and not isinstance(module, _MODED)


# -- the cut within a layer ----------------------------------------------------------------------------------------


@dataclass
class _Ran:
    """One module's turn in a forward pass, with shapes that include the batch."""

    path: str
    given: tuple[int, ...]
    made: tuple[int, ...] = ()


def _inside(
    module: nn.Module, path: str, given: tuple[int, ...], made: tuple[int, ...], larger: bool = False
) -> tuple[tuple[str, ...], tuple[int, ...]] | Reason | None:
    """The modules from the first one on that trains or is random, by path, and the shape that comes to it; None where
    nothing frozen is before it. `larger` says that `given` is larger than what the network gets."""
    turns = _turns(module, path, given)
    counts = Counter(turn.path for turn in turns)
    by_path = {turn.path: turn for turn in turns}
    remaining, shape = _from_first_unsteady(module, path, by_path, counts)
    where = f"the Backbone in layer {path}"
    advice = 'cut it with until="..." where its features are one tensor, and put the layers of the head after it'
    if not remaining or any(counts[one] > 1 for one in remaining):
        return Reason(f"{where} cannot be cut before what trains in it; {advice}")
    own = {id(p) for one in remaining for p in module.get_submodule(_below(one, path)).parameters()}
    if any(p.requires_grad and id(p) not in own for p in module.parameters()):
        return Reason(f"what trains in {where} does not all come after what is frozen; {advice}")
    if remaining[0] == turns[0].path:
        return None
    joined: list[str] = []
    flowing, single = shape, False
    for one in remaining:
        turn = by_path[one]
        if turn.given != flowing:
            single = single or flowing[2:] == (1, 1)
            if turn.given != _flat(flowing) or any(step.endswith(f".{FLATTEN}") for step in joined):
                return Reason(
                    f"between {joined[-1]} and {one} {where} computes something that is no module, so it cannot be "
                    f"cut there; {advice}"
                )
            joined.append(f"{path}.{FLATTEN}")
        joined.append(one)
        flowing = turn.made
    if flowing[1:] != made:
        single = single or flowing[2:] == (1, 1)
        if _flat(flowing)[1:] != made or any(step.endswith(f".{FLATTEN}") for step in joined):
            return Reason(
                f"behind {joined[-1]} {where} computes something that is no module, so it cannot be cut there; {advice}"
            )
        joined.append(f"{path}.{FLATTEN}")
    if single and not larger and len(given) == 3:
        # Of maps of a single pixel their mean is flat, too, and pooling leaves them as they are.
        with suppress(RuntimeError, ValueError, AssertionError):  # models for pictures of one size
            wide = _inside(module, path, (given[0], 8 * given[1], 8 * given[2]), made, larger=True)
            if isinstance(wide, Reason):
                return wide
    return tuple(joined), shape[1:]


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    numbers = 1
    for size in shape[1:]:
        numbers *= size
    return shape[0], numbers


def _below(path: str, top: str) -> str:
    return path[len(top) + 1 :]


def _from_first_unsteady(
    module: nn.Module, path: str, by_path: dict[str, _Ran], counts: Counter[str]
) -> tuple[list[str], tuple[int, ...]]:
    """The children of a module from the first on that is not fixed, in the order they ran; of a Sequential among them
    that begins with what is fixed, its own children instead."""
    children = dict(module.named_children())
    ran = [turn for turn in by_path.values() if turn.path.rpartition(".")[0] == path]
    for index, turn in enumerate(ran):
        child = children[turn.path.rpartition(".")[2]]
        if _fixed(child):
            continue
        later = [other.path for other in ran[index + 1 :]]
        if isinstance(child, nn.Sequential) and counts[turn.path] == 1:
            inner, shape = _from_first_unsteady(child, turn.path, by_path, counts)
            if inner and inner[0] != f"{turn.path}.{next(iter(child._modules))}":
                return [*inner, *later], shape
        return [turn.path, *later], turn.given
    return [], ()


def _turns(module: nn.Module, path: str, given: tuple[int, ...]) -> list[_Ran]:
    """Every module's turn in a forward pass of a sample of zeros on the meta device, in eval mode, in order."""
    turns: list[_Ran] = []
    handles = []

    def enter(name: str) -> Callable[..., None]:
        def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            shape = tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else ()
            turns.append(_Ran(name, shape))

        return note

    def leave(name: str) -> Callable[..., None]:
        def note(_: nn.Module, inputs: object, output: object) -> None:
            last = next(turn for turn in reversed(turns) if turn.path == name)
            last.made = tuple(output.shape) if isinstance(output, Tensor) else ()

        return note

    modes = {part: part.training for part in module.modules()}
    for name, part in module.named_modules():
        if name:
            handles.append(part.register_forward_pre_hook(enter(f"{path}.{name}")))
            handles.append(part.register_forward_hook(leave(f"{path}.{name}")))
    module.eval()
    try:
        with torch.no_grad(), torch.device("meta"):
            module(torch.empty((2, *given)))
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes.items():
            part.training = training
    return turns


def _has(network: nn.Module, path: str) -> bool:
    try:
        network.get_submodule(path)
    except AttributeError:
        return False
    return True
