"""The way into the full-screen application; it does without typer, for what is opened every day is to open at once."""

from __future__ import annotations

import sys
from pathlib import Path

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
    return run(path, store=store_folder(runs), data_folder=data_folder(data), download=download)
