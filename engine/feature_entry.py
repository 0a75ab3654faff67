"""How features lie in an entry of the cache, and how they get there: all at once, or by and by.

An entry `features/<key>` holds `values` (float32, a sample's features after the other's, in the order of the parts) and
`about.json`. Where computing was stopped, `features/<key>-begun` is the same of as many batches as were done.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from engine.data import cache_folder
from engine.data.info import Part, Place
from engine.errors import RunError
from engine.features import Prefix

KIND = "features"
FORMAT = 1
PIECE = 1 << 24  # bytes read at a time
_INPUT_BYTES = 32 << 20  # of inputs in a batch
_BATCH = 64

Compute = Callable[[Part, int, int], Tensor]
Found = tuple[list[Tensor], float, cache_folder.Hold]


class Stopped(Exception):
    """Somebody asked for an end before training began."""


@dataclass
class _Done:
    """How far computing has come: samples, the check sum of their values, and the seconds that they took."""

    samples: int = 0
    crc32: int = 0
    seconds: float = 0.0


def make(
    key: str, prefix: Prefix, parts: Sequence[Part], compute: Compute, place: Place, stopped: Callable[[], bool]
) -> None:
    """Compute the features of all samples, `compute(part, begin, end)` a batch, into a new entry.

    Raises RunError where the cache cannot hold it, Stopped where `stopped` says so between two batches. What was
    computed until then, or until anything else went wrong, is kept, and goes into the entry the next time.
    """
    total = sum(len(part.inputs) for part in parts)
    wanted = total * _row_bytes(prefix)
    where = cache_folder.cache_folder()
    batch = max(1, min(_BATCH, _INPUT_BYTES // max(4 * parts[0].inputs[0].numel(), 1)))
    begun = _begun(key, prefix, batch)
    if begun is not None and not cache_folder.make_room(wanted - begun.done.samples * _row_bytes(prefix)):
        begun.hold.close()
        begun = None
    if begun is None and not cache_folder.make_room(wanted):
        raise RunError(
            f"the features of {total:,} samples take {wanted / 2**30:,.2f} GiB, which {where} cannot hold; raise "
            "LAYERLAB_CACHE_GIB, name another folder with LAYERLAB_CACHE, or set cache_features = false"
        )
    try:
        with cache_folder.making(KIND, key) as folder:
            done = _Done() if begun is None else _taken_over(begun, folder)
            try:
                with (folder / "values").open("ab") as file:
                    _compute(done, parts, batch, compute, file, place, stopped)
            except OSError:
                raise
            except BaseException:  # KeyboardInterrupt, too
                if done.samples:
                    _keep(folder, key, prefix, batch, done)
                raise
            _describe(folder, prefix, [len(part.inputs) for part in parts], batch, done)
    except OSError as error:
        raise RunError(
            f"the features cannot be written to {where}: {error.strerror or error}; name another folder with "
            "LAYERLAB_CACHE, or set cache_features = false"
        ) from error


def _compute(
    done: _Done,
    parts: Sequence[Part],
    batch: int,
    compute: Compute,
    file: BinaryIO,
    place: Place,
    stopped: Callable[[], bool],
) -> None:
    """Add what is not `done` to the file, a batch after the other. Raises OSError where it cannot be written to, and
    RunError where samples cannot be read."""
    total, position = sum(len(part.inputs) for part in parts), 0
    before, began = done.seconds, time.perf_counter()
    for part in parts:
        for begin in range(0, len(part.inputs), batch):
            end = min(begin + batch, len(part.inputs))
            position += end - begin
            if position <= done.samples:
                continue
            if stopped():
                raise Stopped
            try:
                values = compute(part, begin, end).numpy().data.cast("B")
            except OSError as error:  # not of the file that is written to
                raise RunError(f"samples cannot be read: {error.strerror or error}") from error
            file.write(values)
            done.crc32 = zlib.crc32(values, done.crc32)
            done.samples, done.seconds = position, before + time.perf_counter() - began
            place.report("computing features", position, total)


def stored(key: str, prefix: Prefix, parts: Sequence[Part]) -> Found | None:
    """The features of each part, mapped, the seconds that they took, and the hold on them; None where they are not
    there. What is damaged is thrown away."""
    hold = cache_folder.hold(KIND, key)
    if hold is None:
        return None
    counts = [len(part.inputs) for part in parts]
    try:
        about = _about(hold, prefix)
        values = hold.folder / "values"
        if about["samples"] != counts or _crc32(values, sum(counts) * _row_bytes(prefix)) != about["crc32"]:
            raise ValueError("it is not what it should be")
        # Copied where somebody writes to it, so the file stays what it is.
        mapped = np.memmap(values, np.float32, "c", shape=(sum(counts), *prefix.shape))
    except cache_folder.DAMAGED as error:
        hold.damaged(error)
        return None
    whole = torch.from_numpy(mapped)
    return list(torch.split(whole, counts)), about["seconds"], hold


# -- what a stop leaves --------------------------------------------------------------------------------------------


@dataclass
class _Begun:
    """What a stop left: held, so that it stays."""

    hold: cache_folder.Hold
    done: _Done


def _name(key: str) -> str:
    return f"{key}-begun"


def _keep(folder: Path, key: str, prefix: Prefix, batch: int, done: _Done) -> None:
    """Let what is done be taken over the next time; where the cache does not allow it, that begins anew."""
    with contextlib.suppress(OSError):
        # What was written of a batch that was broken off goes.
        os.truncate(folder / "values", done.samples * _row_bytes(prefix))
        _describe(folder, prefix, [done.samples], batch, done)
        cache_folder.throw_away(KIND, _name(key))
        cache_folder.settle(folder, _name(key))


def _begun(key: str, prefix: Prefix, batch: int) -> _Begun | None:
    """What a stop left of these features. Its batches were cut as they are now, so all values are what they would be.
    What is damaged is thrown away."""
    hold = cache_folder.hold(KIND, _name(key))
    if hold is None:
        return None
    try:
        about = _about(hold, prefix)
        [samples] = about["samples"]
        if about["batch"] != batch or _crc32(hold.folder / "values", samples * _row_bytes(prefix)) != about["crc32"]:
            raise ValueError("it is not what it should be")
        return _Begun(hold, _Done(int(samples), about["crc32"], about["seconds"]))
    except cache_folder.DAMAGED as error:
        hold.damaged(error)
        return None


def _taken_over(begun: _Begun, folder: Path) -> _Done:
    """Move its values into a folder that is being made, so that no room is wanted for them twice; where another process
    was faster, nothing is done yet."""
    try:
        os.rename(begun.hold.folder / "values", folder / "values")
    except OSError:
        return _Done()
    finally:
        begun.hold.close()
    cache_folder.throw_away(KIND, begun.hold.folder.name)
    return begun.done


# -- the files -----------------------------------------------------------------------------------------------------


def _row_bytes(prefix: Prefix) -> int:
    return 4 * int(np.prod(prefix.shape, dtype=np.int64))


def _describe(folder: Path, prefix: Prefix, samples: Sequence[int], batch: int, done: _Done) -> None:
    about = {
        "format": FORMAT,
        "layers": prefix.text,
        "shape": list(prefix.shape),
        "samples": list(samples),
        "batch": batch,
        "seconds": done.seconds,
        "crc32": done.crc32,
    }
    (folder / "about.json").write_text(json.dumps(about))


def _about(hold: cache_folder.Hold, prefix: Prefix) -> dict[str, Any]:
    about = json.loads((hold.folder / "about.json").read_bytes()[: 1 << 16])
    if about["format"] != FORMAT or about["shape"] != list(prefix.shape):
        raise ValueError("it is of something else")
    return dict(about) | {"seconds": float(about["seconds"])}


def _crc32(path: Path, size: int) -> int:
    """The check sum of a file of `size` bytes. ValueError where it has another size."""
    if path.stat().st_size != size:
        raise ValueError("it has another size")
    check = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            check = zlib.crc32(piece, check)
    return check
