"""Text that comes from elsewhere, made safe to show.

Names, messages, metric names, class labels, paths and console lines may hold anything: escape sequences that set the
clipboard, characters that reverse the line, characters that cannot be seen. `safe` puts something visible in the place
of each, so that what is left is letters and spaces. It does not know about markup: what it gives goes to rich and
textual as `Text` or `Content`, never as a plain string that they would interpret.
"""

from __future__ import annotations

# Printable for `str.isprintable`, yet nothing is seen: Unicode's Default_Ignorable_Code_Point among letters and marks,
# and the blank braille pattern.
_INVISIBLE = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
).union(range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
# Whether a symbol is drawn as text or as an emoji: it changes the width on some terminals and not on others.
_PRESENTATION = frozenset([0xFE0E, 0xFE0F])


class _Replacements(dict[int, str]):
    """What each character becomes, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _replacement(code)
        return shown


def _replacement(code: int) -> str:
    character = chr(code)
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: ␛ for ESC, ␊ for a line feed
    if code == 0x7F:
        return "␡"
    if code in _PRESENTATION:
        return ""
    if character.isspace() and code not in (0x85, 0x2028, 0x2029):
        return " "  # no-break, ideographic and other spaces
    if code in _INVISIBLE or not character.isprintable():
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return character


_REPLACEMENTS = _Replacements()


def safe(text: object, limit: int | None = None) -> str:
    """`text` on one line, with every character that is not plainly visible replaced by one that is.

    Args:
        text: anything; what is not a string is turned into one.
        limit: the most characters that are given back; a longer text is cut and ends in "…".
    """
    line = text if isinstance(text, str) else str(text)
    if limit is not None and len(line) > limit:
        line = line[: max(limit - 1, 0)] + "…"
    if line.isascii() and line.isprintable():
        return line
    line = line.translate(_REPLACEMENTS)
    return line if limit is None or len(line) <= limit else line[: max(limit - 1, 0)] + "…"


def safe_lines(text: object, limit: int | None = None) -> str:
    """As `safe`, but line feeds stay and tabs become spaces: for messages and files of several lines.

    Args:
        text: anything; what is not a string is turned into one.
        limit: the most characters of one line.
    """
    whole = text if isinstance(text, str) else str(text)
    lines = whole.replace("\r\n", "\n").expandtabs(4).split("\n")
    return "\n".join(safe(line, limit) for line in lines)
