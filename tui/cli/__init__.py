"""The command line: `layerlab`. One file for each group of commands; none imports torch or textual to be there."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of `layerlab`."""
    if len(sys.argv) == 1:
        # The application alone: importing and building all commands takes as long as a fifth of its start.
        from tui.cli.endings import carry_out, leave
        from tui.cli.opening import open_application

        leave(carry_out(open_application, as_json=False))
    from tui.cli import root

    root.main()
