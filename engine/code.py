"""An experiment as a script in plain PyTorch, to read, to run and to change: nothing in it needs layerlab.

It holds out the same samples and begins with the same weights as a run; the order of the samples is its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine import code_photographs as photographs
from engine import optimize
from engine.build import build_network
from engine.calls import Call, escape
from engine.catalogue import bind, find
from engine.check import Report, has_batch_norm, training_samples
from engine.code_augment import augment_code, augment_imports, mixes
from engine.code_backbone import auxiliary_shares
from engine.code_data import data_imports, load_code, normalise_code, split_code
from engine.code_freezing import Freezing
from engine.code_loop import Recipe, loop_code
from engine.code_network import imports_of, network_code, own_classes, plain
from engine.data.info import DataInfo
from engine.errors import RequestError
from engine.freezing import parameter_groups
from engine.losses import RULES
from engine.metrics import higher_is_better
from engine.nodes import Propagation
from engine.preprocessing import preprocessing
from engine.rules import RUN_LENGTHS
from engine.spec import Experiment

_DEFINITIONS = ("class ", "def ", "@")
_OWN = ("import copy", "import csv", "import re", "from pathlib import Path")  # Python's own modules
TASKS = ("Classification", "Regression")


def pytorch_code(report: Report, data_folder: Path = Path("data")) -> str:
    """The script of an experiment that the check has nothing against; `data_folder` is where torchvision's sets lie.

    Raises RequestError where the check has, and for tasks and data that no code is written for.
    """
    if report.refusal is not None:
        raise RequestError(f"there is no code for what cannot be trained: {report.refusal}")
    experiment, info = report.experiment, report.info
    if experiment.task.name not in TASKS:
        raise RequestError(f"code is written for {' and '.join(TASKS)}; the task is {experiment.task}")
    name, found = next(iter(report.propagations.items()))
    freezing = Freezing(found)
    halves = _halves(experiment, found)
    recipe = _recipe(report, freezing, len(halves))
    parts = ["x_train", *(["x_val"] if recipe.validates else []), *(["test_inputs"] if recipe.tests else [])]
    blocks = [
        _head(experiment),
        _imports(report),
        f"SEED = {experiment.seed}\nEPOCHS = {experiment.epochs}\nBATCH_SIZE = {experiment.data.batch_size}\n"
        + _device(experiment.device),
        own_classes(found.nodes).strip("\n"),
        "# Data\n" + load_code(experiment.data.source, info, data_folder.absolute()),
        split_code(experiment, info)
        + normalise_code(experiment, info, parts, _trained_with(found))
        + _targets(recipe, parts),
        augment_code(experiment, info),
        _loader(report),
        "# Network\ntorch.manual_seed(SEED)\n"
        + network_code(found, experiment.networks[name].init)
        + "network.to(DEVICE)\n",
        "# Loss, optimizer, schedule\n"
        + _criterion(report)
        + _auxiliary(report)
        + _optimizer(experiment, freezing, halves)
        + _scheduler(experiment, freezing, len(halves)),
        loop_code(recipe),
    ]
    return _joined([block.strip("\n") for block in blocks if block.strip()])


def _trained_with(found: Propagation) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and deviation of the inputs that the weights of the network's beginning were trained with, where known."""
    known = preprocessing(found, None)
    # Without a store no run is looked for, of which alone it can be known that there was none.
    return None if known is None or isinstance(known.normalisation, str) else known.normalisation


def _joined(blocks: list[str]) -> str:
    """Blocks with a line between them, two where a function or a class stands at the edge."""
    text = blocks[0]
    for before, block in itertools.pairwise(blocks):
        apart = block.startswith(_DEFINITIONS) or before.rpartition("\n")[2].startswith(" ")
        text += ("\n\n\n" if apart else "\n\n") + block
    return text + "\n"


def _head(experiment: Experiment) -> str:
    first = f"# {escape(experiment.name)}: {escape(str(experiment.data.source))}, {escape(str(experiment.optimizer))}\n"
    if not experiment.data.cache_features:
        return first
    return f"{first}# What is frozen is computed in every epoch here; a run with cache_features computes it once.\n"


