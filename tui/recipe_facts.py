"""What is known of a recipe beyond its text: samples of the data, the learning rate over the run, the device.

Worked out in a thread, once the check has brought torch; what has not changed is not worked out again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.screen import Screen

from engine.errors import LayerlabError
from tui.frozen_modules import BACKBONE, is_frozen
from tui.layer_tree import listed
from tui.widgets.lines import Line, fit, line
from tui.widgets.recipe import LABEL
from tui.widgets.samples import side, strip

if TYPE_CHECKING:
    from engine.data.samples import Samples
    from engine.spec import Experiment

# Sources whose samples may be more than the memory holds.
PHOTOGRAPHS = ("ImageFolder", "LabelledFiles")
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Question:
    """What the facts depend on, as text: equal questions have equal answers."""

    source: str
    rates: str
    augment: str = ""
    turn: int = 0


@dataclass(frozen=True)
class Facts:
    """`samples` is None where none can be shown, `missing` says why; `changed` are the same after augmentation, None
    where there is none (or it cannot be done, `unchanged` says why); `rates` is empty where they are not known;
    `device` is what the experiment's device comes to, `devices` what this machine has."""

    question: Question
    samples: Samples | None = None
    missing: str = ""
    changed: Samples | None = None
    unchanged: str = ""
    rates: tuple[float, ...] = ()
    device: str = ""
    devices: tuple[str, ...] = ("cpu",)


class FactsFound(Message):
    """The facts that were asked for."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts


class FactsWatch:
    """Asks for the facts of what is composed, one question at a time; `screen` gets FactsFound, and says so here."""

    def __init__(self, screen: Screen[Any], data_folder: Path) -> None:
        self._screen = screen
        self._data_folder = data_folder
        self._asked: Question | None = None
        self._turn = 0
        self.facts: Facts | None = None

    def look(self, experiment: Experiment, report: Any) -> None:
        """Find out what is not known yet, once there is a report."""
        if report is None:
            return
        train = training_part(experiment, report.info)[0]
        question = question_of(experiment, train, self._turn)
        if question == self._asked:
            return
        self._asked = question
        known = self.facts

        def work() -> None:
            facts = find_out(experiment, question, train, self._data_folder, known, report.info)
            self._screen.post_message(FactsFound(facts))

        self._screen.run_worker(work, thread=True, exclusive=True, group="facts", exit_on_error=False)

    def draw_again(self) -> None:
        """Let chance change the samples anew, with the next look."""
        self._turn += 1

    def found(self, facts: Facts) -> bool:
        """Whether these are the facts that were asked for last."""
        if facts.question != self._asked:
            return False
        self.facts = facts
        return True

    def remarks(self, experiment: Experiment, report: Any, width: int) -> dict[str, str | Line]:
        """What stands behind settings: how many samples, the rate over the run, the device that is meant."""
        remarks: dict[str, str | Line] = {}
        if report is not None:
            remarks["data.source"] = counts(experiment, report.info)
        facts = self.facts
        if facts is None:
            return remarks
        current = facts.question.rates == question_of(experiment, self._train(experiment, report)).rates
        if current and experiment.scheduler is not None and facts.rates and max(facts.rates) > min(facts.rates):
            ends = f" {facts.rates[0]:.2g} → {facts.rates[-1]:.2g}"
            curve = spark(facts.rates, max(min(width - LABEL - 3 - len(ends), 24), 8))
            remarks["scheduler"] = line((curve, "accent"), (ends, "dim"))
        if experiment.scheduler is not None and experiment.scheduler.name == "ReduceLROnPlateau":
            remarks["scheduler"] = f"by {experiment.monitor or 'val/loss'}"
        if experiment.device == "auto" and facts.device:
            remarks["device"] = f"→ {facts.device}"
        return remarks

    def _train(self, experiment: Experiment, report: Any) -> int | None:
        return training_part(experiment, report.info)[0] if report is not None else None

    def pictures(
        self, experiment: Experiment, width: int, height: int, *, colours: str | None, again: str = ""
    ) -> list[Line]:
        """The samples as lines for a panel of so many cells, those after augmentation under them, or why there are
        none; `again` is the key that draws other ones."""
        facts = self.facts
        if facts is None or facts.question.source != str(experiment.data.source):
            return []
        if facts.samples is None:
            return [line((facts.missing, "dim"))]
        across = side(width, height)
        lines = strip(facts.samples, width, colours=colours, across=across)
        if not lines or not experiment.data.augment:
            return lines
        if facts.changed is None:
            return [*lines, line((facts.unchanged, "dim"))] if facts.unchanged else lines
        # While the changed ones are worked out, those of a moment ago stay.
        told = fit(f"augmented by chance: {again} draws again", width)
        changed = strip(facts.changed, width, colours=colours, labelled=False, across=across)
        return [*lines, *changed, line((told, "dim"))]


def shown_settings(experiment: Experiment, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings without those that cannot matter to the experiment and are as usual: the memory that photographs may
    take, and features of what is frozen."""
    shown = dict(settings)
    if experiment.data.source.name not in PHOTOGRAPHS and experiment.data.memory == "auto":
        shown.pop("data.memory", None)
    layers = [one.call for network in experiment.networks.values() for one in listed(network.layers)]
    frozen = any(call.name == BACKBONE or is_frozen(call) for call in layers)
    if not frozen and not experiment.data.cache_features:
        shown.pop("data.cache_features", None)
    elif "data.cache_features" in shown:
        shown["data.cache_features"] = shown["data.cache_features"].lower()
    return shown


