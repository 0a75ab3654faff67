"""The loop of a script: training, evaluation, what is kept of the best epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What decides how the loop looks.

    `validates` and `tests` say which parts there are beside the training part (`x_val`, `test_inputs`); `predict` is
    the expression that makes predictions of `outputs`; `monitor` decides which epoch is best; `plateau` is the metric
    that a schedule waits on, "" without one; `scheduled` is "step", "epoch" or ""; `evaluated_at_once` is how many
    samples an evaluation takes through the network together; `frozen` says whether something does not train at first,
    and `still` names layers among that which have no parameters to tell it by; `thaws` says whether something begins to
    train later (THAWED), `shares` whether something has a share of the learning rate to keep to (`keep_shares`).
    """

    validates: bool
    tests: bool
    classes: bool
    single_label: bool
    predict: str
    standardized: bool
    monitor: str
    higher: bool
    plateau: str
    scheduled: str
    optimizers: int
    closure: bool
    accumulate: int
    clip_norm: float | None
    clip_value: float | None
    precision: str
    ema: float | None
    patience: int | None
    frozen: bool = False
    still: tuple[str, ...] = ()
    thaws: bool = False
    shares: bool = False
    evaluated_at_once: str = "1000"

    @property
    def evaluated(self) -> str:
        """The network that is evaluated."""
        return "average.module" if self.ema is not None else "network"


def loop_code(recipe: Recipe) -> str:
    """From the evaluation to the last line."""
    before = _before(recipe)
    return f"{before}\n\n" * bool(before) + "\n\n".join([_evaluate(recipe), f"{_epochs(recipe)}\n{_after(recipe)}"])


def _before(recipe: Recipe) -> str:
    lines = []
    if recipe.ema is not None:
        lines.append(
            f"average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn({recipe.ema}), use_buffers=True)"
        )
    if recipe.precision == "fp16":
        lines.append("scaler = torch.amp.GradScaler()")
    if recipe.frozen:
        lines.append(_set_training(recipe))
    return "".join(f"{line}\n" for line in lines)


_SET_TRAINING = '''

def set_training(model):
    """Train mode, but for what is frozen: a frozen BatchNorm keeps its running statistics."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
'''


def _set_training(recipe: Recipe) -> str:
    if not recipe.still:
        return f"{_SET_TRAINING}\n\nset_training(network)"
    paths = ", ".join(f'"{path}"' for path in recipe.still)
    return (
        f"# Frozen layers without parameters.\nfrozen_layers = [{paths}]\n{_SET_TRAINING}"
        "    for path in frozen_layers:\n        model.get_submodule(path).eval()\n\n\nset_training(network)"
    )


_THAW = """if epoch in THAWED:
    for name, parameter in network.named_parameters():
        if name.startswith(THAWED[epoch]):
            parameter.requires_grad = True
"""


def _thaw(recipe: Recipe) -> list[str]:
    """What begins to train with an epoch."""
    if not recipe.thaws:
        return []
    still = (
        ['    frozen_layers = [path for path in frozen_layers if f"{path}." not in THAWED[epoch]]']
        if recipe.still
        else []
    )
    return [*_THAW.splitlines(), *still, "    set_training(network)"]


def _scheduled(recipe: Recipe, waits: str = "") -> list[str]:
    """The steps of the schedules."""
    lines = []
    for start in ("", "other_")[: recipe.optimizers]:
        lines.append(f"{start}scheduler.step({waits})")
        lines += [f"keep_shares({start}optimizer)"] if recipe.shares else []
    return lines


def _evaluate(recipe: Recipe) -> str:
    lines = [
        "@torch.no_grad()",
        "def evaluate(model, inputs, targets):",
        '    """Loss and metrics over all samples."""',
        "    model.eval()",
        f"    outputs = torch.cat([model(batch.to(DEVICE)) for batch in inputs.split({recipe.evaluated_at_once})])",
        "    set_training(model)" if recipe.frozen else "    model.train()",
        "    targets = targets.to(DEVICE)",
        "    loss = criterion(outputs, targets).item()",
        f"    predictions = {recipe.predict}",
    ]
    if recipe.classes:
        compared = "predictions == targets" if recipe.single_label else "predictions == (targets > 0.5)"
        metrics = f'"loss": loss, "accuracy": ({compared}).float().mean().item()'
        if recipe.monitor.endswith("/f1"):
            metrics += ', "f1": f1_score(targets.cpu(), predictions.cpu(), average="macro")'
        lines.append(f"    return {{{metrics}}}")
    else:
        scale = " * y_std.to(DEVICE)" if recipe.standardized else ""
        lines += [
            f"    errors = (predictions - targets){scale}",
            "    mae, rmse = errors.abs().mean().item(), errors.square().mean().sqrt().item()",
            "    spread = (targets - targets.mean(0)).square().sum()",
            "    r2 = 1 - (predictions - targets).square().sum() / spread",
            '    return {"loss": loss, "mae": mae, "rmse": rmse, "r2": r2.item()}',
        ]
    return "".join(f"{line}\n" for line in lines)


