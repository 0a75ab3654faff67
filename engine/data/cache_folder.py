"""The cache of a person: entries that can be made again, within a bound; least recently used ones go first.

An entry is a folder `<cache>/<kind>/<key>` that is made under another name and renamed when it is whole. Whoever makes
or uses it holds a shared lock on its file `lock`; only what nobody holds is removed. Nothing here is worth more than
the time that it took: what is damaged or foreign is thrown away by whoever finds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.data.files import size_text
from engine.errors import RequestError

KINDS = ("photographs", "features")
USUAL_GIB = 20.0
# Left free on the disk whatever the bound: a disk that is full to the last byte stops others, too.
SPARED = 256 * 1024**2
_LOCK = "lock"  # of an entry, and in the folder of them all
_RESERVED = "reserved"  # in what is unfinished: the bytes that it will take
_TEMPORARY = ".tmp-"
# What reading an entry raises where it is damaged: JSON that is nested without end, too.
DAMAGED = (OSError, ValueError, KeyError, TypeError, RecursionError)
# Errors of the system that lie with what is read. All others (no memory, too many open files, no permission) say
# nothing of it.
_OF_THE_ENTRY = (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)
_ABANDONED = 3600.0  # seconds after which nobody is still at what is unfinished, where no lock can tell


def cache_folder() -> Path:
    """layerlab's folder for what can be had again: $LAYERLAB_CACHE, else $XDG_CACHE_HOME/layerlab, else
    ~/.cache/layerlab. RequestError where there is no home folder."""
    try:
        if own := os.environ.get("LAYERLAB_CACHE"):
            return Path(own).expanduser()
        base = os.environ.get("XDG_CACHE_HOME", "")
        # A relative path there is to be ignored, says the XDG base directory specification.
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "layerlab"
    except RuntimeError:
        raise RequestError(
            "there is no home folder to keep anything in; name another one with LAYERLAB_CACHE, and one for data with "
            "--data or LAYERLAB_DATA"
        ) from None


def bound() -> int:
    """The most bytes that all entries together may take: $LAYERLAB_CACHE_GIB, else 20 GiB. RequestError for what is
    not a number of 0 or more."""
    text = os.environ.get("LAYERLAB_CACHE_GIB", "")
    try:
        gib = float(text) if text else USUAL_GIB
    except ValueError:
        gib = -1.0
    if not 0 <= gib < 1e9:
        raise RequestError(f"LAYERLAB_CACHE_GIB={text!r} is not a number of GiB, such as 20")
    return int(gib * 1024**3)


class Hold:
    """A shared lock on an entry: it stays where it is until `close`, or until this object goes."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let go of it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def throw_away(self) -> None:
        """Remove the entry and let go of it; where another one has taken its place meanwhile, that one stays."""
        if self._descriptor is not None and _is_lock_of(self.folder, self._descriptor):
            _remove(self.folder)
        self.close()

    def damaged(self, error: Exception) -> None:
        """What to do where reading the entry raised one of DAMAGED: throw it away. Raises RequestError where the error
        says nothing of the entry, which stays."""
        if isinstance(error, OSError) and error.errno not in _OF_THE_ENTRY:
            self.close()
            raise _unread(self.folder, error) from error
        self.throw_away()

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


def hold(kind: str, key: str, *, used: bool = True) -> Hold | None:
    """Hold an entry and mark it as used now, where that can be written; None where there is none (any more). Raises
    RequestError where there is one that cannot be read just now."""
    folder = cache_folder() / kind / key
    try:
        return _hold(folder, used)
    except OSError as error:
        raise _unread(folder, error) from error


