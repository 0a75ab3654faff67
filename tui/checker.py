"""The check of what is composed, in a thread of its own: torch is imported there, after the first paint.

Only the newest question is answered, and only once the person has stopped typing for a moment.
"""

from __future__ import annotations

import dataclasses
import operator
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from engine.calls import Call, Table
from engine.errors import LayerlabError, SpecError, nearest

if TYPE_CHECKING:
    from engine.spec import Experiment

# Long enough for what a paste or a macro types; with the check's own time an answer is there within 150 ms.
PAUSE = 0.025
MOST_PATIENCE = 2.0


@dataclass(frozen=True)
class Answer:
    """What came of question `number`: a report, or in words why there is none; `problem` says where it stands."""

    number: int
    report: Any = None
    error: str = ""
    problem: Any = None


class Checked(Message):
    """The check has answered."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


Check = Callable[["Experiment", Path], Any]


def engine_check(
    experiment: Experiment,
    data_folder: Path,
    allow: tuple[str, ...] = (),
    store: Path | None = None,
    download: bool = False,
) -> Any:
    """The engine's own check; the first call imports torch. `allow` are the modules that a person lets be imported,
    `store` holds the runs whose weights may be asked for; with `download` a run may fetch weights that are missing."""
    from engine.catalogue import allow as let_import
    from engine.check import check
    from engine.data.info import Place

    for module in allow:
        let_import(module)
    return check(experiment, Place(data_folder, download), store)


def findings(report: Any) -> str:
    """What a check says of an experiment that could be trained, a line each: weights that a run would have to fetch,
    and its warnings. Of data that is missing the recipe tells."""
    found = [
        f"{missing.what} are not here: a run wants `layerlab --download`, or {', '.join(missing.files)} in "
        f"{missing.folder}"
        for missing in report.missing
        if missing.kind == "weights"
    ]
    return "\n".join(f"⚠ {text}" for text in [*found, *report.warnings])


# Fields that are one call, and where their names are looked up.
KINDS = {"task": "tasks", "data.source": "sources", "data.validation": "validations", "loss": "losses",
         "optimizer": "optimizers", "scheduler": "schedulers"}  # fmt: skip


def problem_of(error: SpecError, experiment: Experiment) -> Any:
    """The refusal of a name or an argument as a Problem at its layer or field, with the nearest name as its fix; None
    where it stands nowhere in what is shown."""
    from engine.shapes import Fix, Problem

    layer = re.fullmatch(r"network\.(?:\w+\.)?layers\.(\d+)", error.field)
    first = next(iter(experiment.networks))
    if layer and not error.field.startswith(("network.layers.", f"network.{first}.layers.")):
        return None
    if layer:
        path, kind, call = layer[1], "layers", experiment.networks[first].layers[int(layer[1])]
    elif error.field in KINDS:
        path, kind = error.field, KINDS[error.field]
        call = operator.attrgetter(path)(experiment)
    else:
        return Problem(error.field, "", error.message, None, "", ()) if error.field else None
    mended = respelt(call, kind)
    fix = Fix(f"write {mended}", "replace", path, str(mended)) if mended != call else None
    return Problem(path, str(call), error.message, fix, "", ())


def respelt(call: Call, kind: str) -> Call:
    """The call with the nearest known name where its own is unknown, at every depth."""
    from engine import catalogue

    def inside(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(inside(item) for item in value)
        if isinstance(value, Table):
            return Table(tuple((key, inside(item)) for key, item in value.items))
        return respelt(value, kind) if isinstance(value, Call) else value

    known = catalogue.entries(kind, refused=True)
    name = call.name if ":" in call.name or call.name in known else nearest(call.name, catalogue.entries(kind))
    kwargs = tuple((key, value if key == "init" else inside(value)) for key, value in call.kwargs)
    return dataclasses.replace(call, name=name or call.name, args=inside(call.args), kwargs=kwargs)


class Checker:
    """`ask` returns at once; `answer` is called in the checker's thread, never for a question that was overtaken.

    The first question waits until `after` is set, or MOST_PATIENCE seconds: the import of torch takes the interpreter
    for seconds, and what is soon done should be done before.
    """

    def __init__(
        self,
        data_folder: Path,
        answer: Callable[[Answer], None],
        check: Check = engine_check,
        after: threading.Event | None = None,
    ) -> None:
        self._data_folder = data_folder
        self._answer = answer
        self._check = check
        self._after = after
        self._changed = threading.Condition()
        self._number = 0
        self._question: Experiment | None = None
        self._ended = False
        self._thread: threading.Thread | None = None

    def ask(self, experiment: Experiment) -> int:
        """The number of the question."""
        with self._changed:
            self._number += 1
            self._question = experiment
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="layerlab-check", daemon=True)
                self._thread.start()
            return self._number

    def end(self) -> None:
        """No answer comes after this."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _work(self) -> None:
        if self._after is not None:
            self._after.wait(MOST_PATIENCE)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._question is not None)
                while not self._ended and self._changed.wait(PAUSE):
                    pass
                if self._ended:
                    return
                number, question, self._question = self._number, self._question, None
            assert question is not None
            answer = self._look(number, question)
            with self._changed:
                current = not self._ended and number == self._number
            if current:
                self._answer(answer)

    def _look(self, number: int, question: Experiment) -> Answer:
        try:
            return Answer(number, report=self._check(question, self._data_folder))
        except SpecError as error:
            # Where an edit came from is for the command line to say.
            told = SpecError(error.message, field=error.field, hint=error.hint)
            return Answer(number, error=str(told), problem=problem_of(error, question))
        except LayerlabError as error:
            return Answer(number, error=str(error))
        except Exception as error:
            # A thread that ended here would leave the screen waiting for good.
            return Answer(number, error=f"the check failed: {type(error).__name__}: {error}")
