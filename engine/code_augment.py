"""Augmentation as plain code: torchvision's transforms one sample at a time, and mixing one batch at a time."""

from __future__ import annotations

from engine.calls import Call
from engine.catalogue import bind, find
from engine.code_network import plain
from engine.data.info import DataInfo
from engine.spec import Experiment

MIXING = ("MixUp", "CutMix")
_WITH_INTERPOLATION = {"RandomRotation": "bilinear", "RandomAffine": "nearest", "RandomResizedCrop": "bilinear"}

_MIX = '''\
def mix(values, share):
    """A share of each, the rest of the one before it in the batch."""
    share = share.view(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * values.roll(1, 0)


'''
_MIX_UP = """\
# MixUp(alpha={alpha}, p={p}): how much of each sample stays.
share = torch.distributions.Beta({alpha}, {alpha}).sample((len(inputs),))
share[torch.rand(len(inputs)) >= {p}] = 1
inputs, targets = mix(inputs, share), mix(targets, share)
"""
_CUT_MIX = """\
# CutMix(alpha={alpha}, p={p}): a rectangle of the one before it, and that share of its target.
height, width = inputs.shape[2:]
others, inputs, share = inputs.roll(1, 0), inputs.clone(), torch.ones(len(inputs))
for index in torch.nonzero(torch.rand(len(inputs)) < {p}).flatten().tolist():
    half = 0.5 * (1 - torch.distributions.Beta({alpha}, {alpha}).sample()).sqrt().item()
    x, y = torch.randint(width, ()).item(), torch.randint(height, ()).item()
    left, right = max(x - int(half * width), 0), min(x + int(half * width), width)
    top, bottom = max(y - int(half * height), 0), min(y + int(half * height), height)
    inputs[index, :, top:bottom, left:right] = others[index, :, top:bottom, left:right]
    share[index] = 1 - (bottom - top) * (right - left) / (height * width)
targets = mix(targets, share)
"""


def mixes(experiment: Experiment) -> bool:
    """Whether samples are mixed with one another, and their targets with them."""
    return any(call.name in MIXING for call in experiment.data.augment)


def augment_imports(experiment: Experiment, info: DataInfo) -> set[str]:
    """The import lines that the code below needs."""
    if not experiment.data.augment:
        return set()
    found = {"from torch.utils.data import Dataset"}
    if info.image:
        found.add("from torchvision.transforms import v2")
    if mixes(experiment):
        found |= {"from torch.utils.data import default_collate"}
    return found


def augment_code(experiment: Experiment, info: DataInfo) -> str:
    """A data set whose samples are augmented one by one, and where they are mixed `mixed(samples)`, which makes a batch
    of them. The draws are torch's own: like a run's, but not the same."""
    calls = experiment.data.augment
    if not calls:
        return ""
    first = next((at for at, call in enumerate(calls) if call.name in MIXING), len(calls))
    normalised = info.image and experiment.data.normalize != "none"
    alone, together = calls[:first], calls[first:]
    changed = "self.inputs[index]"
    code = "# Drawn as a run draws it, from torch's own generator: the same distribution, other numbers.\n"
    if alone:
        code += _composed("transform", alone, info)
        changed = f"transform({changed})"
    if normalised and not together:
        changed = f"({changed} - mean) / std"
    code += (
        "\n\nclass Augmented(Dataset):\n"
        '    """Samples that are changed at random each time."""\n\n'
        "    def __init__(self, inputs, targets):\n"
        "        self.inputs, self.targets = inputs, targets\n\n"
        "    def __len__(self):\n"
        "        return len(self.inputs)\n\n"
        "    def __getitem__(self, index):\n"
        f"        return {changed}, self.targets[index]\n"
    )
    return code + (_mixed(together, info, normalised) if together else "")


def _mixed(calls: tuple[Call, ...], info: DataInfo, normalised: bool) -> str:
    """Mixing, and what comes after it, on a batch."""
    before = []
    lines = ["inputs, targets = default_collate(samples)"]
    if info.kind == "classes":
        lines.append(f"targets = nn.functional.one_hot(targets, {info.outputs}).float()")
    for number, call in enumerate(calls):
        given = {"alpha": 1.0, "p": 1.0, **bind(find("augmentations", call.name), call)}
        if call.name in MIXING:
            template = _MIX_UP if call.name == "MixUp" else _CUT_MIX
            lines += template.format(**given).splitlines()
        else:
            name = f"transform_{number}"
            before.append(_composed(name, (call,), info))
            lines.append(f"inputs = torch.stack([{name}(picture) for picture in inputs])")
    lines.append("return (inputs - mean) / std, targets" if normalised else "return inputs, targets")
    body = "".join(f"    {line}\n" for line in lines)
    return (
        f"\n\n{_MIX}{''.join(f'{text}' for text in before)}{'' if not before else chr(10) * 2}"
        f'def mixed(samples):\n    """A batch of samples that are mixed with one another."""\n{body}'
    )


def _composed(name: str, calls: tuple[Call, ...], info: DataInfo) -> str:
    if not info.image:
        # Noise on noise is noise; nothing else changes what is no image.
        spread = " + ".join(f"{bind(find('augmentations', call.name), call)['std']}**2" for call in calls)
        lines = [f"noise = ({spread}) ** 0.5", "", "", f"def {name}(values):"]
        return "\n".join([*lines, "    return values + noise * torch.randn_like(values)", ""])
    steps = "".join(f"        {_transform(call, info)},\n" for call in calls)
    return f"{name} = v2.Compose(\n    [\n{steps}    ]\n)\n"


def _transform(call: Call, info: DataInfo) -> str:
    given = dict(bind(find("augmentations", call.name), call))
    name = call.name
    if name == "GaussianNoise":
        return f"v2.Lambda(lambda x: x + {given['std']} * torch.randn_like(x))"
    if name == "TrivialAugment":
        name, usual = "TrivialAugmentWide", "nearest"
    else:
        usual = _WITH_INTERPOLATION.get(name, "")
    if name == "RandomResizedCrop":
        size = given.pop("size", None)
        given = {"size": tuple(info.input_shape[1:]) if size is None else size, **given}
    mode = str(given.pop("interpolation", usual)).upper()
    texts = [f"{key}={plain(value)}" for key, value in given.items()]
    if mode:
        texts.append(f"interpolation=v2.InterpolationMode.{mode}")
    return f"v2.{name}({', '.join(texts)})"
