"""Loading, splitting and normalising data as plain code: what an experiment's [data] does, written out.

Every block leaves `inputs` and `targets`, and `test_inputs`, `test_targets` where there is an official test split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import code_photographs as photographs
from engine.calls import Call
from engine.catalogue import bind, find
from engine.code_network import plain
from engine.data.info import DataInfo
from engine.errors import RequestError
from engine.rng import Stream, mix
from engine.spec import Experiment

_CSV = '''\
with open({path}, newline="") as file:
    rows = list(csv.reader(file{delimiter}))
names = {names}
columns = dict(zip(names, zip(*rows[{skipped}:])))
target = columns.pop({target})
{chosen}

def numbers(texts):
    """A column of numbers, or one column of 0 and 1 for each of its categories."""
    try:
        return np.array([[float(text{decimal})] for text in texts], dtype=np.float32)
    except ValueError:
        categories = sorted(set(text.strip() for text in texts))
        return np.array([[text.strip() == category for category in categories] for text in texts], dtype=np.float32)


inputs = torch.from_numpy(np.concatenate([numbers(column) for column in columns.values()], axis=1))
'''


def data_imports(experiment: Experiment, info: DataInfo) -> set[str]:
    """The import lines that the code below needs."""
    name = experiment.data.source.name
    if name in photographs.SOURCES:
        found = photographs.photograph_imports(experiment.data.source)
    else:
        found = _imports(name, experiment.data.source)
    if experiment.data.validation.name == "holdout" and info.validation is None:
        found |= {"import numpy as np", "from sklearn.model_selection import train_test_split"}
    return found


def _imports(name: str, source: Call) -> set[str]:
    if name == "Tensors" and str(_arguments(source)["path"]).endswith(".safetensors"):
        return {"from safetensors.torch import load_file"}
    return {
        "Digits": {"from sklearn.datasets import load_digits"},
        "Diabetes": {"from sklearn.datasets import load_diabetes"},
        "Moons": {"from sklearn.datasets import make_moons"},
        "Blobs": {"from sklearn.datasets import make_blobs"},
        "Spirals": {"import numpy as np"},
        "CSV": {"import csv", "import numpy as np"},
        "Tensors": {"import numpy as np"},
    }.get(name, {"from torchvision import datasets"})


def _arguments(call: Call) -> dict[str, Any]:
    """All arguments of a source, defaults included."""
    entry = find("sources", call.name)
    defaults = {parameter.name: parameter.default for parameter in entry.parameters if not parameter.required}
    return {**defaults, **bind(entry, call)}


def load_code(source: Call, info: DataInfo, folder: Path) -> str:
    """Read the data: inputs float32 (N, ...), images in [0, 1]; targets int64 (N,), or float32 (N, k)."""
    name, given = source.name, _arguments(source)
    if name == "Digits":
        return (
            "digits = load_digits()\n"
            "inputs = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16\n"
            "targets = torch.tensor(digits.target)\n"
        )
    if name == "Diabetes":
        return (
            "diabetes = load_diabetes(scaled=False)\n"
            "inputs = torch.tensor(diabetes.data, dtype=torch.float32)\n"
            "targets = torch.tensor(diabetes.target, dtype=torch.float32).unsqueeze(1)\n"
        )
    if name in ("Moons", "Blobs", "Spirals"):
        return _toy(name, given)
    if name == "CSV":
        return _csv(given, info)
    if name == "Tensors":
        return _tensors(given, info)
    if name in photographs.SOURCES:
        return photographs.photograph_code(source, info, folder)
    return _torchvision(name, folder)


def _torchvision(name: str, folder: Path) -> str:
    lines = []
    for variable, train in (("", True), ("test_", False)):
        lines.append(f"data = datasets.{name}({plain(str(folder))}, train={train}, download=True)")
        if name.startswith("CIFAR"):
            lines.append(f"{variable}inputs = torch.from_numpy(data.data).permute(0, 3, 1, 2).float() / 255")
            lines.append(f"{variable}targets = torch.tensor(data.targets)")
        else:
            lines.append(f"{variable}inputs = data.data.unsqueeze(1).float() / 255")
            lines.append(f"{variable}targets = data.targets")
    return "\n".join(lines) + "\n"


def _toy(name: str, given: dict[str, Any]) -> str:
    n, seed = given["n"], given["seed"]
    if name == "Moons":
        made = f"points, labels = make_moons({n}, noise={given['noise']}, random_state={seed})\n"
    elif name == "Blobs":
        made = (
            f"points, labels = make_blobs(\n    {n}, n_features={given['features']}, centers={given['classes']}, "
            f"cluster_std={given['std']}, random_state={seed}\n)\n"
        )
    else:
        arms, turns = given["classes"], given["turns"]
        made = (
            f"random = np.random.default_rng({seed})\n"
            f"labels = np.arange({n}) % {arms}\n"
            f"radius = np.sqrt(random.random({n}))\n"
            f"angle = 2 * np.pi * ({turns} * radius + labels / {arms})\n"
            "points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)\n"
            f"points += {given['noise']} / ({turns} * {arms}) * random.standard_normal(({n}, 2))\n"
        )
    return made + (
        "inputs = torch.tensor(points, dtype=torch.float32)\ntargets = torch.tensor(labels, dtype=torch.int64)\n"
    )


def _csv(given: dict[str, Any], info: DataInfo) -> str:
    if given["missing"] == "drop":
        raise RequestError("code for CSV(missing='drop') is not written: leave out the rows in the file, and try again")
    delimiter = "" if given["delimiter"] is None else f", delimiter={plain(given['delimiter'])}"
    chosen = ""
    if given["columns"] is not None:
        chosen = f"columns = {{name: columns[name] for name in {plain(given['columns'])}}}\n"
    header = given["header"]
    text = _CSV.format(
        path=plain(given["path"]),
        delimiter=delimiter,
        names="rows[0]" if header else "[str(number) for number in range(len(rows[0]))]",
        skipped=1 if header else 0,
        target=plain(given["target"]),
        chosen=chosen,
        decimal='.replace(".", "").replace(",", ".")' if given["decimal"] == "," else "",
    )
    if info.kind == "values":
        return text + "targets = torch.from_numpy(numbers(target))\n"
    if info.classes == tuple(str(label) for label in range(info.outputs)):
        return text + "targets = torch.from_numpy(numbers(target)).squeeze(1).long()\n"
    return text + (
        f"classes = {list(info.classes)!r}\ntargets = torch.tensor([classes.index(text.strip()) for text in target])\n"
    )


def _tensors(given: dict[str, Any], info: DataInfo) -> str:
    loader = "load_file" if str(given["path"]).endswith(".safetensors") else "np.load"
    lines = [f"arrays = {loader}({plain(given['path'])})"]
    for prefix, end in (("", ""), ("test_", "_test")) if info.test is not None else (("", ""),):
        for variable, key in ((f"{prefix}inputs", given["inputs"] + end), (f"{prefix}targets", given["targets"] + end)):
            lines.append(f"{variable} = torch.as_tensor(arrays[{plain(key)}])")
        if info.image:
            lines.append(f"{prefix}scale = 255 if {prefix}inputs.dtype == torch.uint8 else 1")
            lines.append(f"{prefix}inputs = {prefix}inputs.float().reshape(-1, {_sizes(info)}) / {prefix}scale")
        elif info.input_dtype == "float32":
            lines.append(f"{prefix}inputs = {prefix}inputs.float()")
        else:
            lines.append(f"{prefix}inputs = {prefix}inputs.long()")
        kind = "long()" if info.kind == "classes" else f"float().reshape(-1, {info.outputs})"
        lines.append(f"{prefix}targets = {prefix}targets.{kind}")
    return "\n".join(lines) + "\n"


def _sizes(info: DataInfo) -> str:
    return ", ".join(map(str, info.input_shape))


def split_code(experiment: Experiment, info: DataInfo) -> str:
    """Split off what is validated on: the very samples that a run of this seed holds out."""
    validation = experiment.data.validation
    if validation.name == "test":
        return (
            "# The official test split is what is validated on.\n"
            "x_train, y_train = inputs, targets\nx_val, y_val = test_inputs, test_targets\n"
        )
    if validation.name == "none":
        return "x_train, y_train = inputs, targets\n"
    if info.validation is not None:
        return (
            "# The validation folder is what is validated on.\n"
            "x_train, y_train = inputs, targets\nx_val, y_val = validation_inputs, validation_targets\n"
        )
    given = bind(find("validations", "holdout"), validation)
    fraction, stratify = given.get("fraction", 0.2), given.get("stratify", True)
    state = mix(experiment.seed, Stream.SPLIT) % 2**32
    stratified = ", stratify=targets.numpy()" if stratify and info.kind == "classes" else ""
    held = "" if info.train is None else f"  # {math.ceil(info.train * float(str(fraction))):,} of {info.train:,}"
    return (
        "train, val = train_test_split(\n"
        f"    np.arange(len(inputs)), test_size={fraction}{stratified}, random_state={state}\n"
        f"){held}\n"
        "train, val = np.sort(train), np.sort(val)\n"
        "x_train, y_train = inputs[train], targets[train]\n"
        "x_val, y_val = inputs[val], targets[val]\n"
    )


def normalise_code(
    experiment: Experiment,
    info: DataInfo,
    parts: list[str],
    trained_with: tuple[Sequence[float], Sequence[float]] | None = None,
) -> str:
    """Normalise the parts, but where images are augmented first: then `mean` and `std` are used later.

    `trained_with` are mean and deviation, by channel, of the inputs that the network's weights come from; unless others
    are asked for, these are taken.
    """
    normalize = experiment.data.normalize
    if normalize == "none" or info.input_dtype == "int64":
        return ""
    ones = "".join(", 1" for _ in info.input_shape[1:])
    known = trained_with is not None and len(trained_with[0]) == info.input_shape[0]
    if normalize == "auto" and trained_with is not None and known:
        code = "# What the weights were trained with.\n" + _fixed(trained_with, ones)
    elif normalize == "auto":
        dimensions = (0, *range(2, len(info.input_shape) + 1))
        which = plain(dimensions) if len(dimensions) > 1 else "0"
        code = (
            "# Measured on the training part alone.\n"
            f"mean = x_train.mean({which}).view(-1{ones})\n"
            f"std = x_train.std({which}, correction=0).view(-1{ones})\n"
            "std[std == 0] = 1\n"
        )
    else:
        code = _fixed([side if isinstance(side, tuple) else (side,) for side in normalize], ones)
    later = bool(experiment.data.augment) and info.image
    return code + "".join(f"{part} = ({part} - mean) / std\n" for part in parts if not (later and part == "x_train"))


def _fixed(sides: Sequence[Sequence[float]], ones: str) -> str:
    """Mean and deviation as they are given."""
    return "".join(
        f"{name} = torch.tensor({list(side)!r}).view(-1{ones})\n"
        for name, side in zip(("mean", "std"), sides, strict=True)
    )
