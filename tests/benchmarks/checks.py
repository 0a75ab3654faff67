"""How long the check of an experiment takes that has one of torchvision's networks for a layer: each of them, once."""

from __future__ import annotations

import time

from engine.backbones import backbone_names, smallest_size
from engine.check import check
from engine.data.info import Place
from engine.spec import parse_experiment
from tests.benchmarks.bars import DATA, Bar

EXPERIMENT = """
optimizer = "SGD(lr=0.01)"
[data]
source = "LabelledFiles('cats-dogs', size={size})"
[network]
layers = ["Backbone('{name}', weights=None)"]
"""


def measure() -> list[Bar]:
    """Seconds of the slowest, after torch and torchvision were imported and one network was checked."""
    checked("resnet18")
    found = sorted((checked(name), name) for name in backbone_names())
    for seconds, name in reversed(found[-5:]):
        print(f"{seconds:.2f} s  {name}", flush=True)
    seconds, name = found[-1]
    return [Bar(f"the slowest of {len(found)} checks, {name}: seconds", seconds, at_most=1)]


def checked(name: str) -> float:
    """Seconds, for pictures of a size that the network takes."""
    size = 299 if name == "inception_v3" else max(224, smallest_size(name))
    experiment = parse_experiment(EXPERIMENT.format(name=name, size=size))
    began = time.perf_counter()
    report = check(experiment, Place(DATA))
    seconds = time.perf_counter() - began
    assert report.ok, report.refusal
    return seconds
