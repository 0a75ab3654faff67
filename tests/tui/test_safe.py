"""Whatever comes from elsewhere, only visible characters are shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.safe import safe, safe_lines

HOSTILE = [
    "\x1b]52;c;aGFja2Vk\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x90q\x9c",
    "a\u202eb\u2066c",
    "zero\u200bwidth\u200d\ufeff",
    "line\nfeed\rand\x0bmore\x85\u2028\u2029",
    "nul\x00bell\x07back\x08del\x7f",
    "\udcff\udce9",
    "\U000e0041tag",
    "\u3164\u115f\u2800",
    "soft\u00adhyphen",
]


def is_plain(text: str) -> bool:
    """Independent of `safe`: by Unicode's own categories, no control, format, surrogate, separator or unassigned."""
    return all(
        character == " " or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
        for character in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_visible(text: str) -> None:
    shown = safe(text)
    assert is_plain(shown)
    assert shown != text
    assert not any(character in shown for character in "\x1b\x9b\u202e\u200b\n\r\x00\u3164\u2800")


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_plain_and_stays_on_one_line(text: str) -> None:
    shown = safe(text)
    assert is_plain(shown)
    assert len(shown.splitlines()) <= 1
    assert safe(shown) == shown
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=("C", "Z")), max_size=50))
def test_letters_of_every_script_stay_as_they_are(text: str) -> None:
    invisible = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
    invisible |= {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
    kept = "".join(character for character in text if character not in invisible)
    assert safe(kept) == kept


@given(st.text(), st.integers(1, 20))
def test_a_limit_is_kept(text: str, limit: int) -> None:
    assert len(safe(text, limit)) <= limit


def test_escape_and_line_feed_are_shown_as_pictures() -> None:
    assert safe("a\x1b[31mb\nc") == "a␛[31mb␊c"
    assert safe("a\u202eb") == "a\\u202eb"
    assert safe("a\u00a0b\u3000c") == "a b c"


def test_anything_can_be_shown() -> None:
    assert safe(None) == "None"
    assert safe(3) == "3"


def test_several_lines_keep_their_line_feeds_and_nothing_else() -> None:
    assert safe_lines("a\tb\r\nc\x1bd\x0c") == "a   b\nc␛d␌"
