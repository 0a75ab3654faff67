"""From a call to arguments by name: PyTorch's own form and the short form, types checked, symbols replaced.

In the short form the parameters that the incoming shape gives are left out: `Conv2d(32, 3)`. With the prefix, or where
a size is given by name, PyTorch's own order holds and the given size is kept, to be checked against the shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.calls import Call, Symbol, Table, Value, describe
from engine.entry import Entry, Parameter
from engine.errors import RequestError, did_you_mean
from engine.rules import FIXED, LIMITS, OWN_ORDER_POSITION, RESERVED


def bind(entry: Entry, call: Call, symbols: Mapping[str, int] | None = None) -> dict[str, object]:
    """The arguments of a call by parameter name; what was not given is not in it.

    Nested calls are left as they are, variadic arguments are a tuple. Without `symbols` the symbols stay in place; with
    a mapping all of them must be in it. Reserved keywords of layers (`init=CALL`, `frozen=`) are checked and left out.

    Raises RequestError, naming the call, for an unknown or missing argument and for a value of the wrong type.
    """
    try:
        return _bind(entry, call, symbols)
    except RequestError as error:
        own = _own_form(entry, call)
        if own is None:
            raise
        short, _ = _shortened(entry, own)
        raise RequestError(f"{error}; PyTorch's own form is {own}, here {short} is enough") from None


def shortened(entry: Entry, call: Call) -> tuple[Call, dict[str, object]]:
    """The call in the short form, and the sizes that it gave. Raises what `bind` raises."""
    bind(entry, call)
    return _shortened(entry, call)


def placed(entry: Entry, call: Call) -> dict[str, Value]:
    """What a call gives for which parameter, reserved keywords included; what is missing or of the wrong type is not
    looked at. Raises RequestError for an argument that stands for no parameter."""
    return {**{name: value for name, (_, value) in _placed(entry, call).items()}, **reserved(entry, call)}


def reserved(entry: Entry, call: Call) -> dict[str, Value]:
    """The reserved keywords of a layer's call: {"init": Call, "frozen": bool}, where given."""
    if entry.kind != "layers":
        return {}
    own = {parameter.name for parameter in entry.parameters}
    return {
        name: value
        for name, value in call.kwargs
        if name in RESERVED and (name not in own or isinstance(value, Call))
    }  # fmt: skip


def _own_form(entry: Entry, call: Call) -> Call | None:
    """The call with PyTorch's prefix, where that would read it without an error."""
    if entry.kind != "layers" or call.prefix or not entry.inferred or len(call.args) < 2:
        return None
    own = replace(call, prefix="nn")
    try:
        _bind(entry, own, None)
    except RequestError:
        return None
    return own


def _order(entry: Entry, call: Call) -> tuple[Parameter, ...]:
    """The parameters that positional arguments of this call stand for."""
    positional = tuple(parameter for parameter in entry.parameters if not parameter.keyword_only)
    if call.prefix or not entry.inferred:
        return positional
    at = OWN_ORDER_POSITION.get(entry.name)
    if at is not None and len(call.args) > at:
        value = call.args[at]
        whole = isinstance(value, int) and not isinstance(value, bool)
        size = entry.parameter(entry.inferred[0])
        if whole or isinstance(value, Symbol) or (isinstance(value, tuple) and size is not None and size.fits(value)):
            return positional
    return tuple(parameter for parameter in positional if parameter.name not in entry.inferred)


def _placed(entry: Entry, call: Call) -> dict[str, tuple[Parameter, Value]]:
    """Which value was given for which parameter."""
    placed: dict[str, tuple[Parameter, Value]] = {}
    order = _order(entry, call)
    for position, value in enumerate(call.args):
        if position < len(order) and order[position].variadic:
            placed[order[position].name] = (order[position], call.args[position:])
            break
        if position >= len(order):
            most = len(order)
            raise RequestError(
                f"`{call}`: {most or 'no'} argument{'' if most == 1 else 's'} at most stand without a name, "
                f"found {len(call.args)}; it is {entry.signature}"
            )
        placed[order[position].name] = (order[position], value)
    taken = reserved(entry, call)
    for name, value in call.kwargs:
        if name in taken:
            continue
        parameter = entry.parameter(name)
        if parameter is None or parameter.variadic:
            known = [known.name for known in entry.parameters if not known.variadic]
            known += RESERVED if entry.kind == "layers" else ()
            hint = did_you_mean(name, known) or (f"it is {entry.signature}")
            raise RequestError(f"`{call}`: {entry.name} has no argument `{name}`; {hint}")
        if name in placed:
            raise RequestError(f"`{call}`: {name} is given twice")
        placed[name] = (parameter, value)
    return placed


