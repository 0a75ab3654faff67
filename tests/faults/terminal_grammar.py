"""Reads what a program writes to a terminal, byte by byte, and says what of it a terminal should never have got.

Written without a look at what the application makes safe: a list of the few sequences that it has any business to
send, and Unicode's own categories. What is on neither list is a violation.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata

# ECMA-48 and xterm's control sequences (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html).
_SEQUENCES = re.compile(
    r"\x1b(?:"
    r"\[(?P<style>[0-9;]*)m"  # select graphic rendition
    r"|\[[0-9]*(?:;[0-9]*)?H"  # the cursor's place
    r"|\[\?(?P<modes>[0-9;]+)[hl]"  # modes on and off
    r"|\[\?20(?:26|48)\$p"  # is there a mode 2026 (whole frames), 2048 (sizes told)?
    r"|\[(?:>[0-9]{1,2}|<)u"  # kitty's keyboard protocol begins and ends
    r"|\[[0-9]*[AK]"  # up some lines, and this line empty again: how a bar moves
    r"|\]52;c;(?P<copied>[A-Za-z0-9+/=]*)\x07"  # to the clipboard, as the person asked
    r"|\]22;(?P<pointer>[a-z-]*)\x07"  # the shape of the mouse's pointer
    r")"
)
# What may still become one of them, where the end of what was written cuts it.
_BEGUN = re.compile(r"\x1b(?:\[[0-9;<>?$]{0,40}|\](?:5?2?;?c?;?|52;c;[A-Za-z0-9+/=]*|22;?[a-z-]{0,20}))?\Z")
# Alternate screen, cursor, wrapping, mouse, focus, bracketed paste, whole frames, sizes.
_MODES = {7, 25, 1000, 1003, 1004, 1006, 1015, 1016, 1049, 2004, 2026, 2048}
_STYLES = {*range(10), *range(21, 30), *range(30, 38), 39, *range(40, 48), 49, 53, 55, *range(90, 98), *range(100, 108)}
_POINTERS = {"default", "pointer", "text", "ew-resize", "ns-resize", "grab", "grabbing", "move", "not-allowed"}
# Unicode's Default_Ignorable_Code_Point, as far as it is neither Cf nor Cn, and the blank that is no space.
_NOT_SEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}
_NOT_SEEN |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_PLAIN_ASCII = frozenset(map(chr, range(0x20, 0x7F)))


class TerminalGrammar:
    """`violations` is what has no place on a terminal, with what stood around it; `text` is what was to be read, with
    a line feed wherever the cursor was moved; `copied` is what went to the clipboard."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.copied: list[bytes] = []
        self.bytes = 0
        self.sequences = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def feed(self, written: bytes) -> None:
        """Take in what was written, in pieces of any size."""
        self.bytes += len(written)
        try:
            text = self._rest + self._decoder.decode(written)
        except UnicodeDecodeError as error:
            self._wrong(f"no UTF-8: {written[max(error.start - 20, 0) : error.end + 20]!r}")
            self._decoder.reset()
            text = self._rest + written.decode("utf-8", "replace")
        at = 0
        while (escape := text.find("\x1b", at)) >= 0:
            self._plain(text[at:escape])
            if (begun := _BEGUN.match(text, escape)) and begun.end() == len(text):
                self._rest = text[escape:]
                return
            at = self._sequence(text, escape)
        self._plain(text[at:])
        self._rest = ""

    def end(self) -> None:
        """Nothing more comes: what has begun must have ended."""
        if self._rest:
            self._wrong(f"cut short: {self._rest!r}")

    def _sequence(self, text: str, at: int) -> int:
        found = _SEQUENCES.match(text, at)
        if found is None:
            self._wrong(f"unknown: {text[max(at - 30, 0) : at + 30]!r}")
            return at + 1
        self.sequences += 1
        if found["style"] is not None and not _is_style(found["style"]):
            self._wrong(f"no style: {found[0]!r}")
        if found["modes"] is not None and not {int(mode) for mode in found["modes"].split(";") if mode} <= _MODES:
            self._wrong(f"unknown mode: {found[0]!r}")
        if found["pointer"] is not None and found["pointer"] not in _POINTERS:
            self._wrong(f"unknown pointer: {found[0]!r}")
        if found["copied"] is not None:
            try:
                self.copied.append(base64.b64decode(found["copied"], validate=True))
            except binascii.Error:
                self._wrong(f"no base64: {found[0][:60]!r}")
        if found[0].endswith("H"):
            self._parts.append("\n")
        return found.end()

    def _plain(self, text: str) -> None:
        for place, character in enumerate(text):
            if character not in _PLAIN_ASCII and not _is_seen(character):
                self._wrong(f"U+{ord(character):04X} in {text[max(place - 30, 0) : place + 30]!r}")
        self._parts.append(text)

    def _wrong(self, what: str) -> None:
        if len(self.violations) < 20:
            self.violations.append(what)


def _is_seen(character: str) -> bool:
    if character in "\r\n":
        return True
    wrong = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
    return not wrong and ord(character) not in _NOT_SEEN


def _is_style(parameters: str) -> bool:
    numbers = [int(number or 0) for number in parameters.split(";")]
    while numbers:
        first, *numbers = numbers
        if first in (38, 48, 58) and numbers[:1] == [2] and len(numbers) >= 4 and max(numbers[1:4]) < 256:
            numbers = numbers[4:]
        elif first in (38, 48, 58) and numbers[:1] == [5] and len(numbers) >= 2 and numbers[1] < 256:
            numbers = numbers[2:]
        elif first not in _STYLES:
            return False
    return True
