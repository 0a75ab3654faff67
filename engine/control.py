"""Requests to a session under way (pause, stop, set the learning rate, ...) and the mailbox that carries them."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from dataclasses import dataclass

from engine.errors import RequestError, did_you_mean

VERSION = 1
PLAIN_REQUESTS = ("pause", "resume", "stop_epoch", "stop", "discard", "checkpoint", "pin_checkpoint")
VALUE_REQUESTS = ("set_lr", "add_epochs")
REQUESTS = PLAIN_REQUESTS + VALUE_REQUESTS
MAX_ADDED_EPOCHS = 1_000_000
MAX_LR = 1e9
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked of a session; checked when made, so a session never sees a wrong one.

    `value` is the learning rate (finite, at least 0) of `set_lr` and the number (1 to 1,000,000) of `add_epochs`; the
    other requests take none. `pin_checkpoint` makes a checkpoint that is kept for good. `by` says who asked, for the
    record. Raises RequestError.
    """

    name: str
    value: float | int | None = None
    by: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in REQUESTS:
            known = f"{', '.join(REQUESTS[:-1])} and {REQUESTS[-1]}"
            question = did_you_mean(self.name, REQUESTS) if isinstance(self.name, str) else ""
            raise RequestError(f"`{self.name}` is not a request: {question or f'there are {known}'}")
        if not isinstance(self.by, str) or len(self.by) > MAX_NAME:
            raise RequestError(f"who asks for `{self.name}` must be a text of at most {MAX_NAME} characters")
        value = self.value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.name == "set_lr":
            # Compared before any conversion: an int from a file may be too large for a float.
            if not number or value is None or not 0 <= value <= MAX_LR or not math.isfinite(value):
                raise RequestError(f"set_lr needs a learning rate from 0 to {MAX_LR:g}, not {_shown(value)}")
            object.__setattr__(self, "value", float(value))
        elif self.name == "add_epochs":
            if not number or not isinstance(value, int) or not 1 <= value <= MAX_ADDED_EPOCHS:
                raise RequestError(
                    f"add_epochs needs a whole number from 1 to {MAX_ADDED_EPOCHS:,}, not {_shown(value)}"
                )
        elif value is not None:
            raise RequestError(f"{self.name} takes no value, got {_shown(value)}")

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(
            {"version": VERSION, "request": self.name, "value": self.value, "by": self.by}, allow_nan=False
        )

    @classmethod
    def from_json(cls, text: str) -> Request:
        """The request that `to_json` wrote; raises RequestError where it is none."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the request is not JSON: {str(error)[:MAX_NAME]}") from None
        if not isinstance(data, dict) or "request" not in data:
            raise RequestError("the request is not a JSON object with `request` in it")
        version = data.get("version", VERSION)
        if not isinstance(version, int) or version > VERSION:
            raise RequestError(f"the request was written by a newer layerlab (format {_shown(version)})")
        return cls(data["request"], data.get("value"), data.get("by", ""))


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number that is far too large"
    return repr(value)[:80]


class Mailbox:
    """Requests on their way to a session: anybody puts, the training thread takes.

    `pending` is a plain attribute, so that looking at it in every step costs nothing.
    """

    def __init__(self) -> None:
        self.pending = False
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()

    def put(self, request: Request) -> None:
        """Add a request and wake a session that waits."""
        with self._changed:
            self._requests.append(request)
            self.pending = True
            self._changed.notify_all()

    def take(self) -> list[Request]:
        """All requests so far, oldest first; afterwards nothing is pending."""
        with self._changed:
            requests = list(self._requests)
            self._requests.clear()
            self.pending = False
            return requests

    def asks_to_end(self) -> bool:
        """Whether an end is among the requests; all of them stay."""
        with self._changed:
            return any(request.name in ("stop", "discard") for request in self._requests)

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until there is a request or `timeout` seconds have passed; True where there is one."""
        with self._changed:
            return self._changed.wait_for(lambda: self.pending, timeout)
