"""The grammar of every choice in an experiment: a call as a person types it in PyTorch, `Conv2d(32, 3, padding=1)`.

Nothing is evaluated and nothing is looked up here. A scan of the text refuses whatever is not part of the grammar and
bounds length, nesting and digits; only what is left is given to `ast.parse`.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from dataclasses import dataclass, replace

from engine.errors import RequestError

SYMBOLS = ("classes", "channels", "features", "epochs", "steps")

# What people paste from their PyTorch code. Without the prefix the name stands in the catalogue.
PREFIXES = frozenset(
    {
        "nn", "torch.nn", "optim", "torch.optim",
        "lr_scheduler", "optim.lr_scheduler", "torch.optim.lr_scheduler",
        "init", "nn.init", "torch.nn.init",
        "transforms", "v2", "transforms.v2", "torchvision.transforms", "torchvision.transforms.v2",
        "datasets", "torchvision.datasets",
    }
)  # fmt: skip

MAX_LENGTH = 10_000
MAX_NESTING = 32
MAX_NUMBER_LENGTH = 100
INT_LIMIT = 2**63

_ALLOWED = "numbers, texts in quotes, True, False, None, tuples, lists, tables, nested calls and " + ", ".join(SYMBOLS)

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?::[A-Za-z_][A-Za-z0-9_]*)?)
    | (?P<number>\.?[0-9](?:[eE][+-](?=[0-9])|[A-Za-z0-9_.])*)
    | (?P<string>'(?:[^'\\\r\n]|\\.)*'|"(?:[^"\\\r\n]|\\.)*")
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<colon>:)
    | (?P<sign>[+-])
    | (?P<comma>,)
    | (?P<equals>=(?!=))
    """,
    re.VERBOSE | re.ASCII,
)
_NUMBER = re.compile(r"(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+", re.ASCII)
_GOOD_ESCAPE = re.compile(r"""\\(?:[\\'"abfnrtv0-7]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})""")
_WORDS = {
    "lambda": "a lambda", "for": "a comprehension", "async": "a comprehension",
    "if": "a condition", "else": "a condition",
    "and": "an operator", "or": "an operator", "not": "an operator", "in": "an operator", "is": "an operator",
}  # fmt: skip
_CHARACTERS = {
    "#": "a comment", ":": "a colon", ";": "a semicolon", ".": "a dot",
    "*": "a star (an operator, or arguments to unpack)", "`": "a backtick", "'": "a text that is never closed",
    '"': "a text that is never closed", "\\": "a backslash", "=": "a comparison", "\0": "a NUL character",
}  # fmt: skip
_OPERATORS = "/%@&|^~<>!"


def escape(text: str) -> str:
    """The text with control characters, surrogates and direction marks written as escapes, for messages."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class CallError(RequestError):
    """A text is not a call. `position` is the column, from 1, where the trouble was found (0: the text as a whole)."""

    def __init__(self, text: str, reason: str, position: int = 0) -> None:
        self.position = position
        shown = text if len(text) <= 60 else text[:57] + "..."
        shown = escape(shown)
        where = f" (column {position})" if position else ""
        super().__init__(f"`{shown}` is not a call: {reason}{where}")


@dataclass(frozen=True)
class Symbol:
    """A number that is known only with the data and the recipe: one of `SYMBOLS`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Call:
    """One choice: a name with arguments.

    `name` is "Conv2d", or "package.module:Name" for a person's own module. `prefix` is what stood before the name
    where PyTorch's own form was pasted ("nn", "torch.optim").
    """

    name: str
    args: tuple[Value, ...] = ()
    kwargs: tuple[tuple[str, Value], ...] = ()
    prefix: str = ""

    def __str__(self) -> str:
        arguments = [format_value(value) for value in self.args]
        arguments += [f"{name}={format_value(value)}" for name, value in self.kwargs]
        name = f"{self.prefix}.{self.name}" if self.prefix else self.name
        return f"{name}({', '.join(arguments)})"

    def get(self, name: str, default: Value = None) -> Value:
        """The value of a keyword argument, or `default` where it was not given."""
        return dict(self.kwargs).get(name, default)

    def replace(self, **kwargs: Value) -> Call:
        """The same call with keyword arguments set: those that are there keep their place."""
        return replace(self, kwargs=tuple({**dict(self.kwargs), **kwargs}.items()))

    def without(self, *names: str) -> Call:
        """The same call without these keyword arguments."""
        return replace(self, kwargs=tuple((name, value) for name, value in self.kwargs if name not in names))


@dataclass(frozen=True)
class Table:
    """Values by a text or a whole number: `{5: 'layer4', 8: 'all'}`, in the order in which they were written."""

    items: tuple[tuple[str | int, Value], ...] = ()

    def __str__(self) -> str:
        return "{" + ", ".join(f"{key!r}: {format_value(value)}" for key, value in self.items) + "}"

    def get(self, key: str | int, default: Value = None) -> Value:
        """The value under a key, or `default`."""
        return dict(self.items).get(key, default)


