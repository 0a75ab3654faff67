"""How the application ends: by SIGTERM, by a terminal that is gone, and what is told to the person afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tui.output import say
from tui.safe import safe
from tui.watching import RunWatch
from tui.widgets.status import LIVE

if TYPE_CHECKING:
    from tui.app import LayerlabApp
    from tui.terminal import KeptTerminal

TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 128 + signal.SIGHUP


@contextlib.contextmanager
def signals(app: LayerlabApp, terminal: KeptTerminal) -> Iterator[list[int]]:
    """Handle SIGTERM and SIGHUP while the block runs; gives the exit status they ask for, where one came.

    SIGTERM stops the run at its next step and then the application; a second one ends the process at once. SIGHUP ends
    the application without a word to the terminal, and training goes on; a SIGTERM then stops that, too. The last
    status counts.
    """
    asked: list[int] = []

    def on_the_loop(action: Any) -> None:
        loop = app._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(action)

    def terminate(number: int, frame: Any) -> None:
        if TERMINATED in asked:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        asked.append(TERMINATED)
        if terminal.file.gone:
            # The application may have ended, and with it the loop.
            app.running.ask_own("stop")
        on_the_loop(app.end_for_signal)

    def hang_up(number: int, frame: Any) -> None:
        terminal.leave()
        asked.append(HUNG_UP)
        on_the_loop(app.exit)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
        signal.SIGHUP: signal.signal(signal.SIGHUP, hang_up),
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for_training(app: LayerlabApp, terminal: KeptTerminal) -> None:
    """Until the run has ended: its thread goes on where the terminal went away, or the application by an error."""
    if app.failure is not None and app.running.live:
        terminal.file.write(f"the application ended with an error: {safe(app.failure, 200)}\n")
        terminal.file.write("the run goes on to its end; ctrl+c stops it, with a checkpoint\n")
        terminal.file.flush()
    try:
        app.running.join()
    except KeyboardInterrupt:
        app.running.ask_own("stop")
        app.running.join()


def farewell(app: LayerlabApp) -> None:
    """On the normal screen: where the run lies, what became of it, and how to go on with it."""
    if app.running.path is None:
        return
    watch = RunWatch(app.running.path)
    watch.poll()
    view = watch.view
    say(f"{view.run}: {view.status}" + (f": {view.reason}" if view.reason not in ("", view.status) else ""))
    say(f"it lies in {watch.path}")
    if view.status in ("stopped", "interrupted", "failed", *LIVE):
        say(f"layerlab resume {view.run}   goes on with it")
    else:
        say(f"layerlab show {view.run}   tells what came of it")
