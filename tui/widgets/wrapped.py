"""Texts of several lines where there is not much room: in whole words, and with a way to read on where they are cut."""

from __future__ import annotations

import textwrap

from tui.safe import safe_lines

# What a cut text ends with, the key that shows all of it first.
READ_ON = "{panels.read_on} reads on"


def wrapped(text: str, width: int, most: int | None = None, more: str = "") -> list[str]:
    """The text in lines of at most `width` cells; its own line feeds stay. Where that is more than `most` lines, these
    are what is left, and the last ends in an ellipsis and `more`."""
    width = max(width, 20)
    lines = [
        line
        for paragraph in safe_lines(text).split("\n")
        # Names of files have hyphens, at which they cannot be copied in two.
        for line in textwrap.wrap(paragraph, width, break_on_hyphens=False) or [""]
    ]
    if most is None or len(lines) <= most:
        return lines
    end = f"… {more}" if more else "…"
    return [*lines[: most - 1], f"{lines[most - 1][: width - len(end) - 1].rstrip()} {end}"]
