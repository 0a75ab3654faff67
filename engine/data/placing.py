"""One file put under another name, by copy, link or move, and taken back: never over anything that is there.

A name is only ever taken by an operation that fails where it is taken (a hard link, exclusive creation), and a file
appears under it whole, on the disk too. So two that do the same at once, one that is stopped in between, and the end of
the power, destroy nothing.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
from pathlib import Path
from typing import Literal

Way = Literal["copy", "link", "move"]
WAYS: tuple[Way, ...] = ("copy", "link", "move")
TEMPORARY = ".layerlab-split-"
# What a file system answers that has no hard links, or none between these two places.
_NO_HARD_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EACCES)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
# The times of a file after it crossed to a file system that keeps them to two seconds (FAT).
_COARSE_NS = 2_000_000_000


def placed(source: Path, target: Path, way: Way, size: int) -> bool:
    """Whether `target` is what placing `source` there leaves; `size` is what the source had, in bytes.

    A move that was stopped before its second step, when the file has both names, is finished. Raises FileExistsError
    where something else has the name.
    """
    if not os.path.lexists(target):
        return False
    if way == "link":
        same = target.is_symlink() and os.readlink(target) == str(source)
    elif target.is_symlink() or not target.is_file() or target.stat().st_size != size:
        same = False
    elif not os.path.lexists(source):
        same = way == "move"
    else:
        same = os.path.samestat(os.lstat(source), os.lstat(target)) or filecmp.cmp(source, target, shallow=False)
    if not same:
        raise _taken(target)
    if way == "move" and os.path.lexists(source) and not _one_entry(source, target):
        _let_go(source, target)
    return True


def place(source: Path, target: Path, way: Way) -> None:
    """Put a file where nothing is. Raises FileExistsError where something is, OSError as the system says it."""
    try:
        if way == "link":
            os.symlink(source, target)
        elif way == "copy":
            _copy(source, target)
        else:
            move(source, target)
    except FileExistsError:
        # The system names the file that it comes from first, which may be a temporary one.
        raise _taken(target) from None


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "something else has this name", str(target))


def _one_entry(one: Path, other: Path) -> bool:
    """Whether two names lead to one entry of one folder, links or not: what is unlinked there is gone under both.

    Hard links are two entries. Where a file has one name only, it is that one, however it is spelt.
    """
    try:
        status = os.stat(one)
        if not os.path.samestat(status, os.stat(other)):
            return False
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    if status.st_nlink == 1:
        return True
    first, second = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return first.name == second.name and os.path.samefile(first.parent, second.parent)


def move(source: Path, target: Path) -> None:
    """Give a file another name where nothing is, across file systems too: there it is copied, then taken away."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        # A move that was stopped between its two steps has left both names.
        if not os.path.samestat(os.lstat(source), os.lstat(target)) or _one_entry(source, target):
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _copy(source, target)
        if not filecmp.cmp(source, target, shallow=False):
            raise OSError(errno.EIO, "what was written is not what was read", str(target)) from None
    _let_go(source, target)


def _let_go(source: Path, target: Path) -> None:
    """Take the old name away, the second step of a move. Another file that stands for it is on the disk first, and so
    is its name: nothing else keeps an order between two file systems."""
    if not os.path.samestat(os.lstat(source), os.lstat(target)):
        to_disk(target)
        to_disk(target.parent)
    os.unlink(source)


def to_disk(path: Path) -> None:
    """Make a file's content or a folder's names durable, where the file system can. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # a folder that names may be put into, but not read
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """The folder and those that it is in, as far as they are not there yet, durably. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        to_disk(folder.parent)


def _copy(source: Path, target: Path) -> None:
    """Content, permissions and times; the name is taken once all of it is on the disk."""
    beside = target.with_name(f"{TEMPORARY}{os.getpid()}.part")
    try:
        with open(source, "rb") as read, open(beside, "wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            # A file system that keeps no permissions or times still keeps the content.
            with contextlib.suppress(OSError):
                shutil.copystat(source, beside)
            os.fsync(written.fileno())
        take_name(beside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)


def take_name(beside: Path, target: Path) -> None:
    """Give a file that is written a name that nothing has; its own may stay. Raises FileExistsError."""
    try:
        os.link(beside, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links: an empty file claims the name, and only that one is replaced.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(beside, target)


def take_over(beside: Path, lost: list[tuple[Path, int, int]]) -> bool:
    """Give a temporary file the name of what was moved and is under neither of its names; whether it is to be kept.

    `lost` are such names in its folder, each with the size (bytes) and the time (ns) that the file had. A disk may keep
    through the end of the power that an old name went, but not the new one. Without a name stays what could be several.
    """
    try:
        status = beside.stat()
    except FileNotFoundError:
        return False
    whole = [(name, time) for name, size, time in lost if size == status.st_size]
    fitting = [(name, time) for name, time in whole if abs(time - status.st_mtime_ns) <= _COARSE_NS] or whole
    if len(fitting) == 1:
        ((name, time),) = fitting
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # another call for the same split did it
            os.utime(beside, ns=(time, time))
            take_name(beside, name)
            beside.unlink(missing_ok=True)
    return bool(fitting)


def take_back(source: Path, target: Path, way: Way, size: int, modified: int) -> str:
    """Undo one placing; "" where nothing of it is left, else why the file stays as it is.

    A copy goes where its original is there and has the same bytes, a link where it still leads there, a moved file goes
    back where it was not changed since (`size` in bytes, `modified` in ns, as it had them) and its old name is free.
    What the old name leads to stays: it is the only one.
    """
    if not os.path.lexists(target):
        return "is neither here nor where it came from" if way == "move" and not os.path.lexists(source) else ""
    if way == "link":
        if not target.is_symlink() or os.readlink(target) != str(source):
            return "is not the link that was made"
        os.unlink(target)
        return ""
    if target.is_symlink() or not target.is_file():
        return "is not the file that was put there"
    if _one_entry(source, target):
        return f"{source} leads to it now, and there is no other; to have it there, take the link away and move it"
    if way == "copy":
        if not source.is_file():
            return f"its original {source} is not there any more"
        if not filecmp.cmp(source, target, shallow=False):
            return "was changed, or its original was"
        os.unlink(target)
        return ""
    status = target.stat()
    if status.st_size != size or abs(status.st_mtime_ns - modified) > _COARSE_NS:
        return "was changed"
    try:
        make_folder(source.parent)
        move(target, source)
    except FileExistsError:
        return f"something else is at {source} now"
    return ""
