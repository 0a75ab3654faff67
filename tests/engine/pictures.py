"""Small photographs for tests, made by PIL, each unlike the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from engine.calls import parse_call
from engine.data.info import Place
from engine.data.prepare import Prepared, prepare
from engine.spec import Data


def picture(seed: int, width: int = 48, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture with large and small structures, as photographs have them."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8)).resize((width, height))
    noise = random.integers(-20, 21, (height, width, 3))
    pixels = np.clip(np.asarray(coarse).astype(int) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(path: Path, seed: int, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path, **options)
    return path


def image_folder(root: Path, counts: dict[str, int], part: str = "", ending: str = "jpg") -> Path:
    """A folder of `counts[name]` photographs for each class."""
    for at, (name, count) in enumerate(counts.items()):
        for number in range(count):
            save(root / part / name / f"{number:03d}.{ending}", 1000 * at + number + (77 * len(part)))
    return root


def labelled_files(root: Path, count: int = 6) -> Path:
    """`count` files of each of two classes, called as those of Dogs vs. Cats."""
    for number in range(count):
        save(root / f"cat.{number}.jpg", number)
        save(root / f"dog.{number}.jpg", 500 + number)
    return root


def prepared(source: str, place: Place, **settings: object) -> Prepared:
    data = Data(source=parse_call(source), **settings)  # type: ignore[arg-type]
    return prepare(data, seed=3, device="cpu", place=place)
