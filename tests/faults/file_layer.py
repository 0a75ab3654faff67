"""File layers that go wrong at operation N: an error once or for good, the end of the process, a power cut.

They stand in for `engine.store.files.system`, through which the store makes every change to the disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.store import files

CRASHED = 99
READING = frozenset({"open", "read"})
CHANGING = frozenset({"create", "write", "fsync", "close", "replace", "rename", "mkdir", "unlink", "rmtree"})
EVERYTHING = READING | CHANGING


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at an operation of one of `kinds`; only those are counted. `error` None: the process ends there.

    `power` is the share of the names not yet synced (in the order they changed) that outlives a power cut; of the bytes
    not yet synced as much does. None: the machine stays up, and all that was written is there.
    """

    name: str
    kinds: frozenset[str] = EVERYTHING
    error: int | None = None
    for_good: bool = False
    power: float | None = None

    @property
    def crashes(self) -> bool:
        return self.error is None


CRASH = Fault("the process ends", CHANGING)
CRASH_ANYWHERE = Fault("the process ends", EVERYTHING)
POWER_CUTS = tuple(
    Fault(f"power cut, {words} of what was not synced is there", CHANGING, power=share)
    for words, share in (("nothing", 0.0), ("half", 0.5), ("every name", 1.0))
)
EIO_ONCE = Fault("EIO once", EVERYTHING, errno.EIO)
EIO_FOR_GOOD = Fault("EIO for good", EVERYTHING, errno.EIO, for_good=True)
FSYNC_ONCE = Fault("fsync fails once", frozenset({"fsync"}), errno.EIO)
FSYNC_FOR_GOOD = Fault("fsync fails for good", frozenset({"fsync"}), errno.EIO, for_good=True)
# Removing files works on a full disk, on one that was remounted read-only it does not.
FULL_ONCE = Fault("disk full once", frozenset({"create", "write", "mkdir", "rename", "replace", "fsync"}), errno.ENOSPC)
FULL_FOR_GOOD = Fault("disk full for good", FULL_ONCE.kinds, errno.ENOSPC, for_good=True)
READ_ONLY = Fault("read-only from there on", CHANGING - {"close", "fsync"}, errno.EROFS, for_good=True)
TOO_MANY_ONCE = Fault("no descriptor once", frozenset({"open", "create"}), errno.EMFILE)
TOO_MANY_FOR_GOOD = Fault("no descriptor for good", TOO_MANY_ONCE.kinds, errno.EMFILE, for_good=True)


