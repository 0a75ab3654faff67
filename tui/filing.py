"""The draft and its file: what opening and saving ask, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine import presets
from engine.errors import LayerlabError, RequestError
from engine.spec import Experiment, load_experiment
from tui.screens.choice import Choice
from tui.screens.picker import Entry, Picker
from tui.screens.prompt import Prompt

if TYPE_CHECKING:
    from engine.store.listing import Summary
    from tui.app import LayerlabApp

_COMMENT = re.compile(rb"^\s*#|\s#", re.MULTILINE)
LARGEST = 1 << 20


class Filing:
    """Saves the application's draft and opens another: the questions, in turn."""

    def __init__(self, app: LayerlabApp) -> None:
        self._app = app

    def open(self) -> None:
        """Ask for a file and begin from it; the draft that was there comes back by undo."""

        def chosen(text: str | None) -> None:
            if text is None:
                return
            path = path_of(text)
            try:
                self._app.draft.begin(load_experiment(path), path, content(path))
            except LayerlabError as error:  # it was changed since the dialogue read it
                self._app.tell(str(error), wrong=True)
                return
            self._app.draft_changed()
            self._app.tell(f"opened {path}")

        self._app.push_screen(Prompt("Open a file", "", wrong_to_open, late=True), chosen)

    def experiment_of(self, run: Summary) -> Experiment | None:
        """The experiment of a run; None, and it is told, where it cannot be read."""
        try:
            return load_experiment(run.path / "experiment.toml")
        except LayerlabError as error:
            self._app.tell(f"the experiment of {run.run} cannot be read: {error}", wrong=True)
        return None

    def choose_preset(self) -> None:
        """Begin from one of the presets."""
        entries = [Entry(name, "", preset.line) for name, preset in presets.PRESETS.items()]

        def chosen(name: str | None) -> None:
            if name is not None:
                self._app.new_from(presets.preset(name))

        self._app.push_screen(Picker("Presets", entries), chosen)

    def save(self, then: Callable[[], None] | None = None) -> None:
        """Save to the draft's file, or ask for one; `then` is called once it is saved."""
        path = self._app.draft.file
        if path is None:
            self._ask_name(f"{file_name(self._app.draft.experiment.name)}.toml", then)
            return
        before = content(path)
        if before is not None and self._app.draft.written not in (None, before):
            self._ask_overwrite(path, f"{path.name} was changed by something else since it was opened.", then)
        elif before is not None and _COMMENT.search(before):
            self._ask_overwrite(path, f"{path.name} has comments, which saving does not keep.", then)
        else:
            self._write(path, then)

    def save_as(self) -> None:
        """Ask for a file and save there; from then on it is the draft's."""
        path = self._app.draft.file
        self._ask_name(str(path) if path is not None else f"{file_name(self._app.draft.experiment.name)}.toml", None)

    def _ask_name(self, proposed: str, then: Callable[[], None] | None) -> None:
        def named(text: str | None) -> None:
            if text is None:
                return
            path = path_of(text)
            if path.exists():
                self._ask_overwrite(path, f"{path} is there already.", then)
            else:
                self._write(path, then)

        self._app.push_screen(Prompt("Save as", proposed, wrong_to_save, late=True), named)

    def _ask_overwrite(self, path: Path, why: str, then: Callable[[], None] | None) -> None:
        def answered(answer: str | None) -> None:
            if answer == "overwrite":
                self._write(path, then)
            elif answer == "other":
                self._ask_name(str(path), then)

        answers = (("o", "overwrite it", "overwrite"), ("n", "save under another name", "other"), ("c", "cancel", ""))
        self._app.push_screen(Choice("Save", why, answers), answered)

    def _write(self, path: Path, then: Callable[[], None] | None) -> None:
        try:
            self._app.draft.saved(path, write(path, self._app.draft.experiment))
        except RequestError as error:
            self._app.tell(str(error), wrong=True)
            return
        self._app.tell(f"saved to {path}")
        self._app.show()
        if then is not None:
            then()


def path_of(text: str) -> Path:
    """The file that is meant: `~` is the home folder, and `.toml` is added where there is no ending."""
    path = Path(text.strip()).expanduser()
    return path if path.suffix else path.with_name(f"{path.name}.toml")


def file_name(name: str) -> str:
    """An experiment's name as the name of a file."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:60] or "experiment"


def content(path: Path) -> bytes | None:
    """What the file holds, None where it cannot be read."""
    from engine.store import files

    try:
        return files.read_bounded(path.resolve(), LARGEST)
    except (OSError, ValueError):
        return None


def write(path: Path, experiment: Experiment) -> bytes:
    """Put the experiment into the file, whole or not at all; gives what was written. RequestError where it cannot."""
    from engine.store import files

    data = experiment.to_toml().encode()
    try:
        # A link stays one: what it leads to is replaced.
        files.atomic_write(path.resolve(), data)
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    return data


def wrong_to_open(text: str) -> str:
    """Why the file cannot be opened, "" where it can."""
    try:
        load_experiment(path_of(text))
    except (LayerlabError, ValueError, RuntimeError, OSError) as error:
        return str(error)
    return ""


def wrong_to_save(text: str) -> str:
    """Why nothing can be saved under this name, "" where it can."""
    try:
        path = path_of(text)
        if path.is_dir():
            return f"{path} is a folder"
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
    except (ValueError, RuntimeError, OSError) as error:
        return str(error)
    return ""
