"""A part of the data as tensors on the training device, handed out in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from engine.data.augment import Augmentation, augmented
from engine.data.info import Batch
from engine.data.normalise import Normalise
from engine.rng import Stream, generator

# Indexing costs more for its call than for its bytes, so several batches are gathered at once and handed out as slices.
# On a CPU more than a cache holds is slower again (measured on MNIST, batch 64: 1 MiB to 6 MiB are best, 25 MiB is
# slower than batch by batch); on other devices only calls count.
_CHUNK_BYTES = {"cpu": 3 * 1024**2}
_CHUNK_BYTES_ELSEWHERE = 32 * 1024**2


class Resident:
    """Samples on one device, in the order of the source.

    Made of `inputs` (N, ...), as stored or ready for the network, and `targets` (N, ...), both already on the device.
    `normalise` is what is still to be done to inputs, `augmentations` what `shuffled` (never `ordered`) does on top:
    between scaling and normalising, or at the very end where `augment_last`. `classes` is the number of classes where
    targets are class numbers: augmentations that mix samples make float32 (n, classes) of them.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        normalise: Normalise,
        augmentations: tuple[Augmentation, ...] = (),
        *,
        augment_last: bool = False,
        classes: int = 0,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.device = inputs.device
        self._normalise = normalise
        self._augmentations = augmentations
        self._augment_last = augment_last
        self._classes = classes
        sample_bytes = inputs[0].numel() * (8 if inputs.dtype == torch.int64 else 4)
        chunk = _CHUNK_BYTES.get(self.device.type, _CHUNK_BYTES_ELSEWHERE)
        self._chunk_samples = max(1, chunk // sample_bytes)

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.inputs)

    def batches(self, batch_size: int, *, join_single: bool = False) -> int:
        """The number of batches in an epoch; the last one may be smaller.

        With `join_single` a last batch of a single sample joins the one before it: BatchNorm cannot train on one.
        """
        full, rest = divmod(len(self), batch_size)
        if rest == 1 and full >= 1 and join_single:
            return full
        return full + (rest > 0)

    def shuffled(
        self, seed: int, epoch: int, batch_size: int, start: int = 0, *, join_single: bool = False
    ) -> Iterator[Batch]:
        """One epoch in random order, from batch number `start` on; each sample once.

        The order is a function of (seed, epoch), the augmentation of (seed, epoch, batch), so starting at k gives the
        same bits as skipping k batches. A batch shares its memory with its neighbours but is never written to again.
        """
        order = torch.randperm(len(self), generator=generator("cpu", seed, Stream.ORDER, epoch))
        count = self.batches(batch_size, join_single=join_single)
        if start >= count:
            return
        sizes = [batch_size] * (count - start)
        sizes[-1] = len(self) - (count - 1) * batch_size
        for number, (inputs, targets) in enumerate(self._chosen(order[start * batch_size :], sizes), start):
            batch = Batch(inputs, targets, number)
            yield self._augmented(batch, seed, epoch) if self._augmentations else batch

    def _chosen(self, order: Tensor, sizes: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of one batch of each size, in this order (on the CPU); what is to be augmented is scaled
        and not yet normalised."""
        order = order.to(self.device)
        at_once = max(1, self._chunk_samples // max(sizes, default=1))
        begin = 0
        for first in range(0, len(sizes), at_once):
            chunk = list(sizes[first : first + at_once])
            index = order.narrow(0, begin, sum(chunk))
            begin += sum(chunk)
            inputs = torch.split(self._prepared(self.inputs.index_select(0, index)), chunk)
            yield from zip(inputs, torch.split(self.targets.index_select(0, index), chunk), strict=True)

    def _prepared(self, stored: Tensor) -> Tensor:
        if self._augmentations and not self._augment_last:
            return self._normalise.scaled(stored)
        return self._normalise.ready(stored)

    def _augmented(self, batch: Batch, seed: int, epoch: int) -> Batch:
        random = generator(self.device, seed, Stream.AUGMENT, epoch, batch.number)
        inputs, targets = augmented(self._augmentations, batch.inputs, batch.targets, random, self._classes)
        return Batch(inputs if self._augment_last else self._normalise.normalised(inputs), targets, batch.number)

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in the order of the source, without augmentation: for evaluation."""
        for number, begin in enumerate(range(0, len(self), batch_size)):
            stored = self.inputs[begin : begin + batch_size]
            # A copy where nothing else makes one: a network that begins with ReLU(inplace=True) writes to its input.
            inputs = (
                stored.clone()
                if self._normalise.nothing
                else self._normalise.normalised(self._normalise.scaled(stored))
            )
            yield Batch(inputs, self.targets[begin : begin + batch_size], number)