def _hold(folder: Path, used: bool = True) -> Hold | None:
    path = folder / _LOCK
    try:
        # For writing where that is allowed: some file systems lock nothing else.
        try:
            descriptor = _opened(path, os.O_RDWR)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            descriptor = _opened(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _OF_THE_ENTRY:
            return None
        raise
    _lock(descriptor, exclusive=False)
    # Removed between opening and locking: the name is gone, or somebody else's by now.
    if not _is_lock_of(folder, descriptor):
        os.close(descriptor)
        return None
    if used:
        with contextlib.suppress(OSError):
            os.utime(path)
    return Hold(folder, descriptor)


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))


def _is_lock_of(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder / _LOCK), os.fstat(descriptor))
    except OSError:
        return False


def _unread(folder: Path, error: OSError) -> RequestError:
    """What to say of an entry that is there and cannot be read."""
    if error.errno == errno.ENOMEM:
        advice = "raise the limit of this process's memory (ulimit -v)"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "raise the limit of open files (ulimit -n)"
    else:
        advice = "let it be read, or name another cache with LAYERLAB_CACHE"
    return RequestError(f"{folder} in the cache cannot be read: {error.strerror}; {advice}")


def _lock(descriptor: int, *, exclusive: bool, wait: bool = False) -> bool:
    """Whether the lock was got; a shared one is waited for (removing takes a moment), an exclusive one where asked so.
    Where the file system knows no locks, entries can be used and are never removed."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)) if exclusive else fcntl.LOCK_SH)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def making(kind: str, key: str, reserved: Hold | None = None) -> Iterator[Path]:
    """A new folder to write an entry into (or the one that was `reserved` for it), which becomes the entry as the block
    ends, unless another process was faster: then that one's stays. It is removed where the block raises and has not
    called `settle`. Raises OSError where the cache cannot be written to. Whoever wants the entry holds it within the
    block or calls `hold` afterwards, and looks whether it is what it should be."""
    held = _begun(kind) if reserved is None else reserved
    folder = held.folder
    try:
        yield folder
        settle(folder, key)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.close()


def reserve(kind: str, wanted: int, there: int = 0) -> Hold | None:
    """A new folder for an entry of so many bytes, to be given to `making`; None where there is no room. `there` of them
    lie in the cache already. From now on it counts with all of them, so that several processes keep to the bound
    together. Raises OSError where the cache cannot be written to."""
    with _alone():
        return _begun(kind, wanted) if make_room(wanted - there) else None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Within the block no other process looks how much room there is. Raises OSError."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache_folder() / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        _lock(descriptor, exclusive=True, wait=True)
        yield
    finally:
        os.close(descriptor)


def _begun(kind: str, reserved: int = 0) -> Hold:
    """A new folder without a name, held. Raises OSError."""
    parent = cache_folder() / kind
    parent.mkdir(parents=True, exist_ok=True)
    for _ in range(10):
        folder = parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            (folder / _RESERVED).write_text(str(reserved))
            (folder / _LOCK).touch()
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Who makes room may have taken it for what somebody left, in the moment before it was held.
        if (held := _hold(folder)) is not None:
            return held
    raise OSError(errno.EIO, "what is begun in it does not stay there")


def settle(folder: Path, key: str) -> None:
    """Let a folder that `making` gave become the entry `key`, with all that is in it on the disk. Raises OSError."""
    (folder / _RESERVED).unlink(missing_ok=True)
    for file in folder.iterdir():
        _sync(file)
    with contextlib.suppress(OSError):
        # A folder replaces an empty one only, so a whole entry stays.
        os.rename(folder, folder.with_name(key))
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def throw_away(kind: str, key: str) -> None:
    """Remove an entry that is not what it should be, used or not."""
    _remove(cache_folder() / kind / key)


def _remove(folder: Path) -> None:
    """Out of sight first, so that nobody finds half an entry."""
    gone = folder.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        os.rename(folder, gone)
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink()


@dataclass(frozen=True)
class Entry:
    """One entry: what it takes (one that is unfinished: will take), and when it was last used (seconds since 1970)."""

    folder: Path
    bytes: int
    used: float

    @property
    def unfinished(self) -> bool:
        """Whether somebody is at it, or has left it."""
        return self.folder.name.startswith(_TEMPORARY)


def entries() -> list[Entry]:
    """All entries, the least recently used first; unfinished ones, too, which are used while they are made."""
    found = []
    for kind in KINDS:
        with contextlib.suppress(OSError):
            for folder in (cache_folder() / kind).iterdir():
                with contextlib.suppress(OSError):
                    sizes = [file.stat().st_size for file in folder.iterdir()] if folder.is_dir() else []
                    lock = folder / _LOCK
                    size = max(sum(sizes), _reserved(folder))
                    found.append(Entry(folder, size, (lock if lock.exists() else folder).lstat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def _reserved(folder: Path) -> int:
    try:
        return int((folder / _RESERVED).read_text())
    except (OSError, ValueError):
        return 0


def abandoned(kind: str) -> Iterator[Path]:
    """Unfinished folders of a kind that nobody is at any more: for a step of the loop each is kept from others."""
    for entry in entries():
        if entry.unfinished and entry.folder.parent.name == kind:
            with _kept_from_others(entry.folder) as unused:
                if unused:
                    yield entry.folder


def make_room(wanted: int) -> bool:
    """Remove what was left unfinished, which nobody can use, and then the least recently used entries, as many as it
    takes for `wanted` more bytes; False where they cannot be had within the bound and on the disk. What is in use
    stays."""
    limit = bound()
    known = entries()
    total = sum(entry.bytes for entry in known)
    unused = sum(entry.bytes for entry in known if _is_unused(entry.folder))
    # Nothing is removed in vain.
    if total - unused + wanted > limit or _free() + unused < wanted + SPARED:
        return False
    for entry in sorted(known, key=lambda entry: not entry.unfinished):
        enough = total + wanted <= limit and _free() >= wanted + SPARED
        if enough and not (entry.unfinished and time.time() - entry.used > _ABANDONED):
            continue
        if _remove_unused(entry.folder):
            total -= entry.bytes
    return total + wanted <= limit and _free() >= wanted + SPARED


def limit_text(wanted: int) -> str:
    """Which limit `wanted` bytes, for which there was no room, go beyond."""
    if wanted > bound():
        return f"the {size_text(bound())} that the cache may have (LAYERLAB_CACHE_GIB)"
    free = max(_free() - SPARED, 0)
    if free < wanted:
        return f"the {size_text(free)} that can be had on the disk of {cache_folder()}"
    return f"the {size_text(bound())} that the cache may have (LAYERLAB_CACHE_GIB) leave beside what is in use"


AGAIN = "they are decoded again in every epoch, which is slow"


def too_large(size: int) -> str | None:
    """What to say of photographs that take so many bytes once decoded, where the bound is less; None where it is not.

    A check says it before a run, and the run when it reads them: in the same words, so that it is told once.
    """
    if size <= bound():
        return None
    return (
        f"decoded, the photographs take {size_text(size)}, more than {limit_text(size)}: {AGAIN}; take a smaller "
        "size=, or a larger bound"
    )


def _is_unused(folder: Path) -> bool:
    with _kept_from_others(folder) as unused:
        return unused


def _remove_unused(folder: Path) -> bool:
    with _kept_from_others(folder) as unused:
        if unused:
            _remove(folder)
    return unused


@contextlib.contextmanager
def _kept_from_others(folder: Path) -> Iterator[bool]:
    """Whether nobody holds an entry, and so nobody does within the block."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        left = False
        # Just begun, or what is left of a removal that was cut short.
        with contextlib.suppress(OSError):
            left = folder.name.startswith(_TEMPORARY) and time.time() - folder.lstat().st_mtime > _ABANDONED
        yield left
        return
    try:
        yield _lock(descriptor, exclusive=True)
    finally:
        os.close(descriptor)


def _free() -> int:
    folder = cache_folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
