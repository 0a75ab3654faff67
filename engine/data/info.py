"""What crosses the boundary between data and the rest: descriptions, tensors as stored, batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from engine.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["classes", "values", "multilabel"]
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class DataInfo:
    """What a source holds, without its data.

    `input_shape` is one sample's shape, without the batch dimension. `kind` says what the targets are: "classes" (one
    label 0..k-1 a sample), "values" (k numbers a sample) or "multilabel" (k zeros and ones a sample). `classes` are
    the names in the order of their labels (empty for values). `outputs` is k. `train` and `test` are numbers of
    samples, None where unknown or where there is no official test split; so is `validation`, of a part that the source
    itself sets aside. `notes` are what a person should know of the data before any is read, such as folders left out.
    `class_counts` are the training samples of each class, in the order of the labels; empty where they are not known
    before samples are read, and of what has no classes.
    """

    input_shape: tuple[int, ...]
    input_dtype: Literal["float32", "int64"]
    kind: Kind
    classes: tuple[str, ...]
    outputs: int
    train: int | None
    test: int | None
    image: bool
    validation: int | None = None
    notes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    """Samples as stored, on the CPU.

    `inputs` is (N, ...): uint8 where values have to be divided by `scale` (255 for photographs, 16 for the digits of
    scikit-learn) to lie in [0, 1], else float32 or int64 with `scale` 1. `targets` is int64 (N,) for classes and
    float32 (N, k) for values and multilabel. Where `stored`, inputs are the mapping of a file: rows are read as they
    are wanted, by numpy, and all of them may be more than memory holds; `file` is that file and the place of the first
    sample in it, in bytes (stored_rows.py reads from there). `sums`, int64 (N, C, 2), are the sum and the
    sum of squares of each sample's channels, where these are known without reading it.
    """

    inputs: Tensor
    targets: Tensor
    scale: float = 1.0
    stored: bool = False
    sums: Tensor | None = None
    file: tuple[Path, int] | None = None


@dataclass(frozen=True)
class Loaded:
    """A source's data: all that is for training (validation is split off later) and the official test split, if any.

    `validation` is a part that the source itself sets aside. `notes` are what a person should know of the data, such as
    files that were left out. `key` names the content, where reading all of it only to tell it apart is not needed.
    `digest` gives a name to data that may change between two sessions of a run, wherever they lie (digest.py says what
    it does not notice and what it takes: only a session asks for it); None where they cannot.
    """

    info: DataInfo
    train: Part
    test: Part | None
    validation: Part | None = None
    notes: tuple[str, ...] = ()
    key: str | None = None
    digest: Callable[[], str] | None = None


@dataclass(frozen=True)
class Place:
    """Where data lies and whether it may be fetched.

    `progress(text, done, total)` is told what is going on; `total` is None where it is not known. It is called in the
    thread that loads.
    """

    folder: Path
    download: bool = False
    progress: Progress | None = None

    def report(self, text: str, done: int = 0, total: int | None = None) -> None:
        """Tell `progress`, if there is one."""
        if self.progress is not None:
            self.progress(text, done, total)


@dataclass(frozen=True)
class Missing:
    """What a run needs, is not here, and is fetched where a person allows it: of which kind and what it is, the files,
    the folder that they belong in, their address where there is one alone; `message` says all of it, and what to do."""

    kind: Literal["data", "weights"]
    what: str
    folder: Path
    files: tuple[str, ...]
    message: str
    url: str | None = None

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**vars(self), "folder": str(self.folder), "files": list(self.files)}


class NotFetched(RequestError):
    """Something is missing that could be fetched, and nobody has allowed it."""

    def __init__(self, *missing: Missing) -> None:
        super().__init__("\n".join(one.message for one in missing))
        self.missing = missing


# How a person allows it, in the application and on the command line.
FETCHING = "with --download it is fetched (`layerlab --download`, `layerlab train ... --download`)"


class Batch(NamedTuple):
    """Inputs (n, ...) and targets (n, ...) on the training device; `number` counts batches of the epoch from 0."""

    inputs: Tensor
    targets: Tensor
    number: int


class Source(ABC):
    """Where samples come from. Sources are frozen dataclasses whose fields are the arguments of the call."""

    @abstractmethod
    def info(self, place: Place) -> DataInfo:
        """What the source holds; cheap where it can be. Raises RequestError where the data is missing or wrong."""

    def to_fetch(self, place: Place) -> Missing | None:
        """What a run would fetch, or would need to be allowed to; None where nothing is to be fetched. Cheap."""
        return None

    def require(self, place: Place) -> None:
        """Raise RequestError where the data is not there and may not be fetched; cheap, for before a run."""
        self.info(place)

    @abstractmethod
    def load(self, place: Place) -> Loaded:
        """The data itself. Raises RequestError where it is missing or wrong, RunError where a download failed."""
