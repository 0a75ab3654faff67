"""Toy sets in the plane, drawn on the spot: what a decision boundary looks like can be seen on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.info import DataInfo, Loaded, Part, Place, Source
from engine.errors import RequestError


@dataclass(frozen=True)
class Moons(Source):
    """Two interleaved half circles in the plane (scikit-learn's make_moons)."""

    n: int = 1000
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check("Moons", self.n, classes=2, noise=self.noise, seed=self.seed)

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        return _info(features=2, counts=(self.n // 2, self.n - self.n // 2))

    def load(self, place: Place) -> Loaded:
        """Inputs float32 (n, 2), labels int64 (n,)."""
        from sklearn.datasets import make_moons

        points, labels = make_moons(self.n, noise=self.noise, random_state=self.seed)
        return _loaded(self.info(place), points, labels)


@dataclass(frozen=True)
class Spirals(Source):
    """Intertwined spiral arms in the plane, one class an arm."""

    n: int = 1000
    classes: int = 2
    noise: float = 0.1
    turns: float = 1.5
    seed: int = 0

    def __post_init__(self) -> None:
        _check("Spirals", self.n, classes=self.classes, noise=self.noise, seed=self.seed)
        if not (math.isfinite(self.turns) and self.turns > 0):
            raise RequestError(f"Spirals: turns={self.turns}, but an arm has to wind; use a number above 0")

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        return _info(features=2, counts=_even(self.n, self.classes))

    def load(self, place: Place) -> Loaded:
        """Inputs float32 (n, 2), labels int64 (n,), arms as equal in size as n allows.

        Archimedean spirals: radius t in [0, 1], angle 2 pi (turns t + arm / classes). `noise` is the standard deviation
        of the points as a share of the distance between neighbouring arms.
        """
        random = np.random.default_rng(self.seed)
        labels = np.arange(self.n) % self.classes
        # The root spreads points evenly along the arm rather than crowding them at the centre.
        radius = np.sqrt(random.random(self.n))
        angle = 2 * math.pi * (self.turns * radius + labels / self.classes)
        points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        gap = 1 / (self.turns * self.classes)
        return _loaded(self.info(place), points + self.noise * gap * random.standard_normal((self.n, 2)), labels)


@dataclass(frozen=True)
class Blobs(Source):
    """Gaussian clouds, one class a cloud (scikit-learn's make_blobs)."""

    n: int = 1000
    classes: int = 3
    features: int = 2
    std: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check("Blobs", self.n, classes=self.classes, noise=self.std, seed=self.seed)
        if self.features < 1:
            raise RequestError(f"Blobs: features={self.features}, but a point needs at least one")

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        return _info(features=self.features, counts=_even(self.n, self.classes))

    def load(self, place: Place) -> Loaded:
        """Inputs float32 (n, features), labels int64 (n,)."""
        from sklearn.datasets import make_blobs

        points, labels = make_blobs(
            self.n, n_features=self.features, centers=self.classes, cluster_std=self.std, random_state=self.seed
        )
        return _loaded(self.info(place), points, labels)


def _check(name: str, n: int, *, classes: int, noise: float, seed: int) -> None:
    if classes < 2:
        raise RequestError(f"{name}: classes={classes}, but there is nothing to tell apart; use 2 or more")
    if not classes <= n <= 10_000_000:
        raise RequestError(f"{name}: n={n} samples; use between {classes} (one a class) and 10,000,000")
    if not (math.isfinite(noise) and noise >= 0):
        raise RequestError(f"{name}: a spread of {noise} is not a standard deviation; use 0 or more")
    if not 0 <= seed < 2**32:
        raise RequestError(f"{name}: seed={seed}; use a whole number from 0 to {2**32 - 1}")


def _even(n: int, classes: int) -> tuple[int, ...]:
    """n samples shared out to classes; what is left over goes to the first ones."""
    return tuple(n // classes + (label < n % classes) for label in range(classes))


def _info(*, features: int, counts: tuple[int, ...]) -> DataInfo:
    names = tuple(str(label) for label in range(len(counts)))
    return DataInfo(
        (features,), "float32", "classes", names, len(names), sum(counts), None, image=False, class_counts=counts
    )


def _loaded(info: DataInfo, points: NDArray[np.float64], labels: NDArray[np.int64]) -> Loaded:
    part = Part(torch.from_numpy(points.astype("float32")), torch.from_numpy(labels.astype("int64")))
    return Loaded(info, part, None)
