"""A run's control folder, as the run's writer sees it: requests that others renamed in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.control import Request
from engine.errors import RequestError
from engine.store import files

MAX_REQUEST = 4096
MAX_AT_ONCE = 100


class Inbox:
    """Takes the requests out of a control folder, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stuck: set[str] = set()  # what could not be removed, and must not be obeyed again and again

    def take(self) -> tuple[list[Request], list[str]]:
        """The new requests, oldest first, and words about what was none. Raises OSError where the folder fails."""
        requests: list[Request] = []
        problems: list[str] = []
        if not files.is_folder(self.folder):
            # What a link leads to is no request, and not ours to remove.
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(self.folder))
        for name in files.listed(self.folder)[:MAX_AT_ONCE]:
            if name.startswith(".") or name in self._stuck:
                continue
            path = self.folder / name
            try:
                requests.append(self._read(path))
            except FileNotFoundError:
                continue
            except (RequestError, OSError, ValueError) as error:
                problems.append(f"a request was not understood and removed: {str(error)[:300]}")
            try:
                # Before it is acted on: one that stays would be obeyed again.
                files.remove(path)
            except OSError:
                self._stuck.add(name)
        return requests, problems

    def clear(self) -> None:
        """Remove what was asked of the process that trained before, and what senders that died left half written."""
        self.take()
        files.remove_temporaries(self.folder)

    def _read(self, path: Path) -> Request:
        with files.opened(path) as descriptor:
            if hasattr(os, "getuid") and os.fstat(descriptor).st_uid != os.getuid():
                raise RequestError("it came from another user")
            # From the same descriptor: by now another file may have the name.
            text = files.read_opened(descriptor, path, MAX_REQUEST).decode()
        return Request.from_json(text)
