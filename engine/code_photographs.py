"""Reading photographs as plain code: PIL and torchvision's transforms, in the order in which a run has them."""

from __future__ import annotations

from pathlib import Path

from engine.calls import Call
from engine.code_network import plain
from engine.data.decoding import SUFFIXES
from engine.data.folders import Listing, list_photographs, name_pattern
from engine.data.info import DataInfo, Place
from engine.data.photographs import ImageFolder, LabelledFiles, Photographs
from engine.data.sources import build_source

SOURCES = ("ImageFolder", "LabelledFiles")
PREFIXES = {"train": "", "validation": "validation_", "test": "test_"}


def photograph_imports(source: Call) -> set[str]:
    """The import lines that the code below needs."""
    found = {"from pathlib import Path", "from PIL import Image, ImageOps", "from torchvision.transforms import v2"}
    return found | ({"import re"} if source.name == "LabelledFiles" else set())


def photograph_code(source: Call, info: DataInfo, folder: Path) -> str:
    """`inputs` float32 (N, C, H, W) in [0, 1] and `targets` int64 (N,), those of other parts with their prefix.

    Raises RequestError where the photographs are not there.
    """
    built = build_source(source)
    assert isinstance(built, ImageFolder | LabelledFiles)
    listing = list_photographs(built, Place(folder))
    read = _read(built) + _photographs(built)
    root = plain(str(listing.root.absolute()))
    head = f"FOLDER = Path({root})\nCLASSES = {list(info.classes)!r}\n{_transform(built)}\n\n"
    if isinstance(built, LabelledFiles):
        listed = _by_name(built)
    else:
        listed = "".join(
            f"{prefix}inputs, {prefix}targets = photographs(in_classes({_part_folder(listing, part)}))\n"
            for part, prefix in PREFIXES.items()
            if part in listing.parts
        )
        read += _IN_CLASSES.format(endings=plain(tuple(sorted(SUFFIXES))))
    return f"{head}{read}{listed}"


_IN_CLASSES = '''\
def in_classes(folder):
    """The files of a folder a class, each with its label."""
    for label, name in enumerate(CLASSES):
        files = [path for path in (folder / name).rglob("*") if path.suffix.lower() in {endings}]
        for path in sorted(map(str, files)):
            if not any(part.startswith(".") for part in Path(path).relative_to(folder).parts):
                yield path, label


'''


def _part_folder(listing: Listing, part: str) -> str:
    """The folder that holds the classes of a part."""
    at = listing.parts.index(part)
    first = Path(listing.files[at]).parts[0]
    return "FOLDER" if first == listing.classes[listing.labels[at]] else f"FOLDER / {plain(first)}"


def _transform(source: Photographs) -> str:
    settings = source.settings
    size = settings.size
    if settings.resize == "squash":
        return f"resize = v2.Resize(({size}, {size}))\n"
    if settings.resize == "pad":
        return (
            "def resize(image):\n"
            '    """The long side scaled, black beside the short one."""\n'
            "    long = max(image.size)\n"
            f"    width, height = (max(1, {size} * side // long) for side in image.size)\n"
            f"    canvas = Image.new(image.mode, ({size}, {size}))\n"
            "    scaled = image.resize((width, height), Image.Resampling.BILINEAR)\n"
            f"    canvas.paste(scaled, (({size} - width) // 2, ({size} - height) // 2))\n"
            "    return canvas\n"
        )
    return f"resize = v2.Compose([v2.Resize({settings.resize_size or size}), v2.CenterCrop({size})])\n"


def _read(source: Photographs) -> str:
    mode = "RGB" if source.settings.colour else "L"
    return (
        "def photograph(path):\n"
        f'    """uint8 {source.settings.shape}; what is transparent, or has 16 bits a channel, is left to PIL."""\n'
        "    with Image.open(path) as file:\n"
        f'        image = ImageOps.exif_transpose(file).convert("{mode}")\n'
        "    return v2.functional.pil_to_tensor(resize(image))\n\n\n"
    )


def _photographs(source: Photographs) -> str:
    lines = ["pictures, labels = [], []", "for path, label in files:"]
    if source.skips:
        lines += [
            "    try:",
            "        pictures.append(photograph(path))",
            "    except (OSError, SyntaxError, ValueError) as error:",
            '        print(f"left out: {path}: {error}")',
            "        continue",
        ]
    else:
        lines.append("    pictures.append(photograph(path))")
    lines += [
        "    labels.append(label)",
        "# All of them at once: this takes four bytes for each value.",
        "return torch.stack(pictures).float() / 255, torch.tensor(labels)",
    ]
    body = "".join(f"    {line}\n" for line in lines)
    return f'def photographs(files):\n    """Inputs in [0, 1] and labels."""\n{body}\n\n'


def _by_name(source: LabelledFiles) -> str:
    expression = name_pattern(source.pattern).pattern
    endings = plain(tuple(sorted(SUFFIXES)))
    return (
        f"pattern = re.compile({plain(expression)}, re.DOTALL)\n"
        "found = []\n"
        "for path in FOLDER.iterdir():\n"
        f"    if path.suffix.lower() in {endings} and (match := pattern.fullmatch(path.name)):\n"
        '        found.append((CLASSES.index(match["label"]), path.name))\n'
        "inputs, targets = photographs((FOLDER / name, label) for label, name in sorted(found))\n"
    )