def _imports(report: Report) -> str:
    experiment = report.experiment
    network = next(iter(report.propagations.values()))
    lines = data_imports(experiment, report.info) | augment_imports(experiment, report.info) | imports_of(network.nodes)
    lines |= {"import torch", "from torch import nn", "from torch.utils.data import DataLoader, TensorDataset"}
    if "from torch.utils.data import Dataset" in lines:
        lines -= {"from torch.utils.data import Dataset", "from torch.utils.data import DataLoader, TensorDataset"}
        both = "from torch.utils.data import default_collate"
        lines.add("from torch.utils.data import DataLoader, Dataset" + (", default_collate" if both in lines else ""))
        lines.discard(both)
    lines.add("import copy")
    if experiment.ema is not None:
        lines.add("from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn")
    if experiment.monitor is not None and experiment.monitor.endswith("/f1"):
        lines.add("from sklearn.metrics import f1_score")
    own = sorted((line for line in lines if line in _OWN), key=lambda line: (line.startswith("from"), line))
    rest = sorted(lines - set(own), key=lambda line: (line.startswith("from"), line))
    return "\n".join([*own, "", *rest]) + "\n"


def _device(name: str) -> str:
    if name == "auto":
        return 'DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n'
    return f'DEVICE = torch.device("{name}")\n'


def _recipe(report: Report, freezing: Freezing, optimizers: int) -> Recipe:
    """What the loop has to know, worked out once."""
    experiment, info = report.experiment, report.info
    validation = experiment.data.validation.name
    validates = validation != "none"
    part = "val" if validates else "train"
    classes = info.kind != "values"
    monitor = experiment.monitor or f"{part}/{'accuracy' if classes else 'loss'}"
    call = experiment.scheduler
    standardize = experiment.task.name == "Regression" and _given("tasks", experiment.task).get("standardize", True)
    return Recipe(
        validates=validates,
        tests=validation != "test" and info.test is not None,
        classes=classes,
        single_label=info.kind == "classes",
        predict=_predict(report),
        standardized=bool(standardize) and info.kind == "values",
        monitor=monitor,
        higher=higher_is_better(monitor),
        plateau=(experiment.monitor or f"{part}/loss") if call is not None and call.name == "ReduceLROnPlateau" else "",
        scheduled="" if call is None else ("step" if call.name in optimize.PER_BATCH else "epoch"),
        optimizers=optimizers,
        closure=experiment.optimizer.name in optimize.WANTS_CLOSURE,
        accumulate=experiment.accumulate,
        clip_norm=experiment.clip_norm,
        clip_value=experiment.clip_value,
        precision=experiment.precision,
        ema=experiment.ema,
        patience=experiment.early_stopping,
        frozen=freezing.something_frozen,
        still=freezing.still,
        thaws=bool(freezing.thawed),
        shares=bool(freezing.shares),
        evaluated_at_once="BATCH_SIZE" if experiment.data.source.name in photographs.SOURCES else "1000",
    )


def _given(kind: str, call: Call) -> Mapping[str, object]:
    return bind(find(kind, call.name), call)


def _targets(recipe: Recipe, parts: list[str]) -> str:
    if not recipe.standardized:
        return ""
    names = {"x_train": "y_train", "x_val": "y_val", "test_inputs": "test_targets"}
    return (
        "# Targets with mean 0 and deviation 1: the learning rate does not depend on their unit.\n"
        "y_mean, y_std = y_train.mean(0), y_train.std(0, correction=0)\n"
        + "".join(f"{names[part]} = ({names[part]} - y_mean) / y_std\n" for part in parts)
    )


def _loader(report: Report) -> str:
    experiment = report.experiment
    made = "Augmented" if experiment.data.augment else "TensorDataset"
    collate = ", collate_fn=mixed" if mixes(experiment) else ""
    train, size = training_samples(experiment, report.info), experiment.data.batch_size
    normed = has_batch_norm(experiment, report.propagations)
    if normed and train is not None and train % size == 1:
        return (
            "# The last batch would hold a single sample, which BatchNorm cannot train on.\n"
            f"train_loader = DataLoader({made}(x_train, y_train), BATCH_SIZE, shuffle=True{collate}, drop_last=True)\n"
        )
    return f"train_loader = DataLoader({made}(x_train, y_train), BATCH_SIZE, shuffle=True{collate})\n"


def _predict(report: Report) -> str:
    """The expression that makes predictions of `outputs`."""
    rule = RULES[report.experiment.loss.name]
    shape = next(iter(report.propagations.values())).output_shape or (1,)
    if report.info.kind == "values":
        if rule.output == "mean_and_variance":
            return "outputs.chunk(2, dim=1)[0]"
        log = _given("losses", report.experiment.loss).get("log_input", True)
        return "outputs.exp()" if report.experiment.loss.name == "PoissonNLLLoss" and log else "outputs"
    threshold = 0.5 if rule.output == "probabilities" or rule.target == "values" else 0
    if report.info.kind == "multilabel":
        return f"outputs > {threshold}"
    return f"(outputs.squeeze(1) > {threshold}).long()" if shape == (1,) else "outputs.argmax(1)"


