"""What is told to a person when something cannot be done: always words, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LayerlabError(Exception):
    """An error with a message for a person; `exit_code` is what the command line leaves with."""

    exit_code = 1


class RequestError(LayerlabError):
    """The request was wrong: a bad file, a bad value, an unknown run."""

    exit_code = 2


class DeviceLost(RequestError):
    """The device takes nothing more from this process, which has to be restarted."""


class RunError(LayerlabError):
    """The request was right, but it failed while running."""


class SpecError(RequestError):
    """Something in an experiment is wrong: where it stands, what was found and what would be right."""

    def __init__(
        self, message: str, *, field: str = "", file: str = "", line: int | None = None, hint: str = ""
    ) -> None:
        self.message = message
        self.field = field
        self.file = file
        self.line = line
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        place = self.file
        if place and self.line is not None:
            place = f"{place}:{self.line}"
        text = ": ".join(part for part in (place, self.field, self.message) if part)
        return f"{text}; {self.hint}" if self.hint else text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to a misspelt one, or None where none comes near."""
    by_lower = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question to put behind an unknown name: "did you mean `ReLU`?", or nothing."""
    close = nearest(name, known)
    return f"did you mean `{close}`?" if close else ""
