"""How a command ends: the one place where errors become words and exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from engine.errors import LayerlabError
from tui.process_end import leave_at_once

SUCCESS, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def carry_out(command: Callable[[], int], as_json: bool) -> int:
    """What the command gives, or the exit status that its error asks for; no exception gets out."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 must not end a command
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as left:
        # Typer and rich answer a broken pipe with an exit of their own.
        if isinstance(left.__context__, BrokenPipeError):
            return _reader_left()
        return left.code if isinstance(left.code, int) else SUCCESS
    except KeyboardInterrupt:
        return INTERRUPTED
    except LayerlabError as error:
        return _refuse(error, as_json)
    except Exception as error:
        return _bug(error, as_json)


def leave(status: int) -> NoReturn:
    """End this process; one that was interrupted, whose threads may be at something still, at once."""
    if status == INTERRUPTED:
        leave_at_once(status)
    sys.exit(status)


def _refuse(error: LayerlabError, as_json: bool) -> int:
    known = {name: getattr(error, name, None) or None for name in ("field", "file", "line", "hint")}
    if missing := getattr(error, "missing", ()):
        known["missing"] = [one.to_json() for one in missing]
    tell({"message": getattr(error, "message", None) or str(error)} | known, str(error), as_json)
    return error.exit_code


def _bug(error: Exception, as_json: bool) -> int:
    """Something that layerlab did not foresee: one line for the person, the traceback in a file."""
    import traceback

    from engine.data.cache_folder import cache_folder

    told = f"{type(error).__name__}: {error}"[:500]
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "last-error.txt"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        where = f"the details are in {path}"
    except (OSError, LayerlabError) as problem:
        where = f"the details could not be written: {problem}"
    tell({"message": told, "hint": where}, f"this is a bug in layerlab: {told}\n{where}", as_json)
    return FAILED


def tell(error: dict[str, Any], words: str, as_json: bool) -> None:
    """An error in words on standard error, and as JSON on standard output where that was asked for."""
    from tui.output import print_json, say

    try:
        if as_json:
            print_json(
                {"ok": False, "error": {"message": "", "field": None, "file": None, "line": None, "hint": None} | error}
            )
        say(f"error: {words}", style="red")
    except BrokenPipeError:
        _reader_left()


def _reader_left() -> int:
    """Whoever read our output has gone (`layerlab runs | head`): leave without a word, also while Python shuts down."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(null, stream.fileno())
    return SUCCESS
