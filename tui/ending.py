"""How the application ends: by SIGTERM, by a terminal that is gone, and what is told to the person afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from tui.output import say
from tui.safe import safe
from tui.watching import RunWatch
from tui.widgets.status import LIVE

if TYPE_CHECKING:
    from tui.app import LayerlabApp
    from tui.terminal import KeptTerminal

TERMINATED = 128 + signal.SIGTERM
HUNG_UP = 128 + signal.SIGHUP
# In seconds. So long the application may take to end once the training has: a terminal that is not read keeps it for
# good.
GRACE = 5.0
LOOK = 0.5


@contextlib.contextmanager
def signals(app: LayerlabApp, terminal: KeptTerminal) -> Iterator[list[int]]:
    """Handle SIGTERM and SIGHUP while the block runs; gives the exit status they ask for, where one came.

    SIGTERM stops the run at its next step and then the application; a second one ends the process at once. SIGHUP, or
    a line that is cut without one, ends the application without a word to the terminal, and training goes on; a
    SIGTERM then stops that, too. The last status counts.
    """
    asked: list[int] = []
    attendant = Attendant(app, terminal, asked)

    def on_the_loop(action: Any) -> None:
        loop = app._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(action)

    def terminate(number: int, frame: Any) -> None:
        if TERMINATED in asked:
            terminal.restore()
            os._exit(TERMINATED)
        asked.append(TERMINATED)
        attendant.wake()
        on_the_loop(app.end_for_signal)

    def hang_up(number: int, frame: Any) -> None:
        terminal.leave()
        if HUNG_UP not in asked:
            asked.append(HUNG_UP)
        attendant.wake()
        on_the_loop(app.exit)

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
        signal.SIGHUP: signal.signal(signal.SIGHUP, hang_up),
    }
    attendant.start()
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        attendant.end()


class Attendant(threading.Thread):
    """Sees to the end where the application cannot: it may be kept waiting by a terminal that takes nothing, and its
    loop may be over. It sleeps until a signal comes or the line is cut."""

    def __init__(self, app: LayerlabApp, terminal: KeptTerminal, asked: list[int]) -> None:
        super().__init__(name="layerlab-attendant", daemon=True)
        self._app = app
        self._terminal = terminal
        self._asked = asked
        self._over = False
        self._woken, self._waker = os.pipe()
        self._line = os.dup(terminal.file.fileno())

    def wake(self) -> None:
        """To be called by a signal's handler, which may have interrupted anything: it takes no lock."""
        os.write(self._waker, b".")

    def end(self) -> None:
        """The application has ended by itself."""
        self._over = True
        self.wake()
        self.join()
        for number in (self._woken, self._waker, self._line):
            os.close(number)

    def run(self) -> None:
        news = select.poll()
        news.register(self._woken, select.POLLIN)
        # Nothing is asked for: what is told all the same is that the line is gone. Programs that `setsid`, a container
        # or a shell has put out of the terminal's reach get no signal then.
        news.register(self._line, 0)
        running, stopped = self._app.running, False
        idle: float | None = None
        while not self._over:
            for found, _ in news.poll(1000 * LOOK if self._asked else None):
                if found == self._woken:
                    os.read(self._woken, 1 << 10)
                else:
                    news.unregister(self._line)
                    os.kill(os.getpid(), signal.SIGHUP)
            if not self._asked:
                continue
            if TERMINATED in self._asked and not stopped and running.training.alive:
                stopped = True
                running.ask_own("stop")
            idle = None if running.at_work else idle or time.monotonic()
            if idle is not None and time.monotonic() - idle > GRACE:
                self._leave()

    def _leave(self) -> NoReturn:
        with contextlib.suppress(Exception):
            self._app.state.flush()
        self._terminal.restore()
        os._exit(self._asked[-1])


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
