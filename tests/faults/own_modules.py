"""Modules as a person writes them, which do what they should not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SOURCES = {
    "raises": "raise ZeroDivisionError('in a module of my own')",
    "exits": "import sys; sys.exit(3)",
    "leaves": "os._exit(7)",
    "segfaults": "import ctypes; ctypes.string_at(0)",
    "aborts": "os.abort()",
    "killed": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "import time; time.sleep(600)",
}
LAYER = """
import os, time
from torch import nn

class Layer(nn.Module):
    steps = 0

    def forward(self, values):
        if values.device.type != "meta" and self.training:
            Layer.steps += 1
            if Layer.steps > {after}:
                while not os.path.exists({go!r}):
                    time.sleep(0.02)
                {act}
        return values
"""


def layer_that(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, after: int = 30, *, go: bool = True) -> str:
    """Write a module with a layer that does this after so many steps, and once there is a file `go` in the folder, and
    let it be imported; its call."""
    name = f"own_{kind}_{folder.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(LAYER.format(act=SOURCES[kind], after=after, go=str(folder / "go")))
    if go:
        (folder / "go").touch()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return f"{name}:Layer"
