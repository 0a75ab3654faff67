"""What of a network trains when, and at which share of the learning rate, as lines of a script.

Parameters are named by the beginnings of their names in the network, the largest modules that hold no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from engine import freezing
from engine.backbone_rows import measured
from engine.backbones import below
from engine.freezing import NEVER
from engine.nodes import Propagation

SHARES = '''

def in_groups(named_parameters):
    """A group for each share of the learning rate, the full rate first."""
    groups = {{share: [] for share in {shares}}}
    for name, parameter in named_parameters:
        share = next((share for start, share in SHARES.items() if name.startswith(start)), 1.0)
        groups[share].append(parameter)
    return [{{"params": found, "lr_scale": share}} for share, found in groups.items() if found]


def scaled(optimizer):
    for group in optimizer.param_groups:
        group["lr"] *= group["lr_scale"]
    return optimizer
'''
KEEP_SHARES = '''

def keep_shares(optimizer):
    """Some schedules name rates, the same for all groups: these follow the first of them."""
    first = optimizer.param_groups[0]
    for group in optimizer.param_groups:
        group["lr"] = first["lr"] * group["lr_scale"] / first["lr_scale"]
'''


class Freezing:
    """The lines for one network."""

    def __init__(self, propagation: Propagation) -> None:
        self._empty = {row.path for row in propagation.rows if not row.parameters}
        self._rules = freezing.by_layer(propagation)
        backbones = list(freezing.backbone_nodes(propagation.nodes))
        self._modules = [path for path, _ in self._rules]
        within: set[str] = set()
        for node in backbones:
            found = measured(node)
            self._modules += [node.path, *(f"{node.path}.{module}" for module in found.module_paths)]
            within |= {f"{node.path}.{path}" for path, _ in found.parameters}
        holders = set(freezing.containers(propagation.nodes))
        # A layer stands for its parameters by what they begin with; those of a Backbone have rules of their own.
        self._units = [
            (path if path in within else f"{path}.", rule)
            for path, rule in self._rules
            if path in within or path not in holders | self._empty
        ]

    @cached_property
    def thawed(self) -> dict[int, tuple[str, ...]]:
        """With which epochs what begins to train: beginnings of names of parameters, and layers without any by their
        paths with a dot behind."""
        found = {}
        for epoch in sorted({int(rule.begins) for _, rule in self._rules if 1 < rule.begins < NEVER}):
            without = (f"{path}." for path, begins in self._still() if begins == epoch)
            found[epoch] = (*self._names(unit for unit, rule in self._units if rule.begins == epoch), *without)
        return found

    @cached_property
    def shares(self) -> dict[str, float]:
        """The shares of the learning rate that are not the whole of it, the largest first."""
        trained = {unit: rule.lr_scale for unit, rule in self._units if rule.begins < NEVER}
        found: dict[str, float] = {}
        for share in sorted(set(trained.values()) - {1.0}, reverse=True):
            names = self._names((unit for unit in trained if trained[unit] == share), among=trained)
            found |= dict.fromkeys(names, share)
        return found

    @property
    def something_frozen(self) -> bool:
        """Whether something does not train with the first epoch."""
        return any(rule.begins > 1 for _, rule in self._units) or bool(self.still)

    @cached_property
    def still(self) -> tuple[str, ...]:
        """The layers without parameters that are frozen at first, but for those in others that are as long."""
        return tuple(path for path, _ in self._still())

    def frozen_lines(self) -> list[str]:
        """The lines that keep from training what is frozen at first."""
        frozen = self._names(unit for unit, rule in self._units if rule.begins > 1)
        if not frozen:
            return []
        others = self._names(unit for unit, rule in self._units if rule.begins == 1)
        word, names = ("not ", others) if 0 < len(others) < len(frozen) else ("", frozen)
        return [
            "for name, parameter in network.named_parameters():",
            f"    if {word}name.startswith({_tuple(names)}):",
            "        parameter.requires_grad = False",
        ]

    def thaw_lines(self) -> list[str]:
        """The table of what is thawed, for the loop and for what the optimizer is made of; nothing without any."""
        if not self.thawed:
            return []
        rows = [f"    {epoch}: {_tuple(names)}," for epoch, names in self.thawed.items()]
        return [
            "# What begins to train after the first epoch, by the epoch that it begins with.",
            "THAWED = {",
            *rows,
            "}",
        ]

    def share_lines(self, scheduled: bool) -> str:
        """What makes parameter groups of `trained`; `scheduled` says whether there is a schedule."""
        rows = ", ".join(f'"{name}": {share!r}' for name, share in self.shares.items())
        shares = (1.0, *dict.fromkeys(self.shares.values()))
        return (
            "# Shares of the learning rate, by the beginnings of names; all others have the whole.\n"
            f"SHARES = {{{rows}}}\n{SHARES.format(shares=shares)}{KEEP_SHARES if scheduled else ''}\n\n"
        )

    def _names(self, chosen: Iterable[str], among: Iterable[str] | None = None) -> tuple[str, ...]:
        """Chosen ones of `among` (all units, unless told otherwise): the largest modules that hold no others, as
        beginnings of names; else single parameters."""
        wanted = list(chosen)
        others = set(among if among is not None else (unit for unit, _ in self._units)).difference(wanted)
        pure = {module for module in self._modules if not any(below(unit, (module,)) for unit in others)}
        names: list[str] = []
        for unit in wanted:
            if not unit.startswith(tuple(names)):
                parts = unit.split(".")
                above = (".".join(parts[:end]) for end in range(1, len(parts)))
                module = next((module for module in above if module in pure), None)
                names.append(unit if module is None else f"{module}.")
        return tuple(names)

    def _still(self) -> list[tuple[str, float]]:
        frozen = [(path, rule.begins) for path, rule in self._rules if rule.begins > 1]
        return [
            (path, begins)
            for path, begins in frozen
            if path in self._empty
            and not any(path.startswith(f"{other}.") and until >= begins for other, until in frozen)
        ]


def _tuple(names: Iterable[str]) -> str:
    texts = [f'"{name}"' for name in names]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
