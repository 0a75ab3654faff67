"""What the catalogue knows about one name: its parameters, their types, and whether a value fits one.

Everything is read from signatures and docstrings of the installed packages.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.calls import Call, Symbol, Table, Value


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


@dataclass(frozen=True)
class Parameter:
    """One argument: `type` as text, `default` (REQUIRED where there is none), `choices` for texts and fixed values."""

    name: str
    type: str
    default: object = REQUIRED
    choices: tuple[object, ...] = ()
    doc: str = ""
    keyword_only: bool = False
    variadic: bool = False
    annotation: object = field(default=Any, compare=False, repr=False)

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and not self.variadic

    @property
    def default_text(self) -> str:
        """The default as it is written in a call; a function or a class by its name."""
        return getattr(self.default, "__name__", None) or repr(self.default)

    def wants(self) -> str:
        """What a value has to be, in words: "a whole number", "True or False", "'zeros' or 'reflect'"."""
        words = _words(self.annotation)
        texts = [repr(choice) for choice in self.choices]
        if texts:
            words = [word for word in words if word not in ("a text", "True or False")] + texts
        if self.default is None and "None" not in words:
            words.append("None")
        words = list(dict.fromkeys(words))
        if not words:
            return "another value"
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

    def fits(self, value: Value) -> bool:
        """Whether a value can be meant for this parameter: False only where it is clearly wrong."""
        if isinstance(value, Symbol):
            return True
        if value is None and self.default is None:
            return True
        if self.choices and (isinstance(value, str | bool) or not _fits(self.annotation, value)):
            return any(choice == value and type(choice) is type(value) for choice in self.choices)
        return _fits(self.annotation, value)


@dataclass(frozen=True)
class Entry:
    """One name of the catalogue. `inferred` are the parameters that the incoming shape gives and that can be left out.

    `adapted` says how it differs from PyTorch's own, `refused` why it cannot be used; at most one of them is set.
    """

    kind: str
    name: str
    target: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    line: str = ""
    doc: str = ""
    inferred: tuple[str, ...] = ()
    adapted: str | None = None
    refused: str | None = None

    @property
    def short(self) -> tuple[Parameter, ...]:
        """The parameters in the order of the short form, without what is inferred."""
        return tuple(parameter for parameter in self.parameters if parameter.name not in self.inferred)

    @property
    def signature(self) -> str:
        """The short form as a person types it: `Conv2d(out_channels, kernel_size, stride=1, ...)`."""
        parts = []
        for parameter in self.short:
            if parameter.variadic:
                parts.append(f"*{parameter.name}")
            elif parameter.required:
                parts.append(parameter.name)
            else:
                parts.append(f"{parameter.name}={parameter.default_text}")
        return f"{self.name}({', '.join(parts)})"

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


def parameters_of(
    target: Callable[..., Any],
    *,
    exclude: Collection[str] = (),
    choices: Mapping[str, tuple[object, ...]] | None = None,
    skip_first: bool = False,
) -> tuple[Parameter, ...]:
    """The parameters of a class or function, without those excluded and those that start with an underscore.

    A bare `*args: Any, **kwargs: Any`, as PyTorch's Identity has it, counts as no parameter.
    """
    found = list(inspect.signature(target).parameters.values())
    function = target.__init__ if inspect.isclass(target) else target
    module = sys.modules.get(getattr(function, "__module__", ""), None)
    docs = _argument_docs(inspect.getdoc(target) or "")
    result = []
    for position, parameter in enumerate(found):
        if parameter.name in exclude or parameter.name.startswith("_") or (skip_first and position == 0):
            continue
        variadic = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        if parameter.kind is inspect.Parameter.VAR_KEYWORD or (variadic and parameter.name in ("args", "_args")):
            continue
        annotation = _resolve(parameter.annotation, module)
        default = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
        if annotation is Any and isinstance(default, bool | int | float | str):
            annotation = type(default)
        known = (choices or {}).get(parameter.name, ()) or _literals(annotation)
        result.append(
            Parameter(
                name=parameter.name,
                type=type_text(annotation),
                default=default,
                choices=known,
                doc=docs.get(parameter.name, ""),
                keyword_only=parameter.kind is inspect.Parameter.KEYWORD_ONLY,
                variadic=variadic,
                annotation=annotation,
            )
        )
    return tuple(result)


def type_text(annotation: object) -> str:
    """An annotation as short text: "int | tuple[int, int]"; empty where nothing is known."""
    if annotation is Any or isinstance(annotation, typing.TypeVar):
        return ""
    if annotation is None or annotation is type(None):
        return "None"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(filter(None, map(type_text, arguments))))
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if _is_sequence(origin) or annotation in (list, tuple):
        inner = ", ".join("..." if argument is Ellipsis else type_text(argument) for argument in arguments)
        if origin is not tuple and inner:
            inner += ", ..."
        return f"tuple[{inner}]" if inner else "tuple"
    if inspect.isclass(annotation):
        return "tuple[int, ...]" if annotation.__name__ == "Size" else annotation.__name__
    return str(annotation).replace("typing.", "")


def _resolve(annotation: object, module: types.ModuleType | None) -> object:
    """The object behind an annotation; what cannot be resolved may be anything.

    Annotations of installed packages are Python of those packages, so evaluating them adds no trust.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        names = {**vars(typing), "Sequence": Sequence, "Iterable": Iterable, **(vars(module) if module else {})}
        try:
            return eval(annotation, names)
        except Exception:
            return Any
    return annotation


