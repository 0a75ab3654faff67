"""Data: where samples come from, how they are split, and how batches of them reach the training device."""

from __future__ import annotations

from engine.data.augment import AUGMENTATIONS, Augmentation, build_augmentations
from engine.data.info import Batch, DataInfo, Loaded, Part, Place, Source
from engine.data.prepare import Prepared, check_data, free_memory, prepare
from engine.data.resident import Resident
from engine.data.sources import SOURCES, build_source
from engine.data.split import VALIDATIONS, Validation, build_validation

__all__ = [
    "AUGMENTATIONS",
    "SOURCES",
    "VALIDATIONS",
    "Augmentation",
    "Batch",
    "DataInfo",
    "Loaded",
    "Part",
    "Place",
    "Prepared",
    "Resident",
    "Source",
    "Validation",
    "build_augmentations",
    "build_source",
    "build_validation",
    "check_data",
    "free_memory",
    "prepare",
]
