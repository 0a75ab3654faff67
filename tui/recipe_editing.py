"""What the keys do to a setting of the recipe: pick and fill in, type, step, take out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.calls import Call, parse_call
from engine.errors import RequestError
from engine.spec import DEFAULT_LOSS, Experiment, flatten
from tui.arguments import CallDraft
from tui.draft import wrong_setting
from tui.screens.call_picker import CallPicker, begun
from tui.screens.form import CallForm
from tui.screens.picker import Entry, Picker
from tui.screens.prompt import Prompt
from tui.stepping import stepped
from tui.suggestions import catalogue
from tui.widgets.recipe import AUGMENT, SETTINGS
from tui.widgets.recipe import LINES as LINES_OF_SETTINGS

if TYPE_CHECKING:
    from textual.geometry import Region

    from tui.app import LayerlabApp

# Fields that are one call, and the kind that the catalogue has it under.
KINDS = {
    "data.source": "sources",
    "data.validation": "validations",
    "task": "tasks",
    "loss": "losses",
    "optimizer": "optimizers",
    "scheduler": "schedulers",
    "network.init": "initialisers",
}
MAY_BE_NONE = frozenset({"data.validation", "scheduler", "network.init"})
CHOICES = {
    "precision": ("fp32", "bf16", "fp16"),
    "data.normalize": ("auto", "none"),
    "data.cache_features": ("false", "true"),
}
# Where + begins from none, and what - leads back to none from.
FROM_NONE: dict[str, float | int] = {"clip_norm": 1.0, "clip_value": 1.0, "early_stopping": 5, "ema": 0.999}
NUMBERS = frozenset({"epochs", "data.batch_size", "accumulate", "seed", *FROM_NONE})
LINES = {
    "false": "every epoch goes through the whole network",
    "true": "what is frozen is computed once, and the rest trains on that",
    "auto": "a GPU where there is one, the CPU else",
    "cpu": "the processor",
    "cuda": "the GPU that is current",
    "mps": "Apple's GPU",
    "fp32": "single precision, everywhere",
    "bf16": "mixed precision with the range of single precision",
    "fp16": "mixed precision with loss scaling, on a GPU",
}


class RecipeEditing:
    """Changes the application's draft field by field. `region` says where the field stands on the screen."""

    def __init__(self, app: LayerlabApp, region: Callable[[], Region | None]) -> None:
        self._app = app
        self._region = region
        self.devices: tuple[str, ...] = ("cpu",)

    @property
    def _experiment(self) -> Experiment:
        return self._app.draft.experiment

    def edit(self, field: str) -> None:
        """Open what suits the field: a picker and a form for a call, a list for a choice, a line for the rest."""
        kind = kind_of(field)
        if kind is not None and catalogue() is not None:
            self._pick_call(field, kind)
        elif field == "device":
            self._pick("device", self._device_entries())
        elif field in ("precision", "data.cache_features"):
            self._pick(field, [Entry(name, "", LINES[name]) for name in CHOICES[field]])
        elif field == "monitor":
            self._pick("monitor", self._metric_entries())
        elif field == AUGMENT:
            self._app.tell("the catalogue is being read: try again in a moment")
        else:
            self.as_text(field)

    def as_text(self, field: str) -> None:
        """Edit the field as text, in place; for the row that adds an augmentation, the whole list."""
        app = self._app

        def changed(text: str | None) -> None:
            if text is not None:
                self._set(field, text)

        text = self.text(field)
        told = LINES_OF_SETTINGS.get(field, "")
        prompt = Prompt(
            f"{name_of(field)}: {told}" if told else name_of(field),
            text,
            lambda typed: wrong_setting(self._experiment, field, typed),
            self._region(),
            # What is one word or number is typed anew more often than changed.
            replace=field in (*NUMBERS, "name"),
        )
        app.push_screen(prompt, changed)

    def text(self, field: str) -> str:
        """The field as it is typed."""
        draft = self._app.draft
        index = augmentation(field)
        if index is not None:
            return str(draft.experiment.data.augment[index])
        if field == AUGMENT:
            return "[" + ", ".join(str(call) for call in draft.experiment.data.augment) + "]"
        text = draft.setting(field)
        # As TOML writes it, which is how it is typed.
        return text.lower() if field == "data.cache_features" else text

    # ------------------------------------------------------------------ calls

    def _pick_call(self, field: str, kind: str) -> None:
        now = "" if field == AUGMENT else self.text(field)
        if now in ("none", "None"):
            now = ""
        report = self._app.report
        picker = CallPicker(
            kind,
            now,
            none=field in MAY_BE_NONE,
            title=name_of(field),
            task=self._experiment.task.name,
            data=report.info.kind if report is not None else "",
        )

        def picked(name: str | None) -> None:
            if name == "none":
                self._set(field, "none")
            elif name is not None:
                self.fill_in(field, kind, begun(name, now))

        self._app.push_screen(picker, picked)

    def fill_in(self, field: str, kind: str, call: Call) -> None:
        """The form of a call, and the field set to what came of it; a call without arguments is set at once."""
        wrong = CallForm.wrong(kind, call)
        if wrong:
            self._app.tell(wrong, wrong=True)
            return
        if not CallDraft(kind, call).arguments:
            self._put_call(field, call)
            return

        def filled(result: Call | None) -> None:
            if result is not None:
                self._put_call(field, result)

        self._app.push_screen(CallForm(kind, call), filled)

    def _put_call(self, field: str, call: Call) -> None:
        if field == AUGMENT:
            self._put(self._with_augment((*self._experiment.data.augment, call)))
        elif field == "task":
            self._put(with_task(self._experiment, call))
        else:
            self._set(field, str(call))

    # ------------------------------------------------------------------ lists

    def _pick(self, field: str, entries: list[Entry]) -> None:
        def picked(name: str | None) -> None:
            if name is not None:
                self._set(field, name)

        self._app.push_screen(Picker(name_of(field), entries), picked)

    def _device_entries(self) -> list[Entry]:
        names = ["auto", *self.devices, *(name for name in ("cuda", "mps") if name not in self.devices)]
        there = {"auto", *self.devices}
        return [
            Entry(name, "", LINES.get(name, "one GPU of several"), "" if name in there else "not on this machine")
            for name in names
        ]

    def _metric_entries(self) -> list[Entry]:
        values = self._app.report is not None and self._app.report.info.kind == "values"
        names = ("loss", "mae", "rmse", "r2") if values else ("loss", "accuracy", "f1")
        entries = [Entry("none", "", "what is usual for the task")]
        held_out = self._experiment.data.validation.name != "none"
        why_not = "" if held_out else "nothing is held out"
        entries += [Entry(f"val/{name}", "", "of the part that is held out", why_not) for name in names]
        return entries + [Entry(f"train/{name}", "", "of the part that is trained on") for name in names]

    # ------------------------------------------------------------------ in place

    def step(self, field: str, step: int) -> None:
        """One step up or down: of a number, of a choice, of the number that matters most in a call."""
        text = self._stepped(field, step)
        if text is None:
            self._say(f"{name_of(field)} has no steps: {{compose.edit}} edits it")
        elif text != self.text(field):
            self._set(field, text)

    def _say(self, text: str) -> None:
        self._app.tell(self._app.settings.with_keys(text))

    def _stepped(self, field: str, step: int) -> str | None:
        choices = ("auto", *self.devices) if field == "device" else CHOICES.get(field, ())
        now = self.text(field)
        if choices:
            at = choices.index(now) if now in choices else -1
            return choices[(at + step) % len(choices)]
        if field in NUMBERS:
            if now == "none":
                return str(FROM_NONE[field]) if step > 0 else now
            name = field.rpartition(".")[2]
            value = stepped(name, int(now) if now.lstrip("-").isdigit() and field != "clip_norm" else float(now), step)
            return "none" if value is None and field in FROM_NONE else (now if value is None else f"{value!r}")
        kind = kind_of(field)
        if kind is None or field == AUGMENT or now == "none" or catalogue() is None:
            return None
        return stepped_call(kind, parse_call(now), step)

    def reset(self, field: str) -> None:
        """Take an augmentation out, set anything else to what it is unless given."""
        index = augmentation(field)
        if index is not None:
            kept = list(self._experiment.data.augment)
            del kept[index]
            self._put(self._with_augment(tuple(kept)))
            return
        default = defaults().get(field)
        if default is None:
            self._say(f"{name_of(field)} has no default: {{compose.edit}} edits it")
        elif field == AUGMENT:
            self._app.tell("select an augmentation to take it out")
        else:
            self._set(field, default)

    # ------------------------------------------------------------------ the draft

    def _with_augment(self, calls: tuple[Call, ...]) -> Experiment:
        experiment = self._experiment
        return experiment.with_(data=experiment.data.with_(augment=calls))

    def _set(self, field: str, text: str) -> None:
        try:
            self._app.draft.set(field, text)
        except RequestError as error:
            self._app.tell(str(error), wrong=True)
            return
        self._app.draft_changed()

    def _put(self, experiment: Experiment) -> None:
        self._app.draft.put(experiment)
        self._app.draft_changed()


