"""Keys as a person writes them, and which command has which: what the settings file may change about them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from textual.keys import Keys

from engine.calls import escape
from engine.errors import RequestError, did_you_mean
from tui.commands import COMMANDS, SCREENS, Command, commands_for

_MODIFIERS = ("ctrl", "alt", "shift", "super", "meta", "hyper")
# What people call keys, and what Textual calls them.
_SPOKEN = {
    "esc": "escape",
    "return": "enter",
    "del": "delete",
    "ins": "insert",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "pgdown": "pagedown",
    "page up": "pageup",
    "page down": "pagedown",
    "bksp": "backspace",
    "spacebar": "space",
    "dot": "full_stop",
    "period": "full_stop",
    "dash": "minus",
    "hyphen": "minus",
}
_RENAMED = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_CHARACTERS = {
    **{new: unicodedata.lookup(old.replace("_", " ")) for old, new in _RENAMED.items() if old != "hyphen_minus"},
    "minus": "-",
}
_SHOWN = {"escape": "esc", "pageup": "pgup", "pagedown": "pgdn"}
# Terminals send the same byte for both.
_SAME_BYTE = {"ctrl+m": "enter", "ctrl+i": "tab", "ctrl+left_square_bracket": "escape", "ctrl+@": "ctrl+space"}
# Lists and dialogues use these themselves, before a screen sees them.
MOVES = ("up", "down", "left", "right", "pageup", "pagedown", "home", "end", "g", "G", "j", "k", "escape")


@cache
def _named() -> frozenset[str]:
    plain = {key.value for key in Keys if "+" not in key.value and "<" not in key.value}
    return frozenset(plain - {"return", "ignore"})


def key_name(text: str) -> str:
    """Textual's name of a key that a person wrote: `?`, `^s`, `ctrl+s`, `F2`, `page down`, `question_mark`.

    Raises RequestError where there is no such key, or a terminal cannot send it.
    """
    given = text if text == " " else text.strip()
    if len(given) == 2 and given[0] == "^":
        given = f"ctrl+{given[1].lower()}"
    *modifiers, last = [given] if len(given) == 1 else re.split(r"\+(?=.)", given)
    held = sorted({part.strip().lower().replace("control", "ctrl") for part in modifiers})
    shown = escape(text)[:40]
    for modifier in held:
        if modifier not in _MODIFIERS:
            hint = did_you_mean(modifier, _MODIFIERS) or f"there are {', '.join(_MODIFIERS)}"
            raise RequestError(f"`{shown}` is not a key: there is no `{escape(modifier)[:40]}` to hold; {hint}")
    key = _base(last)
    if key is None:
        hint = did_you_mean(last.lower(), _named()) or "write one such as a, ?, f5, space or ctrl+s"
        raise RequestError(f"`{shown}` is not a key; {hint}")
    if len(key) == 1 and "shift" in held:
        key = key.upper()
        held.remove("shift")
    if "ctrl" in held and len(key) == 1:
        key = key.lower()
    name = "+".join([*held, key])
    if name in _SAME_BYTE:
        raise RequestError(f"`{shown}` cannot be told from {_SAME_BYTE[name]}: terminals send the same for both")
    return name


def _base(text: str) -> str | None:
    """A key without those that are held with it; None where there is none of that name."""
    if len(text) == 1:
        if text.isalnum():
            return text
        if text == "\t":
            return "tab"
        try:
            name = unicodedata.name(text).lower().replace("-", "_").replace(" ", "_")
        except ValueError:
            return None
        name = _RENAMED.get(name, name)
        # Some names, such as those of emoji, do not lead back.
        return name if _character(name) == text else None
    lower = text.strip().lower()
    lower = _SPOKEN.get(lower, lower)
    if lower in _named():
        return lower
    return lower if _character(lower) else None


def _character(key: str) -> str:
    """The character of a key that has Unicode's name of it, such as question_mark; "" where it has none."""
    if key in _CHARACTERS:
        return _CHARACTERS[key]
    try:
        found = unicodedata.lookup(key.replace("_", " "))
    except KeyError:
        found = {"less_than_sign": "<", "greater_than_sign": ">"}.get(key, "")
    return found if found.isprintable() and not found.isalnum() else ""


