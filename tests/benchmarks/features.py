"""Epochs of a head on cached features of VGG16 against the same epochs live, and the predictions of both."""

from __future__ import annotations

import os
import statistics
import tempfile

import torch

from engine.events import EpochEnded, Started
from engine.presets import PRESETS
from engine.session import Session
from engine.spec import Experiment, parse_experiment, with_settings
from tests.benchmarks.bars import DATA, Bar
from tests.engine.training import make_session

LIVE_EPOCHS, CACHED_EPOCHS = 2, 10
SIZE = 64  # at the preset's own 224 pixels an epoch live takes minutes


def measure() -> list[Bar]:
    """Seconds of the training part of an epoch, medians, and the largest difference between two predictions."""
    spec = experiment()
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("LAYERLAB_CACHE")
        os.environ["LAYERLAB_CACHE"] = folder
        try:
            cached, cached_seconds = trained(with_settings(spec, ["data.cache_features=true"]), CACHED_EPOCHS)
            live, live_seconds = trained(spec, LIVE_EPOCHS)
        finally:
            os.environ.pop("LAYERLAB_CACHE")
            if before is not None:
                os.environ["LAYERLAB_CACHE"] = before
        # The same head behind the live beginning.
        live.networks["model"].load_state_dict(cached.networks["model"].state_dict(), strict=False)
        apart = float((predictions(live) - predictions(cached)).abs().max())
    ratio = statistics.median(live_seconds) / statistics.median(cached_seconds)
    return [
        Bar("epochs of a head on VGG16 : on its cached features", ratio, at_least=50),
        Bar("largest difference between predictions, live and on features", apart, at_most=1e-4),
    ]


def experiment() -> Experiment:
    """The preset `cats-dogs-vgg16`, smaller, with random weights, which need not be fetched."""
    text = PRESETS["cats-dogs-vgg16"].toml
    for old, new in (
        ("Backbone('vgg16',", "Backbone('vgg16', weights=None,"),
        ("size=224", f"size={SIZE}"),
        ('normalize = "auto"', "normalize = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]"),
    ):
        assert old in text
        text = text.replace(old, new)
    return parse_experiment(text)


def trained(spec: Experiment, epochs: int) -> tuple[Session, list[float]]:
    """The session after its epochs, and the seconds of the training part of each."""
    session = make_session(with_settings(spec, [f"epochs={epochs}"]), DATA)
    seconds = []
    for event in session.run():
        if isinstance(event, Started) and event.features is not None:
            print(f"features of {event.features['samples']:,} samples in {event.features['seconds']:.1f} s", flush=True)
        elif isinstance(event, EpochEnded):
            seconds.append(event.seconds["train"])
            print(f"{'live' if session.cached is None else 'cached'}  {seconds[-1]:.3f} s an epoch", flush=True)
    return session, seconds


def predictions(session: Session) -> torch.Tensor:
    """(N, classes): what the network gives for the validation part."""
    assert session.prepared.val is not None
    network = session.networks["model"].eval()
    with torch.inference_mode():
        return torch.cat([network(batch.inputs) for batch in session.prepared.val.ordered(50)])