def _criterion(report: Report) -> str:
    """`criterion(outputs, targets)`, the targets brought into the form that the loss wants."""
    loss, info = report.experiment.loss, report.info
    given = dict(_given("losses", loss))
    texts = []
    for name, value in given.items():
        tensor = name in ("weight", "pos_weight") and isinstance(value, tuple)
        texts.append(f"{name}=" + (f"torch.tensor({list(_floats(value))!r})" if tensor else plain(value)))
    if loss.name == "KLDivLoss":
        texts = [text for text in texts if not text.startswith("reduction=")] + ['reduction="batchmean"']
    rule = RULES[loss.name]
    made = f"nn.{loss.name}({', '.join(texts)}).to(DEVICE)"
    steps = _target_steps(rule.target, info, report)
    if rule.output == "mean_and_variance":
        return (
            f"loss_function = {made}\n\n\ndef criterion(outputs, targets):\n"
            "    mean, spread = outputs.chunk(2, dim=1)\n"
            "    return loss_function(mean, targets, nn.functional.softplus(spread))\n\n\n"
        )
    if not steps:
        return f"criterion = {made}\n"
    body = "".join(f"    {step}\n" for step in steps)
    return (
        f"loss_function = {made}\n\n\ndef criterion(outputs, targets):\n{body}"
        "    return loss_function(outputs, targets)\n\n\n"
    )


def _auxiliary(report: Report) -> str:
    """The losses of auxiliary heads, which torchvision gives in a tuple in train mode."""
    counts = auxiliary_shares(next(iter(report.propagations.values())).nodes)
    if not counts:
        return ""
    if report.experiment.precision != "fp32":
        raise RequestError('no code is written for auxiliary heads in mixed precision; take precision = "fp32"')
    return (
        "\n\nmain_criterion = criterion\n\n\ndef criterion(outputs, targets):\n"
        "    if isinstance(outputs, torch.Tensor):\n        return main_criterion(outputs, targets)\n"
        "    main, *others = outputs\n"
        f"    extra = [share * main_criterion(other, targets) for share, other in zip({counts!r}, others)]\n"
        "    return main_criterion(main, targets) + sum(extra)\n\n\n"
    )


def _floats(value: Any) -> tuple[float, ...]:
    return tuple(float(item) for item in value)


def _target_steps(form: str, info: DataInfo, report: Report) -> list[str]:
    if form == "index" or (info.kind != "classes" and form in ("labels", "values", "one_hot")):
        return []
    steps = []
    if info.kind == "classes":
        shape = next(iter(report.propagations.values())).output_shape
        mixed = "targets if targets.is_floating_point() else " if mixes(report.experiment) else ""
        steps = [
            "targets = targets.float().unsqueeze(1)"
            if shape == (1,)
            else f"targets = {mixed}nn.functional.one_hot(targets, {info.outputs}).float()"
        ]
        if shape == (1,) and mixed:
            # Of two classes mixed, the share of the second is what a single output is to give.
            steps = ["targets = targets[:, 1:] if targets.is_floating_point() else targets.float().unsqueeze(1)"]
    if form == "signs":
        steps.append("targets = targets * 2 - 1")
    if form == "label_list":
        steps += [
            "# The labels that apply first, then -1.",
            "order = targets.argsort(dim=1, descending=True, stable=True)",
            "applies = torch.arange(targets.shape[1], device=targets.device) < targets.sum(1, keepdim=True)",
            "targets = torch.where(applies, order, -1)",
        ]
    return steps


