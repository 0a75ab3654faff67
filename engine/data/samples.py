"""A few samples of a source to look at, without reading all of it where the format allows that.

What comes out is plain bytes and numbers: whoever draws them needs no torch.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from engine.apart import apart
from engine.calls import Call
from engine.data.info import Loaded, Place
from engine.data.sources import build_source
from engine.data.vision import _Cifar, _Idx
from engine.errors import RequestError

MOST = 12
# Of an IDX file: enough to meet each of ten classes, some 1.5 MB of pictures.
LOOKED_AT = 2_000
# Whole files up to this size are read for it.
LARGEST = 64 * 1024**2


@dataclass(frozen=True)
class Sample:
    """One sample: a picture of `shape` (C, H, W) as bytes, rows of pixels with their channels beside each other, or
    `values` of a table with an empty shape. `label` is its class, or the value to predict."""

    label: str
    shape: tuple[int, ...]
    pixels: bytes = b""
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Samples:
    """Samples of different classes first."""

    samples: tuple[Sample, ...]

    @property
    def pictures(self) -> bool:
        return bool(self.samples) and bool(self.samples[0].shape)


def read_samples(source: Call, place: Place, count: int = MOST) -> Samples:
    """The first samples of each class of a source, at most `count`.

    Raises RequestError where the data is not there, cannot be read, or is too large to be read for a look.
    """
    built = build_source(source)
    if isinstance(built, _Idx):
        return _from_idx(built, place, count)
    path = getattr(built, "path", None)
    if isinstance(path, str):
        _small_enough(path, place)
    built.require(place)
    if isinstance(built, _Cifar):
        # Its training files are five times as large; the pictures are of the same kind.
        return apart(lambda: _from_loaded(Loaded(built.info(place), built._read(place, False), None), count))
    return apart(lambda: _from_loaded(built.load(place), count))


def _small_enough(path: str, place: Place) -> None:
    from engine.data.files import find_file

    size = find_file(path, place).stat().st_size
    if size > LARGEST:
        raise RequestError(f"{path} has {size / 2**20:,.0f} MiB, too much to be read for a look")


def first_of_each(labels: Sequence[int], count: int) -> list[int]:
    """Positions of the first sample of each class in the order of the labels, then of the second, and so on."""
    rounds: list[dict[int, int]] = []
    seen: dict[int, int] = {}
    for position, label in enumerate(labels):
        turn = seen.get(label, 0)
        seen[label] = turn + 1
        if turn == len(rounds):
            rounds.append({})
        if turn < count:
            rounds[turn][label] = position
        if len(rounds) > count:
            break
    order = [turn[label] for turn in rounds for label in sorted(turn)]
    return order[:count]


def _from_idx(source: _Idx, place: Place, count: int) -> Samples:
    """The beginning of the training files of MNIST and its like, packed or not."""
    source.require(place)
    folder = place.folder / type(source).__name__ / "raw"
    labels = _idx_head(folder / "train-labels-idx1-ubyte", 1)[1]
    (height, width), pixels = _idx_head(folder / "train-images-idx3-ubyte", 3)
    size = height * width
    chosen = first_of_each(labels[: len(pixels) // size], count)
    names = source.classes
    return Samples(
        tuple(
            Sample(
                names[labels[at]] if labels[at] < len(names) else str(labels[at]),
                (1, height, width),
                pixels[at * size : (at + 1) * size],
            )
            for at in chosen
        )
    )


def _idx_head(path: Path, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """The sizes of one item and the bytes of the first items of an IDX file of unsigned bytes."""
    try:
        with cast(BinaryIO, open(path, "rb") if path.is_file() else gzip.open(f"{path}.gz")) as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise RequestError(f"{path} is not an IDX file of {dimensions} dimensions")
            sizes = struct.unpack(f">{dimensions}I", head[4:])
            item = 1
            for size in sizes[1:]:
                item *= size
            if item > LARGEST // LOOKED_AT:
                raise RequestError(f"{path} says that one item has {item:,} bytes; it is damaged")
            return sizes[1:], file.read(item * min(sizes[0], LOOKED_AT))
    except (OSError, EOFError, ValueError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None


def _from_loaded(loaded: Loaded, count: int) -> Samples:
    part, info = loaded.train, loaded.info
    if info.kind == "classes":
        labels = part.targets[:LOOKED_AT].tolist()
        chosen = first_of_each(labels, count)
        names = [info.classes[labels[at]] for at in chosen]
    else:
        chosen = list(range(min(count, len(part.targets))))
        names = [", ".join(f"{value:g}" for value in part.targets[at].tolist()[:4]) for at in chosen]
    if not info.image:
        return Samples(
            tuple(
                Sample(name, (), values=tuple(float(value) for value in part.inputs[at].flatten()[:8].tolist()))
                for at, name in zip(chosen, names, strict=True)
            )
        )
    found = []
    for at, name in zip(chosen, names, strict=True):
        picture = part.inputs[at].float().div(part.scale).clamp(0, 1).mul(255).round().to("cpu").byte()
        pixels = picture.permute(1, 2, 0).contiguous().numpy().tobytes()
        found.append(Sample(name, tuple(picture.shape), pixels))
    return Samples(tuple(found))
