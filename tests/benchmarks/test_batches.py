"""Handing out batches of MNIST against the shortest code that does: an index per batch."""

from __future__ import annotations

import statistics
import time

import pytest
import torch

from engine.calls import parse_call
from engine.data import Place, prepare
from engine.spec import Data

BAR = 1.0
ROUNDS = 9


@pytest.mark.bench
def test_an_epoch_of_batches_costs_less_than_indexing_per_batch(data_folder):
    data = Data(source=parse_call("MNIST()"), normalize=(0.5, 0.5), validation=parse_call("test"))
    train = prepare(data, seed=0, device="cpu", place=Place(data_folder)).train
    images, labels = train.inputs, train.targets

    def indexed():
        for index in torch.randperm(len(images)).split(64):
            images[index], labels[index]

    def resident():
        for _ in train.shuffled(0, 0, 64):
            pass

    seconds = {indexed: [], resident: []}
    for _ in range(ROUNDS):
        for epoch, taken in seconds.items():
            began = time.perf_counter()
            epoch()
            taken.append(time.perf_counter() - began)
    ratio = statistics.median(seconds[resident]) / statistics.median(seconds[indexed])
    print(f"\nbatches of MNIST, batch 64: {ratio:.2f} times indexing per batch (bar {BAR})")
    assert ratio <= BAR
