"""File operations of the store: the one place that touches the disk.

Everything goes through the functions of `system`, so that a test can count operations and make any of them fail. Only
regular files are opened, no link is followed at the end of a path, and what is read is bounded.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MAX_JSON = 8 << 20
TEMPORARY = ".tmp-"
# Not on every system: without them the check of the opened file's type still holds.
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
CLOEXEC = getattr(os, "O_CLOEXEC", 0)
READ = os.O_RDONLY | NOFOLLOW | NONBLOCK | CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | CLOEXEC
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NOFOLLOW | NONBLOCK | CLOEXEC
# What a file system answers that cannot sync a folder at all.
CANNOT_SYNC = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


class FileLayer:
    """The system calls that the store makes, one method each; a test puts another object into `files.system`."""

    def open(self, path: str | Path, flags: int, mode: int = 0o644) -> int:
        return os.open(path, flags, mode)

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def read(self, descriptor: int, size: int) -> bytes:
        return os.read(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def rmtree(self, path: Path) -> None:
        shutil.rmtree(path)


system = FileLayer()


class NotRegular(OSError):
    """Something that is no plain file stands where one was expected: a link, a FIFO, a device, a folder."""


class TooLarge(OSError):
    """A file is larger than anything that the store writes there."""


def opened_to_append(path: Path) -> int:
    """A descriptor to write to the end of a file, which is made where it is missing; a link, FIFO, device or folder
    raises NotRegular and is not waited for."""
    descriptor = system.open(path, APPEND)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    system.close(descriptor)
    raise NotRegular(errno.EINVAL, "not a regular file", str(path))


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, however short the single writes are."""
    rest = memoryview(data)
    while rest:
        written = system.write(descriptor, rest)
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        rest = rest[written:]


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    descriptor = system.open(path, os.O_RDONLY | CLOEXEC)
    try:
        system.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        system.close(descriptor)


def write_new(path: Path, data: bytes, sync: bool = True) -> None:
    """A file that was not there, written in full and fsynced; on any error it is removed again and the error raised."""
    write_new_in_parts(path, [data], sync)


def write_new_in_parts(path: Path, parts: Iterable[bytes | memoryview], sync: bool = True) -> None:
    """The same, from parts that need not be in memory all at once."""
    descriptor = system.open(path, CREATE)
    try:
        try:
            for part in parts:
                write_all(descriptor, part)
            if sync:
                system.fsync(descriptor)
        finally:
            # The kernel may report a failed write only here.
            system.close(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            system.unlink(path)
        raise


def atomic_write(path: Path, data: bytes, sync: bool = True) -> None:
    """Replace a small file: afterwards the old or the new one is there, whole, and nothing else.

    `sync=False` leaves out both fsyncs, for what may be lost with the power but never torn by a crash of the process.
    """
    temporary = temporary_beside(path)
    write_new(temporary, data, sync)
    try:
        system.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            system.unlink(temporary)
        raise
    if sync:
        fsync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder that nobody else uses."""
    return path.parent / f"{TEMPORARY}{path.name[:40]}-{secrets.token_hex(6)}"


def write_json(path: Path, data: dict[str, Any], sync: bool = True) -> None:
    """Replace a small JSON file atomically; `data` must hold no NaN."""
    atomic_write(path, (json.dumps(data, allow_nan=False, indent=1) + "\n").encode(), sync)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read a regular file; a link, FIFO, device or folder raises NotRegular and is not waited for."""
    try:
        descriptor = system.open(path, READ)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotRegular(error.errno, "not a regular file", str(path)) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotRegular(errno.EINVAL, "not a regular file", str(path))
        yield descriptor
    finally:
        system.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """All of a regular file of at most `limit` bytes; raises TooLarge, NotRegular or what the system says."""
    with opened(path) as descriptor:
        return read_opened(descriptor, path, limit)


def read_opened(descriptor: int, path: Path, limit: int) -> bytes:
    """The same of a file that is open already, `path`, at its beginning; raises TooLarge or what the system says."""
    if os.fstat(descriptor).st_size > limit:
        raise TooLarge(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    chunks = []
    left = limit + 1
    while left > 0 and (chunk := system.read(descriptor, min(left, 1 << 22))):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise TooLarge(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return b"".join(chunks)


def read_json(path: Path, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object from a file; raises OSError, and ValueError where it is something else."""
    try:
        data = json.loads(read_bounded(path, limit))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def remove(path: Path) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        system.unlink(path)


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it, without following links."""
    with contextlib.suppress(FileNotFoundError):
        system.rmtree(path)


def remove_folder_quietly(path: Path) -> None:
    """The same on the way out of an error, which must not be hidden by a second one."""
    with contextlib.suppress(OSError):
        remove_folder(path)


def listed(path: Path) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(os.listdir(path))


def remove_temporaries(path: Path) -> None:
    """Remove the files and folders that a crash left under temporary names; only a folder's one writer may do this."""
    for name in listed(path):
        if name.startswith(TEMPORARY):
            if is_folder(path / name):
                remove_folder(path / name)
            else:
                remove(path / name)


def is_folder(path: Path) -> bool:
    """A real folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


class AppendOnly:
    """A new file that only grows, by whole lines; only its creator writes to it."""

    def __init__(self, path: Path) -> None:
        """Create the file; FileExistsError where somebody was first."""
        self.path = path
        self.torn = False  # the first line still to be written is the rest of one that the disk cut short
        self._descriptor = system.open(path, CREATE | os.O_APPEND)

    def append(self, lines: deque[bytes]) -> None:
        """Write the lines in as few writes as the system allows, taking them from the left as they are written.

        Where OSError is raised, what is left in `lines` continues exactly where the file ends: give it again later,
        the first one first where `torn` is set.
        """
        while lines:
            written = system.write(self._descriptor, memoryview(b"".join(lines)))
            if written <= 0:
                raise OSError(errno.EIO, "nothing was written")
            while written:
                if written < len(lines[0]):
                    lines[0] = lines[0][written:]
                    self.torn = True
                    break
                written -= len(lines.popleft())
                self.torn = False

    def sync(self) -> None:
        """Have all that was written on the disk."""
        system.fsync(self._descriptor)

    def close(self) -> None:
        """Close, once; an error of the close is raised."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            system.close(descriptor)
