"""A part of the data that stays where it is, in a file of the cache or in the machine's memory, handed out in batches.

For what does not fit the memory given. Batches equal those of Resident to the bit: only where the bytes come from
differs. A thread gathers them by numpy, a few ahead; it never computes with torch, which would leave a pool of OpenMP
threads behind and slow the training down (see apart.py).
"""

from __future__ import annotations

import ctypes
import mmap
import queue
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.data.augment import Augmentation
from engine.data.info import Batch, Part
from engine.data.normalise import Normalise
from engine.data.resident import Resident
from engine.errors import RunError

AHEAD_BYTES = 32 * 1024**2  # of batches that wait to be trained on, but always two
GIVE_BACK_BYTES = 16 * 1024**2  # read since pages of the file were last given back

Rows = npt.NDArray[np.int64]


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
        self._pages = _Pages(part.inputs) if part.stored else None

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
            inputs = self._normalise.normalised(self._normalise.scaled(stored))
            yield Batch(inputs, self.targets[begin : begin + batch_size], number)

    def _stored(self, rows: Sequence[Rows]) -> Iterator[Tensor]:
        """Samples as stored, on the device, for each array of rows; nobody else writes to or reads these tensors."""
        samples = self.inputs.numpy()
        largest = max((len(chosen) for chosen in rows), default=1)
        depth = max(2, AHEAD_BYTES // max(1, largest * samples[0].nbytes))
        yield from (torch.from_numpy(batch).to(self.device) for batch in _ahead(samples, rows, depth, self._pages))


class _Pages:
    """The pages that a tensor's file is mapped to: what was read of them counts as this process's memory until they are
    given back. The system keeps them for as long as it has room."""

    def __init__(self, inputs: Tensor) -> None:
        page = mmap.PAGESIZE
        begin = -(-inputs.data_ptr() // page) * page
        end = (inputs.data_ptr() + inputs.numel() * inputs.element_size()) // page * page
        self._range = (begin, end - begin)
        self._read = 0
        self._advise = ctypes.CDLL(None).madvise if sys.platform != "win32" and end > begin else None

    def read(self, count: int) -> None:
        """So many bytes were read. Gives pages back now and then."""
        self._read += count
        if self._read >= GIVE_BACK_BYTES and self._advise is not None:
            self._read = 0
            begin, length = self._range
            self._advise(ctypes.c_void_p(begin), ctypes.c_size_t(length), ctypes.c_int(mmap.MADV_DONTNEED))


class _Gatherer:
    """Fills a queue with batches in a thread, until they are all there or nobody wants them any more."""

    def __init__(
        self, samples: npt.NDArray[np.generic], rows: Sequence[Rows], depth: int, pages: _Pages | None
    ) -> None:
        self._samples, self._rows, self._pages = samples, rows, pages
        self.ready: queue.Queue[npt.NDArray[np.generic] | BaseException] = queue.Queue()
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
                batch = np.empty((len(chosen), *self._samples.shape[1:]), self._samples.dtype)
                # Any other mode than "raise" writes straight into the array; rows are never out of bounds.
                np.take(self._samples, chosen, axis=0, out=batch, mode="clip")
                if self._pages is not None:
                    self._pages.read(batch.nbytes)
                self.ready.put(batch)
        except BaseException as error:
            self.ready.put(error)

    def take(self) -> npt.NDArray[np.generic]:
        """The next batch. Raises RunError where it cannot be gathered."""
        batch = self.ready.get()
        self._places.release()
        if isinstance(batch, BaseException):
            raise RunError(f"samples cannot be read: {type(batch).__name__}: {batch}") from batch
        return batch

    def stop(self) -> None:
        """Gather no more, and leave no thread behind that reads what is about to go."""
        self._stopped = True
        self._places.release()
        self._thread.join()


def _ahead(
    samples: npt.NDArray[np.generic], rows: Sequence[Rows], depth: int, pages: _Pages | None
) -> Iterator[npt.NDArray[np.generic]]:
    gatherer = _Gatherer(samples, rows, depth, pages)
    try:
        for _ in rows:
            yield gatherer.take()
    finally:
        gatherer.stop()
