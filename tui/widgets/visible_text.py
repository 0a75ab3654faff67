"""A text of several lines that is edited, in which all can be seen."""

from __future__ import annotations

from typing import Any

from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult

from tui.safe import safe_lines


class VisibleText(TextArea):
    """Textual's editor: escape sequences and what else cannot be seen are made visible, in the text that is there from
    the beginning and in what is pasted, for they would reach the terminal."""

    def __init__(self, text: str, **options: Any) -> None:
        super().__init__(safe_lines(text), **options)
        self.cursor_blink = False

    def edit(self, edit: Edit) -> EditResult:
        edit.text = safe_lines(edit.text)
        return super().edit(edit)
