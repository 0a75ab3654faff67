"""The command line: `layerlab`. One file for each group of commands; importing it imports neither torch nor textual."""

from __future__ import annotations

from tui.cli.root import app, main

__all__ = ["app", "main"]
