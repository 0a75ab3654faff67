"""The experiment that is being composed: changes as a person makes them, each of which can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.calls import Call, parse_call
from engine.errors import RequestError, SpecError
from engine.spec import Experiment, Networks, flatten, with_settings
from tui.layer_tree import INPUT, Edit, Span, read

# A step shares all that it did not change with the step before: a few kilobytes each.
MOST_UNDONE = 10_000


@dataclass
class Origin:
    """What a draft is compared with: the experiment as opened or saved last, its file and what was in it then."""

    experiment: Experiment
    file: Path | None = None
    written: bytes | None = None


@dataclass(frozen=True)
class Step:
    """What undo and redo go back to: an experiment, where it came from, and the layers that were selected."""

    experiment: Experiment
    origin: Origin
    selection: Span


class Draft:
    """An experiment and those it came from. Every change puts a new frozen experiment in place of the old one.

    `network` is the name of the one whose layers are edited, `selection` those of them that are selected: whoever moves
    the selection says so here, undo and redo put it back. A change that cannot be (a value that does not suit its
    field) raises RequestError and changes nothing.
    """

    def __init__(self, experiment: Experiment, file: Path | None = None, written: bytes | None = None) -> None:
        self._now = experiment
        self._origin = Origin(experiment, file, written)
        # The origin is shared by all that came of it: what is saved holds for the steps before, too.
        self._before: list[Step] = []
        self._after: list[Step] = []
        self.selection = INPUT

    @property
    def experiment(self) -> Experiment:
        return self._now

    @property
    def changed(self) -> bool:
        """Whether it differs from what was opened or saved last."""
        return self._now != self._origin.experiment

    @property
    def file(self) -> Path | None:
        """Where it is saved; None where it came from a preset."""
        return self._origin.file

    @property
    def written(self) -> bytes | None:
        """What was in the file when it was opened or saved."""
        return self._origin.written

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        return bool(self._after)

    @property
    def network(self) -> str:
        return next(iter(self._now.networks))

    @property
    def layers(self) -> tuple[Call, ...]:
        return tuple(self._now.networks[self.network].layers)

    def settings(self) -> dict[str, str]:
        """Every field by its dotted name, as text."""
        return flatten(self._now)

    def setting(self, field: str) -> str:
        return self.settings().get(field, "")

    # ------------------------------------------------------------------ changes

    def begin(self, experiment: Experiment, file: Path | None = None, written: bytes | None = None) -> None:
        """Another experiment in place of this one; undo brings this one back."""
        self._remember()
        self._now = experiment
        self._origin = Origin(experiment, file, written)
        self.selection = INPUT

    def begin_blank(self) -> None:
        """A network without layers and a name of its own; data and recipe stay. Undo brings back what was there."""
        network = self._now.networks[self.network].with_(layers=())
        networks = Networks({**self._now.networks, self.network: network})
        self.begin(self._now.with_(name="untitled", networks=networks))

    def saved(self, file: Path, written: bytes) -> None:
        """It is in this file now."""
        self._origin.experiment, self._origin.file, self._origin.written = self._now, file, written

    def set(self, field: str, text: str) -> None:
        """Set a field of the recipe from text."""
        self._put(with_settings(self._now, [f"{field}={text}"]))

    def edit(self, edit: Edit) -> None:
        """Layers as an edit of layer_tree.py leaves them, with its selection. Raises RequestError where they could not
        be read again: calls have a greatest length and depth."""
        before = set(self.layers)
        for call in edit.layers:
            if call not in before:
                parse_call(str(call))
        self.put_layers(edit.layers)
        self.selection = edit.span

    def put_layers(self, layers: tuple[Call, ...]) -> None:
        """Other layers in place of those that are edited."""
        network = self._now.networks[self.network].with_(layers=layers)
        self._put(self._now.with_(networks=Networks({**self._now.networks, self.network: network})))

    def put(self, experiment: Experiment) -> None:
        """The same draft with all of it written anew; its file stays."""
        self._put(experiment)

    def undo(self) -> bool:
        """Whether there was a change to take back."""
        return self._go(self._before, self._after)

    def redo(self) -> bool:
        """Whether there was a change that had been taken back."""
        return self._go(self._after, self._before)

    def _go(self, steps: list[Step], back: list[Step]) -> bool:
        if not steps:
            return False
        back.append(self._step())
        step = steps.pop()
        self._now, self._origin, self.selection = step.experiment, step.origin, step.selection
        return True

    def _put(self, experiment: Experiment) -> None:
        if experiment == self._now:
            return
        self._remember()
        self._now = experiment

    def _step(self) -> Step:
        return Step(self._now, self._origin, self.selection)

    def _remember(self) -> None:
        self._before.append(self._step())
        del self._before[:-MOST_UNDONE]
        self._after.clear()


def wrong_setting(experiment: Experiment, field: str, text: str) -> str:
    """What is wrong with the text for a field; "" where nothing is."""
    try:
        with_settings(experiment, [f"{field}={text}"])
    except SpecError as error:
        # Without the place: it stands right above.
        return f"{error.message}; {error.hint}" if error.hint else error.message
    except RequestError as error:
        return str(error)
    return ""


def wrong_calls(text: str) -> str:
    """What is wrong with the text as one or several layers; "" where nothing is."""
    try:
        read(text)
    except RequestError as error:
        return str(error)
    return ""
