"""What cannot be seen is made visible before it is edited: nothing that is pasted reaches the terminal as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.events import Paste
from textual.screen import Screen
from textual.widgets import Input, TextArea

from tests.tui.fake_training import application, screen_text
from tui.filing import wrong_to_save
from tui.screens.note_editor import NoteEditor
from tui.screens.prompt import LineInput, Prompt
from tui.screens.toml_editor import TomlText

HOSTILE = "a\x1b]52;c;aGk=\x07b\x9b31mc\u202ed\te"


def hidden(text: str) -> list[str]:
    return [character for character in text if not character.isprintable() and character != "\n"]


class Plain(App[None]):
    def __init__(self, kind: type[LineInput] | type[TomlText]) -> None:
        super().__init__()
        self._kind = kind

    def compose(self) -> ComposeResult:
        self.field = self._kind(HOSTILE)
        yield self.field


@pytest.mark.parametrize("kind", [LineInput, TomlText])
async def test_what_is_there_and_what_is_pasted_can_be_seen(kind: type[LineInput] | type[TomlText]) -> None:
    app = Plain(kind)
    async with app.run_test() as pilot:
        app.field.focus()
        await pilot.pause()
        app.post_message(Paste(HOSTILE))
        await pilot.pause()
        await pilot.press("z")
        await pilot.pause()
        text = app.field.value if isinstance(app.field, Input) else app.field.text
        assert text.count("␛]52") == 2
        assert "ez" in text  # the cursor is behind what was pasted
        assert hidden(text) == []


@pytest.mark.parametrize("dialogue", ["note", "prompt"])
async def test_dialogues_take_hostile_text_for_text(dialogue: str, tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        screen: Screen[str | None] = (
            NoteEditor(HOSTILE, HOSTILE) if dialogue == "note" else Prompt("save as", HOSTILE, wrong_to_save, late=True)
        )
        app.push_screen(screen)
        await pilot.pause()
        app.post_message(Paste(HOSTILE))
        await pilot.pause()
        assert hidden(screen_text(app)) == []
        field = screen.query(TextArea).first() if dialogue == "note" else screen.query(Input).first()
        text = field.text if isinstance(field, TextArea) else field.value
        assert text.count("␛]52") == 2
