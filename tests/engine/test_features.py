"""Training on what a frozen beginning gives equals training the whole, and whatever changes that is computed anew."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from engine import feature_cache, launch
from engine.build import initial_networks
from engine.calls import parse_call
from engine.check import Report, check
from engine.control import Mailbox, Request
from engine.data.decoded_live import LivePart
from engine.data.info import Loaded, Part, Place
from engine.data.normalise import Normalise
from engine.data.prepare import prepare
from engine.data.resident import Resident
from engine.data.sources import build_source
from engine.data.streamed import Streamed
from engine.errors import RequestError, RunError
from engine.events import Checkpoint, Started, from_line, to_line
from engine.feature_cache import Kept, features
from engine.feature_entry import Stopped
from engine.features import Prefix, Reason, _inside, compute, frozen_prefix, rest
from engine.launch.local import execute
from engine.shapes import propagate
from engine.spec import Experiment, parse_experiment, with_settings
from engine.stepping import set_training
from engine.store.reader import RunReader
from engine.store.view import RunView
from engine.store.writer import RunWriter
from tests.engine.pictures import labelled_files
from tests.engine.test_resume import assert_same_end
from tests.engine.training import Interrupter, epochs_of, make_session, resume, stop_after, train
from tui.record import full_record

CPU = torch.device("cpu")
NOTHING = Normalise(None, None, None)
FROZEN = ("Conv2d(6, 3, frozen=True)", "BatchNorm2d(frozen=True)", "ReLU()", "MaxPool2d(2)", "Flatten()")
HEAD = ("Linear(16)", "Dropout(0.5)", "ReLU()", "Linear(classes)")


def described(layers: tuple[str, ...] = (*FROZEN, *HEAD), source: str = "Digits()", **data: object) -> Experiment:
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in data.items())
    return parse_experiment(
        f"""
        epochs = 2
        seed = 1
        device = "cpu"
        optimizer = "SGD(lr=0.05, momentum=0.9)"
        [data]
        source = {json.dumps(source)}
        normalize = [0.5, 0.25]
        {lines}
        [network]
        layers = {json.dumps(list(layers))}
        """
    )


def cached(spec: Experiment) -> Experiment:
    return with_settings(spec, ["data.cache_features=true"])


def pictures(folder: Path, count: int = 24, size: int = 32, seed: int = 0, name: str = "pictures.npz") -> str:
    random = np.random.default_rng(seed)
    shape = (3, size, size)
    np.savez(
        folder / name,
        x=random.integers(0, 255, (count, *shape), dtype=np.uint8),
        y=np.arange(count) % 2,
        x_test=random.integers(0, 255, (6, *shape), dtype=np.uint8),
        y_test=np.arange(6) % 2,
    )
    return f"Tensors('{name}')"


def made(spec: Experiment, folder: Path = Path("nowhere"), **options: Any) -> Kept:
    """The features of an experiment, as a run would make them."""
    report = check(spec, Place(folder))
    prefix = frozen_prefix(report)
    assert isinstance(prefix, Prefix), prefix
    network = initial_networks(report.experiment, report.propagations, CPU)["model"]
    found: list[Kept] = []

    def embed(loaded: Loaded, normalise: Normalise) -> Loaded:
        found.append(features(network, prefix, loaded, normalise, device=CPU, place=Place(folder), **options))
        return found[0].loaded

    prepare(spec.data, seed=spec.seed, device=CPU, place=Place(folder), embed=embed)
    return found[0]


def reported(*layers: str, shape: tuple[int, ...] = (3, 32, 32), **changes: object) -> Report:
    report = check(described(), Place(Path("nowhere")))
    found = propagate([parse_call(layer) for layer in layers], shape, symbols={"classes": 2})
    assert found.problem is None, found.problem
    return replace(report, propagations={"model": found}, info=replace(report.info, input_shape=shape), **changes)


# -- equal to the live path ------------------------------------------------------------------------------------------


def test_features_are_what_pytorch_written_out_gives() -> None:
    spec = described()
    kept = made(spec)
    torch.manual_seed(1)
    conv, norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6).eval()
    loaded = build_source(spec.data.source).load(Place(Path("nowhere")))
    with torch.no_grad():
        samples = (loaded.train.inputs.float() / loaded.train.scale - 0.5) / 0.25
        wanted = F.max_pool2d(F.relu(norm(conv(samples))), 2).flatten(1)
    assert torch.allclose(kept.loaded.train.inputs, wanted, atol=1e-5)
    assert kept.loaded.info.input_shape == (54,)
    assert torch.equal(kept.loaded.train.targets, loaded.train.targets)


def test_training_on_features_gives_the_metrics_and_weights_of_training_live() -> None:
    spec = described()
    live, live_events = train(spec)
    session, events = train(cached(spec))
    whole = live.networks["model"].state_dict()
    found = session.networks["model"].state_dict()
    assert set(found) == {"5.weight", "5.bias", "8.weight", "8.bias"}
    for name, tensor in found.items():
        assert torch.allclose(tensor, whole[name], atol=1e-5), name
    for mine, theirs in zip(epochs_of(events), epochs_of(live_events), strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, abs=1e-4)
        assert mine.samples == theirs.samples


def test_frozen_layers_without_parameters_belong_to_what_is_cached_as_they_are_trained_live() -> None:
    layers = ("BatchNorm2d(affine=False, frozen=True)", *FROZEN, "Dropout(0.5, frozen=True)", *HEAD)
    report = check(described(layers), Place(Path("nowhere")))
    prefix = frozen_prefix(report)
    assert isinstance(prefix, Prefix), prefix
    assert prefix.layers == 7
    live, live_events = train(described(layers))
    session, events = train(cached(described(layers)))
    whole, found = live.networks["model"].state_dict(), session.networks["model"].state_dict()
    assert set(found) == {"7.weight", "7.bias", "10.weight", "10.bias"}
    assert all(torch.allclose(tensor, whole[name], atol=1e-5) for name, tensor in found.items())
    for mine, theirs in zip(epochs_of(events), epochs_of(live_events), strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, abs=1e-4)


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param("Backbone('resnet18', weights=None, frozen='all')", marks=pytest.mark.soak),
        "Backbone('shufflenet_v2_x0_5', None, frozen='all')",
    ],
)
def test_a_backbone_trains_on_features_as_it_does_live(tmp_path: Path, backbone: str) -> None:
    spec = described((backbone,), pictures(tmp_path), batch_size=8)
    live, live_events = train(spec, tmp_path)
    session, events = train(cached(spec), tmp_path)
    whole, found = live.networks["model"].state_dict(), session.networks["model"].state_dict()
    assert set(found) == {"0.fc.weight", "0.fc.bias"}
    for name, tensor in found.items():
        assert torch.allclose(tensor, whole[name], atol=1e-4), name
    for mine, theirs in zip(epochs_of(events), epochs_of(live_events), strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, abs=1e-3)


@pytest.mark.parametrize(
    ("backbone", "begins"),
    [
        ("Backbone('resnet18', None, frozen='all')", "0.fc"),
        ("Backbone('resnet18', None, frozen='to:layer3')", "0.layer4"),
        ("Backbone('squeezenet1_1', None, frozen='all')", "0.classifier"),
        ("Backbone('mobilenet_v3_small', None, frozen='all')", "0.classifier.2"),
        ("Backbone('googlenet', None, frozen='all')", "0.dropout"),
        ("Backbone('mnasnet0_5', None, frozen='all')", "0.classifier"),
    ],
)
def test_the_rest_of_a_backbone_on_its_features_is_the_backbone(backbone: str, begins: str) -> None:
    report = reported(backbone, "Identity()", shape=(3, 64, 64))
    prefix = frozen_prefix(report)
    assert isinstance(prefix, Prefix), prefix
    assert prefix.inside == begins
    network = initial_networks(report.experiment, report.propagations, CPU)["model"]
    after = rest(network, prefix)
    assert set(after.state_dict()) < set(network.state_dict())
    assert all(type(module) is nn.Sequential for module in list(after.modules())[:2])
    inputs = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.eval()
        outputs = compute(network, prefix, inputs)
        assert tuple(outputs.shape[1:]) == prefix.shape
        assert torch.allclose(after(outputs), network(inputs), atol=1e-5)
    # What trains, trains in the rest; what it has at random, it has there.
    set_training(network)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in after.named_parameters() if parameter.requires_grad} == trained


@pytest.mark.parametrize(
    ("backbone", "kept"),
    [
        ("Backbone('resnet18', None, frozen='to:layer3')", True),
        # Its forward takes the mean of the last maps, which are a single pixel here.
        ("Backbone('mnasnet0_5', None, frozen='to:layers.12')", False),
        pytest.param("Backbone('densenet121', None, frozen='to:features.denseblock3')", False, marks=pytest.mark.soak),
    ],
)
def test_small_pictures_do_not_make_a_step_look_like_another(backbone: str, kept: bool) -> None:
    found = frozen_prefix(reported(backbone, "Identity()", shape=(3, 32, 32)))
    assert isinstance(found, Prefix) == kept
    assert kept or "computes something that is no module" in str(found)


POOL = (
    "Conv2d(3, 3, padding=1)",
    "BatchNorm2d()",
    "BatchNorm2d(affine=False)",
    "InstanceNorm2d()",
    "InstanceNorm2d(track_running_stats=True)",
    "GroupNorm(1)",
    "ReLU()",
    "RReLU()",
    "Dropout(0.5)",
    "AvgPool2d(1)",
    "Sequential(Conv2d(3, 1), Dropout(0.3))",
    "Residual(Conv2d(3, 1), BatchNorm2d())",
)


@given(st.lists(st.tuples(st.sampled_from(POOL), st.booleans()), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_prefix_gives_in_train_mode_the_same_every_time_and_nothing_of_it_trains(
    drawn: list[tuple[str, bool]],
) -> None:
    layers = [text[:-1] + (", " if text[-2] != "(" else "") + "frozen=True)" if kept else text for text, kept in drawn]
    report = reported(*layers, "Conv2d(2, 1)", shape=(3, 6, 6))
    prefix = frozen_prefix(report)
    if isinstance(prefix, Reason):
        assert not any(kept and text in POOL[:2] for text, kept in drawn[:1])
        return
    network = initial_networks(report.experiment, report.propagations, CPU)["model"]
    after = rest(network, prefix)
    inputs = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    set_training(network)
    with torch.no_grad():
        first = compute(network, prefix, inputs)
        assert torch.equal(first, compute(network, prefix, inputs))
        # One sample alone gives what it gives among others.
        assert torch.allclose(first[:1], compute(network, prefix, inputs[:1]), atol=1e-5)
        network.eval()
        assert torch.allclose(first, compute(network, prefix, inputs), atol=1e-6)
        assert torch.allclose(after(first), network(inputs), atol=1e-5)
    inside = {id(parameter) for parameter in after.parameters()}
    assert not any(p.requires_grad for p in network.parameters() if id(p) not in inside)


def test_all_parts_are_kept_in_the_order_of_the_source() -> None:
    network = nn.Sequential(nn.Linear(3, 2).requires_grad_(False), nn.Linear(2, 2))
    parts = [Part(torch.rand(count, 3), torch.arange(count)) for count in (70, 5, 130)]
    info = replace(build_source(parse_call("Digits()")).info(Place(Path())), input_shape=(3,))
    loaded = Loaded(info, parts[0], parts[2], parts[1])
    prefix = Prefix(1, None, "Linear(2, frozen=True)", (2,), 8)
    told: list[tuple[int, int | None]] = []
    place = Place(Path(), progress=lambda text, done, total: told.append((done, total)))
    kept = features(network, prefix, loaded, NOTHING, device=CPU, place=place)
    found = [kept.loaded.train, kept.loaded.validation, kept.loaded.test]
    for part, wanted in zip(found, parts, strict=True):
        assert part is not None
        assert part.stored
        assert torch.allclose(part.inputs, network[0](wanted.inputs), atol=1e-6)
        assert torch.equal(part.targets, wanted.targets)
    assert kept.samples == 205
    assert told[-1] == (205, 205)


# -- what is used again, and what is not -----------------------------------------------------------------------------


def test_another_split_or_head_or_number_of_epochs_uses_them_again() -> None:
    spec = described()
    assert not made(spec).reused
    assert made(spec).reused
    assert made(with_settings(spec, ["data.validation=holdout(0.5)"])).reused
    assert made(with_settings(spec, ["epochs=9", "optimizer=Adam(lr=1e-3)", "data.batch_size=7"])).reused
    assert made(described((*FROZEN, "Linear(classes)"))).reused


@pytest.mark.parametrize(
    "setting",
    [
        "seed=2",  # other frozen weights
        "network.layers.0=Conv2d(6, 3, frozen=True, padding_mode='reflect')",  # the same weights, another layer
        "network.layers.3=AvgPool2d(2)",
        "data.normalize=[0.5, 0.5]",
        "data.normalize=[0.4, 0.25]",
        "data.normalize=none",
    ],
)
def test_whatever_changes_the_features_makes_them_anew(setting: str) -> None:
    made(described())
    assert not made(with_settings(described(), [setting])).reused


def test_other_data_makes_them_anew(tmp_path: Path) -> None:
    spec = described(source=pictures(tmp_path))
    assert not made(spec, tmp_path).reused
    assert made(spec, tmp_path).reused
    pictures(tmp_path, seed=1)
    assert not made(spec, tmp_path).reused
    pictures(tmp_path, count=26)
    assert not made(spec, tmp_path).reused


def test_one_changed_pixel_or_weight_or_buffer_or_key_of_the_data_makes_them_anew() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    network[:2].requires_grad_(False)
    inputs = torch.zeros(8, 3, 4, 4, dtype=torch.uint8)
    info = build_source(parse_call("Digits()")).info(Place(Path()))
    prefix = Prefix(2, None, "Conv2d(2, 1, frozen=True), BatchNorm2d(frozen=True)", (2, 4, 4), 12)

    def reused(key: str | None = None, **options: Any) -> bool:
        loaded = Loaded(info, Part(inputs, torch.zeros(8), 255.0), None, key=key)
        scale = Normalise(torch.tensor(255.0), None, None)
        return features(network, prefix, loaded, scale, device=CPU, place=Place(Path()), **options).reused

    assert [reused(), reused()] == [False, True]
    inputs[3, 1, 2, 2] = 1
    assert [reused(), reused()] == [False, True]
    network[0].weight[0, 0] += 1e-3
    assert [reused(), reused()] == [False, True]
    network[1].running_mean[1] += 1e-3
    assert [reused(), reused()] == [False, True]
    network[2].weight.data += 1.0  # the head
    assert reused()
    assert [reused("a"), reused("a"), reused("b")] == [False, True, False]
    assert [reused(autocast=torch.bfloat16), reused()] == [False, True]


@pytest.mark.parametrize("name", ["torch.__version__", "torchvision.__version__", "engine.feature_cache.FORMAT"])
def test_another_version_makes_them_anew(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made(described())
    monkeypatch.setattr(name, 99 if name.endswith("FORMAT") else "99.0")
    assert not made(described()).reused


def damaged(cache_folder: Path, damage: str) -> None:
    """Damage the one entry that there is."""
    [entry] = (cache_folder / "features").iterdir()
    values, about = entry / "values", entry / "about.json"
    content = values.read_bytes()
    if damage == "a flipped bit":
        values.write_bytes(content[:5000] + bytes([content[5000] ^ 4]) + content[5001:])
    elif damage == "cut short":
        values.write_bytes(content[:-4])
    elif damage == "no JSON":
        about.write_text("[" * 100_000)
    elif damage in ("another shape", "other batches"):
        changed = {"shape": [27]} if damage == "another shape" else {"batch": 7}
        about.write_text(json.dumps(json.loads(about.read_text()) | changed))
    else:
        values.unlink()
        if damage == "a folder":
            values.mkdir()


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "no JSON", "another shape", "gone", "a folder"])
def test_damaged_features_are_made_anew(cache_folder: Path, damage: str) -> None:
    wanted = made(described()).loaded.train.inputs.clone()
    damaged(cache_folder, damage)
    kept = made(described())
    assert not kept.reused
    assert torch.equal(kept.loaded.train.inputs, wanted)
    assert made(described()).reused


def test_writing_to_a_batch_does_not_reach_the_cache() -> None:
    kept = made(described())
    kept.loaded.train.inputs.zero_()
    again = made(described())
    assert again.reused
    assert bool(again.loaded.train.inputs.any())


def computing(spec: Experiment, stop_after: int | None = None) -> tuple[Kept | None, list[int]]:
    """The features, None where somebody asks for an end after so many batches, and how many samples each batch ran."""
    batches: list[int] = []

    def counted(network: nn.Sequential, prefix: Prefix, inputs: Tensor) -> Tensor:
        batches.append(len(inputs))
        return compute(network, prefix, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_cache, "compute", counted)
        try:
            kept = made(spec, stopped=lambda: len(batches) - 1 == stop_after)  # the first one is of the check
        except Stopped:
            return None, batches[1:]
    return kept, batches[1:]


def test_computing_goes_on_where_it_was_stopped(cache_folder: Path) -> None:
    kept, whole = computing(described())
    assert kept is not None
    assert len(whole) > 9
    wanted = kept.loaded.train.inputs.clone()
    shutil.rmtree(cache_folder)
    ran = []
    for more in (3, 4, 0):
        stopped, batches = computing(described(), more)
        assert stopped is None
        ran += batches
        assert len(list((cache_folder / "features").iterdir())) == 1
    again, batches = computing(described())
    assert again is not None
    assert ran + batches == whole
    assert len(ran) == 7
    assert again.seconds > 0
    assert torch.equal(again.loaded.train.inputs, wanted)
    assert len(list((cache_folder / "features").iterdir())) == 1
    assert computing(described())[1] == []


@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "no JSON", "a folder", "other batches"])
def test_what_a_stop_left_and_was_damaged_since_is_not_taken_up(cache_folder: Path, damage: str) -> None:
    wanted = made(described()).loaded.train.inputs.clone()
    shutil.rmtree(cache_folder)
    computing(described(), 3)
    damaged(cache_folder, damage)
    kept, batches = computing(described())
    assert kept is not None
    assert torch.equal(kept.loaded.train.inputs, wanted)
    assert sum(batches) == kept.samples


def test_what_a_stop_left_goes_on_where_the_cache_has_no_room_for_it_twice(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = computing(described())
    taken = sum(path.stat().st_size for path in cache_folder.rglob("*") if path.is_file())
    shutil.rmtree(cache_folder)
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(1.05 * taken / 2**30))
    ran = [batch for more in (5, len(whole) - 7, None) for batch in computing(described(), more)[1]]
    assert ran == whole


def test_what_a_stop_left_serves_no_other_weights(cache_folder: Path) -> None:
    computing(described(), 3)
    kept, batches = computing(with_settings(described(), ["seed=2"]))
    assert kept is not None
    assert sum(batches) == kept.samples


def test_a_cache_that_is_too_small_is_told_with_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0.0001")
    with pytest.raises(RunError, match=r"1,797 samples take .* raise LAYERLAB_CACHE_GIB"):
        made(described())


def test_a_cache_that_cannot_be_written_to_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAYERLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunError, match=r"cannot be written .* LAYERLAB_CACHE"):
        made(described())


# -- what cannot be kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "data", "words"),
    [
        (("Flatten()", *HEAD), {}, r"does not begin with frozen layers: layer 1 `Linear\(16\)` trains or is random"),
        (
            ("Upsample(64)", "Sequential(Conv2d(3, 1, frozen=True), Backbone('resnet18', None, frozen='all'))"),
            {},
            r"the Backbone stands within layer 1 .* take it out of there",
        ),
        (("Dropout(0.1)", *FROZEN, *HEAD), {}, r"layer 0 `Dropout\(0.1\)` trains or is random"),
        ((*FROZEN, *HEAD), {"augment": ["RandomHorizontalFlip()"]}, r"RandomHorizontalFlip\(\) changes the samples"),
        (("Conv2d(6, 3, frozen=True, thaw=2)", *FROZEN, *HEAD), {}, r"begins to train in a later epoch, .* leave thaw"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(
    layers: tuple[str, ...], data: dict[str, object], words: str
) -> None:
    spec = described(layers, **data)
    assert check(spec, Place(Path())).ok
    refusal = check(cached(spec), Place(Path())).refusal
    assert refusal is not None
    assert refusal.field == "data.cache_features"
    assert re.search(words, str(refusal)), refusal


def test_several_networks_are_refused() -> None:
    report = reported("Linear(2, frozen=True)", "Linear(2)", shape=(3,))
    two = replace(
        report, propagations={"generator": report.propagations["model"], "discriminator": report.propagations["model"]}
    )
    assert "several networks (generator and discriminator)" in str(frozen_prefix(two))


def test_an_auxiliary_head_is_refused_with_the_way_out() -> None:
    report = reported("Backbone('googlenet', None, frozen='all')", shape=(3, 64, 64))
    assert "with Identity() behind the Backbone that head is left out" in str(frozen_prefix(report))


def test_a_layer_that_is_thawed_later_ends_the_prefix() -> None:
    prefix = frozen_prefix(reported("Conv2d(4, 3, frozen=True)", "Conv2d(4, 3, frozen=True, thaw=2)", "Conv2d(2, 1)"))
    assert isinstance(prefix, Prefix)
    assert prefix.layers == 1


def test_a_network_that_does_more_than_its_modules_tell_is_refused_in_words() -> None:
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Linear(3, 4).requires_grad_(False)
            self.fc = nn.Linear(4, 2)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.fc(self.trunk(inputs)) * 2
            return outputs

    with torch.device("meta"):
        cut = _inside(Doubling(), "0", (3,), (2,))
    assert cut == (("0.fc",), (4,))
    prefix = Prefix(0, "0.fc", "Doubling before fc", (4,), 16, ("0.fc",))
    info = build_source(parse_call("Digits()")).info(Place(Path()))
    loaded = Loaded(info, Part(torch.rand(5, 3), torch.zeros(5)), None)
    with pytest.raises(RequestError, match=r"what follows Doubling before fc gives other outputs .* until="):
        features(nn.Sequential(Doubling()), prefix, loaded, NOTHING, device=CPU, place=Place(Path()))


def test_the_check_says_where_features_could_be_kept(tmp_path: Path) -> None:
    layers = ("Backbone('resnet18', weights=None, frozen='all')",)
    source = pictures(tmp_path)
    hinted = check(described(layers, source), Place(tmp_path)).warnings
    assert any("cache_features = true" in text for text in hinted)
    for spec in (
        cached(described(layers, source)),
        described(layers, source, augment=["RandomHorizontalFlip()"]),
        described(("Backbone('resnet18', weights=None)",), source),
    ):
        report = check(spec, Place(tmp_path))
        assert report.ok, report.error
        assert not any("cache_features" in text for text in report.warnings)


# -- what a run tells of it ------------------------------------------------------------------------------------------


def test_the_first_event_tells_of_the_features_and_counts_all_parameters() -> None:
    spec = described()
    _, live_events = train(spec)
    began, began_again = (train(cached(spec))[1][0] for _ in range(2))
    first = live_events[0]
    assert isinstance(first, Started)
    assert isinstance(began, Started)
    assert isinstance(began_again, Started)
    assert first.features is None
    assert (began.parameters, began.trainable) == (first.parameters, first.trainable)
    assert (began.batches, began.train, began.input_shape) == (first.batches, first.train, first.input_shape)
    assert began.features is not None
    assert began.features["layers"] == ", ".join(FROZEN)
    assert began.features["samples"] == 1797
    assert began.features["saved"] == pytest.approx(
        began.features["seconds"]
    )  # every sample is trained on or validated
    assert began_again.features == {**began.features, "reused": True}
    view = RunView(Path("run"))
    view.apply(*from_line(to_line(began_again, 1.0)))
    assert view.features == {**began_again.features}


@pytest.mark.parametrize("strange", [{"layers": 7, "samples": "NaN", "seconds": [], "saved": "Infinity"}, {}])
def test_a_reader_takes_any_features(strange: dict[str, object]) -> None:
    line = to_line(train(cached(described()))[1][0], 1.0)
    view = RunView(Path("run"))
    view.apply(*from_line(json.dumps(json.loads(line) | {"features": strange})))
    assert view.features is not None
    assert view.features["samples"] == 0
    assert view.features["saved"] == 0.0
    assert isinstance(view.features["layers"], str)


def test_checkpoints_hold_the_rest_alone_and_a_resume_finds_the_features_again() -> None:
    spec = cached(described(batch_size=64))
    whole = train(spec)
    stopped, checkpoint, events = stop_after(spec, 9)
    assert stopped.status == "stopped"
    assert set(checkpoint.networks["model"]) == {"5.weight", "5.bias", "8.weight", "8.bias"}
    resumed = resume(spec, checkpoint, events)
    assert isinstance(resumed[1][0], Started)
    assert resumed[1][0].features is not None
    assert resumed[1][0].features["reused"]
    assert_same_end(whole, resumed)
    assert all("5.weight" in event.networks["model"] for event in whole[1] if isinstance(event, Checkpoint))


def test_frozen_modules_are_measured_no_more() -> None:
    session = make_session(cached(described()))
    list(session.run())
    assert {row["path"] for row in session.gauge.rows} == {"5", "7", "8"}


def test_an_own_layer_is_read_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own_layers_of_features.py"
    file.write_text("from torch import nn\nclass Own(nn.Linear):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_layers_of_features

    network = nn.Sequential(own_layers_of_features.Own(3, 2))
    before = list(feature_cache._own_sources(network))
    file.write_text(file.read_text().replace("pass", "scale = 2"))
    assert before != list(feature_cache._own_sources(network))


# -- runs with a folder ----------------------------------------------------------------------------------------------


def run_of(path: Path, mailbox: Mailbox, *, resume: bool = False) -> RunView:
    execute(launch.Arguments(path, Path("nowhere"), resume=resume), mailbox, RunWriter(path, mailbox, resume=resume))
    reader = RunReader(path)
    reader.poll()
    return reader.view


def test_a_run_tells_of_its_features_and_finds_them_again_when_it_is_resumed(tmp_path: Path) -> None:
    spec = cached(described())
    path = launch.prepare_run(spec, tmp_path, Path("nowhere"))
    whole = run_of(launch.prepare_run(spec, tmp_path, Path("nowhere")), Mailbox())
    view = run_of(path, Interrupter(30, Request("stop")))
    assert view.status == "stopped"
    assert view.done < 2
    view = run_of(path, Mailbox(), resume=True)
    assert view.status == "finished", view.reason
    assert view.features is not None
    assert view.features["reused"]
    assert any("training on cached features of 1,797 samples, found in the cache" in m.text for m in view.messages)
    assert [row.metrics for row in view.history] == [row.metrics for row in whole.history]
    assert full_record(view)["features"] == view.features


def test_a_run_stops_while_features_are_computed(tmp_path: Path, cache_folder: Path) -> None:
    path = launch.prepare_run(cached(described()), tmp_path, Path("nowhere"))
    view = run_of(path, Interrupter(3, Request("pause"), Request("stop")))
    assert (view.status, view.reason) == ("stopped", "stopped before training began")
    [begun] = (cache_folder / "features").iterdir()
    assert json.loads((begun / "about.json").read_text())["samples"] == [128]
    assert run_of(path, Mailbox(), resume=True).status == "finished"


def test_features_that_memory_does_not_hold_are_streamed_with_the_same_bits() -> None:
    spec = cached(described(("Conv2d(6, 3, frozen=True)", "Flatten()", *HEAD)))
    resident, streamed = train(spec), train(with_settings(spec, ["data.memory='1 MiB'"]))
    assert isinstance(resident[0].prepared.train, Resident)
    assert isinstance(streamed[0].prepared.train, Streamed)
    assert_same_end(resident, streamed)


def test_photographs_that_the_cache_does_not_hold_are_decoded_for_their_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled_files(tmp_path / "pets", 12)
    layers = ("Conv2d(2, 3, frozen=True)", "AdaptiveAvgPool2d(2)", "Flatten()", "Linear(classes)")
    spec = cached(described(layers, "LabelledFiles('pets', size=64)"))
    kept = made(spec, tmp_path)
    monkeypatch.setenv("LAYERLAB_CACHE", str(tmp_path / "small"))
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", str(2**-15))
    decoded = made(spec, tmp_path)
    assert isinstance(build_source(spec.data.source).load(Place(tmp_path)).train, LivePart)
    assert torch.equal(decoded.loaded.train.inputs, kept.loaded.train.inputs)
