"""A call as a list of arguments that can be changed one by one: what the form of a call edits.

The signature comes from the catalogue, so this holds for layers, losses, optimizers and every other kind alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.calls import Call, Value, format_value, parse_value
from engine.errors import RequestError
from tui.stepping import BEGINNINGS, stepped

if TYPE_CHECKING:
    from engine.entry import Entry, Parameter

# What any layer takes beside its own arguments.
EXTRA_DOCS = {
    "init": "How the weights of this layer begin: an initialiser such as kaiming_normal_(nonlinearity='relu'); "
    "left out, the network's own, or else PyTorch's.",
    "frozen": "Whether the weights of this layer stay as they are while the others are trained.",
}


_NUMBER = re.compile(r"\b(int|float|Tensor)\b")


class _Unset:
    """Stands for an argument that is not given."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()


@dataclass(frozen=True)
class Argument:
    """One argument of a call: `value` is UNSET where the default, or what the incoming shape gives, holds.

    `form` says how its value changes: "flag" and "choice" toggle and cycle, "number" steps, "text" is typed, "call" is
    picked. `choices` are the values to cycle through.
    """

    name: str
    type: str
    form: str
    default: str
    doc: str
    value: Value | _Unset
    choices: tuple[Value, ...] = ()
    inferred: bool = False
    required: bool = False
    variadic: bool = False
    keyword_only: bool = False

    @property
    def given(self) -> bool:
        return self.value is not UNSET

    @property
    def text(self) -> str:
        """Its value as a person types it; the default where none is given, "" where there is no default."""
        if isinstance(self.value, _Unset):
            return self.default
        if self.variadic and isinstance(self.value, tuple):
            return ", ".join(format_value(value) for value in self.value)
        return format_value(self.value)


class CallDraft:
    """The arguments of a call while they are edited. Raises RequestError for a call that cannot be taken apart."""

    def __init__(self, kind: str, call: Call) -> None:
        from engine import catalogue

        self.kind = kind
        self.entry: Entry = catalogue.find(kind, call.name)
        self._name = call.name
        values = catalogue.placed(self.entry, call)
        self.arguments = [_argument(self.entry, parameter, values) for parameter in self.entry.parameters]
        if kind == "layers":
            known = {argument.name for argument in self.arguments}
            self.arguments += [
                _reserved(name, values.get(name, UNSET), form)
                for name, form in (("init", "call"), ("frozen", "flag"))
                if name not in known
            ]
        # What stood with its name, or without, goes on doing so.
        self._named = set(dict(call.kwargs))
        self._positional = set(values) - self._named

    def call(self) -> Call:
        """The call as it is now, in the short form: what stands first and is required has no name."""
        args: list[Value] = []
        kwargs: list[tuple[str, Value]] = []
        in_order = True
        for argument in self.arguments:
            if argument.inferred or argument.name in EXTRA_DOCS:
                if not isinstance(argument.value, _Unset):
                    kwargs.append((argument.name, argument.value))
                continue
            if isinstance(argument.value, _Unset):
                # Variadic arguments that are left out leave no gap, whatever else is left out does.
                in_order = in_order and argument.variadic
                continue
            if argument.variadic:
                args.extend(argument.value if isinstance(argument.value, tuple) else (argument.value,))
                in_order = False
            elif in_order and not argument.keyword_only and self._without_name(argument):
                args.append(argument.value)
            else:
                in_order = False
                kwargs.append((argument.name, argument.value))
        return Call(self._name, tuple(args), tuple(kwargs))

    def _without_name(self, argument: Argument) -> bool:
        return argument.name in self._positional or (argument.required and argument.name not in self._named)

    def wrong(self) -> str:
        """What is wrong with the call as it is; "" where nothing is."""
        from engine import catalogue

        try:
            catalogue.check_call(self.kind, self.call())
        except RequestError as error:
            return str(error)
        return ""

    def put(self, index: int, value: Value | _Unset) -> None:
        self.arguments[index] = replace(self.arguments[index], value=value)

    def put_text(self, index: int, text: str) -> None:
        """Give an argument what was typed; nothing is the default. Raises RequestError where it cannot be read."""
        self.put(index, read(self.arguments[index], text))

    def wrong_text(self, index: int, text: str) -> str:
        """What would be wrong with this text as the argument's value: its form, and its type."""
        argument = self.arguments[index]
        try:
            value = read(argument, text)
        except RequestError as error:
            return str(error)
        parameter = self.entry.parameter(argument.name)
        if value is UNSET or parameter is None or isinstance(value, _Unset):
            return ""
        values = value if argument.variadic and isinstance(value, tuple) else (value,)
        if any(not parameter.fits(item) for item in values):
            return f"{argument.name} wants {parameter.wants()}"
        return ""

    def reset(self, index: int) -> None:
        """Leave an argument out: the default holds."""
        self.put(index, UNSET)

    def step(self, index: int, step: int) -> bool:
        """The next value up (1) or down (-1): of a number, a flag or a choice; of a number that has to be given and is
        not yet, where it begins. Whether there was one."""
        argument = self.arguments[index]
        if argument.form in ("flag", "choice"):
            return self.cycle(index, step)
        now = _value_of(argument)
        if isinstance(now, int) and not isinstance(now, bool) and not re.search(r"\bint\b", argument.type):
            now = float(now)  # PyTorch writes some defaults of numbers as 0
        missing = argument.required and not argument.given
        value = BEGINNINGS.get(argument.name) if missing else stepped(argument.name, now, step)
        if value is None:
            return False
        self.put(index, value)
        return True

    def cycle(self, index: int, step: int = 1) -> bool:
        """Toggle a flag, or go to the next choice. Whether the argument is one of these."""
        argument = self.arguments[index]
        if argument.form not in ("flag", "choice"):
            return False
        now = _value_of(argument)
        choices = argument.choices
        at = next((i for i, choice in enumerate(choices) if choice == now and type(choice) is type(now)), None)
        target = choices[(at + step) % len(choices)] if at is not None else choices[0 if step > 0 else -1]
        # The default is written by leaving it out.
        self.put(index, UNSET if format_value(target) == argument.default else target)
        return True


