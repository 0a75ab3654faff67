"""The recipe's half of Compose: what its keys do, and the experiment as text and as code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui.recipe_editing import RecipeEditing
from tui.recipe_facts import FactsFound, FactsWatch, shown_settings
from tui.screens.workspace import Workspace
from tui.widgets.layer_table import LayerTable
from tui.widgets.recipe import Recipe
from tui.widgets.rows import Rows

if TYPE_CHECKING:
    from textual.geometry import Region

    from engine.spec import Experiment


class RecipeSide(Workspace):
    """A screen with a Recipe and a LayerTable: what concerns the recipe, and the experiment as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.recipe_editing = RecipeEditing(self.app, self._setting_region)
        self.facts = FactsWatch(self, self.app.data_folder)

    @property
    def recipe(self) -> Recipe:
        return self.query_one(Recipe)

    def _in_recipe(self) -> bool:
        return self.focused is self.recipe

    def show_recipe(self, report: Any, problem: Any) -> None:
        """Draw the recipe and what is known of it; what is not known yet is found out."""
        experiment, (width, height) = self.app.draft.experiment, self.recipe.size
        self.facts.look(experiment, report)
        colours = None if self.app.no_color or self.app.native_ansi_color else self.app.console.color_system
        self.recipe.show(
            shown_settings(experiment, self.app.draft.settings()),
            self.facts.remarks(experiment, report, width),
            problem,
            self.facts.pictures(experiment, width - 2, height, colours=colours, again=self._again()),
            [str(call) for call in experiment.data.augment],
        )

    def _again(self) -> str:
        return self.app.settings.with_keys("{compose.draw_again}")

    def action_draw_again(self) -> None:
        """Other changes by chance of the samples that are shown."""
        if not self.app.draft.experiment.data.augment:
            told = "nothing is changed by chance: augment has no entry, {compose.edit} on its row adds one"
            self.app.tell(self.app.settings.with_keys(told))
            return
        self.facts.draw_again()
        self.show_recipe(self.app.report, self.app.problem)

    def on_screen_resume(self) -> None:
        # Chance makes something else of the samples at every look.
        self.facts.draw_again()

    def on_recipe_resized(self) -> None:
        self.show_recipe(self.app.report, self.app.problem)

    def on_facts_found(self, message: FactsFound) -> None:
        if self.facts.found(message.facts):
            self.recipe_editing.devices = message.facts.devices
            self.show_recipe(self.app.report, self.app.problem)

    def _setting_region(self) -> Region:
        rows: Rows = self.recipe if self._in_recipe() else self.query_one(LayerTable)
        return rows.row_region(rows.cursor)

    def action_step(self, step: int) -> None:
        """One step of the setting under the cursor, or of the network's data."""
        if self._in_recipe():
            self.recipe_editing.step(self.recipe.field, step)
        else:
            told = "{compose.step_up} and {compose.step_down} step a setting: {panels.next_panel} goes to the recipe"
            self.app.tell(self.app.settings.with_keys(told))

    def action_step_up(self) -> None:
        self.action_step(1)

    def action_step_down(self) -> None:
        self.action_step(-1)

    def action_as_toml(self) -> None:
        """The whole experiment as text, to edit."""
        # Here, for the editor takes longer to import than all of Compose.
        from tui.screens.toml_editor import TomlEditor

        self.app.push_screen(TomlEditor(self.app.draft.experiment), self._take_experiment)

    def _take_experiment(self, experiment: Experiment | None) -> None:
        if experiment is not None:
            self.app.draft.put(experiment)
            self.app.draft_changed()

    def action_as_code(self) -> None:
        """The same as a script in PyTorch, to read and copy."""
        from tui.screens.code_view import show_code

        show_code(self.app)

    def action_save_as(self) -> None:
        self.app.filing.save_as()
