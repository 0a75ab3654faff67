"""Opening a file that a person named: found where they meant, an ordinary file, of a size that can be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.data.info import Place
from engine.errors import RequestError

LARGEST = 8 * 1024**3


def find_file(path: str, place: Place, *, largest: int = LARGEST) -> Path:
    """The file at `path`, seen from the current folder or, where nothing is there, from the data folder.

    Raises RequestError where there is none, where it is a folder or a device, empty, or larger than `largest` bytes.
    """
    if not path or "\0" in path:
        raise RequestError(f"{path!r} is not the name of a file")
    here = Path(path).expanduser()
    tried = [here] if here.is_absolute() else [here, place.folder / here]
    for candidate in tried:
        try:
            status = os.stat(candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RequestError(f"{candidate}: {error.strerror}") from error
        if stat.S_ISDIR(status.st_mode):
            raise RequestError(f"{candidate} is a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise RequestError(f"{candidate} is not an ordinary file")
        if status.st_size == 0:
            raise RequestError(f"{candidate} is empty")
        if status.st_size > largest:
            size = status.st_size / 1024**3
            raise RequestError(
                f"{candidate} has {size:.1f} GiB; files of up to {largest / 1024**3:.0f} GiB can be read"
            )
        return candidate
    looked = " or ".join(str(candidate.absolute()) for candidate in tried)
    raise RequestError(f"no file {path}: looked for {looked}")


def size_text(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def version(path: Path) -> tuple[int, int]:
    """What changes when the file does: (modification time in ns, size in bytes)."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size
