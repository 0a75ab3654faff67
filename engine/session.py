"""One training of one experiment, from the first step to the last: a generator of events that touches no disk.

Where a session stands is (epoch, batch): the order of samples and every augmentation follow from these and the seed.
What else a checkpoint needs is the state of the networks, the optimizers, the schedule, torch's generators (dropout
draws from them) and the sums of the epoch under way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from torch import Tensor, nn

from engine import device as devices
from engine import diagnosis, evaluation, freezing, requested, snapshot
from engine.announcement import announcement, labelled
from engine.build import initial_networks
from engine.cached_training import Cached
from engine.checkpoint_plan import CheckpointPlan
from engine.control import Mailbox
from engine.data.prepare import Prepared
from engine.errors import RunError
from engine.events import (
    Checkpoint,
    EpochEnded,
    Event,
    Measured,
    Message,
    Progress,
    StatusChanged,
    Tested,
)
from engine.gauge import Gauge
from engine.health import Health
from engine.metrics import improves
from engine.optimize import WANTS_CLOSURE, Schedule, build_grouped
from engine.shapes import Propagation
from engine.snapshot import Best
from engine.spec import Experiment
from engine.stepping import NonFiniteLoss, Stepper, set_training
from engine.tasks import Outcome, Setting, Task
from engine.weight_filling import State

PROGRESS_SECONDS = 0.25


class Session:
    """Trains an experiment on prepared data. `run` yields what happens; the mailbox carries what is asked of it."""

    def __init__(
        self,
        experiment: Experiment,
        task: Task,
        propagations: Mapping[str, Propagation],
        prepared: Prepared,
        mailbox: Mailbox,
        memory: Mapping[str, int] | None = None,
        cached: Cached | None = None,
        weights: Mapping[str, Mapping[str, State]] | None = None,
    ) -> None:
        """`propagations` are the networks as the shape check found them; `memory` is its forecast, in bytes. With
        `cached` the data is features, and what comes after the frozen beginning is trained on them. `weights` are
        those of each network's backbones.

        Raises RequestError where the optimizer, the schedule or the loss cannot be built.
        """
        self.experiment, self.task, self.prepared, self.mailbox = experiment, task, prepared, mailbox
        self.propagations = propagations
        self.memory = dict(memory or {})
        self.device = devices.resolve(experiment.device)
        autocast = devices.autocast_type(experiment.precision, self.device)

        self.cached = cached
        self.networks: dict[str, nn.Module] = {}
        if cached is None:
            self.networks |= initial_networks(experiment, propagations, self.device, weights)
        else:
            self.networks |= cached.networks
            snapshot.restore_generators(cached.generators, self.device)
        shape = propagations[task.networks[0]].output_shape or ()
        outputs = shape[-1] if shape else 1
        task.set_up(
            self.networks,
            Setting(prepared.info, experiment.loss, self.device, outputs, prepared.target_mean, prepared.target_std),
        )
        self._joins = (cached is not None and cached.joins) or any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for n in self.networks.values() for m in n.modules()
        )
        self.batches = prepared.train.batches(experiment.data.batch_size, join_single=self._joins)
        self.steps_per_epoch = -(-self.batches // experiment.accumulate)
        self.monitor = experiment.monitor or self._default_metric(task.primary)

        self.steppers: dict[str, Stepper] = {}
        for objective in task.objectives():
            network = self.networks[objective.network]
            found = propagations[objective.network]
            # Groups before anything is frozen only for a while: they hold all that ever trains.
            optimizers = build_grouped(experiment.optimizer, freezing.parameter_groups(network, found))
            freezing.thaw(network, found, 1)
            closure = experiment.optimizer.name in WANTS_CLOSURE
            self.steppers[objective.network] = Stepper(
                experiment, network, optimizers, objective, autocast, self.device, closure
            )
        self.schedule = Schedule(
            experiment.scheduler,
            [optimizer for stepper in self.steppers.values() for optimizer in stepper.optimizers],
            epochs=experiment.epochs,
            steps_per_epoch=self.steps_per_epoch,
            monitor=experiment.monitor or self._default_metric("loss"),
        )

        there = {name: dict(n.named_modules(remove_duplicate=False)) for name, n in self.networks.items()}
        paths = {name: [r.path for r in found.rows if r.path in there[name]] for name, found in propagations.items()}
        self.gauge = Gauge(self.networks, paths)
        self.health = Health(dict(labelled(propagations)), self.monitor)
        self.epochs = experiment.epochs
        self.epoch = 0  # epochs that are over
        self.batch = 0  # batches done of the epoch under way
        self.step = 0  # optimizer steps done
        self.meter = task.meter(training=True)
        self.best: Best | None = None
        self.status, self.reason = "running", ""
        self._epochs_since_best = 0
        self._train_seconds = 0.0
        self._elapsed = 0.0
        self._lr = self.schedule.lr
        self._paused = False
        self._saved_at: tuple[float, ...] | None = None
        self._ending = ""  # one of requested.WAYS_TO_END, once asked for
        self._plan = CheckpointPlan(experiment.checkpoint_minutes, experiment.checkpoint_epochs)
        self._over = False  # the last checkpoint of the run was handed over
        self._away = 0.0  # seconds of the epoch under way that went by paused

    def _default_metric(self, name: str) -> str:
        return f"{'val' if self.prepared.val is not None else 'train'}/{name}"

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Train to the end, or until asked to stop; afterwards `status` and `reason` say how it ended.

        Raises RunError where the loss is not finite; the best weights so far are handed over before that.
        """
        yield announcement(self)
        yield StatusChanged("running", "", self.step)
        try:
            if self.mailbox.pending:
                yield from self._obey()
            # Asked for before the first step, `stop_epoch` means the epoch that is about to be trained.
            while not self._complete and not self._leaving:
                yield from self._train_epoch()
                if self._leaving:
                    break
                yield from self._end_epoch()
                if self._ending:
                    break
        except NonFiniteLoss as error:
            yield from self._save_best()
            text = diagnosis.describe(self.networks, error.batch, error.value, self.step + 1, self.epoch + 1, self._lr)
            raise RunError(text) from None
        except Exception:
            yield from self._save_best()
            raise
        yield from self._finish()

    @property
    def _complete(self) -> bool:
        """Whether there is no epoch left to train."""
        return self.epoch >= self.epochs or self._out_of_patience

    @property
    def _out_of_patience(self) -> bool:
        patience = self.experiment.early_stopping
        return patience is not None and self._epochs_since_best >= patience

    def _train_epoch(self) -> Iterator[Event]:
        """The rest of the epoch, from the batch that it stands at."""
        yield from self._thaw()
        for network in self.networks.values():
            set_training(network)
        spec, stepper_of = self.experiment, self.steppers
        batches = self.prepared.train.shuffled(
            spec.seed, self.epoch, spec.data.batch_size, start=self.batch, join_single=self._joins
        )
        if self.batch < self.batches:
            self._lr = self.schedule.lr
        began = shown = time.perf_counter()
        self._away, before, samples_shown = 0.0, self._train_seconds, self.meter.samples
        while group := tuple(islice(batches, spec.accumulate)):
            if self.schedule.per_batch:
                self._lr = self.schedule.lr
            measured = self.gauge.begin(stepper_of.values())
            stepped = [stepper.step(group, self._note) for stepper in stepper_of.values()]
            self.batch += len(group)
            self.step += 1
            if all(stepped):
                self.schedule.after_step()
            if measured and self.gauge.end(all(stepped)):
                yield from self._measured()
            now = time.perf_counter()
            if now - shown >= PROGRESS_SECONDS:
                self._train_seconds = before + now - began - self._away
                yield self._progress((self.meter.samples - samples_shown) / (now - shown))
                shown, samples_shown = now, self.meter.samples
            if self.mailbox.pending:
                self._train_seconds = before + time.perf_counter() - began - self._away
                yield from self._obey()
                if self._leaving:
                    return
                shown, samples_shown = time.perf_counter(), self.meter.samples
            elif self._plan.due:
                self._train_seconds = before + time.perf_counter() - began - self._away
                yield from self._checkpoint()
        self._check_losses(self.meter.read_losses())
        self._train_seconds = before + time.perf_counter() - began - self._away

    def _thaw(self) -> Iterator[Event]:
        """Let train what the epoch that begins, or goes on, says; tell what began with it."""
        for name in self.steppers:
            if self.epoch + 1 not in freezing.epochs(self.propagations[name]):
                continue
            begun = freezing.thaw(self.networks[name], self.propagations[name], self.epoch + 1)
            if begun:
                self.gauge.training_changed()
                yield Message("info", freezing.describe(self.epoch + 1, begun, self.propagations[name]), self.step)

    def _note(self, outcome: Outcome) -> None:
        self.meter.update(outcome.loss.detach(), outcome.weight, outcome.output.detach(), outcome.target)

    def _end_epoch(self) -> Iterator[Event]:
        """Measure, remember the best, step the schedule, begin the next epoch."""
        began, away = time.perf_counter(), self._away
        metrics = {f"train/{name}": value for name, value in self.meter.compute().items()}
        watched = self.gauge.next_evaluation()
        if self.prepared.val is not None:
            found = yield from evaluation.evaluate(self, self.prepared.val, watch=watched)
            if found is None:
                return
            metrics |= {f"val/{name}": value for name, value in found.items()}
            self._check_weights(metrics["val/loss"])
        elif watched:
            evaluation.watch_units(self)
        metrics["lr"] = self._lr
        seconds = {"train": self._train_seconds, "evaluate": time.perf_counter() - began - (self._away - away)}
        samples = self.meter.samples
        self.schedule.after_epoch(metrics)
        self._elapsed += self._train_seconds
        self.epoch, self.batch, self._train_seconds = self.epoch + 1, 0, 0.0
        self.meter = self.task.meter(training=True)
        is_best = self._remember(metrics)
        yield EpochEnded(self.epoch, self.step, metrics, seconds, is_best, samples)
        if watched and self.gauge.read_units():
            yield from self._measured()
        yield from self.health.epoch_ended(self.step, self.epoch, metrics)
        if self._plan.due_after(self.epoch):
            yield from self._checkpoint()
        if self.mailbox.pending:
            yield from self._obey()

    def _remember(self, metrics: Mapping[str, float]) -> bool:
        """Keep a copy of the weights where the monitored metric improved."""
        value = metrics[self.monitor]
        if not improves(self.monitor, value, None if self.best is None else self.best.value):
            self._epochs_since_best += 1
            return False
        self._epochs_since_best = 0
        weights = {name: snapshot.copy(stepper.evaluated.state_dict()) for name, stepper in self.steppers.items()}
        self.best = Best(self.epoch, self.step, value, dict(metrics), weights, saved=False)
        return True

    def _finish(self) -> Iterator[Event]:
        """Save where it stands; at the end proper also restore the best weights and measure the test part with them."""
        if self._ending == "discard":
            self.status, self.reason = "stopped", "discarded"
            return
        yield from self._checkpoint()
        if self._ending == "stop" or not self._complete:
            self.status = "stopped"
            self.reason = "stopped after the epoch" if self._ending == "stop_epoch" else "stopped"
            return
        self._over = True
        if self.best is not None:
            for name, stepper in self.steppers.items():
                snapshot.load(self.networks[name], self.best.weights[name])
                snapshot.load(stepper.evaluated, self.best.weights[name])
        if self.prepared.test is not None:
            found = yield from evaluation.evaluate(self, self.prepared.test)
            if found is None:  # asked to stop while measuring: nothing of the training is missing
                discarded = self._ending == "discard"
                self.status = "stopped"
                self.reason = "discarded" if discarded else "stopped before the test was measured"
                return
            at = (self.epoch, self.step) if self.best is None else (self.best.epoch, self.best.step)
            yield Tested(*at, {f"test/{name}": value for name, value in found.items()})
        self.status = "finished"
        if self.epoch < self.epochs:
            self.reason = f"early stopping: {self.monitor} has not improved for {self._epochs_since_best} epochs"

    # -- what is asked of it ----------------------------------------------------------------------------------------

    @property
    def _leaving(self) -> bool:
        """Whether to end before the epoch is over."""
        return self._ending in ("stop", "discard")

    def _obey(self) -> Iterator[Event]:
        """Act on what was asked; stays here while paused."""
        began = time.perf_counter()
        while True:
            for request in self.mailbox.take():
                yield from requested.apply(self, request)
            if not self._paused or self._leaving:
                break
            # A pause may be long, and what was asked for meanwhile is not to be lost.
            if self.checkpoint_due:
                yield from self._checkpoint()
            self.mailbox.wait(1.0)
        self._away += time.perf_counter() - began

    # -- what it tells ----------------------------------------------------------------------------------------------

    def _progress(self, rate: float) -> Progress:
        losses = self.meter.read_losses()
        self._check_losses(losses)
        mean = sum(losses) / len(losses) if losses else float("nan")
        elapsed = self._elapsed + self._train_seconds
        return Progress(self.step, self.epoch + 1, self.batch, self.batches, mean, self._lr, rate, elapsed)

    def _measured(self) -> Iterator[Event]:
        """The gauge's newest readings, and what they say of the training's health."""
        rows = self.gauge.rows
        yield Measured(self.step, rows)
        yield from self.health.measured(self.step, rows)

    def _check_losses(self, losses: list[float]) -> None:
        """On a GPU losses are looked at when they are read, a few times a second."""
        first = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if first is not None:
            batch, group = self.batch - len(losses) + first, self.experiment.accumulate
            step = self.step - -(-self.batch // group) + batch // group + 1
            raise RunError(diagnosis.describe(self.networks, None, losses[first], step, self.epoch + 1, self._lr))

    def _check_weights(self, loss: float) -> None:
        """Where a measured loss is not finite because of the weights, there is nothing to go on with."""
        if not math.isfinite(loss) and diagnosis.broken_weights(self.networks) is not None:
            raise RunError(diagnosis.describe(self.networks, None, loss, self.step, self.epoch + 1, self._lr))

    # -- what it keeps ----------------------------------------------------------------------------------------------

    @property
    def _stands_at(self) -> tuple[float, ...]:
        return (self.epoch, self.step, self.epochs, self.schedule.lr)

    @property
    def checkpoint_due(self) -> bool:
        """Whether one is due between two steps, and there is something that the newest one does not hold."""
        return self._plan.due and not self._over and self._stands_at != self._saved_at

    def _checkpoint(self, *, pinned: bool = False) -> Iterator[Event]:
        """Hand over a copy of everything that a resume needs; the best weights first, so that it never refers to
        something that is not on the disk."""
        yield from self._save_best()
        # A resume from weights that a loss without value has broken could only fail again.
        self._check_losses(self.meter.read_losses())
        with self._plan.copying():
            checkpoint = snapshot.take(self, pinned=pinned)
        self._saved_at = self._stands_at
        yield checkpoint

    def _save_best(self) -> Iterator[Event]:
        if self.best is not None and not self.best.saved:
            self.best.saved = True
            state = {"epoch": self.best.epoch, "step": self.best.step, "metrics": self.best.metrics}
            yield Checkpoint(self.best.step, self.best.epoch, 0, "best", self.best.weights, None, state)

    def resume_from(
        self,
        networks: Mapping[str, Mapping[str, Tensor]],
        optimizer: Any,
        state: Mapping[str, Any],
        best: Mapping[str, Mapping[str, Tensor]] | None,
    ) -> None:
        """Stand where a checkpoint was taken; `best` are the best weights it refers to, where they could be read."""
        snapshot.restore(self, networks, optimizer, state, best)
        for name in self.steppers:  # what was thawed before was told then
            freezing.thaw(self.networks[name], self.propagations[name], self.epoch + (self.batch > 0))
        self.gauge.training_changed()
