"""What a training that goes wrong looks like: warnings that name the layer and what people usually do about it.

Pure: fed with what was measured and with the metrics of each epoch, it gives messages. Each warning is given once, and
again only after what it warns of had gone away. A loss that is no number ends the run; see diagnosis.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.events import Message
from engine.metrics import higher_is_better

if TYPE_CHECKING:
    from engine.nodes import Row

# An update is usually about a thousandth of the weights (Karpathy, CS231n, "Neural networks part 3"). One that is
# larger than they are leaves nothing of them: said of ten times their size, and of twice two times in a row, for the
# first step of RMSprop, Adagrad and LBFGS may be that large and do no harm.
EXPLODING_UPDATE, LARGE_UPDATE, CALM_UPDATE = 10.0, 2.0, 0.5
ZERO_WEIGHT = 1e-3  # root mean square; PyTorch begins with 1 / sqrt(3 * inputs), at 8,192 inputs 0.006
# Gradients fall while a network learns. A hundred times the largest of the first ones, twice in a row, is no noise.
EXPLODING_GRADIENT, CALM_GRADIENT = 100.0, 10.0
FIRST_GRADIENTS = 4
# Between the layers of a network that learns gradients differ by a factor of some hundreds. The slope of a sigmoid
# is 1/4 at most, so seven in a row leave less than this (on why: Glorot and Bengio 2010).
VANISHING, VANISHED_NO_MORE = 1e-4, 1e-3
# With Adam, weights move in spite of small gradients; a tenth of the usual update is still movement.
MOVING = 1e-4
TIMES_IN_A_ROW = 3  # readings; a layer behind one that begins at zero has no gradient in the first step
# A few per cent of units that never fire are found in most networks, and do no harm.
DEAD, DEAD_NO_MORE = 0.3, 0.2
# The patience and threshold that torch's ReduceLROnPlateau begins with. Once said, it is said again only after twice as
# long: a metric that still creeps on every dozen epochs is the same plateau.
PLATEAU_EPOCHS, PLATEAU_CHANGE = 10, 1e-4
CEILED, CEILING = ("val/accuracy", "train/accuracy"), 0.999  # there is hardly anything left to gain
# Losses go up and down from epoch to epoch by a few per cent: a tenth in five epochs, and not in a single one, is a
# direction, where the other loss fell by more than noise.
OVERFITTING_EPOCHS, OVERFITTING_RISE, OVERFITTING_NO_MORE, OVERFITTING_FALL = 5, 1.1, 1.05, 0.95
LEARNED = 0.99  # of the first loss: below it something was learned


@dataclass(frozen=True, slots=True)
class Epoch:
    """The metrics of an epoch, counted from 1."""

    epoch: int
    metrics: Mapping[str, float]


class Health:
    """Watches one session; `measured` and `epoch_ended` give the warnings that are due."""

    def __init__(self, modules: Mapping[str, Row], monitor: str) -> None:
        """`modules` are the rows of the layer table by path, containers included; `monitor` is the metric that is to
        improve."""
        self._modules = dict(modules)
        containers = {
            path.rsplit(".", depth)[0] for path in modules for depth in range(1, path.count(".") + 1)
        }  # fmt: skip
        self._leaves = [path for path in modules if path not in containers]
        self._monitor = monitor
        self._said: set[str] = set()
        self._in_a_row: dict[str, int] = {}
        self._first_gradients: list[float] = []
        self._epoch = Epoch(0, {})
        self._lowest: Epoch | None = None  # where val/loss was lowest
        self._best: tuple[int, float] | None = None  # when the monitored metric was best, and that
        self._patience = PLATEAU_EPOCHS
        self._first_loss = math.nan

    # -- what it says ------------------------------------------------------------------------------------------------

    def measured(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[Message]:
        """Judge the newest rows of `Measured`."""
        found = {row["path"]: row for row in rows}
        leaves = {path: found[path] for path in self._leaves if path in found}
        yield from self._dead(step, found)
        yield from self._exploding(step, leaves)
        yield from self._vanishing(step, leaves)

    def epoch_ended(self, step: int, epoch: int, metrics: Mapping[str, float]) -> Iterator[Message]:
        """Judge the metrics of an epoch, counted from 1."""
        self._epoch = Epoch(epoch, dict(metrics))
        if math.isnan(self._first_loss):
            self._first_loss = metrics.get("train/loss", math.nan)
        yield from self._overfitting(step)
        yield from self._plateau(step)

    def _say(self, key: str, present: bool, gone: bool, step: int, text: str) -> Iterator[Message]:
        """The warning where something is present that was not before; between present and gone nothing changes."""
        if present and key not in self._said:
            self._said.add(key)
            yield Message("warning", text, step)
        elif gone:
            self._said.discard(key)

    def _name(self, path: str) -> str:
        row = self._modules.get(path)
        return f"layer {path}" if row is None else f"layer {path} ({row.call.partition('(')[0]})"

    def _times(self, key: str, present: bool) -> int:
        """How many times in a row something was present."""
        self._in_a_row[key] = self._in_a_row.get(key, 0) + 1 if present else 0
        return self._in_a_row[key]

    # -- layers ------------------------------------------------------------------------------------------------------

    def _dead(self, step: int, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Message]:
        new = []
        for path, row in rows.items():
            key, share = f"dead {path}", row.get("dead", 0.0)
            if share >= DEAD and key not in self._said:
                self._said.add(key)
                new.append(path)
            elif share < DEAD_NO_MORE:
                self._said.discard(key)
        if new:
            share = rows[new[0]]["dead"]
            lost = "all" if share == 1 else f"{min(share * 100, 99):.0f} %"
            more = f"{len(new) - 1} more {'layer' if len(new) == 2 else 'layers'}"
            others = f" (and likewise in {more})" if len(new) > 1 else ""
            yield Message(
                "warning",
                f"dead ReLUs: {lost} of the units of {self._name(new[0])} never fire and learn nothing{others}; "
                "a lower learning rate, LeakyReLU or a BatchNorm before it usually helps",
                step,
            )

    def _exploding(self, step: int, leaves: Mapping[str, Mapping[str, Any]]) -> Iterator[Message]:
        ratios = {path: row["update_ratio"] for path, row in leaves.items() if self._weighty(path, row)}
        gradients = {path: row["grad_norm"] for path, row in leaves.items() if "grad_norm" in row}
        if not gradients:
            return
        whole = math.hypot(*gradients.values())
        if len(self._first_gradients) < FIRST_GRADIENTS:
            self._first_gradients.append(whole)
        usual = max(self._first_gradients)
        grown = whole > EXPLODING_GRADIENT * usual or not math.isfinite(whole)
        steepest = max(gradients, key=lambda path: _order(gradients[path]))
        fastest = max(ratios, key=lambda path: _order(ratios[path]), default=steepest)
        ratio = ratios.get(fastest, 0.0)
        large = self._times("large", not ratio < LARGE_UPDATE) >= 2 or not ratio < EXPLODING_UPDATE
        if large:
            what = f"one step changed the weights of {self._name(fastest)} by {ratio:.3g} times their size"
        else:
            times = f"{whole / usual:.0f} times what they were at first" if usual > 0 else f"{whole:.3g}"
            what = f"they are {times}, largest in {self._name(steepest)}"
        text = f"exploding gradients: {what}; a lower learning rate or clip_norm = 1.0 usually helps"
        calm = ratio < CALM_UPDATE and whole < CALM_GRADIENT * usual
        yield from self._say("exploding", large or self._times("grown", grown) >= 2, calm, step, text)

    def _weighty(self, path: str, row: Mapping[str, Any]) -> bool:
        """Whether the update of a layer can be told by the size of its weights: not where these are still about 0."""
        if "update_ratio" not in row:
            return False
        count = max(self._modules[path].parameters, 1)
        return not row["weight_norm"] < ZERO_WEIGHT * math.sqrt(count)

    def _vanishing(self, step: int, leaves: Mapping[str, Mapping[str, Any]]) -> Iterator[Message]:
        gradients = {path: row["grad_norm"] for path, row in leaves.items() if "grad_norm" in row}
        if not gradients:
            return
        largest = max(gradients, key=lambda path: _order(gradients[path]))
        smallest = min(gradients, key=lambda path: gradients[path])
        if not 0 < gradients[largest] < math.inf:
            return
        share = gradients[smallest] / gradients[largest]
        idle = leaves[smallest].get("update_ratio", 0.0) < MOVING
        # Behind ReLUs that are dead there are no gradients either; then these are what to tell of.
        dead = any(key.startswith("dead ") for key in self._said)
        often = self._times("vanishing", share < VANISHING and idle and not dead) >= TIMES_IN_A_ROW
        text = (
            f"vanishing gradients: that of {self._name(smallest)} is {share:.1g} of that of {self._name(largest)}, "
            "so it hardly learns; ReLU in place of Sigmoid or Tanh, BatchNorm or Residual blocks usually help"
        )
        yield from self._say("vanishing", often, share > VANISHED_NO_MORE, step, text)

    # -- epochs ------------------------------------------------------------------------------------------------------

    def _overfitting(self, step: int) -> Iterator[Message]:
        now = self._epoch
        train, val = (now.metrics.get(name, math.nan) for name in ("train/loss", "val/loss"))
        if not (math.isfinite(train) and math.isfinite(val)):
            return
        if self._lowest is None or val < self._lowest.metrics["val/loss"]:
            self._lowest = now
        best, train_then = self._lowest.metrics["val/loss"], self._lowest.metrics["train/loss"]
        since = now.epoch - self._lowest.epoch
        # A loss below 0 (a likelihood may be) has no tenth of itself to rise by.
        risen = self._times("risen", 0 < best * OVERFITTING_RISE <= val) >= TIMES_IN_A_ROW
        present = risen and since >= OVERFITTING_EPOCHS and train < train_then * OVERFITTING_FALL
        text = (
            f"overfitting: since epoch {self._lowest.epoch} val/loss has risen from {best:.4g} to {val:.4g} while "
            "train/loss falls; Dropout, weight_decay, augmentation, more data or early_stopping usually help"
        )
        gone = val <= best * OVERFITTING_NO_MORE
        yield from self._say("overfitting", present, gone, step, text)

    def _plateau(self, step: int) -> Iterator[Message]:
        now = self._epoch
        value = now.metrics.get(self._monitor, math.nan)
        if math.isfinite(value) and (self._best is None or _improved(self._monitor, value, self._best[1])):
            self._best = (now.epoch, value)
        if self._best is None:
            return
        since = now.epoch - self._best[0]
        last = now.metrics.get("train/loss", math.nan)
        first = self._first_loss
        if now.metrics.get("train/accuracy", 0.0) >= CEILING:
            remedy = "every training sample is learned, so augmentation or more data may get further"
        elif first > 0 and last > first * LEARNED:
            remedy = "nothing has been learned so far, so try another learning rate, ten times higher or lower"
        else:
            remedy = "a learning rate ten times lower (or a scheduler) may get further, early_stopping ends a run here"
        text = f"plateau: {self._monitor} has not improved on {self._best[1]:.4g} for {since} epochs; {remedy}"
        reached = next((now.metrics[name] for name in CEILED if name in now.metrics), 0.0)
        present = since >= self._patience and reached < CEILING and "overfitting" not in self._said
        for message in self._say("plateau", present, since == 0, step, text):
            self._patience *= 2
            yield message


def _order(value: float) -> float:
    """NaN as the largest: it is what to tell of."""
    return math.inf if math.isnan(value) else value


def _improved(metric: str, value: float, best: float) -> bool:
    """Whether by more than rounding: as torch's ReduceLROnPlateau has it, relative to what there was."""
    change = PLATEAU_CHANGE * abs(best)
    return value > best + change if higher_is_better(metric) else value < best - change
