"""The recipe: everything of an experiment but its layers, a line a setting."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar

from tui.widgets.lines import Line, fit, line, split
from tui.widgets.rows import VIM_KEYS, Rows

# What is shown, and the field of the experiment that `with_settings` knows it by.
SETTINGS = (
    ("data", "data.source"),
    ("validation", "data.validation"),
    ("normalize", "data.normalize"),
    ("augment", "data.augment"),
    ("task", "task"),
    ("loss", "loss"),
    ("optimizer", "optimizer"),
    ("scheduler", "scheduler"),
    ("epochs", "epochs"),
    ("batch", "data.batch_size"),
    ("seed", "seed"),
    ("device", "device"),
    ("precision", "precision"),
)
LABEL = 12


class Recipe(Rows):
    """Settings by name. `field` is the dotted field under the cursor."""

    with_cursor = True
    BINDINGS: ClassVar = [*VIM_KEYS]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._fields: list[str | None] = []
        self.selectable = lambda index: self._fields[index] is not None
        self._shown: tuple[Mapping[str, str], Mapping[str, str], Any] = ({}, {}, None)

    @property
    def field(self) -> str:
        found = self._fields[self.cursor] if self.cursor < len(self._fields) else None
        return found or SETTINGS[0][1]

    def show(self, values: Mapping[str, str], remarks: Mapping[str, str], problem: Any) -> None:
        """Draw `values` by field; `remarks` add words behind one, `problem` stands under the field that it is about."""
        self._shown = (values, remarks, problem)
        selected = self.field
        rows: list[Line] = []
        self._fields = []
        for name, field in SETTINGS:
            failing = problem is not None and problem.path == field
            rows.append(self._setting(name, values.get(field, ""), remarks.get(field, ""), failing))
            self._fields.append(field)
            if failing:
                wrapped = textwrap.wrap(problem.message, max(self.size.width - LABEL - 2, 20))[:4]
                rows += [line((" " * (LABEL + 1), ""), (text, "bad")) for text in wrapped]
                if problem.fix is not None and problem.fix.action and problem.fix.path == field:
                    fix = line((" " * (LABEL + 1), ""), (problem.fix.text, "strong"))
                    rows.append(split(fix, line((". ", "accent"), ("apply ", "dim")), self.size.width))
                self._fields += [None] * (len(rows) - len(self._fields))
        self.set_rows(rows)
        if selected in self._fields:
            self.cursor = self._fields.index(selected)

    def on_resize(self, event: Any) -> None:
        super().on_resize(event)
        self.show(*self._shown)

    def _setting(self, name: str, value: str, remark: str, failing: bool) -> Line:
        room = max(self.size.width - LABEL - 2, 1)
        shown: Line = line(("✗" if failing else " ", "bad"), (fit(name, LABEL), "dim"))
        if not value or value in ("none", "None", "[]", "()"):
            return (*shown, ("none", "dim"))
        if len(value) + 2 + len(remark) > room:
            remark = ""
        return (
            *shown,
            (fit(value, room) if len(value) > room else value, ""),
            (f"  {remark}" if remark else "", "dim"),
        )
