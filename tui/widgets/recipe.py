"""The recipe: everything of an experiment but its layers, a line a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.style import Style
from textual.message import Message

from tui.widgets.lines import Line, Span, fit, line, split, width_of
from tui.widgets.rows import VIM_KEYS, Rows
from tui.widgets.wrapped import READ_ON, wrapped

# What is shown, and the field of the experiment that `with_settings` knows it by.
SETTINGS = (
    ("data", "data.source"),
    ("validation", "data.validation"),
    ("normalize", "data.normalize"),
    ("augment", "data.augment"),
    ("memory", "data.memory"),
    ("features", "data.cache_features"),
    ("task", "task"),
    ("loss", "loss"),
    ("optimizer", "optimizer"),
    ("scheduler", "scheduler"),
    ("epochs", "epochs"),
    ("batch", "data.batch_size"),
    ("accumulate", "accumulate"),
    ("clip norm", "clip_norm"),
    ("clip value", "clip_value"),
    ("early stop", "early_stopping"),
    ("average", "ema"),
    ("monitor", "monitor"),
    ("seed", "seed"),
    ("device", "device"),
    ("precision", "precision"),
    ("init", "network.init"),
    ("name", "name"),
)
# What each of them is, in as many words as the frame holds.
LINES = {
    "data.source": "samples to learn from",
    "data.validation": "what is held out, to measure on",
    "data.normalize": "auto, none or [mean, deviation]",
    "data.augment": "chance changes of training samples",
    "data.memory": "what samples may take on the device",
    "data.cache_features": "compute what is frozen once; keep it",
    "task": "what the network is to learn",
    "loss": "what training makes small",
    "optimizer": "how a step changes the weights",
    "scheduler": "how the learning rate goes on",
    "epochs": "passes over the training part",
    "data.batch_size": "samples of one batch",
    "accumulate": "batches that make one step",
    "clip_norm": "bound of the whole gradient's norm",
    "clip_value": "bound of each weight's gradient",
    "early_stopping": "epochs without a better one, then end",
    "ema": "decay of a moving average of weights",
    "monitor": "metric that says which epoch is best",
    "seed": "of weights, order and augmentation",
    "device": "where it is trained",
    "precision": "of the numbers in training",
    "network.init": "how the weights begin",
    "name": "what its runs are called",
}
LABEL = 12
AUGMENT = "data.augment"
# Lines of what is wrong with a setting.
MOST_TOLD = 8
# Shown where the screen has them among the values: they matter to few experiments.
SELDOM = ("data.memory", "data.cache_features", "network.init")
ABSENT = ("", "none", "None", "[]", "()")
Remark = str | Line


class Recipe(Rows):
    """Settings by name. `field` is the dotted field under the cursor; each augmentation has a row of its own,
    `data.augment.0`, above the one that adds another."""

    class Resized(Message):
        """The recipe has another width."""

    with_cursor = True
    BINDINGS: ClassVar = [*VIM_KEYS]
    HELP = """How the network is trained. {compose.edit} picks a setting from a list or types it, {compose.edit_text}
    types it, {compose.step_up} and {compose.step_down} step it, {compose.delete} puts it back to what it is unless
    given. The frame says what the setting under the cursor is.

    normalize: auto takes mean and deviation of the training part. accumulate: so many batches make one step. clip norm
    bounds the gradient of all weights together, clip value that of each. early stop: training ends after so many epochs
    without a better one. memory: what does not fit is read from a file while it trains. features: what the frozen
    beginning of the network gives is computed once and kept.
    average: an exponential moving average of the weights is measured in their place."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._fields: list[str | None] = []
        self.selectable = lambda index: self._fields[index] is not None
        self._shown: tuple[Mapping[str, str], Mapping[str, Remark], Any, Sequence[Line], Sequence[str]] = (
            {},
            {},
            None,
            (),
            (),
        )
        self._mixed: dict[str, Style] = {}
        self.frame_hint = LINES["data.source"]

    @property
    def field(self) -> str:
        found = self._fields[self.cursor] if self.cursor < len(self._fields) else None
        return found or SETTINGS[0][1]

    def show(
        self,
        values: Mapping[str, str],
        remarks: Mapping[str, Remark],
        problem: Any,
        samples: Sequence[Line] = (),
        augment: Sequence[str] = (),
    ) -> None:
        """Draw `values` by field; `remarks` add words behind one, `problem` stands under the field that it is about,
        `samples` under the data. `augment` are the augmentations one by one."""
        self._shown = (values, remarks, problem, samples, augment)
        selected = self.field
        rows: list[Line] = []
        fields: list[str | None] = []
        for name, field, value in self._settings(values, augment):
            failing = problem is not None and problem.path == field
            if failing or (problem is not None and problem.path == AUGMENT and field.startswith(AUGMENT)):
                failing = problem.path == field or field == f"{AUGMENT}.0"
            rows += self._setting(name, value, remarks.get(field, ""), failing)
            fields += [field] + [None] * (len(rows) - len(fields) - 1)
            if field == "data.source":
                rows += [line(" ") + sample for sample in samples]
            if failing:
                rows += self._problem(problem, field)
            fields += [None] * (len(rows) - len(fields))
        if selected.startswith(AUGMENT) and selected not in fields:
            # The last one was taken out: the cursor stays in the list, and does not fall upon a setting below it.
            selected = AUGMENT
        self._fields = fields
        self.set_rows(rows)
        if selected in fields:
            self.cursor = fields.index(selected)
        elif not self.selectable(self.cursor):
            self.cursor = next(i for i in range(self.cursor, -1, -1) if fields[i] is not None)
        self._say()

    @staticmethod
    def _settings(values: Mapping[str, str], augment: Sequence[str]) -> list[tuple[str, str, str]]:
        listed = []
        for name, field in SETTINGS:
            if field == AUGMENT and augment:
                listed += [
                    ("augment" if index == 0 else "", f"{AUGMENT}.{index}", call) for index, call in enumerate(augment)
                ]
                listed.append(("", AUGMENT, ""))
            elif field in values or field not in SELDOM:
                # Several networks have an init each, in the text of the experiment.
                listed.append((name, field, values.get(field, "")))
        return listed

    def _problem(self, problem: Any, field: str) -> list[Line]:
        told = wrapped(problem.message, self.size.width - LABEL - 2, MOST_TOLD, self.with_keys(READ_ON))
        rows = [line((" " * (LABEL + 1), ""), (text, "bad")) for text in told]
        if problem.fix is not None and problem.fix.action and problem.fix.path == field:
            fix = line((" " * (LABEL + 1), ""), (problem.fix.text, "strong"))
            key = self.with_keys("{compose.apply_fix} ")
            rows.append(split(fix, line((key, "accent"), ("apply ", "dim")), self.size.width))
        return rows

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        self._say()

    def _say(self) -> None:
        self.frame_hint = LINES.get(AUGMENT if self.field.startswith(AUGMENT) else self.field, " ")
        self.show_frame_hint(self.has_focus)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(*self._shown)
        # Pictures and remarks are made for a width, which is none as long as the panel is hidden.
        self.post_message(self.Resized())

    def line_style(self, name: str) -> Style:
        """Styles by name, and for pictures two colours: "#ffffff on #000000"."""
        if not name.startswith("#"):
            return super().line_style(name)
        found = self._mixed.get(name)
        if found is None:
            found = self._mixed[name] = Style.parse(name)
        return found

    def _setting(self, name: str, value: str, remark: Remark, failing: bool) -> list[Line]:
        room = max(self.size.width - LABEL - 2, 1)
        shown: Line = line(("✗" if failing else " ", "bad"), (fit(name, LABEL), "dim"))
        told: tuple[Span, ...] = line((remark, "dim")) if isinstance(remark, str) else remark
        if value in ABSENT:
            value = self.with_keys("{compose.edit} adds one") if name in ("", "augment") else "none"
            style = "dim"
        else:
            style = ""
        if len(value) + 2 + width_of(told) > room and not isinstance(remark, str):
            # A curve goes beneath, where words are left out.
            return [(*shown, (fit(value, room).rstrip(), style)), ((" " * (LABEL + 1), ""), *told)]
        first: Line = (*shown, (fit(value, room).rstrip() if len(value) > room else value, style))
        if len(value) + 2 + width_of(told) <= room and width_of(told):
            first = (*first, ("  ", ""), *told)
        return [first]
