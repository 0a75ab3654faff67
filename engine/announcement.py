"""What a session says before its first step: what it trains, on what, and how far it has come already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from engine.events import Started
from engine.pretrained import pretrained

if TYPE_CHECKING:
    from engine.session import Session
    from engine.shapes import Propagation, Row


def labelled(propagations: Mapping[str, Propagation]) -> Iterator[tuple[str, Row]]:
    """Every module with the path that events call it by: it begins with the network's name where there are several."""
    prefix = len(propagations) > 1
    for name, found in propagations.items():
        for row in found.rows:
            yield f"{name}.{row.path}" if prefix else row.path, row


def announcement(session: Session) -> Started:
    """The first event of a session."""
    spec, prepared = session.experiment, session.prepared
    thaws = pretrained(session.propagations).thaws
    modules = tuple(
        {
            "path": label,
            "call": row.call,
            "output_shape": list(row.output_shape),
            "parameters": row.parameters,
            "trainable": row.trainable,
            "macs": row.macs,
            "depth": row.depth,
            **({"thaws": [list(entry) for entry in thaws[label]]} if label in thaws else {}),
        }
        for label, row in labelled(session.propagations)
    )
    parameters = [p for network in session.networks.values() for p in network.parameters()]
    cached = session.cached
    return Started(
        device=str(session.device),
        precision=spec.precision,
        epochs=session.epochs,
        batches=session.batches,
        batch_size=spec.data.batch_size,
        train=len(prepared.train),
        val=None if prepared.val is None else len(prepared.val),
        test=None if prepared.test is None else len(prepared.test),
        parameters=sum(p.numel() for p in parameters) + (0 if cached is None else cached.parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        input_shape=prepared.info.input_shape,
        classes=prepared.info.classes,
        modules=modules,
        memory=session.memory,
        start_epoch=session.epoch,
        start_step=session.step,
        features=None if cached is None else dict(cached.features),
        normalisation=None
        if prepared.mean is None or prepared.std is None
        else {"mean": prepared.mean.tolist(), "std": prepared.std.tolist()},
        data=prepared.digest,
    )
