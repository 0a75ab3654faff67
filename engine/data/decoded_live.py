"""Photographs that not even the cache holds: decoded again for every batch, by torch's DataLoader with workers.

Workers are spawned, not forked: the application has threads, and a child that was forked from among them can hang.
They hand over arrays through pipes, for shared memory is small in many containers.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.apart import apart
from engine.data import decoding
from engine.data.augment import Augmentation
from engine.data.decoding import Pixels, Settings, Unreadable
from engine.data.info import Batch, Part
from engine.data.normalise import Normalise
from engine.data.resident import Resident
from engine.errors import RunError
from engine.machine import processors

MOST_WORKERS = 8
LOOK_SECONDS = 1.0  # between two looks at whether the workers are still there
PARENT_SECONDS = 1.0  # between two looks of a worker at whether the training is still there


@dataclass(frozen=True)
class LivePart(Part):
    """Photographs by their `paths`; `inputs` has their shape and is on the meta device."""

    paths: tuple[str, ...] = ()
    settings: Settings = Settings()  # noqa: RUF009  (frozen)


class Decoders:
    """The workers that decode the photographs of a set, for all of its parts, one pass at a time: some for each part
    would take as much memory again. They begin with the first pass, stay from one to the next, and end with this."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._order = _Order()
        self._loader: DataLoader[Any] | None = None
        self._workers: list[BaseProcess] = []
        self._pass: _Pass | None = None

    def decoded(self, batches: list[list[str]]) -> Iterator[Pixels]:
        """Photographs (n, C, size, size), one array for each of the batches of paths. Raises RunError for a file that
        cannot be read any more, and where a worker was killed."""
        if self._pass is not None:
            self._pass.leave()
        self._order.batches = batches
        if self._loader is None:
            self._loader = DataLoader(
                _Files(self._settings),
                batch_sampler=self._order,
                num_workers=min(MOST_WORKERS, processors()),
                collate_fn=_together,
                worker_init_fn=begin_worker,
                multiprocessing_context="spawn",
                persistent_workers=True,
                # Of its own: the loader draws a number from it, and dropout draws from the process's.
                generator=torch.Generator(),
            )
            before = set(multiprocessing.active_children())
            # Which begins them. In a main thread torch would have it interrupted, whatever it does, where one ends.
            apart(partial(iter, self._loader))
            self._workers = [child for child in multiprocessing.active_children() if child not in before]
        this = self._pass = _Pass(self._loader)
        try:
            while (batch := this.next(self._workers)) is not None:
                if isinstance(batch, str):
                    raise RunError(batch)
                yield batch
        except RuntimeError as error:
            this.abandon()
            self.close()
            raise RunError(
                f"a process that decodes photographs was ended, probably because memory was short ({error}); let the "
                "cache hold the set, so that there are none (LAYERLAB_CACHE_GIB), or take a smaller batch_size or size="
            ) from error
        finally:
            this.leave()

    def close(self) -> None:
        """End the workers; the next pass begins others."""
        for worker in self._workers:
            worker.kill()
        self._loader, self._workers = None, []


