"""A checked network as PyTorch code: every size spelled out, modules with the names that they have in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine import code_backbone, layers
from engine.build import initialised
from engine.calls import Call, Table, format_value
from engine.catalogue import bind, find
from engine.code_freezing import Freezing
from engine.errors import RequestError
from engine.freezing import backbone_nodes
from engine.nodes import Node, Propagation, is_container
from engine.preprocessing import asked

LINE = 96

# What torch.nn lacks, as a person would write it.
OWN: Mapping[str, str] = {
    "Residual": '''
class Residual(nn.Module):
    """Adds the input to what its layers make of it."""

    def __init__(self, *layers, shortcut=None):
        super().__init__()
        self.body = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(shortcut) if shortcut is not None else None

    def forward(self, x):
        return self.body(x) + (x if self.shortcut is None else self.shortcut(x))
''',
    "Parallel": '''
class Parallel(nn.ModuleList):
    """Gives the same input to every branch and merges the outputs."""

    def __init__(self, *branches, merge="cat", dim=1):
        super().__init__(branches)
        self.merge, self.dim = merge, dim

    def forward(self, x):
        outputs = [branch(x) for branch in self]
        return torch.cat(outputs, self.dim) if self.merge == "cat" else sum(outputs)
''',
    "Reshape": '''
class Reshape(nn.Module):
    """Gives each sample another shape."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)
''',
    **{
        name: f'''
class {name}(nn.{name}):
    """The output sequence, without the last state."""

    def forward(self, x):
        return super().forward(x)[0]
'''
        for name in ("RNN", "LSTM", "GRU")
    },
    "LSTMCell": '''
class LSTMCell(nn.LSTMCell):
    """One step from a zero state: h, without the cell state."""

    def forward(self, x):
        return super().forward(x)[0]
''',
    "MultiheadAttention": '''
