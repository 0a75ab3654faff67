"""What the keys do to the layers: add, edit, move, wrap, copy, freeze; each change goes to the draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.calls import Call
from engine.errors import RequestError
from tui import layer_tree
from tui.frozen_modules import BACKBONE, toggled
from tui.layer_tree import CONTAINERS, INPUT, Edit, Layers, Span, chains, holder, read, span_of, written
from tui.screens.adder import Adder
from tui.screens.form import CallForm
from tui.screens.picker import Entry, Picker
from tui.screens.prompt import Prompt
from tui.suggestions import Incoming, catalogue, incoming, wrong_layers

if TYPE_CHECKING:
    from textual.geometry import Region

    from tui.app import LayerlabApp
    from tui.draft import Draft
    from tui.widgets.layer_table import LayerTable

# What layers can be wrapped into, by the name in the list.
WRAPPINGS = {
    "Sequential": (Call("Sequential"), "one after another, as one layer"),
    "Residual": (Call("Residual"), "adds what comes in to what comes out"),
    "Repeat": (Call("Repeat", (2,)), "so many times in a row, each with weights of its own"),
    "Parallel": (Call("Parallel"), "each a branch on the same input, joined along the channels"),
    "Parallel, added": (Call("Parallel", (), (("merge", "add"),)), "each a branch on the same input, added up"),
}


class NetworkEditing:
    """Changes the layers of the application's draft, those that are selected in the table."""

    def __init__(self, app: LayerlabApp, table: Callable[[], LayerTable]) -> None:
        self._app = app
        self._table = table
        # What was cut or copied last, on whatever network.
        self._copied: Layers = ()

    @property
    def _draft(self) -> Draft:
        return self._app.draft

    @property
    def _span(self) -> Span:
        return self._table().span

    def _region(self) -> Region:
        table = self._table()
        return table.row_region(table.cursor)

    # ------------------------------------------------------------------ the draft

    def _apply(self, change: Callable[[], Edit | None]) -> bool:
        """Make a change and select what it says; whether there was one."""
        self._draft.selection = self._span
        try:
            edit = change()
        except RequestError as error:
            self._app.tell(str(error), wrong=True)
            return False
        if edit is None:
            return False
        try:
            self._draft.edit(edit)
        except RequestError as error:
            self._app.tell(str(error), wrong=True)
            return False
        self._show()
        return True

    def _show(self) -> None:
        self._app.draft_changed()
        self._table().select(self._draft.selection)

    def _say(self, text: str) -> None:
        self._app.tell(self._app.settings.with_keys(text))

    def _chosen(self) -> Span | None:
        """The layers selected; None, and words, where it is the data."""
        span = self._span
        if span == INPUT:
            none = "there are no layers yet: {compose.add} adds one"
            self._say("select a layer first" if self._draft.layers else none)
            return None
        table = self._table()
        if table.module:
            name = layer_tree.at(self._draft.layers, table.path).name
            told = f"{table.module} is part of {name}: {{compose.freeze}} freezes or trains it, "
            rows = self._app.report.rows if self._app.report is not None else ()
            here = next((row.call for row in rows if row.path == f"{table.path}.{table.module}"), "")
            cuts = name == BACKBONE and here != "Parameter()"  # which does not run
            cut = f"; until='{table.module}' there cuts off the rest" if cuts else ""
            self._say(f"{told}{{compose.unfold}} leads back{cut}")
            return None
        return span

    def undo(self) -> None:
        """Take the last change back, and select what was selected then."""
        if self._draft.undo():
            self._show()
        else:
            self._app.tell("nothing to undo")

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        if self._draft.redo():
            self._show()
        else:
            self._app.tell("nothing to redo")

    def new(self) -> None:
        """Begin with a network without layers."""
        self._draft.selection = self._span
        self._draft.begin_blank()
        self._show()
        self._say("a blank network; {compose.undo} brings back what was here")

    # ------------------------------------------------------------------ adding and editing

    @property
    def _at_the_beginning(self) -> str:
        return "Add before all layers" if self._draft.layers else "Add the first layer"

    def add(self) -> None:
        """Add layers behind those selected; where the data is selected, before all others."""
        span = self._span
        title = f"Add after {span.paths[-1]}" if span != INPUT else self._at_the_beginning
        self._add(title, span.chain, span.last + 1)

    def add_before(self) -> None:
        """Add layers before those selected."""
        span = self._span
        title = f"Add before {span.path}" if span != INPUT else self._at_the_beginning
        self._add(title, span.chain, max(span.first, 0))

    def add_inside(self) -> None:
        """Add layers to a container, behind what it holds."""
        span = self._chosen()
        if span is None:
            return
        path = span.path
        call = layer_tree.at(self._draft.layers, path)
        held = chains(call)
        if not held:
            self._say(f"{call.name} holds no layers; {{compose.wrap}} wraps it into a container that does")
            return
        name, inside = held[0]
        self._add(f"Add inside {path}", f"{path}.{name}" if name else path, len(inside))

    def _add(self, title: str, chain: str, index: int) -> None:
        draft = self._draft

        def added(text: str | None) -> None:
            if text is not None:
                self._apply(lambda: layer_tree.insert(draft.layers, chain, index, read(text)))

        def given() -> Incoming | None:
            source = layer_tree.source_of(draft.layers, chain, index)
            return incoming(self._app.report, source, draft.experiment.epochs)

        self._app.push_screen(Adder(title, given, self._region()), added)

    def edit(self) -> None:
        """Edit the layer under the cursor in a form made from its signature; as text where there is no form."""
        span = self._chosen()
        if span is None:
            return
        call = layer_tree.at(self._draft.layers, self._table().path)
        if catalogue() is None or CallForm.wrong("layers", call):
            self.edit_text()
            return
        self._app.push_screen(CallForm("layers", call), self._replacing(span_of(self._table().path)))

    def edit_text(self) -> None:
        """Edit the layers selected as text; a container with all that it holds."""
        span = self._chosen()
        if span is None:
            return
        text = written(layer_tree.selected(self._draft.layers, span))
        title = f"Layer {span.path}" if span.first == span.last else f"Layers {span.path} to {span.paths[-1]}"
        replacing = self._replacing(span)

        def changed(typed: str | None) -> None:
            if typed is not None:
                replacing(read(typed))

        self._app.push_screen(Prompt(title, text, wrong_layers, self._region()), changed)

    def _replacing(self, span: Span) -> Callable[[Call | Layers | None], None]:
        draft = self._draft

        def changed(result: Call | Layers | None) -> None:
            if result is not None:
                calls = (result,) if isinstance(result, Call) else result
                self._apply(lambda: layer_tree.replace(draft.layers, span, calls))

        return changed

    # ------------------------------------------------------------------ moving about

    def _change(self, change: Callable[[Layers, Span], Edit | None]) -> bool:
        span = self._chosen()
        return span is not None and self._apply(lambda: change(self._draft.layers, span))

    def delete(self) -> None:
        """Take the layers selected out."""
        self._change(layer_tree.remove)

    def duplicate(self) -> None:
        """Put a copy of the layers selected behind them."""
        self._change(layer_tree.duplicate)

    def move(self, step: int) -> None:
        """Move the layers selected by one place, into and out of containers too."""
        self._change(lambda layers, span: layer_tree.move(layers, span, step))

    def freeze(self) -> None:
        """Leave the weights of the layers selected as they are in training, or train them again; of the module of a
        Backbone that is under the cursor, where one is."""
        if self._table().module:
            self._apply(self._freeze_module)
        else:
            self._change(layer_tree.freeze)

    def _freeze_module(self) -> Edit:
        table, layers = self._table(), self._draft.layers
        call = layer_tree.at(layers, table.path)
        if call.name != BACKBONE:
            raise RequestError(f"{table.module} is part of {call.name}, which can be frozen as a whole")
        report = self._app.report
        if report is None:
            # Which of them are trained, and which give the scores, is what the check finds out.
            raise RequestError("the network is still being checked: try again in a moment")
        new = toggled(call, table.modules, table.module, report.pretrained.heads.get(table.path, ()))
        return layer_tree.replace(layers, span_of(table.path), (new,))

    def unfold(self) -> None:
        """Show the modules of the layer under the cursor, or close it."""
        if self._table().turn():
            return
        known = self._app.report is not None
        told = "only a layer such as Backbone has modules of its own to show"
        self._say(told if known else "the network is still being checked: try again in a moment")

    def wrap(self) -> None:
        """Put the layers selected into a container."""
        span = self._chosen()
        if span is None:
            return
        entries = [Entry(name, "", line) for name, (_, line) in WRAPPINGS.items()]
        draft = self._draft

        def picked(name: str | None) -> None:
            if name is not None:
                self._apply(lambda: layer_tree.wrap(draft.layers, span, WRAPPINGS[name][0]))

        count = span.last - span.first + 1
        title = f"Wrap {span.path}" if count == 1 else f"Wrap {count} layers"
        self._app.push_screen(Picker(title, entries), picked)

    def unwrap(self) -> None:
        """Put what a container holds in its place: of the one selected, or of the one that holds what is selected."""

        def change(layers: Layers, span: Span) -> Edit:
            path = self._table().path
            if not chains(layer_tree.at(layers, path)):
                path = holder(layers, span.chain)
            if not path:
                raise RequestError(f"no container is selected; {', '.join(CONTAINERS)} hold layers")
            return layer_tree.unwrap(layers, path)

        self._change(change)

    # ------------------------------------------------------------------ cut, copy, paste

    def copy(self) -> bool:
        """Keep the layers selected, to be pasted here or anywhere else."""
        span = self._chosen()
        if span is None:
            return False
        self._copied = layer_tree.selected(self._draft.layers, span)
        several = f"{len(self._copied)} layers" if len(self._copied) > 1 else self._copied[0].name
        self._app.copy(written(self._copied), several)
        return True

    def cut(self) -> None:
        """Keep the layers selected, and take them out."""
        if self.copy():
            self.delete()

    def paste(self) -> None:
        """Put what was cut or copied behind the layers selected."""
        if not self._copied:
            self._app.tell("nothing was cut or copied yet")
            return
        self._put_in(self._copied)

    def paste_text(self, text: str) -> None:
        """Add the layers of a text that the terminal pastes."""
        try:
            calls = read(text)
        except RequestError as error:
            self._app.tell(f"cannot paste this as layers: {error}", wrong=True)
            return
        self._put_in(calls)

    def _put_in(self, calls: Layers) -> None:
        span = self._span
        self._apply(lambda: layer_tree.insert(self._draft.layers, span.chain, span.last + 1, calls))

    # ------------------------------------------------------------------ problems

    def apply_fix(self) -> None:
        """Do what the failing layer's fix proposes."""
        problem = self._app.problem
        fix = problem.fix if problem is not None else None
        if fix is None or not fix.action:
            self._app.tell("there is no fix to apply" if self._app.checked else "the network is still being checked")
            return
        from engine.shapes import apply_fix

        draft = self._draft
        if not fix.path[:1].isdigit():
            try:
                draft.set(fix.path, fix.call)
            except RequestError as error:
                self._app.tell(str(error), wrong=True)
                return
            self._app.draft_changed()
            return
        where = layer_tree.shown_path(draft.layers, fix.path)
        self._apply(lambda: Edit(apply_fix(draft.layers, fix), span_of(where) if where else self._span))

    def go_to_problem(self) -> None:
        """Put the cursor on the layer that does not fit."""
        problem = self._app.problem
        path = layer_tree.shown_path(self._draft.layers, problem.path) if problem is not None else ""
        if not path:
            self._app.tell("no layer fails" if problem is None else "what fails is no layer: see the recipe")
            return
        self._table().focus()
        self._table().select(span_of(path))
