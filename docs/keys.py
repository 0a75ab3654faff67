"""The README's table of keys, made from the declarations: `python -m docs.keys` writes it, `make pictures` does too."""

from __future__ import annotations

from pathlib import Path

from tui.commands import COMMANDS, EVERYWHERE, PANELS, SCREENS, Command
from tui.keymap import binding_id, written

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- keys -->", "<!-- /keys -->"
TITLES = {PANELS: "Panels, on every screen"}


def table() -> str:
    """A table a screen, folded up, with what can be done everywhere before them."""
    parts = []
    for scope in (EVERYWHERE, PANELS, *SCREENS):
        commands = [command for command in COMMANDS if command.where == scope]
        rows = ["| key | does | in the settings |", "| --- | --- | --- |", *(row(command) for command in commands)]
        summary = f"<summary><b>{TITLES.get(scope, scope.capitalize())}</b></summary>"
        parts.append(
            "\n".join([f"<details{' open' if scope == EVERYWHERE else ''}>", summary, "", *rows, "", "</details>"])
        )
    return "\n\n".join(parts)


def row(command: Command) -> str:
    """One command: its keys, what it does, its name."""
    keys = ", ".join(f"`{written(key)}`" for key in command.keys.split(",") if key) or "palette"
    return f"| {keys} | {command.line} | `{binding_id(command)}` |"


def put_in(text: str) -> str:
    """A page with the table as it is now between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(put_in(README.read_text()))
