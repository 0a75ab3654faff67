"""What a source holds, counted and measured: for a look before an experiment is made of it."""

from __future__ import annotations

import dataclasses
import math
import statistics as numbers
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.calls import Call
from engine.data.folders import Listing, list_photographs
from engine.data.info import DataInfo, Loaded, Part, Place
from engine.data.normalise import statistics
from engine.data.photographs import Photographs
from engine.data.sources import build_source
from engine.errors import RequestError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Sizes:
    """(width, height) in pixels of the photograph with the fewest, of the middle one, of that with the most pixels."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True)
class Survey:
    """What a source holds. `parts` are numbers of samples, `classes` those of each class of each part; `sizes` are of
    photographs as they lie there, `mean` and `std` of each channel or column of the training part, images in [0, 1];
    `notes` say what would be left out and what looks unusual."""

    source: Call
    info: DataInfo
    parts: dict[str, int]
    classes: dict[str, dict[str, int]]
    sizes: Sizes | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    notes: tuple[str, ...]


def survey(source: Call, place: Place) -> Survey:
    """Load a source, and count and measure it; files that cannot be read are told of in `notes`, not raised.

    Raises RequestError where the data is not there or cannot be used at all.
    """
    built = build_source(source)
    photographs = asked = built if isinstance(built, Photographs) else None
    if photographs is not None:
        built = photographs = dataclasses.replace(photographs, on_error="skip")  # type: ignore[type-var]
    loaded = built.load(place)
    sizes = None if photographs is None else _sizes(list_photographs(photographs, place), place)
    mean, std = _measured(loaded)
    found = {name: part for name in PARTS if (part := getattr(loaded, name)) is not None}
    notes = loaded.notes
    if asked is not None and _stops_at(asked, place, sum(len(part.targets) for part in found.values()), notes):
        notes = (*notes, "training stops at what is left out here, unless the source says on_error='skip'")
    return Survey(
        source=source,
        info=loaded.info,
        parts={name: len(part.targets) for name, part in found.items()},
        classes={name: _counts(part, loaded.info) for name, part in found.items()} if loaded.info.classes else {},
        sizes=sizes,
        mean=mean,
        std=std,
        notes=notes,
    )


def _counts(part: Part, info: DataInfo) -> dict[str, int]:
    if info.kind == "multilabel":
        counts = part.targets.sum(dim=0).long()
    else:
        counts = part.targets.bincount(minlength=len(info.classes))
    return dict(zip(info.classes, counts.tolist(), strict=True))


def _measured(loaded: Loaded) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and deviation of each channel, or column; None for whole numbers, which name something."""
    if loaded.info.input_dtype == "int64":
        return None, None
    part = loaded.train
    if part.sums is None:
        mean, std = statistics(part.inputs, None, part.scale)
        return tuple(mean.tolist()), tuple(std.tolist())
    count = len(part.inputs) * part.inputs.shape[2:].numel()
    means, deviations = [], []
    # In whole numbers to the last division: the difference of two large sums keeps every digit.
    for total, square in part.sums.sum(dim=0).tolist():
        means.append(total / count / part.scale)
        deviations.append(math.sqrt(count * square - total**2) / count / part.scale)
    return tuple(means), tuple(deviations)


def _stops_at(asked: Photographs, place: Place, kept: int, notes: tuple[str, ...]) -> bool:
    """Whether a run refuses what was left out for this look."""
    if asked.skips or not any(note.startswith("left out: ") for note in notes):
        return False
    try:
        return kept < len(list_photographs(asked, place).files)
    except RequestError:
        return True


def _sizes(listing: Listing, place: Place) -> Sizes | None:
    """From the beginnings of the files alone; None where none of them can be read."""
    with ThreadPoolExecutor(8) as pool:
        found = []
        for number, size in enumerate(pool.map(_size, (listing.root / file for file in listing.files))):
            place.report("looking at sizes", number + 1, len(listing.files))
            if size is not None:
                found.append(size)
    if not found:
        return None
    ordered = sorted(found, key=lambda size: (size[0] * size[1], size))
    return Sizes(ordered[0], numbers.median_low(sorted(ordered, key=lambda size: size[0] * size[1])), ordered[-1])


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height as the picture is meant to be seen; None where it cannot be read, which loading it tells."""
    from PIL import Image
    from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

    from engine.data.decoding import FORMATS

    try:
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if isinstance(image, TiffImageFile):  # whose size PIL has turned already
                width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
            # EXIF's orientations 5 to 8 lie on their side.
            return (height, width) if image.getexif().get(0x0112, 1) in (5, 6, 7, 8) else (width, height)
    except Exception:
        return None


def guessed_source(text: str, place: Place) -> Call:
    """The source of a folder or a file that was named without saying how it is read.

    Raises RequestError where none suits.
    """
    from engine.data.folders import find_folder

    ending = Path(text).suffix.lower()
    if ending in (".npz", ".safetensors"):
        return Call("Tensors", (text,))
    if ending in (".csv", ".tsv", ".txt"):
        raise RequestError(f'a table has a column to predict: name it, as in \'CSV("{text}", target="price")\'')
    find_folder(text, place)
    refusals, found = [], []
    for name in ("LabelledFiles", "ImageFolder"):
        call = Call(name, (text,))
        try:
            info = build_source(call.replace(on_error="skip")).info(place)
        except RequestError as error:
            refusals.append(f"{name}: {error}")
        else:
            found.append((call, sum((info.train or 0, info.validation or 0, info.test or 0))))
    if len(found) > 1:
        (flat, loose), (sorted_, inside) = found
        raise RequestError(
            f"{text} has {loose:,} photographs whose names begin with their class and {inside:,} in its folders, and "
            f"which are meant cannot be told: for the first there is {flat}, for the others {sorted_}"
        )
    if found:
        return found[0][0]
    raise RequestError(f"{text} is no folder of photographs that can be understood; {'; '.join(refusals)}")
