"""A few samples of a source to look at, without reading all of it where the format allows that.

What comes out is plain bytes and numbers: whoever draws them needs no torch.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from engine.apart import apart
from engine.calls import Call
from engine.data.info import DataInfo, Loaded, Place
from engine.data.photographs import Photographs
from engine.data.sources import build_source
from engine.data.vision import _Cifar, _Idx
from engine.errors import RequestError
from engine.rng import Stream, generator

MOST = 12
# Of an IDX file: enough to meet each of ten classes, some 1.5 MB of pictures.
LOOKED_AT = 2_000
# Whole files up to this size are read for it.
LARGEST = 64 * 1024**2


@dataclass(frozen=True)
class Sample:
    """One sample: a picture of `shape` (C, H, W) as bytes, rows of pixels with their channels beside each other, or
    `values` of a table with an empty shape. `label` is its class, or the value to predict; `shares` are those of the
    classes that were mixed in it, the heaviest first."""

    label: str
    shape: tuple[int, ...]
    pixels: bytes = b""
    values: tuple[float, ...] = ()
    shares: tuple[tuple[str, float], ...] = ()


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
    if isinstance(built, Photographs):
        return _from_photographs(built, place, count)
    path = getattr(built, "path", None)
    if isinstance(path, str):
        _small_enough(path, place)
    built.require(place)
    if isinstance(built, _Cifar):
        # Its training files are five times as large; the pictures are of the same kind.
        return apart(lambda: _from_loaded(Loaded(built.info(place), built._read(place, False), None), count))
    return apart(lambda: _from_loaded(built.load(place), count))


def augmented_samples(samples: Samples, calls: Sequence[Call], info: DataInfo, turn: int) -> Samples:
    """The same samples after augmentation, as one batch; another draw for each `turn`.

    Where samples are mixed, each has the shares of its classes. Raises RequestError where the data cannot be augmented
    so.
    """
    return apart(lambda: _augmented(samples, calls, info, turn))


def _augmented(samples: Samples, calls: Sequence[Call], info: DataInfo, turn: int) -> Samples:
    import torch

    from engine.data.augment import augmented, build_augmentations

    built = build_augmentations(calls, info)
    if not built or not samples.pictures:
        return samples
    shape = samples.samples[0].shape
    stored = torch.frombuffer(bytearray(b"".join(sample.pixels for sample in samples.samples)), dtype=torch.uint8)
    pictures = stored.view(-1, *shape[1:], shape[0]).permute(0, 3, 1, 2).float().div(255).contiguous()
    numbers = {name: number for number, name in enumerate(info.classes)}
    labels = torch.tensor([numbers.get(sample.label, 0) for sample in samples.samples])
    changed, targets = augmented(built, pictures, labels, generator("cpu", turn, Stream.AUGMENT), info.outputs)
    pixels = changed.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous()
    mixed = targets.is_floating_point() and info.kind == "classes"
    return Samples(
        tuple(
            replace(
                sample,
                shape=tuple(changed.shape[1:]),
                pixels=pixels[at].numpy().tobytes(),
                shares=_shares(targets[at].tolist(), info.classes) if mixed else (),
            )
            for at, sample in enumerate(samples.samples)
        )
    )


def _shares(target: Sequence[float], classes: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Of a mixed target (k,), the classes that are in it at all, the heaviest first."""
    found = [(name, share) for name, share in zip(classes, target, strict=True) if share >= 0.005]
    return tuple(sorted(found, key=lambda pair: -pair[1]))


def _from_photographs(source: Photographs, place: Place, count: int) -> Samples:
    """Decoded for the look, without the cache: to ask it means to look at every file of the set first.

    What cannot be read is passed over, as the run will tell of it.
    """
    from engine.data.decoding import Unreadable, decode
    from engine.data.folders import list_photographs

    listing = list_photographs(source, place)
    of_training = [position for position, part in enumerate(listing.parts) if part == "train"]
    candidates = first_of_each([listing.labels[position] for position in of_training], 2 * count)
    samples: list[Sample] = []
    failed: Unreadable | None = None
    for position in (of_training[candidate] for candidate in candidates):
        if len(samples) == count:
            break
        try:
            pixels = decode(listing.root / listing.files[position], source.settings)
        except Unreadable as error:
            failed = failed or error
            continue
        shown = pixels.transpose(1, 2, 0).tobytes()
        samples.append(Sample(listing.classes[listing.labels[position]], source.settings.shape, shown))
    if not samples and failed is not None:
        raise failed
    return Samples(tuple(samples))


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
        if turn >= count:
            continue
        if turn == len(rounds):
            rounds.append({})
        rounds[turn][label] = position
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
