"""Every data source by its name."""

from __future__ import annotations

from engine.calls import Call
from engine.data.embedded import Diabetes, Digits
from engine.data.info import Source
from engine.data.photographs import ImageFolder, LabelledFiles
from engine.data.tables import CSV
from engine.data.tensors import Tensors
from engine.data.toys import Blobs, Moons, Spirals
from engine.data.vision import CIFAR10, CIFAR100, KMNIST, MNIST, FashionMNIST

SOURCES: dict[str, type[Source]] = {
    source.__name__: source
    for source in (
        *(Digits, MNIST, FashionMNIST, KMNIST, CIFAR10, CIFAR100),
        *(ImageFolder, LabelledFiles),
        *(CSV, Tensors, Diabetes, Moons, Spirals, Blobs),
    )
}


def build_source(call: Call) -> Source:
    """The source that a call names. Raises RequestError for an unknown name or a wrong argument."""
    # Here, for the catalogue lists what this module holds.
    from engine.catalogue import bind, find

    entry = find("sources", call.name)
    source: Source = entry.target(**bind(entry, call))
    return source