def _literals(annotation: object) -> tuple[object, ...]:
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(literal for argument in typing.get_args(annotation) for literal in _literals(argument))
    return ()


def _is_sequence(origin: object) -> bool:
    return inspect.isclass(origin) and issubclass(origin, Iterable)


def _fits(annotation: object, value: Value) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(value, Symbol) or annotation is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(argument, value) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is str:
        return isinstance(value, str)
    if origin is tuple and arguments and Ellipsis not in arguments:
        return (
            isinstance(value, tuple)
            and len(value) == len(arguments)
            and all(_fits(argument, item) for argument, item in zip(arguments, value, strict=True))
        )
    if _is_sequence(origin):
        inner = arguments[0] if arguments else Any
        return isinstance(value, tuple) and all(_fits(inner, item) for item in value)
    if annotation in (tuple, list):
        return isinstance(value, tuple)
    if inspect.isclass(annotation):
        if annotation.__name__ == "Size":
            return isinstance(value, tuple) and all(_fits(int, item) for item in value)
        if annotation.__name__ == "Tensor":
            return isinstance(value, tuple | int | float) and not isinstance(value, bool)
        if annotation is Table:
            return isinstance(value, Table)
        # A class of PyTorch's: only a call can make one.
        return isinstance(value, Call)
    return True


def _words(annotation: object) -> list[str]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return [word for argument in arguments for word in _words(argument)]
    if annotation in (bool, int, float, str):
        names: dict[object, str] = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
        return [names[annotation]]
    if annotation is None or annotation is type(None):
        return ["None"]
    if origin is typing.Literal:
        return [repr(argument) for argument in arguments]
    if origin is tuple and arguments and Ellipsis not in arguments:
        return [f"a tuple of {len(arguments)}"]
    if _is_sequence(origin) or annotation in (tuple, list):
        return ["a tuple"]
    if annotation is Table:
        return ["a table"]
    if inspect.isclass(annotation):
        return (
            ["a tuple"]
            if annotation.__name__ == "Size"
            else (["a tuple of numbers"] if annotation.__name__ == "Tensor" else ["a call"])
        )
    return []


# -- docstrings ------------------------------------------------------------------------------------------------------

_ROLE = re.compile(r":(?:[a-zA-Z]+:)+`~?([^`]*)`")
_LINK = re.compile(r"`([^`<]*?)\s*<[^>]*>`_{0,2}")
_TEX = re.compile(r"\\(?:text|mathrm|mathbf|mathcal|operatorname|hat)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\frac\{((?:[^{}]|\{[^{}]*\})*)\}\{((?:[^{}]|\{[^{}]*\})*)\}")
_ROOT = re.compile(r"\\sqrt\{([^{}]*)\}")
_FIRST = re.compile(r"^(.+?[.!?])(?:\s|$)", re.DOTALL)
_ARGUMENT = re.compile(r"^( {0,8})(\w+)\s*(?:\([^\n]*\))?\s*:\s+(.*)$")


def plain(text: str) -> str:
    """Text of a docstring without roles, links and formula marks, on one line."""
    text = _LINK.sub(r"\1", _ROLE.sub(_role, text))
    text = text.replace("``", "`").replace("**", "").replace("\\_", "_")
    return " ".join(text.split())


def _role(match: re.Match[str]) -> str:
    content = match.group(1)
    if not match.group(0).startswith(":math:"):
        return content.rsplit(".", 1)[-1] if "<" not in content else content.split("<")[0].strip()
    content = _TEX.sub(r"\1", content)
    content = _ROOT.sub(r"√\1", _FRACTION.sub(r"\1/\2", content))
    for mark, sign in {
        r"\times": "×",
        r"\leq": "≤",
        r"\geq": "≥",
        r"\lfloor": "⌊",
        r"\rfloor": "⌋",
        r"\_": "_",
    }.items():
        content = content.replace(mark, sign)
    return re.sub(r"\\([a-zA-Z]+)", r"\1", content).replace("{", "").replace("}", "")


def first_line(doc: str) -> str:
    """The first sentence of a docstring as plain text."""
    # Some of PyTorch's begin with a signature, or with a directive.
    skipped = ("..", "__init__(")
    paragraphs = [part for part in re.split(r"\n\s*\n", doc.strip()) if not part.lstrip().startswith(skipped)]
    if not paragraphs:
        return ""
    text = plain(paragraphs[0])
    match = _FIRST.match(text)
    return match.group(1) if match else text


def plain_doc(doc: str) -> str:
    """A docstring without the markup of roles and links, its lines as they were; formulas stay as they are."""
    return "\n".join(_LINK.sub(r"\1", _ROLE.sub(_role, line)) for line in doc.splitlines())


def _argument_docs(doc: str) -> dict[str, str]:
    """What a docstring says of each argument: its line, and those indented below it up to an empty one."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    indent = 0
    for line in doc.splitlines():
        match = _ARGUMENT.match(line)
        below = len(line) - len(line.lstrip()) > indent and line.strip() and not line.lstrip().startswith("..")
        if lines is not None and below:
            lines.append(line)
        elif match and match.group(2) not in found:
            indent = len(match.group(1))
            lines = found[match.group(2)] = [match.group(3)]
        else:
            lines = None
    return {name: plain("\n".join(text)) for name, text in found.items()}