def _epochs(recipe: Recipe) -> str:
    start = '-float("inf")' if recipe.higher else 'float("inf")'
    lines = [f"best, best_epoch, best_weights = {start}, 0, None", "for epoch in range(1, EPOCHS + 1):"]
    # Where BatchNorm cannot train on the last batch, that is left out.
    counted = ["samples = min(len(x_train), len(train_loader) * BATCH_SIZE)"] if recipe.accumulate > 1 else []
    body = [
        *_thaw(recipe),
        *counted,
        "total, count = 0.0, 0",
        "for number, (inputs, targets) in enumerate(train_loader):",
    ]
    body += [f"    {line}" for line in _step(recipe)]
    body.append('metrics = {"train/loss": total / count}')
    if recipe.monitor.startswith("train/") and recipe.monitor != "train/loss":
        body.append(_measured(recipe, "train", "x_train", "y_train"))
    if recipe.validates:
        body.append(_measured(recipe, "val", "x_val", "y_val"))
    if recipe.scheduled == "epoch":
        body += _scheduled(recipe, f'metrics["{recipe.plateau}"]' if recipe.plateau else "")
    better = ">" if recipe.higher else "<"
    body += [
        'print(epoch, "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))',
        f'if metrics["{recipe.monitor}"] {better} best:',
        f'    best, best_epoch = metrics["{recipe.monitor}"], epoch',
        f"    best_weights = copy.deepcopy({recipe.evaluated}.state_dict())",
    ]
    if recipe.patience is not None:
        body += [f"if epoch - best_epoch >= {recipe.patience}:", "    break"]
    return "".join(f"{line}\n" for line in [*lines, *(f"    {line}" for line in body)])


def _measured(recipe: Recipe, part: str, inputs: str, targets: str) -> str:
    return (
        f'metrics |= {{f"{part}/{{name}}": value '
        f"for name, value in evaluate({recipe.evaluated}, {inputs}, {targets}).items()}}"
    )


def _step(recipe: Recipe) -> list[str]:
    """What happens with one batch."""
    lines = ["inputs, targets = inputs.to(DEVICE), targets.to(DEVICE)"]
    clears = ["optimizer.zero_grad()"] + (["other_optimizer.zero_grad()"] if recipe.optimizers > 1 else [])
    counted = ["total += loss.item() * len(inputs)", "count += len(inputs)"]
    average = ["average.update_parameters(network)"] if recipe.ema is not None else []
    scheduled = _scheduled(recipe) if recipe.scheduled == "step" else []
    if recipe.closure:
        inner = [*clears, *_loss(recipe), "loss.backward()", *_clips(recipe), "return loss"]
        lines += ["", "def closure():", *(f"    {line}" for line in inner), ""]
        return [*lines, "loss = optimizer.step(closure)", *average, *scheduled, *counted]
    backward = "scaler.scale(loss).backward()" if recipe.precision == "fp16" else "loss.backward()"
    if recipe.accumulate == 1:
        return [*lines, *clears, *_loss(recipe), backward, *_update(recipe), *average, *scheduled, *counted]
    # Every sample counts the same: a last group, and a last batch, may have fewer.
    k = recipe.accumulate
    lines += [
        *_loss(recipe),
        f"group = min({k} * BATCH_SIZE, samples - number // {k} * {k} * BATCH_SIZE)",
        "loss_share = loss * len(inputs) / group",
        backward.replace("loss", "loss_share", 1),
        f"if (number + 1) % {k} == 0 or number + 1 == len(train_loader):",
    ]
    return [*lines, *(f"    {line}" for line in [*_update(recipe), *clears, *average, *scheduled]), *counted]


def _loss(recipe: Recipe) -> list[str]:
    if recipe.precision == "fp32":
        return ["loss = criterion(network(inputs), targets)"]
    kind = "bfloat16" if recipe.precision == "bf16" else "float16"
    return [
        f"with torch.autocast(DEVICE.type, dtype=torch.{kind}):",
        "    outputs = network(inputs)",
        "loss = criterion(outputs.float(), targets)",
    ]


def _clips(recipe: Recipe) -> list[str]:
    lines = []
    if recipe.clip_norm is not None:
        lines.append(f"nn.utils.clip_grad_norm_(network.parameters(), {recipe.clip_norm})")
    if recipe.clip_value is not None:
        lines.append(f"nn.utils.clip_grad_value_(network.parameters(), {recipe.clip_value})")
    return lines


def _update(recipe: Recipe) -> list[str]:
    names = ["optimizer"] + (["other_optimizer"] if recipe.optimizers > 1 else [])
    clips = _clips(recipe)
    if recipe.precision != "fp16":
        return [*clips, *(f"{name}.step()" for name in names)]
    unscale = [f"scaler.unscale_({name})" for name in names] if clips else []
    return [*unscale, *clips, *(f"scaler.step({name})" for name in names), "scaler.update()"]


def _after(recipe: Recipe) -> str:
    lines = [
        f'print(f"best: {recipe.monitor} {{best:.4f}} in epoch {{best_epoch}}")',
        f"{recipe.evaluated}.load_state_dict(best_weights)",
    ]
    if recipe.tests:
        lines.append(f'print("test:", evaluate({recipe.evaluated}, test_inputs, test_targets))')
    return "".join(f"{line}\n" for line in lines)
