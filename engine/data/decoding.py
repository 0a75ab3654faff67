"""One photograph from its file: decoded, turned upright, scaled and cut, by PIL alone (no torch: threads do this)."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from engine.errors import RequestError

if TYPE_CHECKING:
    from PIL import Image

Resize = Literal["short", "squash", "pad"]
Pixels = npt.NDArray[np.uint8]

# What photographs come as. PIL knows more formats, some of which start other programs (EPS) or are none of a picture.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".ppm": "PPM",
    ".pgm": "PPM", ".pbm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
# Endings of photographs that are not read: whoever has some among the others is told.
OTHER_SUFFIXES = frozenset([
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".nef", ".orf", ".psd", ".raf",
    ".rw2", ".svg", ".tga",
])  # fmt: skip
LARGEST_SIDE = 8192
# EXIF's orientations that are not upright, and what PIL calls the turn that makes them so.
_TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip

# PIL warns of damaged EXIF data and of many pixels, on standard error and in the midst of a progress bar. What matters
# of it is told here by exceptions. For good, as threads decode and a filter for a while would be everybody's.
warnings.filterwarnings("ignore", module=r"PIL\.")

# How many photographs this process has decoded.
count = 0
_counting = threading.Lock()


@dataclass(frozen=True)
class Settings:
    """What is made of every photograph: `size` pixels on each side, in colour or grey. Raises RequestError."""

    size: int = 224
    resize: Resize = "short"
    resize_size: int | None = None
    colour: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST_SIDE:
            raise RequestError(f"size={self.size}: a photograph becomes 1 to {LARGEST_SIDE:,} pixels wide and high")
        if self.resize not in ("short", "squash", "pad"):
            raise RequestError(f"resize={self.resize!r}; there are 'short', 'squash' and 'pad'")
        if self.resize_size is not None:
            if self.resize != "short":
                raise RequestError(f"resize_size goes with resize='short'; with {self.resize!r} leave it out")
            if not self.size <= self.resize_size <= LARGEST_SIDE:
                raise RequestError(
                    f"resize_size={self.resize_size}: the short side is scaled to it before {self.size} pixels are cut "
                    f"out, so it is {self.size} to {LARGEST_SIDE:,}"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, size, size)."""
        return (3 if self.colour else 1, self.size, self.size)


def shown(path: str | Path) -> str:
    """A path to be told: bytes of a name that are no text are written out."""
    return str(path).encode(errors="backslashreplace").decode()


class Unreadable(RequestError):
    """A photograph that cannot be used, with its path and what is wrong with it. `passing`: it lies with the machine
    rather than with the file, and may be otherwise next time."""

    def __init__(self, path: str | Path, reason: str, *, passing: bool = False) -> None:
        self.path, self.reason, self.passing = str(path), reason, passing
        super().__init__(f"{shown(path)}: {reason}; mend or remove it, or leave such files out with on_error='skip'")


@dataclass(frozen=True)
class Decoded:
    """A photograph as uint8 (C, size, size), and the format that its file has."""

    pixels: Pixels
    format: str


def decode(path: str | Path, settings: Settings) -> Pixels:
    """A photograph as uint8 (C, size, size), as torchvision's transforms make it of a PIL image.

    Turned as its EXIF data say. "short" is Resize(resize_size or size) and CenterCrop(size), "squash" is
    Resize((size, size)), "pad" scales the long side to size and puts black on both sides of the short one. Scaling is
    PIL's bilinear one, which is antialiased. What is transparent lies on black; of 16 bits the upper eight count; grey
    becomes three equal channels in a coloured set; CMYK is turned into RGB without its profile; of several pictures in
    one file the first is taken. Raises Unreadable, which names the file.
    """
    return read(path, settings).pixels


