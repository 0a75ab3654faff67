"""Arrays that a person prepared elsewhere: .npz (nothing is unpickled) and .safetensors."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
from torch import Tensor

from engine.data.digest import digest_of_parts
from engine.data.files import find_file, version
from engine.data.info import DataInfo, Kind, Loaded, Part, Place, Source
from engine.data.labels import check_labels
from engine.errors import RequestError, did_you_mean


@dataclass(frozen=True)
class Tensors(Source):
    """Arrays in an .npz or .safetensors file: inputs `x`, targets `y`, and `x_test`, `y_test` for a test split.

    uint8 inputs (N, H, W) or (N, C, H, W) are images, scaled to [0, 1]; other whole numbers stay whole (for an
    Embedding); floats become float32. Whole numbers (N,) as targets are labels, floats are values, zeros and ones
    (N, k) are several labels a sample; `kind` says so where it cannot be told.
    """

    path: str
    inputs: str = "x"
    targets: str = "y"
    kind: Literal["auto", "classes", "values", "multilabel"] = "auto"

    def __post_init__(self) -> None:
        if self.kind not in ("auto", "classes", "values", "multilabel"):
            raise RequestError(f"Tensors: kind={self.kind!r}; use 'auto', 'classes', 'values' or 'multilabel'")

    def info(self, place: Place) -> DataInfo:
        """Read from the file, once for each version of it."""
        path = find_file(self.path, place)
        return _info(self, path, version(path))

    def load(self, place: Place) -> Loaded:
        """Everything in the file that the call names. Raises RequestError with file, key and index."""
        path = find_file(self.path, place)
        place.report(f"reading {path.name}")
        loaded = _load(self, path)
        return replace(loaded, digest=partial(digest_of_parts, loaded.train, loaded.test))


@lru_cache(maxsize=16)
def _info(source: Tensors, path: Path, _version: tuple[int, int]) -> DataInfo:
    return _load(source, path).info


def _load(source: Tensors, path: Path) -> Loaded:
    test_keys = (f"{source.inputs}_test", f"{source.targets}_test")
    arrays = _read(path, (source.inputs, source.targets), test_keys)
    present = [key for key in test_keys if key in arrays]
    if len(present) == 1:
        raise RequestError(f"{path} has {present[0]} but not the other of {test_keys[0]} and {test_keys[1]}")

    inputs, scale, image = _inputs(path, source.inputs, arrays[source.inputs])
    kind = _kind(path, source, arrays[source.targets])
    targets, outputs = _targets(path, source.targets, arrays[source.targets], kind)
    _same_length(path, source.inputs, inputs, source.targets, targets)
    test = None
    if present:
        test_inputs, test_scale, _ = _inputs(path, test_keys[0], arrays[test_keys[0]])
        if test_inputs.shape[1:] != inputs.shape[1:] or test_inputs.dtype != inputs.dtype or test_scale != scale:
            raise RequestError(
                f"{path}: {test_keys[0]} holds samples of {_describe(test_inputs)}, {source.inputs} of "
                f"{_describe(inputs)}; both have to be the same"
            )
        test_targets, _ = _targets(path, test_keys[1], arrays[test_keys[1]], kind, outputs)
        _same_length(path, test_keys[0], test_inputs, test_keys[1], test_targets)
        test = Part(test_inputs, test_targets, scale)

    classes = () if kind == "values" else tuple(str(label) for label in range(outputs))
    dtype: Literal["int64", "float32"] = "int64" if inputs.dtype == torch.int64 else "float32"
    shape = tuple(inputs.shape[1:])
    tested = None if test is None else len(test.inputs)
    counts = tuple(np.bincount(targets.numpy(), minlength=outputs).tolist()) if kind == "classes" else ()
    info = DataInfo(shape, dtype, kind, classes, outputs, len(inputs), tested, image, class_counts=counts)
    return Loaded(info, Part(inputs, targets, scale), test)


def _read(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Tensor]:
    if path.suffix == ".npz":
        return _read_npz(path, needed, optional)
    if path.suffix == ".safetensors":
        return _read_safetensors(path, needed, optional)
    raise RequestError(f"{path}: Tensors reads .npz and .safetensors files")


def _choose(path: Path, keys: list[str], needed: tuple[str, ...], optional: tuple[str, ...]) -> list[str]:
    for key in needed:
        if key not in keys:
            hint = did_you_mean(key, keys)
            known = ", ".join(keys[:20]) or "nothing"
            raise RequestError(f"{path} has no array {key!r}; {f'{hint} It' if hint else 'it'} holds: {known}")
    return [*needed, *(key for key in optional if key in keys)]


def _read_npz(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Tensor]:
    try:
        # A few kilobytes can unpack to terabytes: the sizes in the archive are looked at first.
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()}
        keys = _choose(path, list(sizes), needed, optional)
        total, free = sum(sizes[key] for key in keys), psutil.virtual_memory().available
        if total > free:
            raise RequestError(
                f"{path} unpacks to {total / 1024**3:.1f} GiB, but {free / 1024**3:.1f} GiB of memory are free"
            )
        arrays = {}
        with np.load(path, allow_pickle=False) as stored:
            for key in keys:
                try:
                    array = stored[key]
                except ValueError as error:
                    if "pickle" in str(error):
                        raise RequestError(
                            f"{path}: {key} is an array of Python objects, which is never unpickled; save it as an "
                            "array of numbers"
                        ) from error
                    raise
                arrays[key] = _from_numpy(path, key, array)
            return arrays
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, zlib.error) as error:
        raise RequestError(f"{path} is not an .npz file that can be read: {error}") from error


def _from_numpy(path: Path, key: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise RequestError(f"{path}: {key} holds {array.dtype}; numbers (integers, floats, booleans) are needed")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise RequestError(f"{path}: {key} holds {array.max()}, which does not fit into int64")
        array = array.astype(np.int64)
    # A file may hold another byte order, or memory that torch may not write to.
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _read_safetensors(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as stored:
            keys = _choose(path, list(stored.keys()), needed, optional)
            return {key: stored.get_tensor(key) for key in keys}
    except SafetensorError as error:
        raise RequestError(f"{path} is not a .safetensors file that can be read: {error}") from error


def _inputs(path: Path, key: str, array: Tensor) -> tuple[Tensor, float, bool]:
    """Inputs as stored, their scale, and whether they are images."""
    if array.ndim == 0 or array.numel() == 0:
        raise RequestError(f"{path}: {key} has shape {tuple(array.shape)}; the first dimension counts samples")
    if array.ndim == 4 and array.shape[1] > 4 and array.shape[3] in (1, 3, 4):
        raise RequestError(
            f"{path}: {key} has shape {tuple(array.shape)}, which looks like channels last; transpose it to "
            "(N, C, H, W) with x.transpose(0, 3, 1, 2)"
        )
    if array.dtype == torch.uint8 and array.ndim in (3, 4):
        return array if array.ndim == 4 else array.unsqueeze(1), 255.0, True
    if array.dtype not in (torch.uint8, torch.bool) and not array.is_floating_point():
        return array.to(torch.int64), 1.0, False
    values = _finite(path, key, array)
    return values.unsqueeze(1) if values.ndim == 1 else values, 1.0, values.ndim == 4


def _finite(path: Path, key: str, array: Tensor) -> Tensor:
    if array.is_complex():
        raise RequestError(f"{path}: {key} holds complex numbers; split them into real ones")
    values = array.to(torch.float32)
    if not bool(torch.isfinite(values).all()):
        index = tuple(int(i) for i in torch.nonzero(~torch.isfinite(values))[0])
        raise RequestError(
            f"{path}: {key}[{', '.join(map(str, index))}] is {float(array[index])}; every number has to be finite "
            "in float32"
        )
    return values


def _kind(path: Path, source: Tensors, array: Tensor) -> Kind:
    if source.kind != "auto":
        return source.kind
    column = array.ndim == 2 and array.shape[1] == 1
    whole = not array.is_floating_point()
    if array.ndim == 1 or (column and whole):
        return "classes" if whole else "values"
    if array.ndim == 2 and bool(((array == 0) | (array == 1)).all()):
        return "multilabel"
    if whole:
        raise RequestError(
            f"{path}: {source.targets} holds whole numbers of shape {tuple(array.shape)}; labels are (N,), several "
            "labels a sample are zeros and ones (N, k), and values are floats, or say kind='values'"
        )
    return "values"


def _targets(path: Path, key: str, array: Tensor, kind: Kind, outputs: int | None = None) -> tuple[Tensor, int]:
    """Targets as stored and k; for a test split `outputs` is the k that it has to fit."""
    if array.ndim not in (1, 2) or array.numel() == 0:
        raise RequestError(f"{path}: {key} has shape {tuple(array.shape)}; targets are (N,) or (N, k)")
    if kind == "classes":
        return _labels(path, key, array, outputs)
    values = _finite(path, key, array)
    values = values.unsqueeze(1) if values.ndim == 1 else values
    if kind == "multilabel":
        wrong = torch.nonzero((values != 0) & (values != 1))
        if len(wrong):
            row, column = (int(i) for i in wrong[0])
            raise RequestError(f"{path}: {key}[{row}, {column}] is {float(values[row, column])}; multilabel is 0 or 1")
    if outputs is not None and values.shape[1] != outputs:
        raise RequestError(f"{path}: {key} has {values.shape[1]} numbers a sample, but training has {outputs}")
    return values, values.shape[1]


def _labels(path: Path, key: str, array: Tensor, outputs: int | None) -> tuple[Tensor, int]:
    labels = array.squeeze(1) if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1:
        raise RequestError(f"{path}: {key} has shape {tuple(array.shape)}; labels are (N,)")
    if labels.is_floating_point():
        wrong = torch.nonzero(~(labels == labels.floor()))
        if len(wrong):
            row = int(wrong[0, 0])
            raise RequestError(f"{path}: {key}[{row}] is {float(labels[row])}; labels are 0, 1, 2, ...")
    labels = labels.to(torch.int64)
    if outputs is None:
        return labels, check_labels(labels.numpy(), f"{path}: {key}", lambda row: f"{key}[{row}]")
    wrong = torch.nonzero((labels < 0) | (labels >= outputs))
    if len(wrong):
        row = int(wrong[0, 0])
        raise RequestError(
            f"{path}: {key}[{row}] is label {int(labels[row])}, but training has the labels 0 to {outputs - 1}"
        )
    return labels, outputs


def _same_length(path: Path, first: str, inputs: Tensor, second: str, targets: Tensor) -> None:
    if len(inputs) != len(targets):
        raise RequestError(f"{path}: {first} has {len(inputs)} samples, {second} has {len(targets)}")


def _describe(inputs: Tensor) -> str:
    return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape[1:])}"