class _Pass:
    """What the loader gives, fetched by a thread: a worker that is killed as it hands over a batch leaves whoever reads
    it waiting for the rest for good, and that shall not be the training."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._arrived: queue.Queue[Pixels | str | BaseException | None] = queue.Queue(1)
        self._left = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._fetch, args=(loader,), name="layerlab-decoded", daemon=True)
        self._thread.start()

    def _fetch(self, loader: DataLoader[Any]) -> None:
        try:
            for batch in loader:
                if not self._hand_over(batch):
                    return
        except BaseException as error:
            self._hand_over(error)
        else:
            self._hand_over(None)

    def _hand_over(self, what: Pixels | str | BaseException | None) -> bool:
        while not self._left.is_set():
            with suppress(queue.Full):
                self._arrived.put(what, timeout=LOOK_SECONDS)
                return True
        return False

    def next(self, workers: Sequence[BaseProcess]) -> Pixels | str | None:
        """The next batch; None where there is none any more. Raises RuntimeError where one of the workers has ended."""
        while True:
            with suppress(queue.Empty):
                found = self._arrived.get(timeout=LOOK_SECONDS)
                if isinstance(found, BaseException):
                    raise RuntimeError(str(found)) from found
                return found
            ended = next((worker for worker in workers if not worker.is_alive()), None)
            if ended is not None and self._arrived.empty():
                raise RuntimeError(f"process {ended.pid}, exit code {ended.exitcode}")

    def leave(self) -> None:
        """Take nothing any more, and wait until the loader can be asked for another pass."""
        self._left.set()
        if not self._lost:
            self._thread.join()

    def abandon(self) -> None:
        """Take nothing any more, of a loader that may never answer."""
        self._left.set()
        self._lost = True


class DecodedLive(Resident):
    """Photographs of `part`, of which those at `index` (or all) are handed out, with `targets` of these on the device;
    decoded by `decoders`, those of the whole set, or by some of its own."""

    def __init__(
        self,
        part: LivePart,
        index: Tensor | None,
        targets: Tensor,
        normalise: Normalise,
        augmentations: tuple[Augmentation, ...] = (),
        *,
        classes: int = 0,
        device: torch.device,
        decoders: Decoders | None = None,
    ) -> None:
        super().__init__(part.inputs, targets, normalise, augmentations, classes=classes)
        self.device = device
        self._paths = part.paths if index is None else tuple(part.paths[row] for row in index.tolist())
        self._decoders = Decoders(part.settings) if decoders is None else decoders

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._paths)

    def _chosen(self, order: Tensor, sizes: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        places = torch.split(order, list(sizes))
        for stored, index in zip(self._decoded([p.tolist() for p in places]), places, strict=True):
            yield self._prepared(stored), self.targets.index_select(0, index.to(self.device))

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in the order of the source, without augmentation: for evaluation."""
        begins = range(0, len(self), batch_size)
        rows = [list(range(begin, min(begin + batch_size, len(self)))) for begin in begins]
        for number, stored in enumerate(self._decoded(rows)):
            begin = begins[number]
            yield Batch(self._normalise.ready(stored), self.targets[begin : begin + batch_size], number)

    def _decoded(self, rows: list[list[int]]) -> Iterator[Tensor]:
        """Photographs uint8 on the device, one batch for each list of rows. Raises RunError as Decoders do."""
        for batch in self._decoders.decoded([[self._paths[row] for row in chosen] for chosen in rows]):
            yield torch.from_numpy(batch).to(self.device)


class _Order:
    """Which photographs the next pass of the loader takes, by their paths."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Files(Dataset[Any]):
    """Photographs by path, decoded when asked for; for one that cannot be read, the error in words."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getitem__(self, path: str) -> Pixels | str:
        try:
            return decoding.decode(path, self._settings)
        except Unreadable as error:
            # An exception with more than a text does not get through the loader in one piece.
            return str(error)


def _together(pictures: Sequence[Pixels | str]) -> Pixels | str:
    for picture in pictures:
        if isinstance(picture, str):
            return picture
    return np.stack([picture for picture in pictures if not isinstance(picture, str)])


def begin_worker(_: int) -> None:
    """What a worker does first. What a terminal sends to everybody on it is for the training to answer; workers end
    with the training, however that ends."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    training = multiprocessing.parent_process()
    if training is not None:
        threading.Thread(target=_end_with, args=(training.pid,), daemon=True).start()


def _end_with(training: int | None) -> None:
    """End this process, as it stands, once the training is gone: one that is killed cannot tell its workers, and a
    worker with more in hand than a pipe takes would wait for good for somebody to read it."""
    while os.getppid() == training:
        time.sleep(PARENT_SECONDS)
    os._exit(1)
