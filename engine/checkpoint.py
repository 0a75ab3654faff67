"""Checkpoints: any nested state as JSON and safetensors, in a folder that is either whole or not there.

A checkpoint is written under a temporary name, every file fsynced, the manifest (size and sha256 of each file) last,
and then renamed. Nothing in it is ever unpickled. Torch is imported by this module, so import it late.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from engine.errors import RunError
from engine.events import Checkpoint
from engine.packing import pack, safetensors_parts, unpack
from engine.store import files
from engine.store.retention import MAX_MANIFEST, MAX_STATE, NAME, listed, order, pin, remove_old

VERSION = 1
MAX_TENSORS = 1 << 37
CHUNK = 1 << 22
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")
RESERVED = ("optimizer", "state", "manifest")


class CheckpointError(RunError):
    """A checkpoint that is damaged, or of a later version."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint as it was read and verified. Tensors are on the CPU; `networks` maps a name to its state_dict."""

    path: Path
    kind: str
    step: int
    epoch: int
    batch: int
    networks: dict[str, dict[str, Tensor]]
    optimizer: Any
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """Where a checkpoint came to lie, its size in bytes and the seconds that it took."""

    path: Path
    bytes: int
    seconds: float


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Written:
    """Save a checkpoint in `folder` (a run's checkpoints/), verify it, and only then remove those no longer needed.

    One that lies there already with the same content is left as it is; the same step with other content gets a name of
    its own behind it. `retention.py` says what is kept. Raises OSError where the disk fails, CheckpointError where what
    was written does not read back, TypeError where the state holds something that cannot be saved; then all earlier
    checkpoints are still there.
    """
    began = time.perf_counter()
    files.remove_temporaries(folder)
    temporary = files.temporary_beside(folder / "checkpoint")
    files.system.mkdir(temporary)
    try:
        manifest = _write_files(temporary, checkpoint)
        path, is_new = _place(folder, checkpoint, manifest)
        if is_new:
            files.fsync_folder(temporary)
            files.system.rename(temporary, path)
            files.fsync_folder(folder)
        else:
            files.remove_folder(temporary)
            if checkpoint.pinned:
                pin(path)
    except BaseException:
        files.remove_folder_quietly(temporary)
        raise
    try:
        verify(path)
    except CheckpointError:
        if is_new:
            files.remove_folder_quietly(path)
        raise
    remove_old(folder, path)
    size = sum(entry["size"] for entry in manifest["files"].values())
    return Written(path, size, time.perf_counter() - began)


