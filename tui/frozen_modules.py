"""Which modules of a Backbone are trained: its call with one of them frozen or thawed, in as few words as say it.

Pure, without torch: what a Backbone holds is taken from the rows of the shape check, which go two levels down.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.calls import Call, Table, Value
from engine.errors import RequestError

BACKBONE = "Backbone"
# As they stand in the signature of engine/backbones.py.
_POSITIONAL = ("name", "weights", "until", "frozen", "thaw", "lr_scale", "init")


@dataclass(frozen=True)
class Module:
    """A module of a Backbone; `path` is torchvision's ("layer4.1"), `parameters` and `trainable` count all it holds."""

    path: str
    parameters: int
    trainable: int


# A module, and whether all that it holds is meant or only what it has beside its own modules.
_Part = tuple[str, bool]


def frozen_of(call: Call) -> object:
    """What a Backbone's call says of freezing: "none" unless given."""
    return _named(call).get("frozen", "none")


def until_of(call: Call) -> object:
    """The module that a Backbone's call cuts it after; None where it is whole."""
    return _named(call).get("until")


def is_frozen(call: Call) -> bool:
    """Whether all of a layer is frozen; of a Backbone all but its head."""
    return frozen_of(call) == "all" if call.name == BACKBONE else call.get("frozen") is True


def with_frozen(call: Call, frozen: bool) -> Call:
    """The layer frozen, or trained; of a Backbone all but its head."""
    if call.name == BACKBONE:
        return _with_frozen(call, "all" if frozen else "none")
    return call.replace(frozen=True) if frozen else call.without("frozen")


def _with_frozen(call: Call, frozen: str | tuple[str, ...]) -> Call:
    named = _named(call)
    return named.without("frozen") if frozen in ("none", ()) else named.replace(frozen=frozen)


def toggled(call: Call, modules: Sequence[Module], path: str, head: Iterable[str]) -> Call:
    """The call with the module at `path` frozen for good, or trained from the beginning where all of it is frozen.

    `modules` are those of the Backbone in its own order, `head` the paths of what gives the scores. What thaws later
    counts as trained; of `path` it is taken out of the schedule. Raises RequestError where the module has no
    parameters, and where it thaws together with others.
    """
    parts = _parts(modules)
    here = {part for part in parts if _within(part[0], path)}
    if not here:
        raise RequestError(f"{path} has no parameters: there is nothing to freeze")
    frozen = {part for part, trained in parts.items() if not trained}
    frozen = frozen - here if here <= frozen else frozen | here
    deeper = [entry for entry in _deeper(call, modules) if not _within(entry, path)]
    return _with_frozen(_without_thaw(call, path), _words(modules, list(parts), frozen, deeper, tuple(head)))


def _without_thaw(call: Call, path: str) -> Call:
    """The call whose schedule of thawing says nothing of a module any more."""
    call = _named(call)
    thaw = call.get("thaw")
    if not isinstance(thaw, Table):
        return call
    kept: list[tuple[str | int, Value]] = []
    for epoch, given in thaw.items:
        names = given if isinstance(given, tuple) else (given,)
        left = tuple(name for name in names if not _within(str(name), path))
        for name in map(str, left):
            if name == "all" or name.startswith("to:") or _within(path, name):
                raise RequestError(f"{path} thaws in epoch {epoch} with thaw={thaw}: change that first")
        if left:
            kept.append((epoch, left if isinstance(given, tuple) else left[0]))
    return call.replace(thaw=Table(tuple(kept))) if kept else call.without("thaw")


def _words(
    modules: Sequence[Module], parts: Sequence[_Part], frozen: set[_Part], deeper: Sequence[str], head: tuple[str, ...]
) -> str | tuple[str, ...]:
    """Everything, nothing, a beginning or a list of modules: the shortest that says what is frozen."""
    if not frozen and not deeper:
        return "none"
    if not deeper:
        body = {part for part in parts if not any(_within(part[0], one) for one in head)}
        if frozen == body:
            return "all"
        tops = [module.path for module in modules if "." not in module.path]
        for index, top in enumerate(tops):
            upto = {part for part in parts if part[0].split(".")[0] in tops[: index + 1]}
            if upto == frozen and len({part[0].split(".")[0] for part in upto}) > 1:
                return f"to:{top}"
    named: list[str] = []
    for module in modules:
        held = {part for part in parts if _within(part[0], module.path)}
        if held and held <= frozen and not any(_within(module.path, one) for one in named):
            named.append(module.path)
    return (*named, *deeper)


def _parts(modules: Sequence[Module]) -> dict[_Part, bool]:
    """What can be frozen apart, in order: modules that hold no others here, and what a module has beside those that it
    holds; with whether any of it is trained."""
    found: dict[_Part, bool] = {}
    for module in modules:
        inside = [one for one in modules if one.path.rpartition(".")[0] == module.path]
        own = module.parameters - sum(one.parameters for one in inside)
        if own > 0:
            trained = module.trainable - sum(one.trainable for one in inside) > 0
            found[module.path, not inside] = trained
    return found


def _deeper(call: Call, modules: Sequence[Module]) -> list[str]:
    """What the call freezes by name further down than the rows go."""
    given = frozen_of(call)
    known = {module.path for module in modules}
    names = given if isinstance(given, tuple) else ()
    return [name for name in names if isinstance(name, str) and name not in known]


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _named(call: Call) -> Call:
    """With the arguments behind the model's name as keywords, in which they are looked for and set."""
    if len(call.args) < 2 or len(call.args) > len(_POSITIONAL):
        return call
    given = tuple(zip(_POSITIONAL[1:], call.args[1:], strict=False))
    return dataclasses.replace(call, args=call.args[:1], kwargs=(*given, *call.kwargs))
