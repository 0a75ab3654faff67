"""The image sets of torchvision, read as whole tensors from where torchvision keeps them."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from engine.data.download import fetch, has_md5, unpack_gzip, unpack_tar
from engine.data.info import FETCHING, DataInfo, Loaded, Missing, NotFetched, Part, Place, Source
from engine.data.vision_classes import CIFAR10_CLASSES, CIFAR100_CLASSES, FASHION_CLASSES, KMNIST_CLASSES
from engine.errors import RequestError, RunError


class _Vision(Source):
    """What the sets of torchvision share; each names its shape, its classes and its number of samples."""

    shape: ClassVar[tuple[int, int, int]]
    classes: ClassVar[tuple[str, ...]]
    counts: ClassVar[tuple[int, int]]

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        train, test = self.counts
        return DataInfo(self.shape, "float32", "classes", self.classes, len(self.classes), train, test, image=True)

    def load(self, place: Place) -> Loaded:
        """Images uint8 (N, C, H, W), labels int64 (N,), with the official test split.

        Fetches what is missing where `place.download` is set. Raises RequestError where files are missing or damaged,
        RunError where a download failed.
        """
        self._provide(place)
        parts = []
        for done, train in enumerate((True, False)):
            place.report(f"reading {type(self).__name__}", done, 2)
            parts.append(self._read(place, train))
        place.report(f"reading {type(self).__name__}", 2, 2)
        train_part, test_part = parts
        info = self.info(place)
        counted = (len(train_part.inputs), len(test_part.inputs))
        if counted != self.counts:
            # Somebody cut the set down: what is there counts.
            shape, kind, classes = info.input_shape, info.kind, info.classes
            info = DataInfo(shape, info.input_dtype, kind, classes, info.outputs, *counted, image=True)
        return Loaded(info, train_part, test_part)

    def _torchvision(self) -> Any:
        """The class of torchvision of the same name: addresses, file names, checksums. Takes a second to import."""
        return getattr(importlib.import_module("torchvision.datasets"), type(self).__name__)

    def _missing(self, folder: Path, files: list[str]) -> NotFetched:
        name = type(self).__name__
        text = (
            f"{name} is not in {folder} (missing: {', '.join(files)}); {FETCHING}; or name another data folder with "
            "--data, or put the files there"
        )
        return NotFetched(Missing("data", name, folder, tuple(files), text))

    def to_fetch(self, place: Place) -> Missing | None:
        """The files that neither lie in the data folder nor are packed in what lies there."""
        try:
            self._look(place)
        except NotFetched as error:
            [missing] = error.missing
            return missing
        return None

    def require(self, place: Place) -> None:
        """Raise NotFetched, with the folder, where files are missing and were not to be downloaded."""
        if not place.download:
            self._look(place)

    @abstractmethod
    def _look(self, place: Place) -> None:
        """Raise NotFetched where neither the files nor what they are packed in are there."""

    @abstractmethod
    def _provide(self, place: Place) -> None:
        """See that every file is there."""

    @abstractmethod
    def _read(self, place: Place, train: bool) -> Part:
        """The training or the test part, from files that are there."""


# As torchvision has them of MNIST, FashionMNIST and KMNIST alike.
_IDX_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip


class _Idx(_Vision):
    """Sets in MNIST's IDX files, in `<folder>/<name>/raw`."""

    shape = (1, 28, 28)
    counts = (60_000, 10_000)

    def _raw(self, place: Place) -> Path:
        return place.folder / type(self).__name__ / "raw"

    def _archives(self) -> dict[str, tuple[str, str]]:
        """For each file the archive that it comes in, with its checksum."""
        return {name.removesuffix(".gz"): (name, md5) for name, md5 in self._torchvision().resources}

    def _look(self, place: Place) -> None:
        # Without torchvision, whose import takes a second: every check looks here.
        folder = self._raw(place)
        missing = [name for name in _IDX_FILES if not (folder / name).is_file()]
        if any(not (folder / f"{name}.gz").is_file() for name in missing):
            raise self._missing(folder, missing)

    def _provide(self, place: Place) -> None:
        self.require(place)
        folder, known = self._raw(place), self._torchvision()
        for name, (archive, md5) in self._archives().items():
            packed = folder / archive
            if (folder / name).is_file():
                continue
            if not packed.is_file() or (place.download and not has_md5(packed, md5)):
                fetch([f"{mirror}{archive}" for mirror in known.mirrors], packed, md5, place)
            elif not has_md5(packed, md5):
                raise RequestError(f"{packed} is damaged, its MD5 is not {md5}; fetch it again with --download")
            unpack_gzip(packed, folder / name, place)

    def _read(self, place: Place, train: bool) -> Part:
        from torchvision.datasets.mnist import read_image_file, read_label_file

        prefix = "train" if train else "t10k"
        images_path = self._raw(place) / f"{prefix}-images-idx3-ubyte"
        labels_path = self._raw(place) / f"{prefix}-labels-idx1-ubyte"
        images, labels = _idx(images_path, read_image_file), _idx(labels_path, read_label_file)
        if tuple(images.shape[1:]) != self.shape[1:] or len(images) == 0:
            raise RequestError(f"{images_path} holds images {tuple(images.shape)}, not (N, 28, 28)")
        if len(images) != len(labels):
            raise RequestError(f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels")
        if int(labels.max()) >= len(self.classes):
            raise RequestError(
                f"{labels_path} has label {int(labels.max())}; the labels are 0 to {len(self.classes) - 1}"
            )
        return Part(images.unsqueeze(1), labels, scale=255.0)


def _idx(path: Path, read: Any) -> Tensor:
    try:
        tensor: Tensor = read(str(path))
        return tensor
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        # torchvision asserts, and torch raises by the dozen, on bytes that are not an IDX file.
        raise RequestError(
            f"{path} is damaged or not an IDX file ({path.stat().st_size:,} bytes); remove it and fetch it again "
            "with --download"
        ) from error


class _Cifar(_Vision):
    """The CIFAR sets, in `<folder>/cifar-10-batches-py` and `<folder>/cifar-100-python`."""

    shape = (3, 32, 32)
    counts = (50_000, 10_000)

    def _files(self) -> list[tuple[str, str]]:
        """Every file with its checksum."""
        known = self._torchvision()
        return [
            *map(tuple, known.train_list),
            *map(tuple, known.test_list),
            (known.meta["filename"], known.meta["md5"]),
        ]

    def _absent(self, place: Place) -> list[str]:
        folder = place.folder / self._torchvision().base_folder
        return [name for name, _ in self._files() if not (folder / name).is_file()]

    def _look(self, place: Place) -> None:
        known = self._torchvision()
        absent = self._absent(place)
        if absent and not (place.folder / known.filename).is_file():
            raise self._missing(place.folder / known.base_folder, absent)

    def _provide(self, place: Place) -> None:
        self.require(place)
        known = self._torchvision()
        if self._absent(place):
            packed = place.folder / known.filename
            if not packed.is_file() or (place.download and not has_md5(packed, known.tgz_md5)):
                fetch([known.url], packed, known.tgz_md5, place)
            elif not has_md5(packed, known.tgz_md5):
                raise RequestError(f"{packed} is damaged, its MD5 is not {known.tgz_md5}; fetch it with --download")
            unpack_tar(packed, place.folder, place)
            if absent := self._absent(place):
                raise RunError(f"{packed} does not hold {', '.join(absent)}")
        # These files are pickles: torchvision opens them only where their checksums are right, and so do we.
        folder = place.folder / known.base_folder
        for name, md5 in self._files():
            if not has_md5(folder / name, md5):
                raise RequestError(
                    f"{folder / name} is damaged, its MD5 is not {md5}; remove it and fetch it again with --download"
                )

    def _read(self, place: Place, train: bool) -> Part:
        data = self._torchvision()(place.folder, train=train)
        # torchvision turns the stored (N, C, H, W) into (N, H, W, C) for pictures; this turns it back.
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return Part(images, torch.tensor(data.targets, dtype=torch.int64), scale=255.0)


@dataclass(frozen=True)
class MNIST(_Idx):
    """Handwritten digits, 60,000 + 10,000 grey images of 28x28 pixels in 10 classes (LeCun, Cortes, Burges)."""

    classes = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class FashionMNIST(_Idx):
    """Articles of clothing, 60,000 + 10,000 grey images of 28x28 pixels in 10 classes (Xiao, Rasul, Vollgraf)."""

    classes = FASHION_CLASSES


@dataclass(frozen=True)
class KMNIST(_Idx):
    """Cursive Japanese characters, 60,000 + 10,000 grey images of 28x28 pixels in 10 classes (Clanuwat et al.)."""

    classes = KMNIST_CLASSES


@dataclass(frozen=True)
class CIFAR10(_Cifar):
    """Photographs of animals and vehicles, 50,000 + 10,000 colour images of 32x32 pixels in 10 classes (Krizhevsky)."""

    classes = CIFAR10_CLASSES


@dataclass(frozen=True)
class CIFAR100(_Cifar):
    """Photographs, 50,000 + 10,000 colour images of 32x32 pixels in 100 classes (Krizhevsky)."""

    classes = CIFAR100_CLASSES