def _optimizer(experiment: Experiment, freezing: Freezing, halves: tuple[str, ...]) -> str:
    call = experiment.optimizer
    given = dict(_given("optimizers", call))
    if call.name == "LBFGS":
        given.setdefault("line_search_fn", "strong_wolfe")
    texts = "".join(f", {name}={plain(value)}" for name, value in given.items())
    if call.name != "Muon" and not freezing.something_frozen and not freezing.shares:
        return f"optimizer = torch.optim.{call.name}(network.parameters(){texts})\n"
    lines = "".join(f"{line}\n" for line in freezing.thaw_lines())
    if freezing.shares:
        lines += freezing.share_lines(scheduled=experiment.scheduler is not None)
    later = " or name.startswith(sum(THAWED.values(), ()))" if freezing.thawed else ""
    lines += f"trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad{later}]\n"
    if call.name != "Muon":
        return lines + _grouped("optimizer", call.name, "trained", texts, freezing)
    if len(halves) == 1:
        # Of the other kind there is nothing, and an optimizer of nothing is refused.
        kind, texts = ("Muon", texts) if halves == ("matrices",) else ("AdamW", "")
        return f"{lines}# Muon takes the matrices, AdamW everything else.\n" + _grouped(
            "optimizer", kind, "trained", texts, freezing
        )
    return (
        f"{lines}# Muon takes the matrices, AdamW everything else.\n"
        "matrices = [(name, p) for name, p in trained if p.ndim == 2]\n"
        "others = [(name, p) for name, p in trained if p.ndim != 2]\n"
        + _grouped("optimizer", "Muon", "matrices", texts, freezing)
        + _grouped("other_optimizer", "AdamW", "others", "", freezing)
    )


def _halves(experiment: Experiment, found: Propagation) -> tuple[str, ...]:
    """What of the parameters goes to optimizers of their own: one alone, but with Muon, which takes matrices."""
    if experiment.optimizer.name != "Muon":
        return ("trained",)
    with torch.device("meta"):
        network = build_network(found)
    groups = parameter_groups(network, found)
    matrices = {parameter.ndim == 2 for group in groups for parameter in group.parameters}
    return tuple(name for name, there in (("matrices", True), ("others", False)) if there in matrices)


def _grouped(name: str, kind: str, parameters: str, arguments: str, freezing: Freezing) -> str:
    """The line that makes an optimizer of parameters and their names."""
    if freezing.shares:
        return f"{name} = scaled(torch.optim.{kind}(in_groups({parameters}){arguments}))\n"
    return f"{name} = torch.optim.{kind}([p for _, p in {parameters}]{arguments})\n"


def _scheduler(experiment: Experiment, freezing: Freezing, optimizers: int) -> str:
    call = experiment.scheduler
    if call is None:
        return ""
    made = ""
    for start in ("", "other_")[:optimizers]:
        made += f"{start}scheduler = {_schedule(call, experiment, f'{start}optimizer', bool(freezing.shares))}\n"
        made += f"keep_shares({start}optimizer)\n" if freezing.shares else ""
    return made


def _schedule(call: Call, experiment: Experiment, optimizer: str, shares: bool) -> str:
    entry = find("schedulers", call.name)
    given: dict[str, Any] = dict(bind(entry, call))
    steps = "EPOCHS * len(train_loader)"
    if experiment.accumulate > 1:
        steps = f"EPOCHS * -(-len(train_loader) // {experiment.accumulate})"
    symbols = {"epochs": "EPOCHS", "steps": steps}
    length = RUN_LENGTHS.get(call.name)
    texts = {name: symbols.get(str(value), "") or plain(value) for name, value in given.items() if name != "schedulers"}
    for name in optimize.RATES.get(call.name, ()) if shares else ():
        if isinstance(given.get(name), int | float):
            texts[name] = f'[{texts[name]} * group["lr_scale"] for group in {optimizer}.param_groups]'
    if shares and optimize.LOWEST in texts:
        texts[optimize.LOWEST] += f' * {optimizer}.param_groups[0]["lr_scale"]'
    if length is not None and given.get(length) is None and given.get("epochs") is None:
        texts[length] = symbols["steps" if call.name in optimize.PER_BATCH else "epochs"]
    if call.name == "ReduceLROnPlateau" and "mode" not in given:
        texts["mode"] = '"max"' if higher_is_better(experiment.monitor or "val/loss") else '"min"'
    if call.name in optimize.PER_BATCH and "cycle_momentum" not in given:
        momentum = any(
            p.name in ("momentum", "betas") for p in find("optimizers", experiment.optimizer.name).parameters
        )
        if not momentum:
            texts["cycle_momentum"] = "False"
    parts = given.get("schedulers")
    arguments = [f"{name}={text}" for name, text in texts.items()]
    prefix = "torch.optim.swa_utils" if call.name == "SWALR" else "torch.optim.lr_scheduler"
    if parts is None:
        return f"{prefix}.{call.name}({', '.join([optimizer, *arguments])})"
    inner = ", ".join(_schedule(part, experiment, optimizer, shares) for part in parts)
    if call.name == "ChainedScheduler":
        return f"{prefix}.ChainedScheduler([{inner}], optimizer={optimizer})"
    return f"{prefix}.{call.name}({', '.join([optimizer, f'[{inner}]', *arguments])})"