def written(key: str) -> str:
    """A key of Textual's as the footer writes it: `?`, `^s`, `F2`, `space`."""
    *held, last = key.split("+")
    if last == "space":
        base = "space"
    elif re.fullmatch(r"f\d{1,2}", last):
        base = last.upper()
    else:
        base = last if len(last) == 1 else _SHOWN.get(last) or _character(last) or last
    if held == ["ctrl"] and len(base) == 1:
        return f"^{base}"
    return "+".join([*held, base])


def read_keys(table: Mapping[str, object]) -> tuple[Mapping[str, str], list[str]]:
    """The keymap that `[keys]` of the settings asks for: Textual's key names, with commas between, by command.

    What is wrong is left out and told in words: unknown commands and keys, two commands of one screen on one key, a
    key that lists need themselves.
    """
    known = {binding_id(command): command for command in COMMANDS if command.keys}
    problems: list[str] = []
    asked: dict[str, str] = {}
    for name, value in _flat(table):
        if name not in known:
            near = did_you_mean(name, known) or "`?` in the application and the README list the commands"
            problems.append(f"keys: there is no command `{escape(name)[:60]}`; {near}")
            continue
        try:
            keys = _keys(value)
        except RequestError as error:
            problems.append(f"keys: {name}: {error}")
            continue
        own = known[name].keys.split(",")
        reserved = next((key for key in keys if key in MOVES and key not in own), None)
        if reserved is not None:
            problems.append(f"keys: {name}: lists and dialogues use `{written(reserved)}` themselves; take another key")
            continue
        asked[name] = ",".join(keys)
    # One after the other goes, so that what is left holds together.
    while (clash := _clash(asked)) is not None:
        name, other, key = clash
        del asked[name]
        problems.append(
            f"keys: {name}: `{written(key)}` is the key of {other}; take another key, or change that one too"
        )
    return MappingProxyType(asked), problems


def binding_id(command: Command) -> str:
    """The name of a command in the settings file, and of its binding."""
    return f"{command.where}.{command.id}"


def _flat(table: Mapping[str, object]) -> list[tuple[str, object]]:
    """The entries by command: TOML reads compose.add = "i" without quotes as a table in a table."""
    found: list[tuple[str, object]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += [(f"{name}.{part}", inner) for part, inner in value.items()]
        else:
            found.append((name, value))
    return found


def _keys(value: object) -> list[str]:
    texts: Sequence[object]
    if isinstance(value, str):
        # A comma alone is the key, otherwise it stands between keys.
        texts = [value] if value.strip() == "," else value.split(",")
    elif isinstance(value, list):
        texts = value
    else:
        raise RequestError('write a key in quotes, such as "i", or several: ["i", "insert"]')
    if not 1 <= len(texts) <= 8:
        raise RequestError("between one and eight keys are possible")
    names: list[str] = []
    for text in texts:
        if not isinstance(text, str) or (not text.strip() and text != " "):
            raise RequestError('no key was given; write one such as "i" or "ctrl+s"')
        name = key_name(text)
        if name not in names:
            names.append(name)
    return names


def _clash(asked: Mapping[str, str]) -> tuple[str, str, str] | None:
    """A command of `asked` whose key another command of a screen has: both commands and the key."""
    for where in SCREENS:
        taken: dict[str, str] = {}
        commands = sorted(commands_for(where), key=lambda command: binding_id(command) in asked)
        for command in commands:
            name = binding_id(command)
            for key in asked.get(name, command.keys).split(","):
                other = taken.setdefault(key, name)
                if key and other != name and name in asked:
                    return name, other, key
    return None
