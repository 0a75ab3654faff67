"""Handing out batches of MNIST against the shortest code that does: an index per batch."""

from __future__ import annotations

import statistics
import time

import torch

from engine.calls import parse_call
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.spec import Data
from tests.benchmarks.bars import DATA, Bar

ROUNDS = 9


def measure() -> list[Bar]:
    """The ratio of an epoch of resident batches to indexing tensors per batch, medians, interleaved."""
    data = Data(source=parse_call("MNIST()"), normalize=(0.5, 0.5), validation=parse_call("test"))
    train = prepare(data, seed=0, device="cpu", place=Place(DATA)).train
    images, labels = train.inputs, train.targets

    def indexed() -> None:
        for index in torch.randperm(len(images)).split(64):
            images[index], labels[index]

    def resident() -> None:
        for _ in train.shuffled(0, 0, 64):
            pass

    seconds: dict[str, list[float]] = {"indexed": [], "resident": []}
    for _ in range(ROUNDS):
        for name, epoch in (("indexed", indexed), ("resident", resident)):
            began = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - began)
    ratio = statistics.median(seconds["resident"]) / statistics.median(seconds["indexed"])
    return [Bar("resident batches : an index per batch (MNIST, batch 64)", ratio, at_most=1.0)]