def training_part(experiment: Experiment, info: Any) -> tuple[int | None, int | None]:
    """How many samples are trained on, and how many validated on, before the data is read; None: not known."""
    from engine.check import training_samples

    train = training_samples(experiment, info)
    validation = experiment.data.validation.name
    if validation == "test":
        return train, info.test
    if validation == "none" or train is None or info.train is None:
        return train, None
    return train, info.train - train


def counts(experiment: Experiment, info: Any) -> str:
    """Sizes of the parts: `1,437 + 360 val`."""
    train, val = training_part(experiment, info)
    if train is None:
        return ""
    return f"{train:,} + {val:,} val" if val else f"{train:,} samples"


def question_of(experiment: Experiment, train: int | None, turn: int = 0) -> Question:
    """What to ask for an experiment with so many training samples; each `turn` draws augmentation anew."""
    steps = steps_per_epoch(experiment, train)
    rates = f"{experiment.optimizer} {experiment.scheduler} {experiment.epochs} {steps} {experiment.device}"
    augment = ", ".join(map(str, experiment.data.augment))
    return Question(str(experiment.data.source), rates, augment, turn if augment else 0)


def steps_per_epoch(experiment: Experiment, train: int | None) -> int:
    """Optimizer steps of an epoch over so many samples."""
    batches = math.ceil((train or 1) / experiment.data.batch_size)
    return max(math.ceil(batches / experiment.accumulate), 1)


def find_out(
    experiment: Experiment, question: Question, train: int | None, data_folder: Path, known: Facts | None, info: Any
) -> Facts:
    """In a thread of its own: the facts of an experiment, those of `known` kept where they are the same."""
    same = known is not None and known.question.source == question.source
    if known is not None and same:
        samples, missing = known.samples, known.missing
    else:
        samples, missing = _samples(experiment, data_folder)
    if (
        known is not None
        and same
        and known.question.augment == question.augment
        and known.question.turn == question.turn
    ):
        changed, unchanged = known.changed, known.unchanged
    else:
        changed, unchanged = _changed(experiment, samples, info, question.turn)
    rates: tuple[float, ...] = ()
    # What is wrong with optimizer or schedule, the check says at its field.
    with contextlib.suppress(LayerlabError):
        from engine.rates import learning_rates

        rates = learning_rates(experiment, steps_per_epoch(experiment, train))
    device, devices = _devices(experiment.device)
    return Facts(question, samples, missing, changed, unchanged, rates, device, devices)


def _samples(experiment: Experiment, data_folder: Path) -> tuple[Any, str]:
    from engine.data.info import Place
    from engine.data.samples import read_samples

    try:
        return read_samples(experiment.data.source, Place(data_folder)), ""
    except LayerlabError as error:
        text = str(error)
        return None, "not there; layerlab --download fetches it" if "--download" in text else text
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"no samples to show: {error}"


def _changed(experiment: Experiment, samples: Samples | None, info: Any, turn: int) -> tuple[Samples | None, str]:
    """The samples after augmentation; none of a table, where it happens to numbers that are normalised."""
    if samples is None or not samples.pictures or not experiment.data.augment:
        return None, ""
    from engine.data.samples import augmented_samples

    try:
        return augmented_samples(samples, experiment.data.augment, info, turn), ""
    except LayerlabError:
        return None, ""  # the check says at the field what is wrong
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"augmentation cannot be shown: {error}"


def _devices(name: str) -> tuple[str, tuple[str, ...]]:
    import torch

    from engine.device import resolve

    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    try:
        return str(resolve(name)), tuple(found)
    except LayerlabError:
        return "", tuple(found)


def spark(values: tuple[float, ...], width: int) -> str:
    """A line of blocks: `values` over the width, from 0 (or the lowest below it) to the highest."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width < 1:
        return ""
    low, high = min(0.0, *finite), max(finite)
    if high <= low:
        return BLOCKS[0] * width
    columns = []
    for column in range(width):
        # The value at the moment, not a mean: a step stays a step.
        level = (finite[column * len(finite) // width] - low) / (high - low)
        columns.append(BLOCKS[min(int(level * len(BLOCKS)), len(BLOCKS) - 1)])
    return "".join(columns)
