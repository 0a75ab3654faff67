"""The experiment that is being composed: changes as a person makes them, each of which can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.calls import Call, parse_call
from engine.errors import RequestError, SpecError
from engine.spec import Experiment, Networks, flatten, with_settings

MOST_UNDONE = 200


@dataclass
class Origin:
    """What a draft is compared with: the experiment as opened or saved last, its file and what was in it then."""

    experiment: Experiment
    file: Path | None = None
    written: bytes | None = None


class Draft:
    """An experiment and those it came from. Every change puts a new frozen experiment in place of the old one.

    `network` is the name of the one whose layers are edited. A change that cannot be (a text that does not parse, the
    last layer deleted) raises RequestError and changes nothing.
    """

    def __init__(self, experiment: Experiment, file: Path | None = None, written: bytes | None = None) -> None:
        self._now = experiment
        self._origin = Origin(experiment, file, written)
        # The origin is shared by all that came of it: what is saved holds for the steps before, too.
        self._before: list[tuple[Experiment, Origin]] = []

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

    def saved(self, file: Path, written: bytes) -> None:
        """It is in this file now."""
        self._origin.experiment, self._origin.file, self._origin.written = self._now, file, written

    def set(self, field: str, text: str) -> None:
        """Set a field of the recipe from text."""
        self._put(with_settings(self._now, [f"{field}={text}"]))

    def insert(self, index: int, text: str) -> None:
        call = parse_call(text)
        self.put_layers((*self.layers[:index], call, *self.layers[index:]))

    def replace(self, index: int, text: str) -> None:
        call = parse_call(text)
        self.put_layers((*self.layers[:index], call, *self.layers[index + 1 :]))

    def delete(self, index: int) -> bool:
        """Whether there was a layer to delete."""
        if not 0 <= index < len(self.layers):
            return False
        self.put_layers(self.layers[:index] + self.layers[index + 1 :])
        return True

    def duplicate(self, index: int) -> bool:
        """Whether there was a layer to duplicate; the copy comes behind it."""
        if not 0 <= index < len(self.layers):
            return False
        self.put_layers(self.layers[: index + 1] + self.layers[index:])
        return True

    def move(self, index: int, step: int) -> bool:
        """Whether the layer could go `step` places on."""
        target = index + step
        if not (0 <= index < len(self.layers) and 0 <= target < len(self.layers)):
            return False
        layers = list(self.layers)
        layers.insert(target, layers.pop(index))
        self.put_layers(tuple(layers))
        return True

    def put_layers(self, layers: tuple[Call, ...]) -> None:
        """Other layers in place of those that are edited."""
        network = self._now.networks[self.network].with_(layers=layers)
        self._put(self._now.with_(networks=Networks({**self._now.networks, self.network: network})))

    def undo(self) -> bool:
        """Whether there was a change to take back."""
        if not self._before:
            return False
        self._now, self._origin = self._before.pop()
        return True

    def _put(self, experiment: Experiment) -> None:
        if experiment == self._now:
            return
        self._remember()
        self._now = experiment

    def _remember(self) -> None:
        self._before.append((self._now, self._origin))
        del self._before[:-MOST_UNDONE]


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


def wrong_call(text: str) -> str:
    """What is wrong with the text as a call; "" where nothing is."""
    try:
        parse_call(text)
    except RequestError as error:
        return str(error)
    return ""
