"""Data sets that come with scikit-learn: nothing to download.

scikit-learn takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.data.info import DataInfo, Loaded, Part, Place, Source


@dataclass(frozen=True)
class Digits(Source):
    """Handwritten digits, 1,797 images of 1x8x8 pixels in 10 classes; comes with scikit-learn, no download."""

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        names = tuple(str(digit) for digit in range(10))
        counts = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
        return DataInfo(
            (1, 8, 8), "float32", "classes", names, 10, train=1797, test=None, image=True, class_counts=counts
        )

    def load(self, place: Place) -> Loaded:
        """Images uint8 (1797, 1, 8, 8) with values 0 to 16, so `scale` is 16; no official test split."""
        from sklearn.datasets import load_digits

        place.report("reading digits")
        data = load_digits()
        images = torch.from_numpy(data.images.astype("uint8")).unsqueeze(1)
        labels = torch.from_numpy(data.target.astype("int64"))
        return Loaded(self.info(place), Part(images, labels, scale=16.0), None)


@dataclass(frozen=True)
class Diabetes(Source):
    """Disease progression of 442 diabetes patients from 10 measurements; comes with scikit-learn, for regression."""

    def info(self, place: Place) -> DataInfo:
        """Known without the data."""
        return DataInfo((10,), "float32", "values", (), 1, train=442, test=None, image=False)

    def load(self, place: Place) -> Loaded:
        """Inputs float32 (442, 10), targets float32 (442, 1), both in their own units."""
        from sklearn.datasets import load_diabetes

        place.report("reading diabetes")
        # The scaled form was standardised with all 442 patients, held-out ones included; the raw one leaks nothing.
        data = load_diabetes(scaled=False)
        inputs = torch.from_numpy(data.data.astype("float32"))
        targets = torch.from_numpy(data.target.astype("float32")).unsqueeze(1)
        return Loaded(self.info(place), Part(inputs, targets), None)
