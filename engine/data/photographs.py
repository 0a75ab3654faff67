"""Photographs from folders: decoded once into a cache, all of the same size."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from engine.data import folders, picture_cache
from engine.data.decoded_live import LivePart
from engine.data.decoding import Resize, Settings
from engine.data.digest import digest_of_listing
from engine.data.folders import Listing
from engine.data.info import DataInfo, Loaded, Part, Place, Source
from engine.data.mapped import tensor_of_mapped
from engine.data.parts import PARTS, PartName
from engine.errors import RequestError

OnError = Literal["raise", "skip"]


class Photographs(Source):
    """What ImageFolder and LabelledFiles share; each says in which order its call takes these."""

    path: str
    size: int
    resize: Resize
    resize_size: int | None
    colour: bool
    on_error: OnError

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise RequestError(f"on_error={self.on_error!r}; there are 'raise' and 'skip'")
        _ = self.settings  # which refuses sizes that cannot be

    @property
    def settings(self) -> Settings:
        """What is made of every photograph."""
        return Settings(self.size, self.resize, self.resize_size, self.colour)

    @property
    def skips(self) -> bool:
        """Whether what cannot be used is left out."""
        return self.on_error == "skip"

    @abstractmethod
    def listed(self, root: Path) -> Listing:
        """The photographs in a folder. Raises RequestError, and OSError where a folder cannot be read."""

    def info(self, place: Place) -> DataInfo:
        """From the names of the files: none is opened, so those that cannot be read are counted."""
        return self._described(folders.list_photographs(self, place))

    def _described(self, listing: Listing) -> DataInfo:
        trained = Counter(label for label, part in zip(listing.labels, listing.parts, strict=True) if part == "train")
        return DataInfo(
            self.settings.shape,
            "float32",
            "classes",
            listing.classes,
            len(listing.classes),
            train=listing.count("train"),
            test=listing.count("test"),
            image=True,
            validation=listing.count("validation"),
            notes=listing.notes,
            class_counts=tuple(trained[label] for label in range(len(listing.classes))),
        )

    def decoded(self, place: Place) -> bool:
        """Whether the cache has all of them decoded, so that it is used whatever its bound is now."""
        try:
            return picture_cache.holds(folders.list_photographs(self, place), self.settings, skip=self.skips)
        except RequestError:  # a file that cannot be read, which loading tells
            return False

    def load(self, place: Place) -> Loaded:
        """Photographs uint8 (N, C, size, size), labels int64 (N,); decoded where the cache does not have them yet.

        Raises RequestError where there are none, and where a file cannot be read and is not to be left out.
        """
        listing = folders.list_photographs(self, place)
        decoded = picture_cache.provide(listing, self.settings, place, skip=self.skips)
        kept = decoded.kept(listing)
        parts: dict[PartName, Part] = {}
        begin = 0
        for name in PARTS:
            count = kept.parts.count(name)
            if count:
                parts[name] = _part(decoded, kept, slice(begin, begin + count), self.settings)
            begin += count
        present = {label for label, part in zip(kept.labels, kept.parts, strict=True) if part == "train"}
        for label, name_of_class in enumerate(kept.classes):
            if label not in present:
                raise RequestError(
                    f"no photograph of class {name_of_class!r} in {kept.root} can be read"
                    + decoded.first_left_out(listing, label)
                )
        return Loaded(
            self._described(kept),
            parts["train"],
            parts.get("test"),
            parts.get("validation"),
            (*listing.notes, *decoded.notes),
            decoded.key,
            partial(digest_of_listing, kept),
        )


def _part(decoded: picture_cache.Decoded, kept: Listing, rows: slice, settings: Settings) -> Part:
    targets = torch.tensor(kept.labels[rows], dtype=torch.int64)
    sums = torch.from_numpy(decoded.sums[rows])
    if decoded.pixels is None:
        paths = tuple(str(kept.root / file) for file in kept.files[rows])
        inputs = torch.empty((len(paths), *settings.shape), dtype=torch.uint8, device="meta")
        return LivePart(inputs, targets, 255.0, sums=sums, paths=paths, settings=settings)
    pixels = tensor_of_mapped(decoded.pixels[rows])
    file = (decoded.file, rows.start * pixels[0].numel())
    return Part(pixels, targets, 255.0, stored=True, sums=sums, file=file)


@dataclass(frozen=True)
class ImageFolder(Photographs):
    """Photographs in a folder a class, such as `pets/cat/1.jpg`; or in train, validation and test folders of these.

    Parts are understood by their names: train or training beside val, valid or validation, and test or testing, as in
    `training_set`. A class without photographs counts as what cannot be read.

    Args:
        path: the folder, seen from the current folder or the data folder
        size: width and height of every photograph, in pixels
        resize: 'short' scales the short side to `resize_size` and cuts the centre out, 'squash' scales both sides,
            'pad' scales the long side and puts black beside it
        resize_size: what the short side is scaled to before the centre is cut out; `size` unless given
        colour: False makes them grey
        on_error: 'skip' leaves out what cannot be read, and tells what that was; 'raise' names the first and stops
    """

    path: str
    size: int = 224
    resize: Resize = "short"
    resize_size: int | None = None
    colour: bool = True
    on_error: OnError = "raise"

    def listed(self, root: Path) -> Listing:
        """The photographs in the folders of their classes."""
        return folders.by_folder(root, self.skips)


@dataclass(frozen=True)
class LabelledFiles(Photographs):
    """Photographs in one folder whose names hold their class, such as `cat.0.jpg` and `dog.0.jpg`.

    A photograph whose name is not like the pattern counts as what cannot be read.

    Args:
        path: the folder, seen from the current folder or the data folder
        pattern: how they are called: {label} is the class, {id} a text that begins with a digit where there is one, any
            other name in braces any text
        size: width and height of every photograph, in pixels
        resize: 'short' scales the short side to `resize_size` and cuts the centre out, 'squash' scales both sides,
            'pad' scales the long side and puts black beside it
        resize_size: what the short side is scaled to before the centre is cut out; `size` unless given
        colour: False makes them grey
        on_error: 'skip' leaves out what cannot be read, and tells what that was; 'raise' names the first and stops
    """

    path: str
    pattern: str = "{label}.{id}.jpg"
    size: int = 224
    resize: Resize = "short"
    resize_size: int | None = None
    colour: bool = True
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        super().__post_init__()
        folders.name_pattern(self.pattern)

    def listed(self, root: Path) -> Listing:
        """The photographs whose names are like the pattern."""
        return folders.by_name(root, self.pattern, self.skips)
