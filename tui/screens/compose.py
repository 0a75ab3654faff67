"""Compose: the network layer by layer, and the recipe by which it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual.events import DescendantFocus, Paste

from engine.errors import RequestError
from tui.commands import COMPOSE, PANELS, bindings
from tui.commands.compose import AUGMENTED, INTERRUPTED, MODULES, RECIPE
from tui.frozen_modules import is_frozen
from tui.layer_tree import INPUT, at
from tui.network_editing import NetworkEditing
from tui.screens.recipe_side import RecipeSide
from tui.widgets.layer_table import LayerTable
from tui.widgets.lines import Line, line
from tui.widgets.panel import Panel
from tui.widgets.recipe import Recipe
from tui.widgets.rows import Rows
from tui.widgets.totals import Totals

if TYPE_CHECKING:
    from tui.commands import Command
    from tui.draft import Draft
    from tui.frozen_modules import Module


class ComposeScreen(RecipeSide):
    """Draws the application's draft and what the check says of it; every change goes to the draft."""

    CSS_PATH = "compose.tcss"
    BINDINGS: ClassVar = bindings(COMPOSE, PANELS)
    where = COMPOSE

    def __init__(self) -> None:
        super().__init__()
        self._network = NetworkEditing(self.app, lambda: self.layer_table)

    def panels(self) -> Iterable[Panel]:
        yield Panel("Network", LayerTable(id="layers"), Totals(id="totals"), id="network")
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
        layers = self.draft.layers
        self.layer_table.show(layers, self.draft.setting("data.source"), report, problem, checking)
        summary = self.query_one(Totals)
        if not checking or not layers or not summary.lines:
            # While the check looks, what it said last stays: numbers that come and go cannot be read.
            summary.show(report, problem, len(layers))
        self.show_recipe(report, problem)

    def subject(self) -> Line:
        experiment = self.draft.experiment
        return line(
            (experiment.name, ""),
            (" *" if self.draft.changed else "", "accent"),
            (f"   {experiment.data.source.name}   {experiment.device}", "dim"),
        )

    # ------------------------------------------------------------------ changing

    def _field(self) -> str:
        """The setting that is edited; "" where layers are."""
        if self._in_recipe():
            return self.recipe.field
        return "data.source" if self.layer_table.span == INPUT and self.draft.layers else ""

    def action_edit(self) -> None:
        if self._field():
            self.recipe_editing.edit(self._field())
        elif self.layer_table.span == INPUT:
            self._network.add()
        else:
            self._network.edit()

    def action_edit_text(self) -> None:
        if self._field():
            self.recipe_editing.as_text(self._field())
        elif self.layer_table.span == INPUT:
            self._network.add()
        else:
            self._network.edit_text()

    def action_delete(self) -> None:
        if self._in_recipe():
            self.recipe_editing.reset(self.recipe.field)
        else:
            self._network.delete()

    def _among_layers(self) -> bool:
        """Whether keys go to the layers; says where they do if not."""
        if self._in_recipe():
            self.app.tell(self.app.settings.with_keys("this is for layers: {panels.next_panel} goes to the network"))
        return not self._in_recipe()

    def _at_network(self, act: Callable[[], object]) -> None:
        """Do something to the layers where they can be seen: a small terminal may show the recipe."""
        if not self._in_recipe():
            act()
            return
        self.show_panel(self.query_one("#network", Panel))
        self.app.after_drawing(act)

    def action_add(self) -> None:
        self._at_network(self._network.add)

    def action_add_before(self) -> None:
        self._at_network(self._network.add_before)

    def action_add_inside(self) -> None:
        self._at_network(self._network.add_inside)

    def action_duplicate(self) -> None:
        if self._among_layers():
            self._network.duplicate()

    def action_move_up(self) -> None:
        if self._among_layers():
            self._network.move(-1)

    def action_move_down(self) -> None:
        if self._among_layers():
            self._network.move(1)

    def action_wrap(self) -> None:
        if self._among_layers():
            self._network.wrap()

    def action_unwrap(self) -> None:
        if self._among_layers():
            self._network.unwrap()

    def action_select_several(self) -> None:
        if self._among_layers():
            self.layer_table.mark()

    def action_cut(self) -> None:
        if self._among_layers():
            self._network.cut()

    def action_copy(self) -> None:
        if self._among_layers():
            self._network.copy()

    def action_paste(self) -> None:
        if self._among_layers():
            self._network.paste()

    def on_paste(self, event: Paste) -> None:
        """What the terminal pastes is layers, written as calls."""
        event.stop()
        if self._among_layers():
            self._network.paste_text(event.text)

    def action_freeze(self) -> None:
        if self._among_layers():
            self._network.freeze()

    def action_unfold(self) -> None:
        if self._among_layers():
            self._network.unfold()

    def action_undo(self) -> None:
        self._network.undo()

    def action_redo(self) -> None:
        self._network.redo()

    def action_new_network(self) -> None:
        self._at_network(self._network.new)

    def action_apply_fix(self) -> None:
        self._network.apply_fix()

    def action_go_to_problem(self) -> None:
        self._at_network(self._network.go_to_problem)

    def action_save(self) -> None:
        self.app.filing.save()

    def action_open_file(self) -> None:
        self.app.filing.open()

    def states(self) -> set[str]:
        recipe = self._in_recipe()
        holds = {
            INTERRUPTED: self.app.interrupted is not None,
            MODULES: bool(self._modules),
            RECIPE: recipe,
            AUGMENTED: recipe and bool(self.draft.experiment.data.augment),
        }
        return super().states() | {state for state, there in holds.items() if there}

    @property
    def _modules(self) -> list[Module]:
        """What the check found of the modules of the layer that keys go to."""
        return [] if self._in_recipe() else self.layer_table.modules

    def wrong_here(self) -> str:
        return self.app.problem.message if self.app.problem is not None else ""

    def label_of(self, command: Command) -> str:
        if command.id == "freeze" and self._modules:
            table = self.layer_table
            module = next((one for one in table.modules if one.path == table.module), None)
            with suppress(RequestError):  # the draft may be ahead of what is drawn
                frozen = is_frozen(at(self.draft.layers, table.path)) if module is None else not module.trainable
                return "train" if frozen and (module is None or module.parameters) else command.label
        if command.id == "delete" and self._in_recipe():
            return "put back"
        return super().label_of(command)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        # Which keys are named depends on where they go.
        self.show_header()

    def action_resume(self) -> None:
        run = self.app.interrupted
        if run is None:
            self.app.tell(self.app.settings.with_keys("no run was interrupted: {everywhere.runs_view} lists all runs"))
            return
        experiment = self.app.filing.experiment_of(run)
        if experiment is not None:
            self.app.running.train(experiment, resume=run.path)

    def action_presets(self) -> None:
        self.app.filing.choose_preset()

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        if event.twice:
            self.action_edit()
        else:
            self.show_header()
