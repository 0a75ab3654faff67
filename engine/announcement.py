"""What a session says before its first step: what it trains, on what, and how far it has come already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.events import Started

if TYPE_CHECKING:
    from engine.session import Session


def announcement(session: Session) -> Started:
    """The first event of a session. Paths of modules begin with the network's name where there are several."""
    spec, prepared = session.experiment, session.prepared
    prefix = len(session.propagations) > 1
    modules = tuple(
        {
            "path": f"{name}.{row.path}" if prefix else row.path,
            "call": row.call,
            "output_shape": list(row.output_shape),
            "parameters": row.parameters,
            "trainable": row.trainable,
            "macs": row.macs,
            "depth": row.depth,
        }
        for name, found in session.propagations.items()
        for row in found.rows
    )
    parameters = [p for network in session.networks.values() for p in network.parameters()]
    return Started(
        device=str(session.device),
        precision=spec.precision,
        epochs=session.epochs,
        batches=session.batches,
        batch_size=spec.data.batch_size,
        train=len(prepared.train),
        val=None if prepared.val is None else len(prepared.val),
        test=None if prepared.test is None else len(prepared.test),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        input_shape=prepared.info.input_shape,
        classes=prepared.info.classes,
        modules=modules,
        memory=session.memory,
        start_epoch=session.epoch,
        start_step=session.step,
    )
