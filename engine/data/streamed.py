"""A part of the data that stays where it is, in a file of the cache or in the machine's memory, handed out in batches.

For what does not fit the memory given. Batches equal those of Resident to the bit: only where the bytes come from
differs. A thread gathers them by numpy, a few ahead; it never computes with torch, which would leave a pool of OpenMP
threads behind and slow the training down (see apart.py).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.data.augment import Augmentation
from engine.data.info import Batch, Part
from engine.data.normalise import Normalise
from engine.data.resident import Resident
from engine.data.stored_rows import Rows, StoredRows, Values
from engine.errors import RunError

AHEAD_BYTES = 32 * 1024**2  # of batches that wait to be trained on, but always two


class Streamed(Resident):
    """Samples of `part`, of which those at `index` (or all) are handed out, with `targets` of these on the device."""

    def __init__(
        self,
        part: Part,
        index: Tensor | None,
        targets: Tensor,
        normalise: Normalise,
        augmentations: tuple[Augmentation, ...] = (),
        *,
        augment_last: bool = False,
        classes: int = 0,
        device: torch.device,
    ) -> None:
        super().__init__(part.inputs, targets, normalise, augmentations, augment_last=augment_last, classes=classes)
        self.device = device
        self._rows: Rows = np.arange(len(part.inputs)) if index is None else index.numpy()
        self._source = StoredRows(part)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._rows)

    def _chosen(self, order: Tensor, sizes: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        places = torch.split(order, list(sizes))
        for stored, index in zip(self._stored([self._rows[p.numpy()] for p in places]), places, strict=True):
            yield self._prepared(stored), self.targets.index_select(0, index.to(self.device))

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in the order of the source, without augmentation: for evaluation."""
        begins = range(0, len(self), batch_size)
        rows = [self._rows[begin : begin + batch_size] for begin in begins]
        for number, stored in enumerate(self._stored(rows)):
            begin = begins[number]
            yield Batch(self._normalise.ready(stored), self.targets[begin : begin + batch_size], number)

    def _stored(self, rows: Sequence[Rows]) -> Iterator[Tensor]:
        """Samples as stored, on the device, for each array of rows; nobody else writes to or reads these tensors."""
        largest = max((len(chosen) for chosen in rows), default=1)
        sample_bytes = self.inputs[0].numel() * self.inputs.element_size()
        depth = max(2, AHEAD_BYTES // max(1, largest * sample_bytes))
        yield from (torch.from_numpy(batch).to(self.device) for batch in _ahead(self._source, rows, depth))


class _Gatherer:
    """Fills a queue with batches in a thread, until they are all there or nobody wants them any more."""

    def __init__(self, source: StoredRows, rows: Sequence[Rows], depth: int) -> None:
        self._source, self._rows = source, rows
        self.ready: queue.Queue[Values | BaseException] = queue.Queue()
        self._places = threading.Semaphore(depth)
        self._stopped = False
        self._thread = threading.Thread(target=self._gather, name="layerlab-gather", daemon=True)
        self._thread.start()

    def _gather(self) -> None:
        try:
            for chosen in self._rows:
                self._places.acquire()
                if self._stopped:
                    return
                self.ready.put(self._source.read(chosen))
        except BaseException as error:
            self.ready.put(error)

    def take(self) -> Values:
        """The next batch. Raises RunError where it cannot be gathered."""
        batch = self.ready.get()
        self._places.release()
        if isinstance(batch, BaseException):
            raise RunError(f"samples cannot be read: {str(batch) or type(batch).__name__}") from batch
        return batch

    def stop(self) -> None:
        """Gather no more, and leave no thread behind that reads what is about to go."""
        self._stopped = True
        self._places.release()
        self._thread.join()


def _ahead(source: StoredRows, rows: Sequence[Rows], depth: int) -> Iterator[Values]:
    gatherer = _Gatherer(source, rows, depth)
    try:
        for _ in rows:
            yield gatherer.take()
    finally:
        gatherer.stop()
