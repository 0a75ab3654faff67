"""Compose: the network layer by layer, and the recipe by which it is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import RequestError
from tui.commands import COMPOSE, PANELS, bindings
from tui.screens.adder import Adder
from tui.screens.prompt import Prompt
from tui.screens.recipe_side import RecipeSide
from tui.suggestions import incoming, wrong_layer
from tui.widgets.layer_table import LayerTable, totals
from tui.widgets.lines import Line, Lines, line, split
from tui.widgets.panel import Panel
from tui.widgets.recipe import Recipe
from tui.widgets.rows import Rows

if TYPE_CHECKING:
    from tui.draft import Draft


class ComposeScreen(RecipeSide):
    """Draws the application's draft and what the check says of it; every change goes to the draft."""

    CSS_PATH = "compose.tcss"
    BINDINGS: ClassVar = bindings(COMPOSE, PANELS)
    where = COMPOSE

    def panels(self) -> Iterable[Panel]:
        yield Panel("Network", LayerTable(id="layers"), Lines(id="totals"), id="network")
        yield Panel("Recipe", Recipe(id="settings"), id="recipe")

    @property
    def draft(self) -> Draft:
        return self.app.draft

    @property
    def layer_table(self) -> LayerTable:
        return self.query_one(LayerTable)

    def show(self) -> None:
        """Draw the draft and the newest answer of the check."""
        report, problem = self.app.report, self.app.problem
        checking = not self.app.checked
        self.layer_table.show(self.draft.layers, self.draft.setting("data.source"), report, problem, checking)
        summary = self.query_one("#totals", Lines)
        summary.set_lines([split(*totals(report, problem, checking), summary.size.width)])
        self.show_recipe(report, problem)

    def subject(self) -> Line:
        experiment = self.draft.experiment
        return line(
            (experiment.name, ""),
            (" *" if self.draft.changed else "", "accent"),
            (f"   {experiment.data.source.name}   {experiment.device}", "dim"),
        )

    # ------------------------------------------------------------------ changing

    def action_edit(self) -> None:
        if self._in_recipe():
            self._edit_setting(self.recipe.field)
        elif self.layer_table.selected < 0:
            self._edit_setting("data.source")
        else:
            self._edit_layer(self.layer_table.selected)

    def _edit_setting(self, field: str) -> None:
        self.recipe_editing.edit(field)

    def _edit_layer(self, number: int) -> None:
        draft = self.draft

        def changed(text: str | None) -> None:
            if text is not None:
                draft.replace(number, text)
                self.app.draft_changed()

        text = str(draft.layers[number])
        self.app.push_screen(Prompt(f"layer {number}", text, wrong_layer, self._region()), changed)

    def action_add(self) -> None:
        after = self.layer_table.selected
        draft = self.draft

        def changed(text: str | None) -> None:
            if text is not None:
                draft.insert(after + 1, text)
                self.app.draft_changed()
                self.layer_table.select(after + 1)

        title = f"add after {after}" if after >= 0 else "add the first layer"
        self.app.push_screen(
            Adder(title, lambda: incoming(self.app.report, after, draft.experiment.epochs), self._region()), changed
        )

    def _region(self) -> Any:
        return self.layer_table.row_region(self.layer_table.cursor)

    def _change_layer(self, change: str, *arguments: int, select: int) -> None:
        if self._in_recipe() or self.layer_table.selected < 0:
            self.app.tell("select a layer first: tab goes to the network")
            return
        try:
            changed = getattr(self.draft, change)(self.layer_table.selected, *arguments)
        except RequestError as error:
            self.app.tell(str(error), wrong=True)
            return
        if changed:
            target = self.layer_table.selected + select
            self.app.draft_changed()
            self.layer_table.select(min(target, len(self.draft.layers) - 1))

    def action_delete(self) -> None:
        if self._in_recipe():
            self.recipe_editing.reset(self.recipe.field)
            return
        self._change_layer("delete", select=0)

    def action_duplicate(self) -> None:
        self._change_layer("duplicate", select=1)

    def action_move_up(self) -> None:
        self._change_layer("move", -1, select=-1)

    def action_move_down(self) -> None:
        self._change_layer("move", 1, select=1)

    def action_undo(self) -> None:
        if self.draft.undo():
            self.app.draft_changed()
        else:
            self.app.tell("nothing to undo")

    def action_apply_fix(self) -> None:
        """Do what the failing layer's fix proposes."""
        fix = self.app.problem.fix if self.app.problem is not None else None
        if fix is None or not fix.action:
            self.app.tell("there is no fix to apply")
            return
        from engine.shapes import apply_fix

        try:
            if fix.path[:1].isdigit():
                self.draft.put_layers(apply_fix(self.draft.layers, fix))
            else:
                self.draft.set(fix.path, fix.call)
        except RequestError as error:
            self.app.tell(str(error), wrong=True)
            return
        self.app.draft_changed()

    def action_save(self) -> None:
        self.app.filing.save()

    def action_open_file(self) -> None:
        self.app.filing.open()

    def action_presets(self) -> None:
        self.app.choose_preset()

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.twice:
            self.action_edit()
