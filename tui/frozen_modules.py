"""Which modules of a Backbone are trained: its call with one of them frozen or thawed, in as few words as say it.

Pure, without torch: what a Backbone holds is taken from the rows of the shape check, which go two levels down; what
stands beside these modules, such as the class token of a vision transformer, is a row like them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.calls import Call, Table, Value
from engine.errors import RequestError

BACKBONE = "Backbone"
# As they stand in the signature of engine/backbones.py.
_POSITIONAL = ("name", "weights", "until", "frozen", "thaw", "lr_scale", "init")


@dataclass(frozen=True)
class Module:
    """A module of a Backbone, or a parameter beside its modules; `path` is torchvision's ("layer4.1"), `parameters` and
    `trainable` count all it holds."""

    path: str
    parameters: int
    trainable: int


def frozen_of(call: Call) -> object:
    """What a Backbone's call says of freezing: "none" unless given."""
    return _named(call).get("frozen", "none")


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
    parameters, where it thaws together with others, where the call freezes up to the midst of another module, and where
    another is frozen in part until it thaws: in other words for what is frozen all of it would be.
    """
    parts = _parts(modules)
    here = {part for part in parts if _within(part, path)}
    if not here:
        raise RequestError(f"{path} has no parameters: there is nothing to freeze")
    frozen = {part for part, trained in parts.items() if not trained}
    frozen = frozen - here if here <= frozen else frozen | here
    deeper = [entry for entry in _deeper(call, parts, path) if not _within(entry, path)]
    _refuse_partial_thaw(call, path, tuple(head), tuple(parts))
    return _with_frozen(_without_thaw(call, path), _words(modules, list(parts), frozen, deeper, tuple(head)))


def _refuse_partial_thaw(call: Call, path: str, head: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """What frozen names of a module that thaws decides what of it trains before, and what it says of one of which a
    part thaws decides that the rest does not: both would be lost in other words."""
    frozen, thaw = frozen_of(call), _named(call).get("thaw")
    if frozen == "all":
        within = head
    else:
        within = tuple(map(str, frozen)) if isinstance(frozen, tuple) else (str(frozen).removeprefix("to:"),)
    for epoch, given in thaw.items if isinstance(thaw, Table) else ():
        for name in map(str, given if isinstance(given, tuple) else (given,)):
            part = next((one for one in parts if _within(name, one) and one not in (name, path)), None)
            if part is not None and not _within(part, path) and frozen not in ("none", ()):
                raise RequestError(f"a part of {part} alone thaws with epoch {epoch}, thaw={thaw}: change that first")
            if not _within(name, path) and any(_within(one, name) and one != name for one in within):
                raise RequestError(
                    f"a part of {name} alone is frozen until epoch {epoch}, thaw={thaw}: change that first"
                )


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
    modules: Sequence[Module], parts: Sequence[str], frozen: set[str], deeper: Sequence[str], head: tuple[str, ...]
) -> str | tuple[str, ...]:
    """Everything, nothing, a beginning or a list of modules: the shortest that says what is frozen."""
    if not frozen and not deeper:
        return "none"
    if not deeper:
        scores = {part for part in parts if any(_within(part, one) for one in head)}
        if frozen == set(parts) - scores:
            return "all"
        tops = list(dict.fromkeys(module.path.partition(".")[0] for module in modules))
        for index, top in enumerate(tops):
            upto = {part for part in parts if part.partition(".")[0] in tops[: index + 1]}
            if top not in head:  # a beginning leaves out the heads in it, unless it ends with one
                upto -= scores
            if upto == frozen and len({part.partition(".")[0] for part in upto}) > 1:
                return f"to:{top}"
    named: list[str] = []
    for module in modules:
        held = {part for part in parts if _within(part, module.path)}
        if held and held <= frozen and not any(_within(module.path, one) for one in named):
            named.append(module.path)
    return (*named, *deeper)


def _parts(modules: Sequence[Module]) -> dict[str, bool]:
    """What can be frozen apart, in order: what holds no other module here, with whether any of it is trained."""
    holding = {module.path.rpartition(".")[0] for module in modules}
    return {one.path: one.trainable > 0 for one in modules if one.parameters and one.path not in holding}


def _deeper(call: Call, parts: Mapping[str, bool], path: str) -> list[str]:
    """What the call freezes by name further down than the rows go, of what is not frozen as a whole."""
    given = frozen_of(call)
    split = [part for part, trained in parts.items() if trained]
    if isinstance(given, tuple):
        names = [name for name in given if isinstance(name, str)]
        return [name for name in names if any(_within(name, part) for part in split if part != name)]
    last = str(given).removeprefix("to:")
    midst = next((part for part in split if _within(last, part) and part != last), None)
    if midst is not None and not _within(midst, path):
        raise RequestError(
            f"frozen='{given}' ends within {midst}: name what is frozen in a tuple, or freeze {midst} first"
        )
    return []


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _named(call: Call) -> Call:
    """With the arguments behind the model's name as keywords, in which they are looked for and set."""
    if len(call.args) < 2 or len(call.args) > len(_POSITIONAL):
        return call
    given = tuple(zip(_POSITIONAL[1:], call.args[1:], strict=False))
    return dataclasses.replace(call, args=call.args[:1], kwargs=(*given, *call.kwargs))
