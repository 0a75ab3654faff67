"""`python -m tui.cli` is `layerlab`."""

from __future__ import annotations

from tui.cli import main

main()
