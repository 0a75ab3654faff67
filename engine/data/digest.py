"""Names of data by what matters to a training: which samples there are, in which order, with which labels.

The same data elsewhere, copied or moved to another machine, have the same name.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import torch
from torch import Tensor

from engine.data.folders import Listing
from engine.data.info import Part

PIECE = 32 * 1024**2  # bytes


def digest_of_listing(listing: Listing) -> str:
    """Names photographs by their names below the root, their classes, their parts and the sizes of their files.

    It does not notice a photograph in whose place is another one of as many bytes: reading all of them takes as long as
    decoding does.
    """
    digest = hashlib.sha256(repr(listing.classes).encode())
    for file, label, part in zip(listing.files, listing.labels, listing.parts, strict=True):
        try:
            size = os.stat(listing.root / file).st_size
        except OSError:  # gone since it was decoded
            size = -1
        digest.update(repr((file.replace(os.sep, "/"), label, part, size)).encode())
    return digest.hexdigest()[:32]


def digest_of_parts(*parts: Part | None) -> str:
    """Names samples and targets by their bytes in memory, each to the last bit. Takes about 0.7 s a GiB."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        if part is not None:
            add_tensor(digest, f"inputs {number}", part.inputs)
            add_tensor(digest, f"targets {number}", part.targets)
    return digest.hexdigest()[:32]


def add_tensor(digest: Any, name: str, tensor: Tensor) -> None:
    """Let a digest of hashlib go on with a tensor: its name, its type, its shape and its bytes."""
    digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
    whole = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    # One sample may have any stride and count as contiguous; as bytes it is seen with a stride of 1 alone.
    flat = whole.as_strided((whole.numel(),), (1,)).view(torch.uint8).numpy()
    for begin in range(0, len(flat), PIECE):
        digest.update(flat[begin : begin + PIECE].data)