def _bind(entry: Entry, call: Call, symbols: Mapping[str, int] | None) -> dict[str, object]:
    placed = _placed(entry, call)
    _check_reserved(entry, call)
    missing = [p.name for p in entry.short if p.required and p.name not in placed]
    if missing:
        raise RequestError(f"`{call}`: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    arguments: dict[str, object] = {}
    for name, (parameter, given) in placed.items():
        value = _replaced(given, symbols, call)
        for item in value if parameter.variadic and isinstance(value, tuple) else (value,):
            _check(entry, parameter, item, call)
        arguments[name] = value
    return arguments


def _check(entry: Entry, parameter: Parameter, value: Value, call: Call) -> None:
    name = parameter.name
    fixed = FIXED.get((entry.name, name)) if entry.kind == "layers" else None
    if fixed and value is not fixed[0]:
        raise RequestError(f"`{call}`: {name} has to be {fixed[0]}, found {describe(value)}: {fixed[1]}")
    if not parameter.fits(value):
        found = describe(value).removeprefix("the number ")
        raise RequestError(f"`{call}`: {name} wants {parameter.wants()}, found {found}")
    limit = LIMITS.get((entry.name, name)) if entry.kind == "layers" else None
    if limit is not None and isinstance(value, int) and not 1 <= value <= limit:
        raise RequestError(f"`{call}`: {name} wants a whole number from 1 to {limit}, found {value}")


def _check_reserved(entry: Entry, call: Call) -> None:
    for name, value in reserved(entry, call).items():
        if name == "frozen" and not isinstance(value, bool):
            raise RequestError(f"`{call}`: frozen wants True or False, found {describe(value)}")
        if name == "lr_scale" and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise RequestError(
                f"`{call}`: lr_scale wants a number above 0, the share of the learning rate, found {describe(value)}"
            )
        if name == "thaw" and (isinstance(value, bool) or not isinstance(value, int) or value < 2):
            raise RequestError(
                f"`{call}`: thaw wants the epoch, from 2, with which training it begins, found {describe(value)}"
            )
        if name == "init" and not isinstance(value, Call):
            raise RequestError(
                f"`{call}`: init wants an initialiser such as kaiming_normal_(nonlinearity='relu'), "
                f"found {describe(value)}"
            )


def _replaced(value: Value, symbols: Mapping[str, int] | None, call: Call) -> Value:
    if isinstance(value, tuple):
        return tuple(_replaced(item, symbols, call) for item in value)
    if isinstance(value, Table):
        return Table(tuple((key, _replaced(item, symbols, call)) for key, item in value.items))
    if not isinstance(value, Symbol) or symbols is None:
        return value
    if value.name not in symbols:
        known = ", ".join(symbols) or "none is known"
        raise RequestError(f"`{call}`: what `{value.name}` stands for is not known here; write a number ({known})")
    return symbols[value.name]


def _shortened(entry: Entry, call: Call) -> tuple[Call, dict[str, object]]:
    placed = _placed(entry, call)
    named = dict(call.kwargs)
    given: dict[str, object] = {name: value for name, (_, value) in placed.items() if name in entry.inferred}
    # A size of several dimensions, as LayerNorm takes it, says more than the incoming shape does: it stays.
    dropped = {name for name, value in given.items() if not (isinstance(value, tuple) and len(value) > 1)}
    positional = {name: value for name, (_, value) in placed.items() if name not in named and name not in dropped}
    # Behind a norm layer's name a number reads as the size, so what else stood there gets its name.
    room = OWN_ORDER_POSITION.get(entry.name, len(entry.parameters))
    args: list[Value] = []
    for parameter in entry.short:
        if parameter.keyword_only or parameter.name not in positional or len(args) >= room:
            break
        value = positional.pop(parameter.name)
        if parameter.variadic and isinstance(value, tuple):
            args.extend(value)
        else:
            args.append(value)
    kept = {name: value for name, value in named.items() if name not in dropped}
    return Call(call.name, tuple(args), tuple({**positional, **kept}.items())), given
