"""From what an experiment says about data to tensors on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import machine
from engine.data.augment import Augmentation, build_augmentations
from engine.data.decoded_live import DecodedLive, Decoders, LivePart
from engine.data.files import size_text
from engine.data.info import DataInfo, Loaded, Part, Place
from engine.data.normalise import Normalise, TrainedWith, fixed, statistics
from engine.data.resident import Resident
from engine.data.sources import build_source
from engine.data.split import Validation, build_validation, check_split, split
from engine.data.streamed import Streamed
from engine.errors import RequestError
from engine.fields import memory_bytes

if TYPE_CHECKING:
    from engine.spec import Data

_ROWS_AT_ONCE_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Prepared:
    """Everything that a session needs of the data.

    `val` is the held-out part, or the official test split where validation is `test`; then `test` is None, for it would
    measure the same samples again. `mean` and `std` (C,) are what inputs were normalised with, None where they were
    not. `target_mean` and `target_std` (k,) are what targets were standardised with, from the training part: a
    prediction is in the target's own units after `* target_std + target_mean`. `notes` are what a person should know
    of the data, and of where it is held. `digest` names the data, as in Loaded.
    """

    info: DataInfo
    train: Resident
    val: Resident | None
    test: Resident | None
    mean: Tensor | None
    std: Tensor | None
    target_mean: Tensor | None
    target_std: Tensor | None
    notes: tuple[str, ...] = ()
    digest: str | None = None


def prepare(
    data: Data,
    *,
    seed: int,
    device: torch.device | str,
    place: Place,
    standardize_targets: bool = False,
    resident_bytes: int | None = None,
    embed: Callable[[Loaded, Normalise], Loaded] | None = None,
    trained_with: TrainedWith | None = None,
) -> Prepared:
    """Load, split, normalise, and put onto the device.

    Inputs are held on the device where they take at most `data.memory` ("auto": half of what is free there); otherwise
    they stay where they were loaded, in the cache or in the machine's memory, and batches are read from there. What is
    held is normalised once where that takes no more than `resident_bytes` (unless given, the same bound), otherwise as
    each batch is handed out. The batches are the same to the bit, always. `standardize_targets` is for values. `embed`
    gives what the network is trained on in place of the samples, given them and how they are normalised; `info`, `mean`
    and `std` are still those of the samples. `trained_with` is what inputs were normalised with where the weights were
    trained that the network begins with: normalize = "auto" takes it over, as it does that they were not. Raises
    RequestError where the data does not suit what was asked.
    """
    device = torch.device(device)
    source = build_source(data.source)
    info = source.info(place)
    validation = _validation(data, info)
    augmentations = build_augmentations(data.augment, info)
    loaded = source.load(place)
    digest = None if loaded.digest is None else loaded.digest()

    train_index = val_index = None
    # What a source sets aside for validation is for that, whatever share was to be held out.
    if validation.kind == "holdout" and loaded.validation is None:
        place.report("splitting")
        train_index, val_index = split(
            loaded.train.targets, loaded.info, validation.fraction, validation.stratify, seed
        )
    place.report("normalising")
    mean, std = _mean_and_std(data, loaded, train_index, trained_with)
    target_mean = target_std = None
    if standardize_targets and loaded.info.kind == "values":
        target_mean, target_std = statistics(loaded.train.targets, train_index, 1.0)

    info, notes = loaded.info, loaded.notes
    normalised = None if mean is None or std is None else (mean.to(device), std.to(device))
    if embed is not None:
        loaded = embed(loaded, _normalisation(loaded, mean, std, device))
        mean = std = None
    placement = _Placement(data, loaded, device, mean, std, target_mean, target_std, resident_bytes, place)
    official = None if loaded.test is None else placement.resident(loaded.test, None, "test part")
    held_out = None if val_index is None else placement.resident(loaded.train, val_index, "validation part")
    if validation.kind == "holdout" and loaded.validation is not None:
        held_out = placement.resident(loaded.validation, None, "validation part")
    tests = validation.kind == "test"
    return Prepared(
        info=info,
        train=placement.resident(loaded.train, train_index, "training part", augmentations),
        val=official if tests else held_out,
        test=None if tests else official,
        mean=None if normalised is None else normalised[0],
        std=None if normalised is None else normalised[1],
        target_mean=placement.target_mean,
        target_std=placement.target_std,
        notes=(*notes, *placement.notes),
        digest=digest,
    )


def check_data(data: Data, info: DataInfo) -> tuple[str, RequestError] | None:
    """The field of [data] that does not suit this data, with the reason; None where all do. Needs no samples."""
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("validation", lambda: _validation(data, info)),
        ("augment", lambda: build_augmentations(data.augment, info)),
        ("normalize", lambda: _fixed_mean_and_std(data, info)),
    )
    for field, check in checks:
        try:
            check()
        except RequestError as error:
            return field, error
    return None


def _validation(data: Data, info: DataInfo) -> Validation:
    validation = build_validation(data.validation)
    if validation.kind == "test" and info.test is None:
        raise RequestError(f'{data.source} has no official test split; use validation = "holdout(0.2)"')
    if validation.kind == "holdout" and info.validation is None and info.train is not None:
        check_split(info.train, info.class_counts, info, validation.fraction, validation.stratify)
    return validation


def _fixed_mean_and_std(data: Data, info: DataInfo) -> tuple[Tensor, Tensor] | None:
    """(C,) each as the experiment gives them; None where they are measured, or inputs are not normalised."""
    if isinstance(data.normalize, str):
        return None
    if info.input_dtype == "int64":
        raise RequestError(
            f'{data.source} has whole numbers as inputs, which are not normalised; use normalize = "none"'
        )
    return fixed(data.normalize, info.input_shape[0])


def _mean_and_std(
    data: Data, loaded: Loaded, index: Tensor | None, trained_with: TrainedWith | None
) -> tuple[Tensor | None, Tensor | None]:
    """(C,) each, from the training samples alone unless given; None where inputs are not normalised."""
    given = _fixed_mean_and_std(data, loaded.info)
    if given is not None:
        return given
    if data.normalize == "none" or trained_with == "none" or loaded.info.input_dtype == "int64":
        return None, None
    if trained_with is not None and len(trained_with[0]) == loaded.info.input_shape[0]:
        mean, std = trained_with
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    return statistics(loaded.train.inputs, index, loaded.train.scale, loaded.train.sums)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; for the CPU, and where the device shares its memory, what this process may
    take of the machine's."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return machine.free_memory()


def _normalisation(loaded: Loaded, mean: Tensor | None, std: Tensor | None, device: torch.device) -> Normalise:
    """What is to be done to samples as they are stored; `mean` and `std` are (C,)."""
    scale = loaded.train.scale
    scaled = scale != 1.0 or loaded.train.inputs.dtype == torch.uint8
    one_sample = (-1, *[1] * (len(loaded.info.input_shape) - 1))
    return Normalise(
        torch.tensor(scale, device=device) if scaled else None,
        None if mean is None else mean.to(device).view(one_sample),
        None if std is None else std.to(device).view(one_sample),
    )


class _Placement:
    """Puts parts of one data set onto one device, all in the same form."""

    def __init__(
        self,
        data: Data,
        loaded: Loaded,
        device: torch.device,
        mean: Tensor | None,
        std: Tensor | None,
        target_mean: Tensor | None,
        target_std: Tensor | None,
        resident_bytes: int | None,
        place: Place,
    ) -> None:
        self._device = device
        self._place = place
        self._info = loaded.info
        self.target_mean = None if target_mean is None else target_mean.to(device)
        self.target_std = None if target_std is None else target_std.to(device)
        self._normalise = _normalisation(loaded, mean, std, device)
        parts = [part for part in (loaded.train, loaded.validation, loaded.test) if part is not None]
        stored = sum(part.inputs.numel() * part.inputs.element_size() for part in parts)
        given = memory_bytes(data.memory)
        limit = free_memory(device) // 2 if given is None else given
        self._streams = stored > limit
        ready = sum(part.inputs.numel() * 4 for part in parts)
        self._ready = ready <= (limit if resident_bytes is None else resident_bytes)
        self.notes: tuple[str, ...] = ()
        # All parts of a set are alike.
        self._decoders = Decoders(loaded.train.settings) if isinstance(loaded.train, LivePart) else None
        if self._streams and not isinstance(loaded.train, LivePart):
            where = "the cache" if loaded.train.stored else "the machine's memory"
            self.notes = (
                f"the samples take {size_text(stored)}, more than the {size_text(limit)} that they may have on "
                f"{device}: batches are read from {where}",
            )

    def resident(
        self, part: Part, index: Tensor | None, text: str, augmentations: tuple[Augmentation, ...] = ()
    ) -> Resident:
        targets = part.targets if index is None else part.targets.index_select(0, index)
        targets = targets.to(self._device)
        if self.target_mean is not None and self.target_std is not None:
            targets = targets.sub(self.target_mean).div(self.target_std)
        # Images are augmented before they are normalised, so they cannot be normalised once and for all.
        last, classes = not self._info.image, self._info.outputs
        if isinstance(part, LivePart):
            return DecodedLive(
                part,
                index,
                targets,
                self._normalise,
                augmentations,
                classes=classes,
                device=self._device,
                decoders=self._decoders,
            )
        if self._streams:
            return Streamed(
                part,
                index,
                targets,
                self._normalise,
                augmentations,
                augment_last=last,
                classes=classes,
                device=self._device,
            )
        if self._ready and not self._normalise.nothing and (last or not augmentations):
            inputs, rest = self._copied(part.inputs, index, text, self._normalise), Normalise(None, None, None)
        else:
            inputs, rest = self._copied(part.inputs, index, text, None), self._normalise
        return Resident(inputs, targets, rest, augmentations, augment_last=last, classes=classes)

    def _copied(self, inputs: Tensor, index: Tensor | None, text: str, normalise: Normalise | None) -> Tensor:
        """Samples on the device, some rows at a time, so that no second copy of all of them is ever held."""
        n = len(inputs) if index is None else len(index)
        dtype = inputs.dtype if normalise is None else torch.float32
        out = torch.empty((n, *inputs.shape[1:]), dtype=dtype, device=self._device)
        rows = max(1, _ROWS_AT_ONCE_BYTES // (4 * inputs[0].numel()))
        for begin in range(0, n, rows):
            end = min(begin + rows, n)
            chosen = inputs[begin:end] if index is None else inputs.index_select(0, index[begin:end])
            chosen = chosen.to(self._device)
            out[begin:end] = chosen if normalise is None else normalise.normalised(normalise.scaled(chosen))
            self._place.report(f"loading the {text}", end, n)
        return out