def read(path: str | Path, settings: Settings) -> Decoded:
    """The same, with the format that the file really has."""
    from PIL import Image, UnidentifiedImageError

    global count
    try:
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as opened:
            kind = opened.format or ""
            _small_enough(path, settings, *opened.size)
            pixels = np.asarray(_scaled(_plain(_upright(opened), settings.colour), settings))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        empty = os.path.getsize(path) == 0
        reason = "the file is empty" if empty else f"this is no picture that can be read ({', '.join(FORMATS)})"
        raise Unreadable(path, reason) from None
    except Image.DecompressionBombError:
        raise Unreadable(path, f"the picture has more than {_most_pixels():,} pixels") from None
    except FileNotFoundError:
        raise Unreadable(path, "the file is not there any more", passing=True) from None
    except OSError as error:
        # PIL raises them without a number, and tells of missing bytes in parentheses.
        reason = error.strerror or f"the picture is damaged ({error})"
        raise Unreadable(path, reason, passing=error.strerror is not None) from None
    except MemoryError:
        raise Unreadable(path, "there is not enough memory to decode the picture", passing=True) from None
    except Exception as error:
        # On damaged bytes PIL raises SyntaxError, ValueError, struct.error, zlib.error and more.
        raise Unreadable(path, f"the picture is damaged ({error})") from None
    with _counting:
        count += 1
    pixels = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    return Decoded(np.ascontiguousarray(pixels), kind)


def _most_pixels() -> int:
    from PIL import Image

    # PIL warns from here on, and refuses what has twice as many.
    return 2 * (Image.MAX_IMAGE_PIXELS or LARGEST_SIDE**2)


def _small_enough(path: str | Path, settings: Settings, width: int, height: int) -> None:
    """Scaled by its short side, a strip of a few pixels' width becomes as large as its length has it."""
    short, long = sorted((width, height))
    target = settings.resize_size or settings.size
    if settings.resize == "short" and target * target * long / max(short, 1) > _most_pixels():
        raise Unreadable(
            path,
            f"a picture of {width:,} x {height:,} pixels has more than {_most_pixels():,} when its short side is "
            f"scaled to {target}; use resize='pad' or 'squash'",
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data say. ImageOps.exif_transpose writes them anew as well, and fails where they are damaged,
    which is common and says nothing of the picture."""
    from PIL import Image

    image.load()  # some formats have them behind the pixels
    try:
        turn = _TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # as of damaged pictures, whatever the bytes lead PIL to
        return image
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _plain(image: Image.Image, colour: bool) -> Image.Image:
    """The picture with 8 bits in RGB or grey."""
    from PIL import Image

    wanted = "RGB" if colour else "L"
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("whole numbers beyond 16 bits; save it with 8 or 16 bits a channel")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("pixels are floating-point numbers; save it with 8 or 16 bits a channel")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    elif image.mode == "LAB":
        image = image.convert("RGB")  # the only mode that PIL turns it into
    return image if image.mode == wanted else image.convert(wanted)


def _scaled(image: Image.Image, settings: Settings) -> Image.Image:
    """Whole numbers are cut and rounded as in torchvision's Resize and CenterCrop."""
    from PIL import Image

    width, height = image.size
    size = settings.size
    if settings.resize == "squash":
        return _to(image, size, size)
    if settings.resize == "pad":
        long = max(width, height)
        scaled = _to(image, max(1, size * width // long), max(1, size * height // long))
        canvas = Image.new(image.mode, (size, size))
        canvas.paste(scaled, ((size - scaled.width) // 2, (size - scaled.height) // 2))
        return canvas
    target = settings.resize_size or size
    if width <= height:
        scaled = _to(image, target, int(target * height / width))
    else:
        scaled = _to(image, int(target * width / height), target)
    left, top = round((scaled.width - size) / 2.0), round((scaled.height - size) / 2.0)
    return scaled.crop((left, top, left + size, top + size))


def _to(image: Image.Image, width: int, height: int) -> Image.Image:
    from PIL import Image

    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
