"""What is trained here, what waits behind it, and the run that Train shows, which may be any run of the store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from engine.control import Request
from engine.errors import DeviceLost, LayerlabError
from tui.queue import Queue, Waiting
from tui.watching import RunWatch
from tui.widgets.status import LIVE

if TYPE_CHECKING:
    from engine.spec import Experiment
    from tui.app import LayerlabApp
    from tui.live import Training


class RunBegan(Message):
    """The run's folder is there and its thread at work; or in words why not. `again`: another process can begin it."""

    def __init__(self, item: Waiting, path: Path | None, error: str = "", again: bool = False) -> None:
        super().__init__()
        self.item = item
        self.path = path
        self.error = error
        self.again = again


class RunRead(Message):
    """A run that is to be shown has been read."""

    def __init__(self, watch: RunWatch) -> None:
        super().__init__()
        self.watch = watch


# Bytes of events: more than these take longer to read than a key may wait for.
AT_ONCE = 1 << 20
# What a run is called that ended before its time.
CAN_GO_ON = ("stopped", "interrupted", "failed")
NOT_LIVE = "the run shown is not live: {everywhere.train_now} trains what is composed"


class Running:
    """Starts runs by `training`, one at a time, and asks things of the run shown. `path`: the run trained here last."""

    def __init__(self, app: LayerlabApp, training: Training) -> None:
        self._app = app
        self.training = training
        self.queue = Queue()
        # What was begun by the person and not by the queue, the last one.
        self._wanted: Waiting | None = None
        self.shown: RunWatch | None = None
        self.path: Path | None = None
        self.trained: set[Experiment] = set()
        self._starting: Waiting | None = None
        self._starter: threading.Thread | None = None
        self._awaited: Path | None = None
        # What could not start since the person started something: told until they do so again.
        self._failures: list[str] = []
        self._ended = True
        self._asked_at = -1

    # ------------------------------------------------------------------ the state of things

    @property
    def live(self) -> bool:
        """Whether a run is under way in this process."""
        return self._starting is not None or self.training.alive

    @property
    def at_work(self) -> bool:
        """The same, asked of the threads themselves: also once the application has ended and takes no news."""
        return (self._starter is not None and self._starter.is_alive()) or self.training.alive

    @property
    def starting(self) -> Waiting | None:
        """What is about to begin: its folder is not there yet."""
        return self._starting

    @property
    def awaited(self) -> bool:
        """Whether the person has touched no key since they asked for what began last."""
        return self._asked_at == self._app.keys_taken

    @property
    def own(self) -> bool:
        """Whether the run that is shown is the one that is, or was, trained here."""
        return self.shown is not None and self.shown.path == self.path

    @property
    def shown_live(self) -> bool:
        """Whether the run that is shown is being trained, as far as is known here."""
        if self.own:
            return self.training.alive
        return self.shown is not None and self.shown.view.status in LIVE

    # ------------------------------------------------------------------ beginning

    def train(self, experiment: Experiment, resume: Path | None = None) -> None:
        """Begin now, or where a run is live, once all that waits is done."""
        item = self.queue.add(experiment, resume)
        if self.live:
            self._app.tell(f"{item.name} waits: {_waiting(len(self.queue))} behind the run that is live")
        else:
            # The person wants this one now; what is held in the queue stays held.
            self.queue.items.pop()
            self._failures.clear()
            self._asked_at = self._app.keys_taken
            self._wanted = item
            self._begin(item)
        self._app.queue_changed()

    def next(self) -> bool:
        """Begin with the next that waits; whether there was one."""
        if self.live:
            return False
        item = self.queue.take()
        if item is None:
            return False
        self._begin(item)
        return True

    def _begin(self, item: Waiting) -> None:
        self._starting = item
        self.tell(f"{item.name} is starting…")
        self._starter = threading.Thread(target=self._start, args=(item,), name="layerlab-start", daemon=True)
        self._starter.start()

    def _start(self, item: Waiting) -> None:
        """In a thread of its own: creating a run imports torch and writes files."""
        try:
            if item.resume is not None:
                path = self.training.resume(item.resume)
            else:
                path = self.training.start(item.experiment)
            began = RunBegan(item, path)
        except DeviceLost as error:
            began = RunBegan(item, None, str(error), again=True)
        except LayerlabError as error:
            began = RunBegan(item, None, str(error))
        except Exception as error:
            began = RunBegan(item, None, f"the run could not start: {type(error).__name__}: {error}")
        self._app.post_message(began)

    def began(self, message: RunBegan) -> bool:
        """Take in what came of a start; whether a run began."""
        self._starting = None
        if message.path is None:
            # Which one it was is plain where it is the only one.
            named = f"{message.item.name}: " if self.queue.items else ""
            self._failures.append(named + message.error)
            if message.again:
                self.queue.items.insert(0, message.item)
                self.queue.held = True
                self._app.queue_changed()
            self.tell("")
            self._ended = False
            return False
        self.trained.add(message.item.experiment)
        # Whoever looks at another run keeps looking at it while the queue goes on, but not where they asked for this.
        asked = message.item is self._wanted
        follow = asked or self.shown is None or self.own or self._app.mode_shown != "train"
        self.path = message.path
        self._ended = False
        if follow:
            self._look_at(message.path)
        return True

    def tell(self, text: str) -> None:
        """Say this, and with it what could not start."""
        self._app.tell("\n".join([*self._failures[-3:], *([text] if text else [])]), wrong=bool(self._failures))

    # ------------------------------------------------------------------ looking

    def open(self, path: Path) -> None:
        """Show a run on Train, whoever trains it, or nobody any more."""
        if self.shown is None or self.shown.path != path:
            self._look_at(path)
        else:
            self._awaited = None
            self.shown.poll()

    def _look_at(self, path: Path) -> None:
        """Show a run: at once, or where there is much to read once a thread has done so."""
        if _bytes_of_events(path) <= AT_ONCE:
            self._awaited, self.shown = None, RunWatch(path)
            self.shown.poll()
            return
        self._awaited, self.shown = path, None
        self._app.tell(f"reading {path.name}…")
        threading.Thread(target=self._read, args=(path,), name="layerlab-read", daemon=True).start()

    def _read(self, path: Path) -> None:
        watch = RunWatch(path)
        watch.poll()
        self._app.post_message(RunRead(watch))

    def take(self, message: RunRead) -> bool:
        """Show the run that was read; whether it is still to be shown."""
        if message.watch.path != self._awaited:
            return False
        self._awaited, self.shown = None, message.watch
        return True

    def close(self) -> None:
        """Show none."""
        self._awaited, self.shown = None, None

    def poll(self) -> bool:
        """Read what is new of the run that is shown; whether there was anything."""
        return self.shown is not None and self.shown.poll()

    def ended_now(self) -> bool:
        """Whether the run trained here has ended since this was asked last."""
        if self.live or self._ended:
            return False
        self._ended = True
        return True

    # ------------------------------------------------------------------ asking

    def ask(self, name: str, value: float | int | None = None) -> None:
        """Ask something of the run that is shown."""
        if not self.shown_live:
            self._app.tell(self._app.settings.with_keys(NOT_LIVE))
            return
        try:
            request = Request(name, value)
            if self.own:
                self.training.request(request)
            else:
                self._send(request)
        except LayerlabError as error:
            self._app.tell(str(error), wrong=True)

    def join(self) -> None:
        """Wait until the run that is trained here has ended; one that is about to begin, too."""
        if self._starter is not None:
            self._starter.join()
        self.training.join()

    def ask_own(self, name: str) -> None:
        """Ask something of the run that is trained here."""
        if self.training.alive:
            self.training.request(Request(name))

    def _send(self, request: Request) -> None:
        from engine.store.requests import send

        assert self.shown is not None
        send(self.shown.path, request)
        self._app.tell(f"asked {self.shown.path.name} to {request.name.replace('_', ' ')}")

    # ------------------------------------------------------------------ what is remembered

    def waiting(self) -> list[dict[str, Any]]:
        """What waits, as plain values."""
        return [
            {"experiment": item.experiment.to_toml(), "resume": str(item.resume) if item.resume else ""}
            for item in self.queue.items
        ]

    def take_up(self, remembered: object) -> None:
        """Put what an earlier sitting left back into the queue, where it is held; what cannot be read is left out."""
        from engine.spec import parse_experiment

        for entry in remembered if isinstance(remembered, list) else ():
            try:
                resume = Path(entry["resume"]) if entry["resume"] else None
                self.queue.add(parse_experiment(entry["experiment"]), resume)
            except (LayerlabError, KeyError, TypeError, ValueError):
                continue
        self.queue.held = bool(self.queue.items)


def _bytes_of_events(path: Path) -> int:
    from engine.store import segments

    try:
        return sum(segments.segment_path(path, number).lstat().st_size for number in segments.segments(path))
    except OSError:
        return 0


def _waiting(count: int) -> str:
    return "1 experiment" if count == 1 else f"{count} experiments"