def read(argument: Argument, text: str) -> Value | _Unset:
    """The value that a text means for an argument. Raises RequestError."""
    text = text.strip()
    if not text:
        return UNSET
    if argument.variadic:
        value = parse_value(f"[{text}]")
        return value if isinstance(value, tuple) else (value,)
    if text in [choice for choice in argument.choices if isinstance(choice, str)] or (
        argument.type == "str" and not text.startswith(("'", '"'))
    ):
        return text
    value = parse_value(text)
    return _plain_word(argument, value)


def _plain_word(argument: Argument, value: Value) -> Value:
    """A bare word such as `mean` reads as a call; where a text is wanted, it is one."""
    bare = isinstance(value, Call) and not value.args and not value.kwargs and not value.prefix
    return value.name if bare and isinstance(value, Call) and "str" in argument.type.split(" | ") else value


def _value_of(argument: Argument) -> Value:
    """The value that holds: the one given, or the default where it can be read."""
    if not isinstance(argument.value, _Unset):
        return argument.value
    try:
        return parse_value(argument.default) if argument.default else None
    except RequestError:
        return None


def _argument(entry: Entry, parameter: Parameter, values: dict[str, Value]) -> Argument:
    inferred = parameter.name in entry.inferred
    default = "" if parameter.required or parameter.variadic or inferred else parameter.default_text
    choices: tuple[Value, ...] = tuple(
        choice for choice in parameter.choices if isinstance(choice, bool | int | float | str)
    )
    kinds = set(filter(None, parameter.type.split(" | ")))
    form = "text"
    if parameter.variadic:
        choices = ()
    elif kinds == {"bool"} and not choices:
        form, choices = "flag", (True, False)
    elif kinds == {"bool", "None"}:
        form, choices = "choice", (None, True, False)
    elif choices and not kinds & {"int", "float"}:
        form = "choice"
        if parameter.default is None:
            choices = (None, *choices)
    elif _NUMBER.search(parameter.type) or isinstance(parameter.default, int | float):
        form = "number"
    elif kinds & {"Module"}:
        form = "call"
    return Argument(
        parameter.name,
        parameter.type,
        form,
        default,
        parameter.doc,
        values.get(parameter.name, UNSET),
        choices,
        inferred,
        parameter.required and not inferred,
        parameter.variadic,
        parameter.keyword_only,
    )


def _reserved(name: str, value: Value | _Unset, form: str) -> Argument:
    flag = form == "flag"
    return Argument(
        name,
        "bool" if flag else "call",
        form,
        "False" if flag else "",
        EXTRA_DOCS[name],
        value,
        (False, True) if flag else (),
        keyword_only=True,
    )
