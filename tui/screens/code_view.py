"""The experiment as a script in PyTorch: to read, to copy, to write to a file."""

from __future__ import annotations

import asyncio
import keyword
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content

from engine.errors import LayerlabError
from tui.filing import file_name
from tui.safe import safe
from tui.screens.choice import Choice
from tui.screens.dialogue import Dialogue
from tui.screens.prompt import Prompt
from tui.widgets.lines import Line, Span, line
from tui.widgets.rows import VIM_KEYS, Rows

if TYPE_CHECKING:
    from tui.app import LayerlabApp

_TOKEN = re.compile(r"(#.*$|\"\"\".*?(?:\"\"\"|$)|\"[^\"]*\"|'[^']*'|\b[A-Za-z_]\w*\b)")


class CodeLines(Rows):
    """Lines of code that scroll."""

    BINDINGS: ClassVar = [*VIM_KEYS]


class CodeView(Dialogue[None]):
    """Shows the code that `written` gives, which it asks for in a thread; `file` is what writing proposes."""

    app: LayerlabApp
    CSS_PATH = "code.tcss"
    BINDINGS: ClassVar = [
        Binding("escape,q,enter", "leave", show=False),
        Binding("y,c", "copy", show=False),
        Binding("w,ctrl+s", "write", show=False),
    ]

    def __init__(self, written: Callable[[], str], file: str) -> None:
        super().__init__()
        self._written = written
        self._code = ""
        self._file = file

    def compose(self) -> ComposeResult:
        box = Vertical(CodeLines(id="lines"), id="code", classes="code")
        box.border_title = Content(f"{safe(self._file)} is being written…")
        box.border_subtitle = Content("esc closes")
        yield box

    def on_mount(self) -> None:
        self.query_one(CodeLines).focus()
        self.run_worker(self._write_code(), exit_on_error=False)

    async def _write_code(self) -> None:
        """A folder of photographs is looked through for it, and there may be many."""
        from engine.apart import apart

        try:
            self._code = await asyncio.to_thread(apart, self._written)
        except LayerlabError as error:
            self.app.tell(str(error), wrong=True)
            self.dismiss(None)
            return
        self.query_one(CodeLines).set_rows(coloured(self._code))
        box = self.query_one("#code")
        box.border_title = Content(f"{safe(self._file)}, {len(self._code.splitlines())} lines")
        box.border_subtitle = Content("y copies, w writes to a file, esc closes")

    def action_copy(self) -> None:
        if not self._code:
            return
        copy = getattr(self.app, "copy", None)
        if copy is not None:
            copy(self._code)
        else:
            self.app.copy_to_clipboard(self._code)
        self._say("copied to the clipboard")

    def _say(self, text: str) -> None:
        self.query_one("#code").border_subtitle = Content(safe(f"{text}; esc closes"))

    def action_write(self) -> None:
        if not self._code:
            return

        def named(text: str | None) -> None:
            if text is None:
                return
            path = Path(text).expanduser()
            if path.exists():
                answers = (("o", "overwrite it", "overwrite"), ("c", "cancel", ""))
                self.app.push_screen(
                    Choice("Write", f"{path} is there already.", answers),
                    lambda answer: self._write(path) if answer == "overwrite" else None,
                )
            else:
                self._write(path)

        self.app.push_screen(Prompt("Write to", self._file, _wrong_path, late=True), named)

    def _write(self, path: Path) -> None:
        from engine.store import files

        try:
            files.atomic_write(path.resolve(), self._code.encode())
        except (OSError, ValueError) as error:
            self._say(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
        else:
            self._say(f"written to {path}")

    def action_leave(self) -> None:
        self.dismiss(None)


def show_code(app: LayerlabApp) -> None:
    """Show what is composed as code, where the check has passed; say why not otherwise."""
    report, problem = app.report, app.problem
    if problem is not None or report is None:
        why = problem.message if problem is not None else "the check is not done yet; try again in a moment"
        app.tell(f"no code yet: {why}", wrong=problem is not None)
        return
    from engine.code import pytorch_code

    written = partial(pytorch_code, report, app.data_folder)
    app.push_screen(CodeView(written, f"{file_name(app.draft.experiment.name)}.py"))


def coloured(code: str) -> list[Line]:
    """Lines of Python, keywords strong, comments and texts dim."""
    rows: list[Line] = []
    inside = False
    for text in code.expandtabs(4).splitlines():
        quotes = text.count('"""')
        if inside or quotes == 1:
            rows.append(line((text, "dim")))
            inside ^= quotes % 2 == 1
            continue
        spans: list[Span] = []
        for part in _TOKEN.split(text):
            style = "accent" if keyword.iskeyword(part) else ("dim" if part[:1] in ("#", '"', "'") else "")
            if part:
                spans.append((part, style))
        rows.append(tuple(spans))
    return rows


def _wrong_path(text: str) -> str:
    try:
        path: Any = Path(text.strip()).expanduser()
        if path.is_dir():
            return f"{path} is a folder"
        return "" if path.parent.is_dir() else f"there is no folder {path.parent}"
    except (OSError, ValueError, RuntimeError) as error:
        return str(error)
