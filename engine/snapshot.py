"""The state of a session, copied out and put back: everything that makes a resumed run equal to an undisturbed one."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.events import Checkpoint

if TYPE_CHECKING:
    from engine.session import Session

VERSION = 1


@dataclass
class Best:
    """The best epoch so far. `weights` is a copy of the networks by name, `saved` says that it was handed over."""

    epoch: int
    step: int
    value: float
    metrics: dict[str, float]
    weights: dict[str, dict[str, Tensor]]
    saved: bool


def copy(value: Any) -> Any:
    """A copy of a nested state, with its tensors on the CPU and shared with nothing."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied = {key: copy(item) for key, item in value.items()}
        # MultiStepLR keeps its milestones in a Counter.
        return Counter(copied) if isinstance(value, Counter) else copied
    if isinstance(value, list | tuple):
        return type(value)(copy(item) for item in value)
    return value


def load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a state_dict back of which only the tensors were kept. Raises RuntimeError where it is another module's.

    Some of torchvision's models (MNASNet) read nothing without the versions of the modules that torch keeps beside.
    """
    state = OrderedDict(tensors)
    state._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    module.load_state_dict(state)


def generators(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's process-wide generators that training on this device draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put back what `generators` gave, as far as this device has it."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def take(session: Session, *, pinned: bool = False) -> Checkpoint:
    """A checkpoint of a session between two steps; `pinned` is one to be kept for good."""
    networks = {name: copy(network.state_dict()) for name, network in session.networks.items()}
    for name, stepper in session.steppers.items():
        if stepper.average is not None:
            networks[f"{name}.average"] = copy(stepper.average.module.state_dict())
    best = session.best
    state = {
        "version": VERSION,
        "epoch": session.epoch,
        "batch": session.batch,
        "step": session.step,
        "epochs": session.epochs,
        "lr": session._lr,
        "train_seconds": session._train_seconds,
        "elapsed": session._elapsed,
        "epochs_since_best": session._epochs_since_best,
        "best": None
        if best is None
        else {"epoch": best.epoch, "step": best.step, "value": best.value, "metrics": best.metrics},
        "schedule": copy(session.schedule.state()),
        "meter": copy(session.meter.state()),
        "generators": generators(session.device),
    }
    optimizer = {name: copy(stepper.state()) for name, stepper in session.steppers.items()}
    return Checkpoint(session.step, session.epoch, session.batch, "step", networks, optimizer, state, pinned)


def restore(
    session: Session,
    networks: Mapping[str, Mapping[str, Tensor]],
    optimizer: Mapping[str, Any],
    state: Mapping[str, Any],
    best_weights: Mapping[str, Mapping[str, Tensor]] | None,
) -> None:
    """Put a session, freshly made of the same experiment, where the checkpoint was taken."""
    for name, network in session.networks.items():
        load(network, networks[name])
    for name, stepper in session.steppers.items():
        stepper.load(optimizer[name], networks.get(f"{name}.average"))
    session.schedule.load(state["schedule"])
    session.epoch, session.batch, session.step = state["epoch"], state["batch"], state["step"]
    session.epochs, session._lr = state["epochs"], state["lr"]
    session._train_seconds, session._elapsed = state["train_seconds"], state["elapsed"]
    session._epochs_since_best = state["epochs_since_best"]
    session.meter.load(state["meter"], session.device)
    best = state["best"]
    # Without the weights it is as if there had been no best epoch: the next one that is measured becomes it.
    if best is not None and best_weights is not None:
        weights = {name: dict(tensors) for name, tensors in best_weights.items()}
        session.best = Best(best["epoch"], best["step"], best["value"], best["metrics"], weights, saved=True)
    restore_generators(state["generators"], session.device)