class MultiheadAttention(nn.MultiheadAttention):
    """Self-attention: query, key and value are the input."""

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]
''',
}
# What the adapted layers have as a default, and torch's own have not.
_ADDED: Mapping[str, tuple[str, object]] = {
    **dict.fromkeys(("RNN", "LSTM", "GRU", "MultiheadAttention", "TransformerEncoderLayer"), ("batch_first", True)),
    "TransformerEncoder": ("enable_nested_tensor", False),
}


def imports_of(nodes: Iterable[Node]) -> set[str]:
    """The import lines of a person's own modules."""
    found = set()
    for node in every(nodes):
        if ":" in node.call.name:
            module, _, name = node.entry.name.partition(":")
            found.add(f"from {module} import {name.partition('.')[0]}")
    backbones = list(backbone_nodes(tuple(nodes)))
    return found | (code_backbone.IMPORTS if backbones else set())


def own_classes(nodes: Iterable[Node]) -> str:
    """The definitions of the layers that torch.nn lacks, those that are used."""
    used = {node.entry.name for node in every(nodes)}
    texts = [text for name, text in OWN.items() if name in used]
    backbones = list(backbone_nodes(tuple(nodes)))
    return "".join(f"\n{text}" for text in [*texts, *([code_backbone.definition(backbones)] if backbones else [])])


def every(nodes: Iterable[Node]) -> Iterable[Node]:
    """All nodes at every depth."""
    for node in nodes:
        yield node
        for _, chain in node.children:
            yield from every(chain)
        yield from every(value for value in node.arguments.values() if isinstance(value, Node))


def network_code(propagation: Propagation, init: Call | None) -> str:
    """`network = nn.Sequential(...)`, how its weights begin where that is not PyTorch's own way, and what is frozen."""
    nodes = propagation.nodes
    without = frozenset(row.path for row in propagation.rows if row.parameters == 0)
    lines = ["network = nn.Sequential("]
    for node in nodes:
        lines += _indented(module(node), 4, ",")
    lines.append(")")
    return "\n".join([*lines, *_begin(nodes, without, init), *Freezing(propagation).frozen_lines()]) + "\n"


def module(node: Node) -> str:
    """The expression that makes the module of a node, on several lines where it is long."""
    return _called(*_parts(node))


def _parts(node: Node) -> tuple[str, list[str]]:
    entry = node.entry
    if entry.name == "Backbone":
        named = [f"{name}={_value(value)}" for name, value in code_backbone.arguments(node)]
        return "backbone", [_value(node.arguments["name"]), *named]
    if not is_container(entry):
        return _class(entry.name), _arguments(node)
    chains = dict(node.children)
    if entry.name == "Repeat":
        return "nn.Sequential", [
            _called("nn.Sequential", [module(child) for child in chain]) for _, chain in node.children
        ]
    shortcut = chains.pop("shortcut", None)
    inside = [module(child) for chain in chains.values() for child in chain]
    if shortcut is not None:
        inside.append(f"shortcut={module(shortcut[0])}")
    inside += [f"{name}={_value(value)}" for name, value in node.arguments.items()]
    return ("nn.Sequential" if entry.target is layers.Sequential else entry.name), inside


def _class(name: str) -> str:
    if ":" in name:
        return name.partition(":")[2]
    return name if name in OWN else f"nn.{name}"


def _arguments(node: Node) -> list[str]:
    """Required ones first and without names, as they are written by hand."""
    given = dict(node.arguments)
    added = _ADDED.get(node.entry.name)
    if added is not None:
        given.setdefault(*added)
    texts: list[str] = []
    in_order = True
    for parameter in node.entry.parameters:
        if parameter.name not in given:
            in_order = in_order and parameter.variadic
            continue
        value = given.pop(parameter.name)
        if parameter.variadic:
            texts += [_value(item) for item in (value if isinstance(value, tuple) else (value,))]
        elif in_order and parameter.required and not parameter.keyword_only:
            texts.append(_value(value))
        else:
            in_order = False
            texts.append(f"{parameter.name}={_value(value)}")
    return texts + [f"{name}={_value(value)}" for name, value in given.items()]


def _value(value: object) -> str:
    if isinstance(value, Node):
        return module(value)
    return plain(value)


def plain(value: object) -> str:
    """A bound value as Python has it."""
    if isinstance(value, tuple):
        inner = ", ".join(plain(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if value is None or isinstance(value, bool | int | float | Call | Table):
        return format_value(value)
    if isinstance(value, str):
        text = repr(value)
        return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text and "\\" not in text else text
    return repr(value)


def _called(name: str, arguments: list[str]) -> str:
    flat = f"{name}({', '.join(arguments)})"
    if len(flat) <= LINE - 24 and "\n" not in flat and flat.count("nn.") < 3:
        return flat
    lines = [f"{name}("]
    for argument in arguments:
        lines += _indented(argument, 4, ",")
    return "\n".join([*lines, ")"])


def _indented(text: str, by: int, end: str = "") -> list[str]:
    return [" " * by + line for line in f"{text}{end}".split("\n")]


def _begin(nodes: tuple[Node, ...], without: frozenset[str], init: Call | None) -> list[str]:
    """Initialisers; `without` are the paths of the layers that have no weights.

    Raises RequestError where one would undo trained weights: a run reads these after it, and the script before it.
    """
    trained = {node.path for node in backbone_nodes(nodes) if asked(node) is not None}
    lines: list[str] = []
    chosen: dict[Call, list[str]] = {}
    for node, initialiser in initialised(nodes, init):
        if node.path in trained:
            raise RequestError(
                "no code is written for an init around a Backbone with trained weights; give it to the other layers, "
                f"as in Linear(classes, init={initialiser})"
            )
        if node.path not in without:
            chosen.setdefault(initialiser, []).append(node.path)
    for call, paths in chosen.items():
        entry = find("initialisers", call.name)
        arguments = "".join(f", {name}={plain(value)}" for name, value in bind(entry, call).items())
        lines += ["", f"for path in {paths!r}:".replace("'", '"')]
        lines += [
            "    for name, parameter in network.get_submodule(path).named_parameters():",
            '        if parameter.dim() >= 2 and "weight" in name.rpartition(".")[2]:',
            f"            nn.init.{entry.name}(parameter{arguments})",
        ]
    return lines
