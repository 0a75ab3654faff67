"""Quitting: what would be lost is asked about first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.screens.choice import Choice

if TYPE_CHECKING:
    from tui.app import LayerlabApp


def leave(app: LayerlabApp) -> None:
    """Quit at once, or ask where that would lose a draft or end a run."""
    if not app.draft.changed or app.draft.experiment in app.running.trained:
        _leave(app)
        return
    answers = (("s", "save", "save"), ("w", "quit without saving", "quit"), ("g", "go on", ""))
    question = f"{app.draft.experiment.name} has changes that were neither saved nor trained."

    def answered(answer: str | None) -> None:
        if answer == "save":
            app.filing.save(lambda: _leave(app))
        elif answer == "quit":
            _leave(app)

    app.push_screen(Choice("Quit", question, answers), answered)


def _leave(app: LayerlabApp) -> None:
    if not app.running.live:
        app.exit(0)
        return
    answers = (("s", "stop it, keep the checkpoint and quit", "stop"), ("g", "go on training", ""))
    waiting = len(app.running.queue)
    question = "Quitting ends the training. What shall become of it?"
    if waiting:
        question += f"\nWhat waits in the queue ({waiting}) is kept for the next time."

    def answered(answer: str | None) -> None:
        if answer == "stop":
            app.tell("stopping: the application ends once the checkpoint is saved")
            app.end_for_signal()

    app.push_screen(Choice("A run is live", question, answers), answered)
