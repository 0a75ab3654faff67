"""A run that begins with the weights of another, whatever becomes of that one: on features that are kept, and live."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from engine import launch
from engine.calls import parse_call
from engine.control import Mailbox
from engine.data.info import Place
from engine.errors import RequestError
from engine.launch.local import execute
from engine.shapes import propagate
from engine.spec import Experiment, with_settings
from engine.store.view import RunView
from engine.store.writer import RunWriter
from engine.weights import load_weights
from tests.engine.pictures import labelled_files
from tests.engine.test_weights import fine_tuning, kept, reader_of, state_of, train


@dataclass(frozen=True)
class Runs:
    """A store with runs, by name, the photographs that they have seen, and the cache that they have filled."""

    store: Path
    data: Path
    cache: Path
    ids: dict[str, str]

    def __getitem__(self, name: str) -> Path:
        return self.store / self.ids[name]


def of(run: Path, *, cached: bool, **settings: object) -> Experiment:
    """Trains the head of the network of another run."""
    spec = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{run.name}', frozen='all')", epochs=2, **settings)
    return with_settings(spec, ["data.cache_features=true"] if cached else [])


def cached(spec: Experiment) -> Experiment:
    return with_settings(spec, ["data.cache_features=true"])


def goes_on(path: Path, data: Path, epochs: int = 0) -> RunView:
    """A run that is resumed, and what it says at its end, however it ends."""
    mailbox = Mailbox()
    arguments = launch.Arguments(path, data, resume=True, add_epochs=epochs)
    execute(arguments, mailbox, RunWriter(path, mailbox, resume=True))
    return reader_of(path).view


def told(path: Path) -> dict[str, object]:
    """What a run says of its features."""
    found = reader_of(path).view.started["features"]
    assert isinstance(found, dict)
    return found


def warnings_of(view: RunView) -> str:
    return "\n".join(message.text for message in view.messages if message.level == "warning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """`first` has trained on since others began with its weights: `live` and `cached`, and `*-stopped`, that were
    stopped under way. `other` is like it and has other weights."""
    base = tmp_path_factory.mktemp("runs")
    store, data, cache = base / "store", base / "data", base / "cache"
    labelled_files(data / "pictures", 12)
    beginning = fine_tuning("Backbone('squeezenet1_1', weights=None)", monitor="train/loss", optimizer="Adam(lr=1e-4)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERLAB_CACHE", str(cache))
        first = train(beginning, store, data)
        runs = {"first": first, "other": train(with_settings(beginning, ["seed=4"]), store, data)}
        for name, cached in (("live", False), ("cached", True)):
            runs[name] = train(of(first, cached=cached), store, data)
            runs[f"{name}-stopped"] = train(of(first, cached=cached), store, data, looks=4)
            assert [int(path.name[-1]) for path in (runs[f"{name}-stopped"] / "checkpoints").glob("step-*")] == [3]
        before = kept(first, "best")
        assert told(runs["cached-stopped"])["reused"]
        assert torch.equal(kept(runs["live"], "step")["0.features.0.weight"], before["0.features.0.weight"])
        assert goes_on(first, data, 2).status == "finished"
        assert not torch.equal(kept(first, "best")["0.features.0.weight"], before["0.features.0.weight"])
    return Runs(store, data, cache, {name: path.name for name, path in runs.items()})


@pytest.fixture
def runs(made: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """A copy of them, to do with as one likes; the photographs are the same."""
    copied = Runs(tmp_path / "store", made.data, tmp_path / "cache", made.ids)
    shutil.copytree(made.store, copied.store)
    shutil.copytree(made.cache, copied.cache)
    monkeypatch.setenv("LAYERLAB_CACHE", str(copied.cache))
    return copied


def assert_same_weights(mine: Path, theirs: Path) -> None:
    wanted, found = kept(theirs, "step"), kept(mine, "step")
    assert wanted.keys() == found.keys()
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []


def test_a_head_trains_on_features_of_a_runs_weights_as_it_does_on_these_live(runs: Runs) -> None:
    whole, found = kept(runs["live"], "step"), kept(runs["cached"], "step")
    assert set(found) == {"0.classifier.1.weight", "0.classifier.1.bias"}
    for name, tensor in found.items():
        assert torch.allclose(tensor, whole[name], atol=1e-5), name
    rows = [reader_of(runs[name]).view.history for name in ("cached", "live")]
    for mine, theirs in zip(*rows, strict=True):
        assert mine.metrics == pytest.approx(theirs.metrics, abs=1e-4)


def test_features_of_other_weights_are_others(runs: Runs) -> None:
    # The same run's, once it has trained on, or another run's.
    paths = [
        runs["cached"],
        *(train(of(runs[name], cached=True), runs.store, runs.data) for name in ("first", "other")),
    ]
    for name in ("weights", "key", "loaded"):
        assert len({str(told(path)[name]) for path in paths}) == 3
    assert not any(told(path)["reused"] for path in paths)


def test_a_resume_goes_on_with_the_features_it_began_with(runs: Runs) -> None:
    view = goes_on(runs["cached-stopped"], runs.data)
    assert view.status == "finished", view.reason
    assert_same_weights(runs["cached-stopped"], runs["cached"])
    assert "it goes on with features of those that it began with" in warnings_of(view)
    for name in ("weights", "key", "loaded"):
        assert told(runs["cached-stopped"])[name] == told(runs["cached"])[name]


def test_without_the_features_it_began_with_a_resume_is_refused(runs: Runs) -> None:
    shutil.rmtree(runs.cache / "features")
    view = goes_on(runs["cached-stopped"], runs.data)
    assert view.status == "failed"
    for part in ("are no longer those that this run began with", runs["first"].name, "begin a new run"):
        assert part in view.reason
    assert not list((runs.cache / "features").glob("*"))


@pytest.mark.parametrize("launcher", launch.LAUNCHERS)
def test_a_resume_that_does_not_find_its_weights_leaves_the_run_as_it_is(runs: Runs, launcher: str) -> None:
    shutil.rmtree(runs["first"])
    before = {path: path.read_bytes() for path in runs["cached"].rglob("*") if path.is_file()}
    with pytest.raises(RequestError, match=f"run:{runs['first'].name}"):
        launch.start(runs["cached"], launcher=launcher, data_folder=runs.data, resume=True, add_epochs=1)
    assert {path: path.read_bytes() for path in runs["cached"].rglob("*") if path.is_file()} == before
    # Its checkpoints hold all that a live one needs.
    assert goes_on(runs["live"], runs.data, 1).status == "finished"


def test_a_head_that_was_trained_on_features_goes_with_no_other_weights(runs: Runs) -> None:
    layers = propagate(of(runs["cached"], cached=False).network.layers, (3, 48, 48), symbols={"classes": 2})
    path = launch.prepare_run(of(runs["cached"], cached=False), runs.store, runs.data)
    execute(launch.Arguments(path, runs.data), Mailbox(), RunWriter(path, Mailbox()))
    assert "which are others now" in reader_of(path).view.reason
    # Made of the weights of now, it does.
    newest = train(of(runs["first"], cached=True), runs.store, runs.data)
    layers = propagate(of(newest, cached=False).network.layers, (3, 48, 48), symbols={"classes": 2})
    classes = tuple(reader_of(newest).view.started["classes"])
    weights = load_weights(layers, Place(runs.data), runs.store, classes=classes)["0"]
    beneath, head = kept(runs["first"], "best"), kept(newest, "best")
    assert {f"0.{name}" for name in weights} == set(beneath)
    assert all(torch.equal(tensor, {**beneath, **head}[f"0.{name}"]) for name, tensor in weights.items())


@pytest.mark.parametrize("there", [True, False])
def test_a_live_resume_takes_all_weights_from_its_own_checkpoint(runs: Runs, there: bool) -> None:
    if not there:
        shutil.rmtree(runs["first"])
    view = goes_on(runs["live-stopped"], runs.data)
    assert view.status == "finished", view.reason
    assert view.started["normalisation"] == reader_of(runs["live"]).view.started["normalisation"]
    assert_same_weights(runs["live-stopped"], runs["live"])


def test_a_resume_on_other_samples_says_so(runs: Runs, tmp_path: Path) -> None:
    stopped = train(of(runs["first"], cached=True), runs.store, runs.data, looks=4)
    shutil.copytree(runs.data, tmp_path / "data")
    labelled_files(tmp_path / "data" / "pictures", 12)
    view = goes_on(stopped, tmp_path / "data")
    assert view.status == "finished", view.reason
    assert "not to the bit those that this run has trained on" in warnings_of(view)
    assert "that it began with" not in warnings_of(view)


def reason_of(spec: Experiment, store: Path, data: Path) -> str:
    """Why a run does not come to its end."""
    path = launch.prepare_run(spec, store, data)
    execute(launch.Arguments(path, data), Mailbox(), RunWriter(path, Mailbox()))
    return str(reader_of(path).view.reason)


@pytest.fixture
def hub_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torchvision's weights of squeezenet1_1 lie; some are there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    torch.save(state_of(), path)
    labelled_files(tmp_path / "data" / "pictures", 12)
    return path


def test_a_head_goes_with_no_other_file_under_the_name_of_its_weights(tmp_path: Path, hub_file: Path) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    spec = cached(fine_tuning("Backbone('squeezenet1_1', frozen='all')"))
    run = train(spec, store, data)
    assert reason_of(of(run, cached=False), store, data) == ""
    torch.save(state_of(seed=8), hub_file)
    assert "weights 'DEFAULT', which are others now, so that" in reason_of(of(run, cached=False), store, data)


def test_a_head_goes_with_no_modules_that_were_filled_anew_beneath_it(tmp_path: Path, hub_file: Path) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    layer = "Backbone('squeezenet1_1', frozen='all', init={'features.3': kaiming_normal_()})"
    run = train(cached(fine_tuning(layer)), store, data)
    assert "filled anew, features.3" in reason_of(of(run, cached=False), store, data)
    run = train(fine_tuning(layer), store, data)
    assert reason_of(of(run, cached=False), store, data) == ""


def test_of_several_backbones_of_a_run_that_is_meant_which_stands_at_the_same_place(
    tmp_path: Path, hub_file: Path
) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    both = "Parallel(Backbone('squeezenet1_1', weights={0}, until='features'), Backbone('squeezenet1_1', weights={0}, "
    both += "until='features'))"
    ends = ("AdaptiveAvgPool2d(1)", "Flatten()", "Linear(classes)")
    run = train(fine_tuning(both.format("None"), *ends), store, data)
    trained = kept(run, "best")
    assert not torch.equal(trained["0.0.features.0.weight"], trained["0.1.features.0.weight"])
    asked = f"'run:{run.name}'"
    layers = [parse_call(text) for text in (both.format(asked), *ends)]
    found = load_weights(propagate(layers, (3, 48, 48), symbols={"classes": 2}), Place(data), store)
    for path in ("0.0", "0.1"):
        assert torch.equal(found[path]["features.0.weight"], trained[f"{path}.features.0.weight"])
    elsewhere = propagate([parse_call(f"Backbone('squeezenet1_1', weights={asked}, until='features')")], (3, 48, 48))
    with pytest.raises(RequestError, match=r"2 times squeezenet1_1, in layers 0\.0 and 0\.1"):
        load_weights(elsewhere, Place(data), store)
