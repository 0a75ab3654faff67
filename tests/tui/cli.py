"""What the tests of the command line share: running it in this process, and names that want to do harm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tui.cli import root

HOSTILE = "\x1b]52;c;aGk=\x07[@click=app.bell]x[/foo]\u202eend\u200b\n\x9b2J"
UNSEEN = "\x1b\x07\x9b\u202e\u200b\r"

TINY = """\
name = "{name}"
epochs = {epochs}
optimizer = "SGD(lr={lr})"

[data]
source = "Blobs()"

[network]
layers = [{layers}]
"""


@dataclass(frozen=True)
class Told:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs commands in this process, in a folder of their own, with a store and a cache there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Told:
        self._capsys.readouterr()
        status = root.run([str(argument) for argument in arguments])
        told = self._capsys.readouterr()
        assert "Traceback" not in told.err + told.out
        return Told(status, told.out, told.err)

    def write(self, name: str, **more: Any) -> str:
        return written(self.folder, name, **more)


def written(
    folder: Path, name: str, epochs: int = 2, lr: float = 0.1, layers: str = '"Linear(8)", "Linear(classes)"'
) -> str:
    """The file of an experiment that trains in a moment."""
    path = folder / f"{name}.toml"
    path.write_text(TINY.format(name=name, epochs=epochs, lr=lr, layers=layers))
    return str(path)


def assert_safe(text: str) -> None:
    """Nothing in it reaches the terminal as more than letters and lines."""
    bad = [character for character in text if character != "\n" and not character.isprintable()]
    assert not bad, bad
