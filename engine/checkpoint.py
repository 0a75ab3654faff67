"""Checkpoints: any nested state as JSON and safetensors, in a folder that is either whole or not there.

A checkpoint is written under a temporary name, every file fsynced, the manifest (size and sha256 of each file) last,
and then renamed. Nothing in it is ever unpickled. Torch is imported by this module, so import it late.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
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

VERSION = 1
MAX_TENSORS = 1 << 37
MAX_STATE = 1 << 26
MAX_MANIFEST = 1 << 20
CHUNK = 1 << 22
KEPT = 2
NAME = re.compile(r"(step|best)-(\d{9,15})(?:-(\d{1,4}))?")
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
    its own behind it. Kept are the two newest steps, the best ones that these refer to (`state["best"]["step"]`) and
    the newest best. Raises OSError where the disk fails, CheckpointError where what was written does not read back,
    TypeError where the state holds something that cannot be saved; then all earlier checkpoints are still there.
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
    except BaseException:
        files.remove_folder_quietly(temporary)
        raise
    try:
        verify(path)
    except CheckpointError:
        if is_new:
            files.remove_folder_quietly(path)
        raise
    _remove_old(folder, path)
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
    manifest = {"version": VERSION, "files": entries}
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
    present = [path for path in _listed(folder, checkpoint.kind) if _order(path)[0] == checkpoint.step]
    if present:
        newest_one = present[-1]
        try:
            verify(newest_one)
            if files.read_json(newest_one / "manifest.json", MAX_MANIFEST).get("files") == manifest["files"]:
                return newest_one, False
        except (CheckpointError, OSError, ValueError):
            pass
        return folder / f"{name}-{_order(newest_one)[1] + 1}", True
    return folder / name, True


def _order(path: Path) -> tuple[int, int]:
    found = NAME.fullmatch(path.name)
    return (int(found[2]), int(found[3] or 1)) if found else (-1, -1)


def _listed(folder: Path, kind: str) -> list[Path]:
    """The checkpoints of a kind, oldest first, whether they are whole or not."""
    try:
        names = [name for name in files.listed(folder) if (found := NAME.fullmatch(name)) and found[1] == kind]
    except FileNotFoundError:
        return []
    return sorted((folder / name for name in names if files.is_folder(folder / name)), key=_order)


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
            found = _measure(path / name)
        except (FileNotFoundError, files.NotRegular, files.TooLarge, ValueError) as error:
            raise CheckpointError(f"{name} of the checkpoint {path.name} cannot be read: {error}") from None
        if found != (entry.get("size"), entry.get("sha256")):
            raise CheckpointError(f"{name} of the checkpoint {path.name} is not what was written")
    return manifest


def _measure(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    with files.opened(path) as descriptor:
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
    for path in reversed(_listed(folder, kind)):
        if step is not None and _order(path)[0] != step:
            continue
        try:
            return read_checkpoint(path), problems
        except (CheckpointError, OSError) as error:
            problems.append(str(error))
    return None, problems


def _remove_old(folder: Path, written: Path) -> None:
    """Remove all checkpoints but those worth keeping, after `written` was verified.

    A resume from an older checkpoint leaves later ones behind, that are damaged and belong to a past that no longer
    counts: those go once a new step is saved.
    """
    steps, bests = _listed(folder, "step"), _listed(folder, "best")
    if written in steps:
        kept_steps = [path for path in steps if _order(path) <= _order(written) and _looks_whole(path)][-KEPT:]
    else:
        kept_steps = steps
    referred = {_best_step(path) for path in kept_steps}
    kept_bests = [path for path in bests if _order(path)[0] in referred]
    upto = [path for path in bests if _order(path)[0] <= _order(written)[0] and _looks_whole(path)]
    keep: Mapping[Path, None] = dict.fromkeys([written, *kept_steps, *kept_bests, *upto[-1:]])
    for path in [*steps, *bests]:
        if path not in keep:
            # Under another name first: a crash in the middle must not leave half a checkpoint under its own.
            leaving = files.temporary_beside(path)
            files.system.rename(path, leaving)
            files.remove_folder(leaving)


def _looks_whole(path: Path) -> bool:
    try:
        entries = files.read_json(path / "manifest.json", MAX_MANIFEST)["files"]
        return all((path / name).lstat().st_size == entry["size"] for name, entry in entries.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _best_step(path: Path) -> int | None:
    try:
        packed = files.read_json(path / "state.json", MAX_STATE)["state"]
        best = unpack(packed, None).get("best")
        return int(best["step"]) if best else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