Value = None | bool | int | float | str | tuple["Value", ...] | Symbol | Call | Table


def format_value(value: Value) -> str:
    """The canonical text of a value: `(1, 2)`, `0.001`, `'same'`, `ReLU()`, `{5: 'layer4'}`."""
    if isinstance(value, tuple):
        inner = ", ".join(format_value(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(value) if isinstance(value, Symbol | Call | Table) else repr(value)


def parse_call(text: str) -> Call:
    """Read a call; a bare name `ReLU` reads as `ReLU()`. Raises CallError, and nothing else, for any other text."""
    text = text.strip()
    value = _parse(text, "an empty text")
    if isinstance(value, Call):
        return value
    if isinstance(value, tuple):
        raise CallError(text, "found several values or a list; one call stands here, such as `Linear(10)`")
    raise CallError(text, f"found {describe(value)}; a name with arguments stands here, such as `Linear(10)`")


def parse_value(text: str) -> Value:
    """Read one value such as stands between the brackets of a call. Raises CallError."""
    return _parse(text.strip(), "an empty text")


def describe(value: Value) -> str:
    """A value with its kind, for messages: "the number 3", "the text 'same'"."""
    if isinstance(value, Symbol):
        return f"the symbol `{value}`"
    if isinstance(value, Call):
        return f"the call `{_short(str(value))}`"
    if value is None or isinstance(value, bool):
        return f"`{value}`"
    if isinstance(value, tuple | Table):
        return f"the {'tuple' if isinstance(value, tuple) else 'table'} {_short(format_value(value))}"
    return f"the {'text' if isinstance(value, str) else 'number'} {_short(format_value(value))}"


def _parse(text: str, empty: str) -> Value:
    if not text:
        raise CallError(text, f"found {empty}; write a name with arguments, such as `Linear(10)`")
    source, names = _scan(text)
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        reason = error.msg or "invalid syntax"
        raise CallError(text, reason, min(error.offset or 0, len(text))) from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise CallError(text, "it cannot be read; write it more simply") from None
    return _Reader(text, source, names).value(tree.body)


def _scan(text: str) -> tuple[str, dict[int, str]]:
    """Refuse what is not in the grammar; give Python text of the same length, and the dotted names by their column.

    `package.module:Name` is not Python, so each dotted name is replaced by an identifier of the same length.
    """
    if len(text) > MAX_LENGTH:
        raise CallError(text, f"it has {len(text):,} characters, and at most {MAX_LENGTH:,} are read")
    names: dict[int, str] = {}
    parts: list[str] = []
    opened: list[str] = []
    at = 0
    before = "start"  # the kind of the token before
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CallError(text, _refuse_character(text, at), at + 1)
        kind, token = str(match.lastgroup), match.group()
        if kind == "space":
            parts.append(" " * len(token))
            at = match.end()
            continue
        reason = _refuse_token(kind, token, before, text[match.end() : match.end() + 1])
        if kind == "open":
            opened.append(token)
            if len(opened) > MAX_NESTING:
                reason = f"brackets are nested more than {MAX_NESTING} deep"
        elif kind == "colon" and (not opened or opened[-1] != "{"):
            reason = _refuse_character(text, at)
        if reason:
            raise CallError(text, reason, at + 1)
        if kind == "close" and opened:
            opened.pop()
        if kind == "name" and ("." in token or ":" in token):
            names[at] = token
            token = token.replace(".", "_").replace(":", "_")
        parts.append(token)
        before, at = kind, match.end()
    return "".join(parts), names


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:27] + "..."


def _refuse_character(text: str, at: int) -> str:
    character = text[at]
    if character in _OPERATORS:
        return f"found the operator `{character}`; only {_ALLOWED} may stand here"
    if character in _CHARACTERS:
        if character in "'\"":
            return f"found {_CHARACTERS[character]}"
        return f"found {_CHARACTERS[character]}; only {_ALLOWED} may stand here"
    code = f"U+{ord(character):04X}"
    shown = f"`{character}` ({code})" if character.isprintable() else code
    return f"found the character {shown}; names are written in a-z, A-Z, 0-9 and _"


def _refuse_token(kind: str, token: str, before: str, after: str) -> str:
    """Why this token cannot stand here, or nothing."""
    operand = before in ("name", "number", "string", "close")
    if kind == "name" and keyword.iskeyword(token) and token not in ("True", "False", "None"):
        return f"found {_WORDS.get(token, 'the Python word')} (`{token}`); only {_ALLOWED} may stand here"
    if kind == "name" and after and after in "'\"":
        return f"found a text with the prefix `{_short(token)}`; only plain texts such as 'same' may stand here"
    if operand and kind in ("name", "number", "string"):
        return f"found `{_short(token)}` behind another value; put a comma between two values"
    if kind == "string" and "\\" in _GOOD_ESCAPE.sub("", token):
        return "found a single backslash in a text; write `\\\\` for a backslash"
    if kind == "number":
        if len(token) > MAX_NUMBER_LENGTH:
            return f"found a number of {len(token)} characters; at most {MAX_NUMBER_LENGTH} are read"
        if not _NUMBER.fullmatch(token):
            return f"`{_short(token)}` is not a number"
    if kind == "sign":
        if operand:
            return f"found the operator `{token}`; only {_ALLOWED} may stand here"
        if not (after.isascii() and (after.isdigit() or after == ".")):
            return f"found `{token}` with no number behind it"
    if kind == "open" and before in ("number", "string", "close"):
        return f"found `{token}` behind what cannot be called; put a comma between two values"
    if kind == "open" and token != "(" and before == "name":
        return f"found {'an index' if token == '[' else 'a bracket'} (`{token}`); only {_ALLOWED} may stand here"
    return ""


class _Reader:
    """From Python's syntax tree to a value."""

    def __init__(self, text: str, source: str, names: dict[int, str]) -> None:
        self.text = text
        self.names = names
        # Python counts columns in bytes of UTF-8; texts in quotes may hold any character.
        self.bytes = None if source.isascii() else source.encode()

    def column(self, node: ast.expr | ast.keyword) -> int:
        if self.bytes is None:
            return node.col_offset
        return len(self.bytes[: node.col_offset].decode())

    def error(self, node: ast.expr | ast.keyword, reason: str) -> CallError:
        return CallError(self.text, reason, self.column(node) + 1)

    def value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.Constant):
            return self.constant(node, node.value)
        if isinstance(node, ast.Tuple | ast.List):
            return tuple(self.value(item) for item in node.elts)
        if isinstance(node, ast.Dict):
            return self.table(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            number = self.constant(node, node.operand.value)
            if isinstance(number, int | float):
                return -number if isinstance(node.op, ast.USub) else number
        raise self.error(node, f"only {_ALLOWED} may stand here")

    def table(self, node: ast.Dict) -> Table:
        items: dict[str | int, Value] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            key = None if key_node is None else self.value(key_node)
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise self.error(value_node, "the keys of a table are texts or whole numbers, as in {5: 'layer4'}")
            if key in items:
                raise self.error(value_node, f"the key `{_short(repr(key))}` stands there twice")
            items[key] = self.value(value_node)
        return Table(tuple(items.items()))

    def call(self, node: ast.Call) -> Call:
        if not isinstance(node.func, ast.Name):
            raise self.error(node, "a name stands before the bracket")
        prefix, name = self.split(node.func)
        kwargs: dict[str, Value] = {}
        for argument in node.keywords:
            if argument.arg is None or self.column(argument) in self.names:
                raise self.error(argument, "an argument is written `name=value`, the name without dots or colons")
            if argument.arg in kwargs:
                raise self.error(argument, f"the argument `{_short(argument.arg)}` is given twice")
            kwargs[argument.arg] = self.value(argument.value)
        return Call(name, tuple(self.value(item) for item in node.args), tuple(kwargs.items()), prefix)

    def name(self, node: ast.Name) -> Value:
        if node.id in SYMBOLS:
            return Symbol(node.id)
        if node.col_offset > 0 and node.id in ("true", "false", "none", "null"):
            known = {"true": "True", "false": "False"}.get(node.id, "None")
            raise self.error(node, f"found `{node.id}`; it is written `{known}`, as in Python")
        if node.col_offset > 0 and node.id in ("inf", "nan"):
            raise self.error(node, f"found `{node.id}`; numbers are finite")
        prefix, name = self.split(node)
        return Call(name, prefix=prefix)

    def split(self, node: ast.Name) -> tuple[str, str]:
        """The prefix and the name of what is called."""
        full = self.names.get(self.column(node), node.id)
        if ":" in full:
            return "", full
        prefix, _, name = full.rpartition(".")
        if prefix and prefix not in PREFIXES:
            raise self.error(
                node,
                f"`{_short(prefix)}.` is not a prefix that is known here (`nn.`, `optim.`, `transforms.` and so on); "
                "a module of your own is written `package.module:Name(...)`",
            )
        return prefix, name

    def constant(self, node: ast.expr, value: object) -> Value:
        if isinstance(value, str):
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise self.error(node, "found half a character (a surrogate) in a text")
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= INT_LIMIT:
            raise self.error(node, "found an integer of more than 64 bits")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(node, "found a number that is too large; numbers are finite")
        if value is None or isinstance(value, bool | int | float):
            return value
        raise self.error(node, f"only {_ALLOWED} may stand here")
