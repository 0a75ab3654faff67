"""The way into the full-screen application; it does without typer, for what is opened every day is to open at once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from engine.errors import RequestError
from tui.cli.folders import data_folder, store_folder

_WITHOUT = """layerlab opens a full-screen application, and for that it needs a terminal; {missing} is none.
Without one:
  layerlab demo                       train MLP, BatchNorm and CNN on the embedded digits and compare them
  layerlab new cnn -o cnn.toml        write an experiment to start from
  layerlab train cnn.toml             train it
  layerlab runs                       list what was trained
  layerlab --help                     all commands"""


def open_application(
    file: str | None = None, runs: Path | None = None, data: Path | None = None, download: bool = False
) -> int:
    """Open the application; gives the exit status.

    Raises RequestError, which says what to do instead, where there is no terminal.
    """
    missing = [name for name, stream in (("the input", sys.stdin), ("the output", sys.stdout)) if not stream.isatty()]
    if missing:
        raise RequestError(_WITHOUT.format(missing=missing[0]))
    from tui.sitting import run

    path = Path(file) if file is not None else None
    status = run(path, store=store_folder(runs), data_folder=data_folder(data), download=download)
    if any(thread.daemon for thread in threading.enumerate()):
        leave_at_once(status)
    return status


def leave_at_once(status: int) -> NoReturn:
    """End the process without taking the interpreter down, which crashes while a thread is in the midst of importing
    torch. All that was to be kept is kept by now: the training has been waited for, files are replaced as a whole."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
