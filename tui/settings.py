"""The person's settings: a TOML file that may be missing or wrong, and never keeps layerlab from starting."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.calls import escape
from engine.errors import SpecError, did_you_mean
from engine.store.files import NotRegular, TooLarge, read_bounded
from engine.toml_text import parse_toml

if TYPE_CHECKING:
    from tui.commands import Command

THEMES = ("auto", "dark", "light", "ansi")
MAX_BYTES = 64 << 10


@dataclass(frozen=True)
class Settings:
    """`theme` is one of THEMES; `keys` are keys by command, as `App.set_keymap` takes them; `allow` are the modules
    whose layers experiments may use; `store` and `data` stand where neither an option nor the environment names one."""

    theme: str = "auto"
    keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    allow: tuple[str, ...] = ()
    store: Path | None = None
    data: Path | None = None

    def shown_key(self, command: Command) -> str:
        """How the first key of a command is written, "" where it has none."""
        changed = self.keys.get(f"{command.where}.{command.id}")
        if changed is None:
            return command.shown
        from tui.keymap import written

        return written(changed.split(",")[0])

    def with_keys(self, text: str) -> str:
        """A text in which `{compose.add}` and the like give way to how the key of that command is written."""

        def written(found: re.Match[str]) -> str:
            from tui.commands import find_command

            command = find_command(found[1])
            return found[0] if command is None else self.shown_key(command)

        return re.sub(r"\{(\w+\.\w+)\}", written, text)


def settings_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """$LAYERLAB_CONFIG, or layerlab/settings.toml in $XDG_CONFIG_HOME or ~/.config; None where there is no home."""
    if named := environment.get("LAYERLAB_CONFIG"):
        return Path(named).expanduser()
    base = environment.get("XDG_CONFIG_HOME", "")
    try:
        # A relative path there is to be ignored, says the XDG base directory specification.
        root = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    except RuntimeError:
        return None
    return root / "layerlab" / "settings.toml"


def load_settings(path: Path | None) -> tuple[Settings, list[str]]:
    """The settings in the file, and in words what is wrong with it; what is wrong has its default value.

    A file that is not there is not wrong.
    """
    if path is None:
        return Settings(), []
    shown = escape(str(path))
    try:
        # Settings are often links into a folder that is kept elsewhere.
        text = read_bounded(Path(os.path.realpath(path)), MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        named = os.environ.get("LAYERLAB_CONFIG") and path == settings_path()
        return Settings(), [f"{shown}: LAYERLAB_CONFIG names this file, but there is none"] if named else []
    except TooLarge:
        return Settings(), [f"{shown}: it is larger than {MAX_BYTES >> 10} KiB; settings are a short TOML file"]
    except NotRegular:
        return Settings(), [f"{shown}: it is not a regular file; settings are a TOML file"]
    except UnicodeDecodeError:
        return Settings(), [f"{shown}: it is not text in UTF-8"]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return Settings(), [f"{shown}: cannot be read: {reason or error}"]
    try:
        table = parse_toml(text)
    except SpecError as error:
        place = f"{shown}:{error.line}" if error.line else shown
        hint = '; a text stands in quotes, as in theme = "dark"' if "invalid value" in error.message else ""
        return Settings(), [f"{place}: {error.message}{hint}"]
    settings, problems = _read(table)
    return settings, [f"{shown}: {problem}" for problem in problems]


def _read(table: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    problems: list[str] = []
    found: dict[str, Any] = {}
    readers = {"theme": _theme, "allow": _modules, "store": _folder, "data": _folder}
    for name, value in table.items():
        if name == "keys":
            if isinstance(value, dict):
                # Imports Textual, which commands without a screen do not need.
                from tui.keymap import read_keys

                found["keys"], wrong = read_keys(value)
                problems += wrong
            else:
                problems.append('keys: this is a table: [keys], and below it lines such as "compose.add" = "i"')
        elif name in readers:
            try:
                found[name] = readers[name](value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        else:
            known = (*readers, "keys")
            hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
            problems.append(f"there is no setting `{escape(name)[:60]}`; {hint}")
    return Settings(**found), problems


def _theme(value: object) -> str:
    if value in THEMES:
        return str(value)
    hint = did_you_mean(value, THEMES) if isinstance(value, str) else ""
    raise ValueError(f"{_found(value)} is not a theme; {hint or 'there are ' + ', '.join(THEMES)}")


def _modules(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise ValueError(f'{_found(value)} is not a list of modules, such as ["mypackage"]')
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{_found(name)} is not a module; write a name such as mypackage.blocks")
    return tuple(dict.fromkeys(names))


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f'{_found(value)} is not a folder; write a path such as "~/layerlab/runs"')
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{_found(value)}: there is no such home folder") from None
    if not path.is_absolute():
        raise ValueError(f"{_found(value)} would be another folder each time: begin the path with / or ~")
    return path


def _found(value: object) -> str:
    """A value of the file as a message quotes it, in one short line."""
    text = re.sub(r"\s+", " ", escape(str(value)))
    return f"`{text[:60]}{'…' if len(text) > 60 else ''}`"
