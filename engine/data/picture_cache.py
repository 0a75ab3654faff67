"""Photographs decoded once: kept as one file of uint8 that is mapped into memory, and decoded again only when changed.

What a stop or an unreadable file cuts short is kept as well, so that decoding goes on from there the next time. Where a
set does not fit the cache, its entry has everything but the pictures, which are decoded again each time.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.data import cache_folder, decoding
from engine.data.decoding import Pixels, Settings, Unreadable, shown
from engine.data.directories import NAMED
from engine.data.earlier_pictures import Begun, Earlier, Notes, keep_begun, take_up
from engine.data.files import size_text
from engine.data.folders import Listing
from engine.data.info import Place
from engine.data.picture_entry import KIND, MARK, Sums, Writing, key_of, mapped, read_index
from engine.errors import RequestError
from engine.machine import processors


@dataclass(frozen=True)
class Decoded:
    """A set as decoded: `pixels` (N, C, H, W) mapped from the cache, None where the cache does not hold it; `sums`
    (N, C, 2); `left_out` are positions in the listing that have no row, with the reason, `passing` those of them that
    may be readable next time."""

    key: str
    pixels: Pixels | None
    sums: Sums
    left_out: tuple[tuple[int, str], ...]
    passing: frozenset[int]
    notes: tuple[str, ...]
    held: cache_folder.Hold | None = None  # of the entry, closed once `pixels` are gone

    @property
    def file(self) -> Path:
        """What `pixels` are mapped from."""
        return cache_folder.cache_folder() / KIND / self.key / "pictures"

    def first_left_out(self, listing: Listing, label: int) -> str:
        """A file of a class that was left out and why, to be put behind a sentence; "" where there is none."""
        for position, reason in self.left_out:
            if listing.labels[position] == label:
                return f"; the first is {shown(listing.files[position])}: {reason}"
        return ""

    def throw_away(self) -> None:
        """Remove its entry, unless another process has put one in its place meanwhile."""
        if self.held is not None:
            self.held.throw_away()

    def kept(self, listing: Listing) -> Listing:
        """The listing of the rows that there are."""
        out = {position for position, _ in self.left_out}
        if not out:
            return listing
        rows = [row for row in range(len(listing.files)) if row not in out]
        return replace(
            listing,
            files=tuple(listing.files[row] for row in rows),
            labels=tuple(listing.labels[row] for row in rows),
            parts=tuple(listing.parts[row] for row in rows),
        )


def provide(listing: Listing, settings: Settings, place: Place, *, skip: bool) -> Decoded:
    """The decoded photographs of a listing: from the cache, or decoded now, in parallel, with progress.

    Raises Unreadable for the first file that cannot be read, unless these are to be left out.
    """
    marks, gone = _marks(listing, skip)
    key = key_of(settings, marks)
    known = _known(key, listing, settings)
    if known is not None and _usable(known, listing, settings, skip=skip):
        return known
    wanted = len(listing.files) * (int(np.prod(settings.shape)) + 16 * settings.shape[0] + MARK) + (1 << 20)
    try:
        stale, known = [known] if known is not None else [], None  # the one reference to what it maps
        known = _stored(key, listing, settings, place, marks, gone, stale, wanted, skip=skip)
        if known is not None:
            return known
        limit = cache_folder.limit_text(wanted)
        reason = cache_folder.too_large(len(listing.files) * int(np.prod(settings.shape))) or (
            f"the decoded photographs take {size_text(wanted)}, more than {limit}: {cache_folder.AGAIN}"
        )
    except OSError as error:
        reason = f"the cache {cache_folder.cache_folder()} cannot be written: {error.strerror}: {cache_folder.AGAIN}"
    known = _known(f"{key}-live", listing, settings, reason)
    if known is not None:
        if _usable(known, listing, settings, skip=skip):
            return known
        known.throw_away()
    return _undecoded(key, listing, settings, place, marks, gone, reason, skip=skip)


def holds(listing: Listing, settings: Settings, *, skip: bool) -> bool:
    """Whether `provide` would decode nothing. Raises Unreadable as it does."""
    known = _known(key_of(settings, _marks(listing, skip)[0]), listing, settings)
    return known is not None and _usable(known, listing, settings, skip=skip)


def _usable(known: Decoded, listing: Listing, settings: Settings, *, skip: bool) -> bool:
    """Whether a set is what decoding it now would give: nothing that it leaves out can be read meanwhile."""
    if not skip and known.left_out:
        return False
    for position in known.passing:
        try:
            decoding.read(listing.root / listing.files[position], settings)
        except Unreadable:
            continue
        return False
    return True


def _marks(listing: Listing, skip: bool) -> tuple[list[bytes], dict[int, str]]:
    """A mark for each file, and what is wrong with those that are not there. Raises Unreadable for these, unless they
    are to be left out."""
    marks: list[bytes] = []
    gone: dict[int, str] = {}
    root = os.path.realpath(listing.root)
    for position, name in enumerate(listing.files):
        path = os.path.join(root, name)
        try:
            status = os.stat(path)
            # Being allowed to read it changes neither.
            text = f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{os.access(path, os.R_OK)}"
        except OSError as error:
            reason = "a link that leads nowhere" if os.path.islink(path) else error.strerror or "it cannot be read"
            if not skip:
                raise Unreadable(listing.root / name, reason) from None
            gone[position] = reason
            text = f"{path}\0"
        marks.append(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=MARK).digest())
    return marks, gone


def _known(key: str, listing: Listing, settings: Settings, reason: str = "") -> Decoded | None:
    """An entry of the cache, None where there is none; one that is torn or foreign is thrown away. `reason`: why it is
    without its pictures now, whatever it was then. Raises RequestError for one that cannot be read just now."""
    held = cache_folder.hold(KIND, key)
    if held is None:
        if os.path.lexists(cache_folder.cache_folder() / KIND / key):
            cache_folder.throw_away(KIND, key)
        return None
    try:
        index = read_index(held.folder, settings, len(listing.files))
        rows, channels = index["rows"], settings.shape[0]
        sums = np.fromfile(held.folder / "sums", dtype=np.int64)
        left_out = tuple((int(position), str(reason)) for position, reason in index["left_out"])
        passing = frozenset(int(position) for position in index["passing"])
        out = {position for position, _ in left_out}
        if sums.size != rows * channels * 2 or rows + len(out) != len(listing.files):
            raise ValueError("torn")
        if not passing <= out <= set(range(len(listing.files))):
            raise ValueError("torn")
        pixels = mapped(held, rows, settings) if index["pictures"] else None
    except cache_folder.DAMAGED as error:
        held.damaged(error)
        return None
    notes = _notes(listing, left_out, index["misnamed"], reason or index["reason"])
    return Decoded(key.removesuffix("-live"), pixels, sums.reshape(rows, channels, 2), left_out, passing, notes, held)


def _stored(
    key: str, listing: Listing, settings: Settings, place: Place, marks: list[bytes], gone: dict[int, str],
    stale: list[Decoded], wanted: int, *, skip: bool,
) -> Decoded | None:  # fmt: skip
    """Decode into a new entry of so many bytes at most, which takes the place of what is `stale`; None where there is
    no room for it. Raises OSError where the cache cannot be written to."""
    note = ""
    take_up(settings)
    with Earlier(settings, marks) as earlier:
        begun = Begun.of(settings, marks)
        there, again = (begun.bytes, len(earlier) - begun.rows) if begun else (0, len(earlier))
        # What there is already is held by now: making room takes what nobody holds.
        room = cache_folder.reserve(KIND, wanted, there)
        if room is None:
            if again > 0:
                note = (
                    f"{again:,} photographs that the cache had were decoded again: beside them there was no room for "
                    f"the {size_text(wanted)} that all take now, more than {cache_folder.limit_text(wanted)}"
                )
            earlier.close()
            stale.clear()
            room = cache_folder.reserve(KIND, wanted, there)
            if room is None:
                return None
            if (known := _known(key, listing, settings)) is not None:
                stale.append(known)
        made = _made(key, listing, settings, place, marks, gone, stale, room, begun, earlier, skip=skip)
    return replace(made, notes=(*made.notes, note)) if note else made


def _made(
    key: str,
    listing: Listing,
    settings: Settings,
    place: Place,
    marks: list[bytes],
    gone: dict[int, str],
    stale: list[Decoded],
    room: cache_folder.Hold,
    begun: Begun | None,
    earlier: Earlier,
    *,
    skip: bool,
) -> Decoded:
    """Decode into the `room` that is reserved, after what was `begun`; rows that an earlier entry has are taken from
    there. Raises OSError where the cache cannot be written to."""
    with cache_folder.making(KIND, key, room) as folder:
        found = Writing() if begun is None else begun.move(folder, settings)
        taken = len(found.sums)
        try:
            with open(folder / "pictures", "ab") as file:
                notes = Notes(folder, settings, file)
                _gather(
                    found, listing, settings, place, marks, gone, skip=skip, into=file, earlier=earlier, notes=notes
                )
        except OSError:
            raise
        except BaseException:  # KeyboardInterrupt, too
            if (taken or len(found.sums) > len(earlier)) and keep_begun(folder, found, settings):
                earlier.replaced(found.marks)
            raise
        found.write(folder, settings, pictures=True)
        for unusable in stale:
            unusable.throw_away()
    earlier.replaced(found.marks)
    known = _known(key, listing, settings)
    if known is None:
        raise OSError(errno.EIO, "what was written to it is not there")
    return known


def _undecoded(
    key: str, listing: Listing, settings: Settings, place: Place, marks: list[bytes], gone: dict[int, str],
    reason: str, *, skip: bool,
) -> Decoded:  # fmt: skip
    """Look at every photograph once, for those that cannot be read and for mean and deviation, and keep only that."""
    found = Writing()
    _gather(found, listing, settings, place, marks, gone, skip=skip, into=None, earlier=None, notes=None)
    try:
        if (room := cache_folder.reserve(KIND, len(listing.files) * 128 + 4096)) is not None:
            with cache_folder.making(KIND, f"{key}-live", room) as folder:
                found.write(folder, settings, pictures=False, reason=reason)
    except OSError:
        pass  # the cache is what cannot be written to
    notes = _notes(listing, tuple(found.left_out), found.misnamed, reason)
    return Decoded(key, None, np.stack(found.sums), tuple(found.left_out), frozenset(found.passing), notes)


def _gather(
    found: Writing, listing: Listing, settings: Settings, place: Place, marks: list[bytes], gone: dict[int, str], *,
    skip: bool, into: BinaryIO | None, earlier: Earlier | None, notes: Notes | None,
) -> None:  # fmt: skip
    """Decode every photograph behind those that are `found`, in the order of the listing, a few at once. Where it
    raises, `found` tells how far it came."""
    first, total = len(found.sums), len(listing.files)

    def one(position: int) -> tuple[Pixels, str] | Unreadable:
        if position in gone:
            return Unreadable(listing.root / listing.files[position], gone[position])
        if earlier is not None and (row := earlier.row(marks[position])) is not None:
            return row
        try:
            decoded = decoding.read(listing.root / listing.files[position], settings)
            return decoded.pixels, decoded.format
        except Unreadable as error:
            return error

    for position, result in enumerate(_in_order(one, range(first, total)), first):
        if isinstance(result, Unreadable):
            if not skip:
                raise result
            found.left_out.append((position, result.reason))
            if result.passing:
                found.passing.append(position)
        else:
            pixels, kind = result
            name = listing.files[position]
            said = decoding.SUFFIXES.get(os.path.splitext(name)[1].lower(), "")
            if kind and said and kind != said and not (kind == "MPO" and said == "JPEG"):
                found.misnamed[len(found.sums)] = kind
            found.sums.append(sums_of(pixels))
            found.marks.append(marks[position])
            if into is not None:
                into.write(pixels.data)
            if notes is not None:
                notes.take(found)
        place.report("decoding photographs", position + 1, total)
    if not found.sums:
        raise RequestError(
            f"none of the {total:,} photographs in {listing.root} can be read; the first is {shown(listing.files[0])}: "
            f"{found.left_out[0][1]}"
        )


def _in_order(work: Any, positions: range) -> Iterator[Any]:
    """What `work` gives for one position after the other, worked out by as many threads as it has processors: PIL
    lets go of the interpreter while it decodes. Only a few results wait at a time."""
    workers = min(32, processors())
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="layerlab-decoding") as pool:
        try:
            for position in positions:
                waiting.append(pool.submit(work, position))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def sums_of(pixels: Pixels) -> Sums:
    """Sum and sum of squares of each channel, int64 (C, 2), exactly: of (C, H, W) uint8."""
    # Counting how often each of 256 values occurs is quicker than squaring every pixel in a type that holds the sum.
    values = np.arange(256, dtype=np.int64)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in pixels.reshape(len(pixels), -1)])
    return np.stack([counts @ values, counts @ values**2], axis=1).astype(np.int64)


def _notes(
    listing: Listing, left_out: Sequence[tuple[int, str]], misnamed: Mapping[int, str], reason: str
) -> tuple[str, ...]:
    notes = []
    if left_out:
        named = [f"{shown(listing.files[position])} ({why})" for position, why in left_out[:NAMED]]
        more = f" and {len(left_out) - NAMED:,} more" if len(left_out) > NAMED else ""
        notes.append(
            f"left out: {len(left_out):,} of {len(listing.files):,} photographs, unreadable: {', '.join(named)}{more}"
        )
    out = {position for position, _ in left_out}
    rows = [name for position, name in enumerate(listing.files) if position not in out]
    if named := [f"{shown(rows[row])} ({kind})" for row, kind in misnamed.items() if 0 <= row < len(rows)]:
        more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
        notes.append(f"not what their names say, and used all the same: {', '.join(named[:NAMED])}{more}")
    return (*notes, reason) if reason else tuple(notes)
