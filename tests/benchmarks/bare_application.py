"""The least that a Textual application with a table can be: what the first frame of Compose is compared with."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Header


class Bare(App[None]):
    """A header, a table, a footer."""

    BINDINGS = (("q", "quit", "Leave"),)

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable()
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("layer", "output", "parameters")
        table.add_rows([(f"Linear({size})", str(size), str(size * size)) for size in (300, 100, 10)])


if __name__ == "__main__":
    Bare().run()
