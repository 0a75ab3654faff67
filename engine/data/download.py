"""Fetching files that torchvision knows, and only where a person asked for it.

What to fetch (addresses, names, MD5 sums) is read from torchvision's own classes. The fetching is written here because
torchvision's has no timeout, reports to standard error, and leaves half a file behind where it is interrupted.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from engine.data.info import Place
from engine.errors import RunError

_CHUNK = 256 * 1024
_TIMEOUT = 30.0


def fetch(
    addresses: Sequence[str], target: Path, checksum: str, place: Place, *, algorithm: Literal["md5", "sha256"] = "md5"
) -> None:
    """Download the first address that answers with the right file to `target`; it is there whole or not at all.

    The right file is one whose checksum begins with `checksum`, hexadecimal digits; none are no check. Reports bytes
    done and in total. Raises RunError that names every address with what went wrong, and the file to put there by hand.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {target.parent} cannot be made: {error.strerror}") from error
    failures = []
    for address in addresses:
        try:
            _fetch_one(address, target, checksum, algorithm, place)
            return
        except _Failed as failure:
            failures.append(f"{address}: {failure}")
    raise RunError(
        f"{target.name} could not be downloaded ({'; '.join(failures)}). Without a network, fetch it elsewhere and "
        f"put it at {target}"
    )


class _Failed(Exception):
    """One address did not work out; another may."""


def _fetch_one(address: str, target: Path, checksum: str, algorithm: Literal["md5", "sha256"], place: Place) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    request = urllib.request.Request(address, headers={"User-Agent": "layerlab"})
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        try:
            response = urllib.request.urlopen(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            raise _Failed(f"the server answers {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            reason = error.reason.strerror if isinstance(error.reason, OSError) else None
            raise _Failed(f"no connection, {reason or error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(f"no connection, {error}") from error
        with response, part.open("xb") as file:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            done = 0
            while chunk := _read(response):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                place.report(f"downloading {target.name}", done, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _Failed(f"the connection ended after {done:,} of {total:,} bytes")
        place.report(f"checksum of {target.name}", done, done)
        if not digest.hexdigest().startswith(checksum):
            kind = "MD5" if algorithm == "md5" else "SHA-256"
            raise _Failed(f"wrong checksum, {kind} {digest.hexdigest()} where {checksum} should be")
        os.replace(part, target)
    except OSError as error:
        raise RunError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _read(response: http.client.HTTPResponse) -> bytes:
    # Apart from writing: an OSError here is the network's, there it is the disk's.
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(f"the connection broke, {error or type(error).__name__}") from error


def has_md5(path: Path, md5: str) -> bool:
    """Whether the file has this MD5 sum."""
    return _digest(path, "md5") == md5


def has_sha256(path: Path, digits: str) -> bool:
    """Whether the file's SHA-256 begins with these digits."""
    return _digest(path, "sha256").startswith(digits)


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    return digest.hexdigest()


def unpack_gzip(archive: Path, target: Path, place: Place) -> None:
    """Unpack a checked .gz file; the target is there whole or not at all. Raises RunError."""
    place.report(f"unpacking {archive.name}")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with gzip.open(archive, "rb") as source, part.open("xb") as file:
            shutil.copyfileobj(source, file, 1024 * 1024)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except (OSError, EOFError, zlib.error) as error:
        raise RunError(f"{archive} could not be unpacked to {target}: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def unpack_tar(archive: Path, folder: Path, place: Place) -> None:
    """Unpack a checked .tar.gz file into a folder, nothing of it outside that folder. Raises RunError."""
    place.report(f"unpacking {archive.name}")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise RunError(f"{archive} could not be unpacked into {folder}: {error}") from error