def _write_files(folder: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = {}
    networks: dict[str, dict[str, Any]] = {}
    for index, (name, tensors) in enumerate(checkpoint.networks.items()):
        plain = PLAIN_NAME.fullmatch(name) and name not in RESERVED and not name.startswith("network.")
        file = f"{name}.safetensors" if plain else f"network.{index}.safetensors"
        entries[file] = _write_parts(folder / file, safetensors_parts(tensors))
        # The order of a state_dict, which the weights' own format does not keep.
        networks[name] = {"file": file, "tensors": list(tensors)}
    packed: dict[str, Any] = {}
    for part, value in (("optimizer", checkpoint.optimizer), ("state", dict(checkpoint.state))):
        packed[part], tensors = pack(value, part)
        if tensors:
            entries[f"{part}.safetensors"] = _write_parts(folder / f"{part}.safetensors", safetensors_parts(tensors))
    about = {"version": VERSION, "kind": checkpoint.kind, "networks": networks, **packed}
    about |= {"step": checkpoint.step, "epoch": checkpoint.epoch, "batch": checkpoint.batch}
    entries["state.json"] = _write_parts(folder / "state.json", [json.dumps(about, allow_nan=False).encode()])
    best = (checkpoint.state.get("best") or {}).get("step")
    manifest = {"version": VERSION, "epoch": checkpoint.epoch, "best": best, "files": entries}
    if checkpoint.pinned:
        manifest["pinned"] = True
    files.write_new(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
    return manifest


def _write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0

    def watched() -> Iterable[bytes | memoryview]:
        nonlocal size
        for part in parts:
            digest.update(part)
            size += len(part)
            yield part

    files.write_new_in_parts(path, watched())
    return {"size": size, "sha256": digest.hexdigest()}


def _place(folder: Path, checkpoint: Checkpoint, manifest: dict[str, Any]) -> tuple[Path, bool]:
    """The path for a checkpoint, and whether it is new there."""
    name = f"{checkpoint.kind}-{checkpoint.step:09d}"
    if not NAME.fullmatch(name):
        raise CheckpointError(f"`{name}` cannot name a checkpoint")
    present = [path for path in listed(folder, checkpoint.kind) if order(path)[0] == checkpoint.step]
    if present:
        newest_one = present[-1]
        try:
            verify(newest_one)
            if files.read_json(newest_one / "manifest.json", MAX_MANIFEST).get("files") == manifest["files"]:
                return newest_one, False
        except (CheckpointError, OSError, ValueError):
            pass
        return folder / f"{name}-{order(newest_one)[1] + 1}", True
    return folder / name, True


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, once every file proved to be what it says; raises CheckpointError, OSError."""
    try:
        manifest = files.read_json(path / "manifest.json", MAX_MANIFEST)
    except (FileNotFoundError, files.NotRegular, files.TooLarge, ValueError) as error:
        raise CheckpointError(f"the checkpoint {path.name} has no readable manifest: {error}") from None
    version = manifest.get("version")
    if version != VERSION:
        raise CheckpointError(f"the checkpoint {path.name} has version {version!r}; this layerlab reads {VERSION}")
    entries = manifest.get("files")
    if not isinstance(entries, dict) or "state.json" not in entries:
        raise CheckpointError(f"the manifest of {path.name} lists no files")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or Path(name).name != name or name in ("", ".", ".."):
            raise CheckpointError(f"the manifest of {path.name} has a wrong entry: {name!r}")
        try:
            found = _measure(path / name, entry.get("size"))
        except (FileNotFoundError, files.NotRegular, files.TooLarge, ValueError) as error:
            raise CheckpointError(f"{name} of the checkpoint {path.name} cannot be read: {error}") from None
        if found != (entry.get("size"), entry.get("sha256")):
            raise CheckpointError(f"{name} of the checkpoint {path.name} is not what was written")
    return manifest


def _measure(path: Path, size_wanted: object) -> tuple[int, str]:
    """Size and sha256 of a file; a file of another size than is wanted is not read."""
    digest = hashlib.sha256()
    size = 0
    with files.opened(path) as descriptor:
        if os.fstat(descriptor).st_size != size_wanted:
            return os.fstat(descriptor).st_size, ""
        while chunk := files.system.read(descriptor, CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > MAX_TENSORS:
                raise files.TooLarge(f"larger than {MAX_TENSORS:,} bytes")
    return size, digest.hexdigest()


def read_checkpoint(path: Path) -> Saved:
    """A checkpoint, verified before anything of it is believed; raises CheckpointError, OSError."""
    manifest = verify(path)
    try:
        about = files.read_json(path / "state.json", MAX_STATE)
        tensors = {
            name: load_safetensors(files.read_bounded(path / name, MAX_TENSORS))
            for name in manifest["files"]
            if name.endswith(".safetensors")
        }
        return Saved(
            path=path,
            kind=str(about["kind"]),
            step=int(about["step"]),
            epoch=int(about["epoch"]),
            batch=int(about["batch"]),
            networks={
                name: {tensor: tensors[entry["file"]][tensor] for tensor in entry["tensors"]}
                for name, entry in about["networks"].items()
            },
            optimizer=unpack(about["optimizer"], tensors.get("optimizer.safetensors", {})),
            state=unpack(about["state"], tensors.get("state.safetensors", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {path.name} cannot be read: {error}") from None


def newest(folder: Path, kind: str = "step", step: int | None = None) -> tuple[Saved | None, list[str]]:
    """The newest checkpoint of a kind that verifies (of `step`, where given), and what is wrong with newer ones."""
    problems: list[str] = []
    for path in reversed(listed(folder, kind)):
        if step is not None and order(path)[0] != step:
            continue
        try:
            return read_checkpoint(path), problems
        except (CheckpointError, OSError) as error:
            problems.append(str(error))
    return None, problems
