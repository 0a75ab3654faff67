"""Rows of a part of the data, wherever its samples are: in memory, in a file, or still in photographs. Numpy alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from engine.data import decoding
from engine.data.decoded_live import LivePart
from engine.data.info import Part
from engine.machine import processors

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.generic]


class StoredRows:
    """Reads samples of a part as they are stored.

    Of a file only what is asked for is read, and not through its mapping: the pages of a mapping count as memory of
    this process, and the system maps many more than were touched. A file that is removed can still be read.
    """

    def __init__(self, part: Part) -> None:
        self._live = part if isinstance(part, LivePart) else None
        self._held: Values | None = None
        self._shape = tuple(part.inputs.shape[1:])
        self._descriptor: int | None = None
        if self._live is not None:
            self._dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        else:
            # Keeps the entry of the cache where it is for as long as this object lives.
            self._held = part.inputs.numpy()
            self._dtype = self._held.dtype
        if part.file is not None:
            path, self._offset = part.file
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))

    def read(self, rows: Rows) -> Values:
        """Samples (len(rows), ...) in a new array. Raises OSError where the file ends too early, RequestError where a
        photograph cannot be read any more."""
        if self._live is not None:
            return _decoded(self._live, rows.tolist())
        out = np.empty((len(rows), *self._shape), self._dtype)
        if self._descriptor is None:
            assert self._held is not None
            # Any other mode than "raise" writes straight into the array; rows are never out of bounds.
            np.take(self._held, rows, axis=0, out=out, mode="clip")
            return out
        size = out[0].nbytes if len(rows) else 0
        flat = memoryview(out.reshape(-1).view(np.uint8).data)
        for place, row in enumerate(rows.tolist()):
            _read_fully(self._descriptor, flat[place * size : (place + 1) * size], self._offset + row * size)
        return out

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]
            self._descriptor = None


def _read_fully(descriptor: int, into: memoryview, offset: int) -> None:
    done = 0
    while done < len(into):
        count = os.preadv(descriptor, [into[done:]], offset + done)
        if count == 0:
            raise OSError("the file in the cache has become shorter")
        done += count


def _decoded(part: LivePart, rows: Iterable[int]) -> Values:
    with ThreadPoolExecutor(processors(), thread_name_prefix="layerlab-decoding") as pool:
        return np.stack(list(pool.map(lambda row: decoding.decode(part.paths[row], part.settings), rows)))