def kind_of(field: str) -> str | None:
    """The kind of the call that a field is; None where it is none."""
    return "augmentations" if field.startswith(AUGMENT) else KINDS.get(field)


def augmentation(field: str) -> int | None:
    """The number of an augmentation, from the field `data.augment.0`."""
    return int(field.rpartition(".")[2]) if field.startswith(f"{AUGMENT}.") else None


def name_of(field: str) -> str:
    """What a field is called on the screen."""
    if augmentation(field) is not None:
        return "augment"
    return next((name for name, known in SETTINGS if known == field), field)


def with_task(experiment: Experiment, task: Call) -> Experiment:
    """The experiment with another task; a loss that cannot serve it gives way to its usual one."""
    from engine.losses import RULES

    rule = RULES.get(experiment.loss.name)
    usual = DEFAULT_LOSS.get(task.name)
    if rule is not None and task.name not in rule.tasks and usual is not None:
        return experiment.with_(task=task, loss=parse_call(usual))
    return experiment.with_(task=task)


def stepped_call(kind: str, call: Call, step: int) -> str | None:
    """The call with one step of the number that matters most: the learning rate, or else the first. None without."""
    try:
        draft = CallDraft(kind, call)
    except RequestError:
        return None
    numbers = [index for index, argument in enumerate(draft.arguments) if argument.form == "number"]
    first = [index for index in numbers if draft.arguments[index].name == "lr"] + numbers
    if not first or not draft.step(first[0], step):
        return None
    return str(draft.call())


def defaults() -> dict[str, str]:
    """What each field is unless given."""
    parts: Any = {"model": {"layers": ("Flatten()",)}}
    made = Experiment(loss="CrossEntropyLoss()", optimizer="SGD(lr=0.01)", networks=parts)
    without = ("loss", "optimizer", "network.layers", "name")
    return {field: text for field, text in flatten(made).items() if field not in without}
