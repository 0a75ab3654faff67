"""What a check says of weights, of what is frozen, and of what is thawed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine import freezing
from engine.backbone_rows import measured
from engine.data.info import DataInfo, Missing, Place, Source
from engine.nodes import Problem, Propagation
from engine.preprocessing import asked, preprocessing, size_warning
from engine.spec import Experiment
from engine.weights import missing_weights, weights_problem


@dataclass(frozen=True)
class Pretrained:
    """What is known of what is thawed, and of backbones, by the paths of rows.

    `thaws` says with which epochs how many of a row's parameters begin to train, `heads` which modules of a Backbone
    depend on the number of classes, `shares` at which shares of the learning rate, where it is not the full one.
    """

    thaws: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def pretrained(propagations: Mapping[str, Propagation]) -> Pretrained:
    """What is known of the networks of an experiment."""
    thaws: dict[str, tuple[tuple[int, int], ...]] = {}
    heads: dict[str, tuple[str, ...]] = {}
    shares: dict[str, tuple[float, ...]] = {}
    for name, found in propagations.items():
        prefix = f"{name}." if len(propagations) > 1 else ""
        heads |= {f"{prefix}{node.path}": measured(node).heads for node in freezing.backbone_nodes(found.nodes)}
        thaws |= {f"{prefix}{path}": epochs for path, epochs in freezing.schedule(found).items()}
        shares |= {f"{prefix}{path}": scales for path, scales in freezing.shares(found).items()}
    return Pretrained(thaws, heads, shares)


def missing_files(
    source: Source, propagations: Mapping[str, Propagation], place: Place, store: Path | None, *, weights: bool
) -> tuple[Missing, ...]:
    """What a run would fetch and may not: data and, with `weights`, trained weights; none where it may."""
    if place.download:
        return ()
    data = source.to_fetch(place)
    found = [one for each in propagations.values() for one in missing_weights(each, place, store)] if weights else []
    return (*([] if data is None else [data]), *found)


def pretrained_problem(
    propagations: Mapping[str, Propagation], place: Place, store: Path | None, *, weights: bool
) -> Problem | None:
    """The first thing that is wrong; with `weights`, those that are asked for have to be there."""
    for found in propagations.values():
        problem = _freezing_problem(found) or (weights_problem(found, place, store) if weights else None)
        if problem is not None:
            return problem
    return None


def _freezing_problem(propagation: Propagation) -> Problem | None:
    first = min(freezing.trained(propagation), key=lambda rule: rule.begins, default=None)
    # Where nothing ever trains, the optimizer says so.
    if first is None or first.begins == 1:
        return None
    outermost = first.path.partition(".")[0]
    row = next(row for row in propagation.rows if row.path == outermost)
    text = (
        f"nothing trains before epoch {first.begins:g}: all that has parameters is frozen until then; let a layer "
        "train from the beginning, such as a last Linear(classes)"
    )
    return Problem(row.path, row.call, text)


def pretrained_warnings(
    experiment: Experiment, info: DataInfo, propagations: Mapping[str, Propagation], network: str, store: Path | None
) -> Iterator[str]:
    """What people usually do not mean. `network` is the one that sees the data. Raises RequestError where a run that is
    named is not there."""
    for found in propagations.values():
        late = {rule.path: rule.begins for rule in freezing.trained(found) if rule.begins > experiment.epochs}
        if late:
            path, epoch = next(iter(late.items()))
            yield f"layer {path} is thawed with epoch {epoch:g}, and the run has {experiment.epochs}: it stays frozen"
        for node in freezing.backbone_nodes(found.nodes):
            frozen = node.arguments.get("frozen", "none") not in ("none", ())
            if frozen and asked(node) is None and node.arguments.get("thaw") is None:
                yield (
                    f"`{node.call}`: its weights are random, and what is frozen of them stays so; weights='DEFAULT' "
                    "begins with trained ones"
                )
    seen = propagations[network]
    warning = size_warning(seen, info.input_shape, store)
    if warning is not None:
        yield warning
    if experiment.data.normalize != "auto" or not info.image:
        return
    trained = preprocessing(seen, store)
    for node in freezing.backbone_nodes(seen.nodes):
        weights = asked(node) or ""
        if trained is not None and trained.normalisation == "none" and weights.startswith("run:"):
            yield (
                f"`{node.call}`: these weights were trained on inputs that were not normalised, so they are not here "
                "either; normalize = [mean, std] normalises them"
            )
        unknown = trained is None if weights.startswith("file:") else trained is not None and not trained.normalisation
        if unknown and weights.startswith(("file:", "run:")):
            yield (
                f"`{node.call}`: how the inputs of these weights were normalised is not known, so the training samples "
                "say how they are here; normalize = [mean, std] gives others"
            )
