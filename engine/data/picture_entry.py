"""How decoded photographs lie in an entry of the cache.

An entry `photographs/<key>` holds `pictures` (rows of uint8, one photograph after the other), `sums` (int64, two
numbers a channel of each: what mean and deviation of any part are worked out from without reading pictures), `marks`
(16 bytes a row that name path, size and modification time) and `index.json`. What decoding leaves that does not come to
its end is an entry, too: of the photographs that it came to.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data import cache_folder
from engine.data.decoding import Pixels, Settings

FORMAT = 1
KIND = "photographs"
MARK = 16  # bytes
Sums = npt.NDArray[np.int64]


def family(settings: Settings) -> str:
    """What pictures must have in common to lie in one entry."""
    return f"{FORMAT} {settings!r}"


def key_of(settings: Settings, marks: Sequence[bytes]) -> str:
    """The name of the entry of these photographs."""
    digest = hashlib.sha256(family(settings).encode())
    for mark in marks:
        digest.update(mark)
    return digest.hexdigest()[:32]


def read_index(folder: Path, settings: Settings, files: int) -> dict[str, Any]:
    """`index.json`, checked: of `files` photographs at most. Raises one of `cache_folder.DAMAGED` where it is
    none of these settings'."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if index["family"] != family(settings) or not 0 < index["rows"] <= files:
        raise ValueError("foreign")
    misnamed = {int(row): str(kind) for row, kind in dict(index["misnamed"]).items()}
    more = {"reason": str(index["reason"]), "misnamed": misnamed, "begun": index.get("begun", False) is True}
    return dict(index) | more


def mapped(held: cache_folder.Hold, rows: int, settings: Settings) -> Pixels:
    """Rows of a file, which stays in the cache for as long as they are mapped. Nobody may write to them: a mapping that
    allows it would count as memory, and one larger than the machine's is refused. Raises OSError or ValueError where
    they are not all there."""
    with open(held.folder / "pictures", "rb") as file:
        wanted = rows * int(np.prod(settings.shape))
        if os.fstat(file.fileno()).st_size != wanted:
            raise ValueError("torn")
        memory = mmap.mmap(file.fileno(), wanted, access=mmap.ACCESS_READ)
    weakref.finalize(memory, held.close)
    return np.frombuffer(memory, dtype=np.uint8).reshape(rows, *settings.shape)


@dataclass
class Writing:
    """What is gathered while a set is decoded, in the order of the listing."""

    sums: list[Sums] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)
    passing: list[int] = field(default_factory=list)
    misnamed: dict[int, str] = field(default_factory=dict)  # the format of rows whose names say another one

    def write(self, folder: Path, settings: Settings, *, pictures: bool, begun: bool = False, reason: str = "") -> None:
        """All of an entry but its pictures; `begun`: decoding did not come to its end. Killed in the midst of it, it
        leaves what was written before. Raises OSError."""
        _replace(folder / "sums", np.stack(self.sums).tobytes())
        _replace(folder / "marks", b"".join(self.marks))
        index = {
            "family": family(settings), "rows": len(self.sums), "left_out": self.left_out, "passing": self.passing,
            "misnamed": self.misnamed, "pictures": pictures, "begun": begun, "reason": reason,
        }  # fmt: skip
        _replace(folder / "index.json", json.dumps(index).encode())


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)
