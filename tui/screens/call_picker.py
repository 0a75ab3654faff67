"""Picking what a call names: the catalogue's entries of one kind, narrowed down by what is typed.

What does not suit the data or the task comes last, dim, with the reason.
"""

from __future__ import annotations

from engine.calls import Call, parse_call
from engine.errors import RequestError
from tui.screens.picker import Entry, Picker
from tui.suggestions import catalogue

NOUNS = {
    "layers": "layer",
    "losses": "loss",
    "optimizers": "optimizer",
    "schedulers": "scheduler",
    "initialisers": "initialiser",
    "sources": "data",
    "augmentations": "augmentation",
    "validations": "validation",
    "tasks": "task",
}
NONE_LINES = {
    "schedulers": "the learning rate stays what it is",
    "validations": "nothing is held out: every sample is trained on",
    "initialisers": "what is usual for the layer",
}


class CallPicker(Picker):
    """Gives the name of an entry, "none" where `none` allows it, None where the person left; `begun` makes it a call.

    `now` is the call that is there: its name comes first. The catalogue has to be there (`suggestions.catalogue`).
    """

    def __init__(
        self, kind: str, now: str, *, none: bool = False, title: str = "", task: str = "", data: str = ""
    ) -> None:
        super().__init__(title or NOUNS[kind], offered(kind, now, none=none, task=task, data=data))


def begun(name: str, now: str) -> Call:
    """The call to begin from: the one that is there where its name was picked again, without arguments otherwise."""
    return parse_call(now) if name_of(now) == name else Call(name)


def offered(kind: str, now: str, *, none: bool = False, task: str = "", data: str = "") -> list[Entry]:
    """The entries of a kind: the one that is there, what suits, what does not. `task` is the name of the task, `data`
    what the targets are ("classes", "values", "multilabel"), "" where that is not known."""
    known = catalogue()
    if known is None:
        return []
    current = name_of(now)
    entries = [Entry(name, "now" if name == current else "", entry.line, unsuited(kind, name, task, data))
               for name, entry in known.entries(kind).items() if name != "none"]  # fmt: skip
    if none:
        entries.append(Entry("none", "now" if current in ("none", "") else "", NONE_LINES.get(kind, "leave it out")))
    return sorted(entries, key=lambda entry: (entry.key != "now", bool(entry.why_not)))


def unsuited(kind: str, name: str, task: str, data: str) -> str:
    """Why a name does not suit the task or the data, "" where it does or nothing is known."""
    if kind == "losses" and task:
        from engine.losses import RULES

        rule = RULES.get(name)
        if rule is not None and task not in rule.tasks:
            return f"for {' and '.join(rule.tasks)}"
    if kind == "tasks" and data:
        from engine.tasks import TASKS

        kinds = getattr(TASKS.get(name), "kinds", ())
        if kinds and data not in kinds:
            return f"the targets are {data}"
    return ""


def name_of(text: str) -> str:
    """The name of a call, "" of what is none."""
    try:
        return parse_call(text).name
    except RequestError:
        return ""
