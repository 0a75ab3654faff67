"""Keys in a person's words, and commands on other keys than their own."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App
from textual.binding import BindingsMap
from textual.keys import Keys, _character_to_key

from engine.errors import RequestError
from tui.commands import COMMANDS, bindings, commands_for
from tui.keymap import key_name, read_keys, written

PRINTABLE = [character for character in string.printable if character.isprintable() and character != " "]


@pytest.mark.parametrize("character", PRINTABLE)
def test_a_character_is_the_key_that_textual_says_it_is(character: str) -> None:
    assert key_name(character) == _character_to_key(character)
    assert written(key_name(character)) == character


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("^s", "ctrl+s", "^s"),
        ("Ctrl+S", "ctrl+s", "^s"),
        ("control+s", "ctrl+s", "^s"),
        ("F2", "f2", "F2"),
        ("esc", "escape", "esc"),
        ("Page Down", "pagedown", "pgdn"),
        ("question_mark", "question_mark", "?"),
        (" ", "space", "space"),
        ("ctrl++", "ctrl+plus", "^+"),
        ("shift+a", "A", "A"),
        ("shift+tab", "shift+tab", "shift+tab"),
        ("shift+ctrl+left", "ctrl+shift+left", "ctrl+shift+left"),
        ("alt+x", "alt+x", "alt+x"),
        ("return", "enter", "enter"),
    ],
)
def test_keys_are_read_in_words_and_shown_as_the_footer_does(text: str, name: str, shown: str) -> None:
    assert key_name(text) == name
    assert written(name) == shown


def test_every_key_that_a_command_has_can_be_written() -> None:
    for command in COMMANDS:
        for key in filter(None, command.keys.split(",")):
            assert key_name(key) == key
            assert key_name(written(key)) == key


def test_textual_knows_every_name() -> None:
    known = {key.value for key in Keys}
    assert {key_name(text) for text in ("pgup", "home", "ins", "del", "f12", "tab", "bksp")} <= known


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo", "is not a key"),
        ("spcae", "did you mean `space`?"),
        ("ctr+a", "did you mean `ctrl`?"),
        ("ctrl+", "is not a key"),
        ("ctrl+m", "cannot be told from enter"),
        ("^i", "cannot be told from tab"),
        ("\x00", "is not a key"),
        ("", "is not a key"),
    ],
)
def test_what_is_no_key_is_told(text: str, told: str) -> None:
    with pytest.raises(RequestError, match=r"key|told") as error:
        key_name(text)
    assert told in str(error.value)


@given(text=st.text(max_size=20))
def test_any_text_is_a_key_or_told(text: str) -> None:
    try:
        name = key_name(text)
    except RequestError:
        return
    assert key_name(written(name)) == name


values = st.one_of(st.sampled_from(["x", "a", "f5", "^s", "j", "q,w", ","]), st.integers(), st.lists(st.text()))
names = st.one_of(st.sampled_from([f"{one.where}.{one.id}" for one in COMMANDS]), st.text(max_size=8))


@given(table=st.dictionaries(names, values, max_size=6))
def test_whatever_is_asked_no_two_commands_of_a_screen_come_to_share_a_key(table: dict[str, object]) -> None:
    keys, _ = read_keys(table)
    for where in ("compose", "train", "runs", "compare"):
        seen: dict[str, str] = {}
        for command in commands_for(where):
            name = f"{command.where}.{command.id}"
            for key in keys.get(name, command.keys).split(","):
                first = seen.setdefault(key, name)
                assert not key or first == name or not {first, name} & set(keys)


def test_what_is_wrong_with_keys_is_told_and_left_out() -> None:
    table = {"compose.delet": "f5", "compose.undo": "j", "compose.add": "x", "train.pause": 3, "compose.save": ""}
    keys, problems = read_keys(table)
    assert dict(keys) == {}
    told = "\n".join(problems)
    assert "did you mean `compose.delete`?" in told
    assert "lists and dialogues use `j`" in told
    assert "`x` is the key of compose.delete" in told
    assert "train.pause: write a key in quotes" in told
    assert "compose.save: no key was given" in told


def test_two_commands_change_places() -> None:
    keys, problems = read_keys({"compose": {"add": "x", "delete": "a"}})
    assert (dict(keys), problems) == ({"compose.add": "x", "compose.delete": "a"}, [])
    found = BindingsMap(bindings("compose"))
    found.apply_keymap(App._normalize_keymap(keys))
    # A command with two keys stands there twice; Textual runs the first.
    assert {one.action for one in found.key_to_bindings["x"]} == {"add"}
    assert {one.action for one in found.key_to_bindings["a"]} == {"delete"}
    # Its second key went with the first.
    assert "delete" not in found.key_to_bindings


def test_a_remapped_key_does_what_the_old_one_did(tmp_path: Path) -> None:
    """In the bindings that Textual looks keys up in, for every command on a free key."""
    for command in COMMANDS:
        if not command.keys:
            continue
        name = f"{command.where}.{command.id}"
        keys, problems = read_keys({name: "ctrl+shift+f11"})
        assert problems == []
        found = BindingsMap(bindings(command.where))
        found.apply_keymap(App._normalize_keymap(keys))
        assert command.id in {one.action for one in found.key_to_bindings["ctrl+shift+f11"]}
        kept = {one.action for key in command.keys.split(",") for one in found.key_to_bindings.get(key, [])}
        assert command.id not in kept