class FaultLayer(files.FileLayer):
    """Counts operations from `arm` on, of all threads together, and lets number `at` (from 1) go wrong.

    No fsync is done: the machine stays up, and thousands of them take long.
    """

    def __init__(self, fault: Fault, at: int) -> None:
        self.fault, self.at = fault, at
        self.count = 0
        self.armed = False
        self._counting = threading.Lock()

    def arm(self) -> None:
        self.armed = True

    def _due(self, kind: str) -> bool:
        """Whether this operation goes wrong."""
        if not self.armed or kind not in self.fault.kinds:
            return False
        with self._counting:
            self.count += 1
            return self.count == self.at or (self.count > self.at and self.fault.for_good)

    def _go_wrong(self, halfway: Callable[[], object] | None = None) -> None:
        """End the process with the operation done halfway, or raise the error."""
        if self.fault.error is not None:
            raise OSError(self.fault.error, os.strerror(self.fault.error))
        if halfway is not None:
            halfway()
        self.power_off()
        os._exit(CRASHED)

    def power_off(self) -> None:
        """What is not on the disk is lost; here everything is."""

    def open(self, path: str | Path, flags: int, mode: int = 0o644) -> int:
        if self._due("create" if flags & os.O_CREAT else "open"):
            self._go_wrong()
        return super().open(path, flags, mode)

    def write(self, descriptor: int, data: memoryview) -> int:
        if self._due("write"):
            half = data[: len(data) // 2]
            if self.fault.error == errno.ENOSPC and half and self.count == self.at:
                # The last block that was free takes a part; the next write gets the error.
                return super().write(descriptor, half)
            self._go_wrong(lambda: os.write(descriptor, half))
        return super().write(descriptor, data)

    def read(self, descriptor: int, size: int) -> bytes:
        if self._due("read"):
            self._go_wrong()
        return super().read(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        if self._due("fsync"):
            self._go_wrong()

    def close(self, descriptor: int) -> None:
        due = self._due("close")
        # A close that fails has closed all the same.
        super().close(descriptor)
        if due:
            self._go_wrong()

    def replace(self, source: Path, target: Path) -> None:
        if self._due("replace"):
            self._go_wrong()
        super().replace(source, target)

    def rename(self, source: Path, target: Path) -> None:
        if self._due("rename"):
            self._go_wrong()
        super().rename(source, target)

    def mkdir(self, path: Path) -> None:
        if self._due("mkdir"):
            self._go_wrong()
        super().mkdir(path)

    def unlink(self, path: Path) -> None:
        if self._due("unlink"):
            self._go_wrong()
        super().unlink(path)

    def rmtree(self, path: Path) -> None:
        if self._due("rmtree"):
            if self.fault.error != errno.EROFS:
                _remove_half(path)
            self._go_wrong()
        super().rmtree(path)


def _remove_half(folder: Path) -> None:
    for name in sorted(os.listdir(folder))[::2]:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            os.unlink(folder / name)


@dataclass(slots=True)
class _Change:
    """A name that changed, with the folders (by inode) that must be synced before that is on the disk.

    `gone` is where the name was before, `come` where it is since; `buried` keeps what lay there until then.
    """

    waiting: set[int]
    gone: tuple[int, str] | None
    come: tuple[int, str] | None
    buried: Path | None


class PowerLayer(FaultLayer):
    """Knows what was fsynced, and takes the rest away when the power goes.

    A file keeps the bytes it had at its last fsync; a change of a name lasts once the folders it happened in were
    fsynced. A move whose old place was synced and whose new one was not is lost altogether. `root` is all that the
    store writes to; `grave` is an empty folder on the same file system, outside of it.
    """

    def __init__(self, fault: Fault, at: int, root: Path, grave: Path) -> None:
        super().__init__(fault, at)
        self._root, self._grave = root, grave
        self._changes: list[_Change] = []
        self._synced: dict[int, int] = {}  # inode of a file to the bytes that are on the disk
        self._descriptors: dict[int, int] = {}
        self._busy = threading.RLock()

    def open(self, path: str | Path, flags: int, mode: int = 0o644) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        with self._busy:
            descriptor = super().open(path, flags, mode)
            inode = self._descriptors[descriptor] = os.fstat(descriptor).st_ino
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._synced.setdefault(inode, 0 if new else os.fstat(descriptor).st_size)
            if new:
                self._made(Path(path))
            return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        with self._busy:
            return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        with self._busy:
            super().fsync(descriptor)
            inode = self._descriptors[descriptor]
            if inode in self._synced:
                self._synced[inode] = os.fstat(descriptor).st_size
            for change in self._changes:
                change.waiting.discard(inode)
                if change.gone and change.come and change.gone[0] == inode and change.come[0] in change.waiting:
                    change.gone = None  # no longer where it was, and not yet where it should be
            self._changes = [change for change in self._changes if change.waiting]

    def close(self, descriptor: int) -> None:
        with self._busy:
            self._descriptors.pop(descriptor, None)
            super().close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        with self._busy:
            if self._due("replace"):
                self._go_wrong()
            self._moved(source, target, os.replace)

    def rename(self, source: Path, target: Path) -> None:
        with self._busy:
            if self._due("rename"):
                self._go_wrong()
            self._moved(source, target, os.rename)

    def mkdir(self, path: Path) -> None:
        with self._busy:
            super().mkdir(path)
            self._made(path)

    def unlink(self, path: Path) -> None:
        with self._busy:
            if self._due("unlink"):
                self._go_wrong()
            self._removed(path)

    def rmtree(self, path: Path) -> None:
        with self._busy:
            if self._due("rmtree"):
                self._go_wrong()
            self._removed(path)

    def _made(self, path: Path) -> None:
        folder = _inode(path.parent)
        self._changes.append(_Change({folder}, None, (folder, path.name), None))

    def _moved(self, source: Path, target: Path, move: Callable[[Path, Path], None]) -> None:
        buried = None
        if target.is_file():
            buried = self._grave / f"{len(os.listdir(self._grave))}"
            os.link(target, buried)
        move(source, target)
        gone, come = _inode(source.parent), _inode(target.parent)
        self._changes.append(_Change({gone, come}, (gone, source.name), (come, target.name), buried))

    def _removed(self, path: Path) -> None:
        buried = self._grave / f"{len(os.listdir(self._grave))}"
        os.rename(path, buried)
        folder = _inode(path.parent)
        self._changes.append(_Change({folder}, (folder, path.name), None, buried))

    def power_off(self) -> None:
        share = self.fault.power or 0.0
        survive = round(share * len(self._changes))
        # The latest first: a journal loses its end.
        for change in reversed(self._changes[survive:]):
            self._undo(change)
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder, name)
                durable = self._synced.get(_inode(path))
                if durable is not None:
                    kept = durable + int((path.stat().st_size - durable) * (share if share < 1 else 0))
                    os.truncate(path, kept)

    def _undo(self, change: _Change) -> None:
        come = self._found(change.come)
        gone = self._found(change.gone)
        if come is not None and os.path.lexists(come):
            if gone is not None:
                os.rename(come, gone)
            elif come.is_dir():
                shutil.rmtree(come)
            else:
                os.unlink(come)
        back = gone if change.come is None else come
        if change.buried is not None and back is not None and not os.path.lexists(back):
            os.rename(change.buried, back)

    def _found(self, place: tuple[int, str] | None) -> Path | None:
        """The path of a name in a folder that may have been moved since."""
        if place is None:
            return None
        for folder, _, _ in os.walk(self._root):
            if _inode(Path(folder)) == place[0]:
                return Path(folder, place[1])
        return None


def _inode(path: Path) -> int:
    return os.lstat(path).st_ino


def layer_for(fault: Fault, at: int, root: Path, grave: Path) -> FaultLayer:
    """The layer for a fault at operation `at`."""
    return FaultLayer(fault, at) if fault.power is None else PowerLayer(fault, at, root, grave)
