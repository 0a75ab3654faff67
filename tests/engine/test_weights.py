"""Weights of backbones: where they come from, that they arrive whole, and what is said where they cannot."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, SqueezeNet1_1_Weights

from engine import checkpoint, launch
from engine.build import build_network
from engine.calls import parse_call
from engine.catalogue import find
from engine.check import check
from engine.control import Request
from engine.data.info import Place
from engine.data.prepare import prepare
from engine.errors import RequestError, RunError
from engine.launch.local import execute
from engine.nodes import Node
from engine.preprocessing import Preprocessing, preprocessing
from engine.shapes import propagate
from engine.spec import parse_experiment, with_settings
from engine.store.reader import RunReader
from engine.store.writer import RunWriter
from engine.weights import (
    fill,
    load_weights,
    missing_weights,
    weights_file,
    weights_problem,
)
from tests.engine.test_download import server  # noqa: F401  a fixture
from tests.engine.training import Interrupter

CLASSES = ("cat", "dog")
FILE = "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """torch.hub's folder of weights, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def state_of(name: str = "squeezenet1_1", seed: int = 7, classes: int = 1000) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **options).state_dict()


def lay(hub: Path, state, file: str = FILE) -> Path:
    hub.mkdir(parents=True, exist_ok=True)
    torch.save(state, hub / file)
    return hub / file


def stack(*layers: str, size: int = 64):
    found = propagate([parse_call(text) for text in layers], (3, size, size), symbols={"classes": 2})
    assert found.problem is None, found.problem
    return found


def here(tmp_path: Path, download: bool = False) -> Place:
    return Place(tmp_path, download)


def test_every_offered_file_has_torchvisions_own_name_address_and_digits(hub):
    models = torchvision.models
    for name in models.list_models(module=models):
        for member in models.get_model_weights(name):
            call = parse_call(f"Backbone('{name}', weights='{member.name}')")
            file = weights_file(Node("0", call, find("layers", "Backbone"), {"name": name, "weights": member.name}))
            assert (file.name, file.url, file.path) == (member.name, member.url, hub / member.url.rsplit("/", 1)[1])
            assert torch.hub.HASH_REGEX.search(file.path.name).group(1) == file.sha256
            assert len(file.sha256) >= 8


def test_a_file_that_lies_there_is_used_but_for_the_head(hub, tmp_path):
    state = state_of()
    lay(hub, state)
    found = stack("Backbone('squeezenet1_1')")
    notes: list[str] = []
    weights = load_weights(found, here(tmp_path), None, notes=notes)
    # Its digits are not those of its name: said, and used.
    assert len(notes) == 1
    assert "is not the file that torchvision offers (its SHA-256 does not begin with b8a52dc0)" in notes[0]
    torch.manual_seed(3)
    network = build_network(found)
    torch.manual_seed(3)
    fresh = torchvision.models.squeezenet1_1(weights=None, num_classes=2).state_dict()
    fill(network, found, weights)
    for name, tensor in network[0].state_dict().items():
        expected = fresh if name.startswith("classifier.1.") else state
        assert torch.equal(tensor, expected[name]), name


def test_what_comes_from_a_file_computes_what_torchvision_computes(hub, tmp_path):
    lay(hub, state_of())
    model = torchvision.models.squeezenet1_1(weights="DEFAULT").features.eval()
    found = stack("Backbone('squeezenet1_1', until='features')")
    network = build_network(found).eval()
    fill(network, found, load_weights(found, here(tmp_path), None))
    pictures = torch.randn(2, 3, 64, 64)
    assert torch.equal(network(pictures), model(pictures))


def test_names_of_the_first_densenets_are_understood(hub, tmp_path):
    state = state_of("densenet121")
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    lay(hub, old, "densenet121-a639ec97.pth")
    found = stack("Backbone('densenet121', until='features.denseblock1')")
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), None))
    for name, tensor in network[0].state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_modules_that_are_filled_anew_keep_nothing_of_the_weights(hub, tmp_path):
    state = state_of("resnet18")
    lay(hub, state, "resnet18-f37072fd.pth")
    found = stack("Backbone('resnet18', init={'layer4': kaiming_normal_()})")
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), None))
    loaded = network[0].state_dict()
    assert torch.equal(loaded["layer3.1.conv2.weight"], state["layer3.1.conv2.weight"])
    assert not torch.equal(loaded["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    # The spread of kaiming_normal_, not that of the constructor (fan_out) or of the weights.
    assert loaded["layer4.1.conv2.weight"].std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)


# -- missing, damaged, another model -----------------------------------------------------------------------------------


def test_without_a_network_the_message_names_file_address_and_folder(hub, tmp_path):
    found = stack("Backbone('resnet18')")
    # Nothing is wrong with the network: the file can be fetched.
    assert weights_problem(found, here(tmp_path), None) is None
    (missing,) = missing_weights(found, here(tmp_path), None)
    assert (missing.folder, missing.files) == (hub, ("resnet18-f37072fd.pth",))
    assert missing.url == ResNet18_Weights.DEFAULT.url
    for part in (*missing.files, str(hub), missing.url, "`layerlab --download`", "IMAGENET1K_V1 of resnet18"):
        assert part in missing.message
    with pytest.raises(RequestError, match="is not in"):
        load_weights(found, here(tmp_path), None)
    assert missing_weights(found, here(tmp_path, download=True), None) == ()
    assert weights_problem(stack("Backbone('resnet18', weights=None)"), here(tmp_path), None) is None
    assert load_weights(stack("Backbone('resnet18', weights=None)"), here(tmp_path), None) == {}


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a file of weights", "is damaged, or no file of weights"),
        (b"", "is damaged, or no file of weights"),
        (pickle.dumps({"x": Evil()}, protocol=2), "holds more than weights"),
        (b"PK\x03\x04" + b"\0" * 100, "is damaged, or no file of weights"),
    ],
)
def test_a_file_that_is_damaged_or_holds_something_else_is_refused_in_words(hub, tmp_path, content, words, capsys):
    lay(hub, {})
    (hub / FILE).write_bytes(content)
    with pytest.raises(RequestError, match=words) as caught:
        load_weights(stack("Backbone('squeezenet1_1')"), here(tmp_path), None)
    assert str(hub / FILE) in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_file_cut_short_and_one_of_another_model_are_refused_in_words(hub, tmp_path):
    path = lay(hub, state_of())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found = stack("Backbone('squeezenet1_1')")
    with pytest.raises(RequestError, match="is damaged"):
        load_weights(found, here(tmp_path), None)
    network = build_network(found)
    other = state_of("mobilenet_v2")
    wider = state_of() | {"features.0.weight": torch.zeros(64, 3, 7, 7)}
    shape = "features.0.weight has the shape 64 × 3 × 7 × 7 in them and 64 × 3 × 3 × 3 here"
    for state, words in ((other, "missing in them; they are of another model"), (wider, shape)):
        lay(hub, state)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with pytest.raises(RequestError, match=words):
            fill(network, found, load_weights(found, here(tmp_path), None))
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    lay(hub, [1, 2, 3])
    with pytest.raises(RequestError, match="holds no state_dict"):
        load_weights(found, here(tmp_path), None)
    torch.save(nn.Linear(2, 2), hub / FILE)
    with pytest.raises(RequestError, match=r"holds more than weights.*save `model.state_dict\(\)`"):
        load_weights(found, here(tmp_path), None)


def test_a_name_that_torchvision_does_not_have_is_told_with_the_nearest():
    layers = [parse_call("Backbone('resnet18', weights='IMAGENET1K_V3')")]
    problem = propagate(layers, (3, 64, 64), symbols={"classes": 2}).problem
    assert "did you mean 'IMAGENET1K_V1'?" in problem.message


# -- fetching ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def offered(server, monkeypatch, tmp_path):  # noqa: F811
    """The weights of squeezenet1_1 on a server of this machine, under a name with the right digits."""
    torch.save(state_of(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    name = f"/squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[name] = content
    monkeypatch.setattr(SqueezeNet1_1_Weights.DEFAULT.value, "url", f"http://127.0.0.1:{server.server_port}{name}")
    return server, name


def test_weights_are_fetched_once_with_progress_where_that_is_allowed(offered, hub, tmp_path):
    server, name = offered  # noqa: F811
    told = []
    place = Place(tmp_path, True, lambda *progress: told.append(progress))
    found = stack("Backbone('squeezenet1_1')", "Identity()")
    notes: list[str] = []
    first = load_weights(found, place, None, notes=notes)
    again = load_weights(found, place, None, notes=notes)
    assert server.asked == [name]
    assert notes == []
    assert (hub / name[1:]).read_bytes() == server.files[name]
    assert any(text.startswith("downloading squeezenet1_1") and done == total for text, done, total in told)
    assert all(torch.equal(first["0"][key], again["0"][key]) for key in first["0"])
    assert [path.name for path in hub.iterdir()] == [name[1:]]


def test_a_download_that_breaks_off_or_is_something_else_leaves_nothing(offered, hub, tmp_path):
    server, name = offered  # noqa: F811
    found = stack("Backbone('squeezenet1_1')")
    server.short.add(name)
    with pytest.raises(RunError, match="the connection ended after") as caught:
        load_weights(found, here(tmp_path, True), None)
    assert str(hub / name[1:]) in str(caught.value)
    server.short.clear()
    server.files[name] = b"<html>log in first</html>"
    with pytest.raises(RunError, match="wrong checksum, SHA-256"):
        load_weights(found, here(tmp_path, True), None)
    server.files[name] = 404
    with pytest.raises(RunError, match="404"):
        load_weights(found, here(tmp_path, True), None)
    assert not list(hub.iterdir())


# -- a person's own file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "within", "module.", "_orig_mod.", "0.", "safetensors"])
def test_a_file_of_ones_own_is_read_in_the_forms_that_scripts_write(tmp_path, form):
    state = state_of(classes=5)
    path = tmp_path / ("mine.safetensors" if form == "safetensors" else "mine.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "within":
        torch.save({"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 0.1}}, path)
    else:
        front = form.removeprefix("plain")
        torch.save({front + name: tensor for name, tensor in state.items()}, path)
    found = stack("Backbone('squeezenet1_1', weights='file:mine.%s')" % path.suffix[1:])  # noqa: UP031
    assert weights_problem(found, here(tmp_path), None) is None
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), None))
    for name, tensor in network[0].state_dict().items():
        assert name.startswith("classifier.1.") or torch.equal(tensor, state[name]), name


def test_random_weights_that_stay_frozen_are_told_of(pictures):
    def told(arguments):
        spec = fine_tuning(f"Backbone('squeezenet1_1', {arguments})")
        return [text for text in check(spec, Place(pictures)).warnings if "random" in text]

    (text,) = told("weights=None, frozen='to:features.4'")
    assert "weights='DEFAULT'" in text
    assert told("weights=None") == told("weights=None, frozen='all', thaw={2: 'all'}") == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    found = stack("Backbone('squeezenet1_1', weights='file:none.pt')")
    assert "no file none.pt: looked for" in weights_problem(found, here(tmp_path), None).message


# -- of another run ----------------------------------------------------------------------------------------------------


def lay_pictures(data: Path) -> Path:
    """A data folder with "pictures/cat.0.jpg" and so on: 14 of 48 × 40 pixels."""
    folder = data / "pictures"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(5)
    for label in ("cat", "dog"):
        for number in range(7):
            array = draw.integers(0, 160 if label == "cat" else 255, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / f"{label}.{number}.jpg")
    return data


@pytest.fixture
def pictures(tmp_path) -> Path:
    return lay_pictures(tmp_path / "data")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A store with one run, of a squeezenet1_1 that began at random."""
    base = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERLAB_CACHE", str(base / "cache"))
        train(fine_tuning("Backbone('squeezenet1_1', weights=None)"), base / "runs", lay_pictures(base / "data"))
    return base / "runs"


@pytest.fixture
def first(made, tmp_path) -> Path:
    """That run, in a store of one's own, to do with as one likes; `pictures` are those that it has seen."""
    shutil.copytree(made, tmp_path / "runs")
    (path,) = (path for path in (tmp_path / "runs").iterdir() if (path / "experiment.toml").exists())
    return path


def fine_tuning(*layers: str, **data):
    spec = parse_experiment(
        f"""
        name = "fine"
        epochs = 1
        optimizer = "SGD(lr=0.01)"
        [data]
        source = "LabelledFiles('pictures', size=48)"
        batch_size = 6
        [network]
        layers = {list(layers)}
        """
    )
    return with_settings(spec, [f"{name}={value}" for name, value in data.items()])


def train(spec, store: Path, data: Path, *, resume: bool = False, path: Path | None = None, looks: int = -1) -> Path:
    path = path or launch.prepare_run(spec, store, data)
    mailbox = Interrupter(looks, Request("stop"))
    status = execute(launch.Arguments(path, data, resume=resume), mailbox, RunWriter(path, mailbox, resume=resume))
    assert status == ("finished" if looks < 0 else "stopped"), reader_of(path).view.reason
    return path


def reader_of(path: Path) -> RunReader:
    reader = RunReader(path)
    reader.poll()
    return reader


def kept(path: Path, kind: str) -> dict[str, torch.Tensor]:
    saved, problems = checkpoint.newest(path / "checkpoints", kind)
    assert not problems
    return saved.networks["model"]


def test_a_run_goes_on_from_the_best_weights_of_another(tmp_path, first, pictures):
    store = first.parent
    # Elsewhere in the network, and another split of the data.
    spec = fine_tuning("Identity()", "Backbone('squeezenet1_1', weights='run:latest')", seed=4, epochs=1)
    second = train(spec, store, pictures)
    # By the time it trains, `latest` is another run.
    assert f"weights='run:{first.name}'" in (second / "experiment.toml").read_text()
    found = stack("Identity()", f"Backbone('squeezenet1_1', weights='run:{first.name}')", size=48)
    best = kept(first, "best")
    for classes, head in ((CLASSES, True), (("dog", "cat"), False), ((), False)):
        weights = load_weights(found, here(tmp_path), store, classes=classes)["1"]
        assert {f"0.{name}" for name in weights} == {
            name for name in best if head or not name.startswith("0.classifier.1.")
        }
        assert all(torch.equal(tensor, best[f"0.{name}"]) for name, tensor in weights.items())
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), store, classes=CLASSES))
    assert torch.equal(network[1].classifier[1].weight, best["0.classifier.1.weight"])
    # Inputs as the first run had them, not as the second one's split would have them measured.
    told = [reader_of(path).view.started["normalisation"] for path in (first, second)]
    assert told[0] == told[1]
    # It began where the first one ended: a rate of nought changes nothing.
    still = train(
        spec.with_(optimizer=parse_call("SGD(lr=0.0)"), networks={"model": {"layers": [
            "Identity()", f"Backbone('squeezenet1_1', weights='run:{first.name}')"]}}), store, pictures
    )  # fmt: skip
    assert torch.equal(kept(still, "step")["1.features.0.weight"], best["0.features.0.weight"])


def test_a_run_that_cannot_give_weights_is_refused_in_words(tmp_path, first, pictures):
    store = first.parent
    spec = fine_tuning("Backbone('squeezenet1_1', weights=None)")
    path = launch.prepare_run(spec, store, pictures)

    def words(text: str, model: str = "squeezenet1_1") -> str:
        found = stack(f"Backbone('{model}', weights='run:{text}')", size=48)
        return weights_problem(found, here(tmp_path), store).message

    assert "has not begun" in words(path.name)
    assert "no run" in words("nothing-like-it")
    assert f"run {first.name} has trained squeezenet1_1, not resnet18" in words(first.name, "resnet18")
    plain = train(fine_tuning("Flatten()", "Linear(classes)"), store, pictures)
    assert "has no Backbone('squeezenet1_1') in its network" in words(plain.name)
    assert (
        weights_problem(stack(f"Backbone('squeezenet1_1', weights='run:{first.name}')", size=48), here(tmp_path), store)
        is None
    )
    shutil.rmtree(first / "checkpoints")
    assert f"run {first.name} has no checkpoint" in words(first.name)
    assert check(fine_tuning("Backbone('squeezenet1_1', weights='run:x9')"), Place(pictures), store).error.path == "0"


def test_a_run_whose_network_saw_other_inputs_gives_no_weights(tmp_path, pictures, hub):
    # What torchvision trained of these models changes its inputs first, and what goes on from there does so as well.
    store, member = tmp_path / "runs", torchvision.models.GoogLeNet_Weights.DEFAULT
    lay(hub, state_of("googlenet"), member.url.rpartition("/")[2])
    for weights, suits in (("'DEFAULT'", True), ("None", False)):
        # One step is enough: it saves a checkpoint, and what its inputs were is known before.
        run = train(fine_tuning(f"Backbone('googlenet', weights={weights})", "Identity()"), store, pictures, looks=1)
        found = stack(f"Backbone('googlenet', weights='run:{run.name}')", "Identity()")
        problem = weights_problem(found, here(tmp_path), store)
        assert (problem is None) == suits
        assert suits or "without the change of its inputs" in problem.message


def test_a_resume_needs_no_weights_but_its_own_and_gives_the_same_bits(tmp_path, pictures, hub):
    lay(hub, state_of())
    store = tmp_path / "runs"
    layers = "Backbone('squeezenet1_1', frozen='all', thaw={2: 'features.12'}, lr_scale={'features.12': 0.1})"
    spec = fine_tuning(layers, epochs=3)
    whole = train(spec, store, pictures)
    stopped = train(spec, store, pictures, looks=6)
    (hub / FILE).unlink()
    train(spec, store, pictures, path=stopped, resume=True)
    found = kept(stopped, "step")
    for name, tensor in kept(whole, "step").items():
        assert torch.equal(tensor, found[name]), name
    told = [message.text for message in reader_of(whole).view.messages]
    expected = "epoch 2: features.12 is thawed, 197,184 more parameters train"
    assert told.count(expected) == 1
    assert reader_of(whole).view.started["normalisation"]["mean"] == pytest.approx([0.485, 0.456, 0.406])


def test_models_that_read_the_versions_of_their_modules_can_be_saved_and_resumed(tmp_path, pictures):
    spec = fine_tuning("Backbone('mnasnet0_5', weights=None)", ema=0.9)
    path = train(spec, tmp_path / "runs", pictures, looks=2)
    train(spec, tmp_path / "runs", pictures, path=path, resume=True)
    found = stack(f"Backbone('mnasnet0_5', weights='run:{path.name}')", size=48)
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), tmp_path / "runs", classes=CLASSES))
    filled = network.state_dict()
    for name, tensor in kept(path, "best").items():
        assert torch.equal(filled[name], tensor), name


# -- what they were trained with ---------------------------------------------------------------------------------------


def test_preprocessing_is_that_of_the_weights(tmp_path, hub, pictures):
    used = ResNet18_Weights.DEFAULT.transforms()
    found = preprocessing(stack("Backbone('resnet18')"), None)
    assert found == Preprocessing((tuple(used.mean), tuple(used.std)), used.crop_size[0], used.resize_size[0])
    for inside in (
        "Sequential(Identity(), Sequential(Backbone('resnet18')))",
        "Parallel(Backbone('resnet18'), Backbone('resnet34', weights=None), Sequential(AvgPool2d(48), Flatten()))",
        "Parallel(Backbone('resnet18'), Backbone('mobilenet_v2'), merge='add')",
        "Repeat(1, Backbone('resnet18'))",
    ):
        assert preprocessing(stack(inside), None) == found, inside
    assert preprocessing(stack("Conv2d(3, 1)", "Backbone('resnet18')"), None) is None
    assert preprocessing(stack("Sequential(Conv2d(3, 1))", "Backbone('resnet18')"), None) is None
    assert preprocessing(stack("Sequential(Conv2d(3, 1), Backbone('resnet18'))"), None) is None
    assert preprocessing(stack("Sequential(ReLU(), Identity())", "Backbone('resnet18')"), None) == found
    assert preprocessing(stack("Backbone('resnet18', weights=None)"), None) is None
    lay(hub, {}, "resnet18-f37072fd.pth")
    warnings = check(fine_tuning("Backbone('resnet18')"), Place(pictures)).warnings
    assert any("48 × 48; size=224, resize_size=256 in a source of photographs suits them" in text for text in warnings)
    report = check(fine_tuning("Backbone('resnet18', weights=None)"), Place(pictures))
    assert report.ok
    assert not any("resize_size" in text for text in report.warnings)


def test_normalisation_that_is_given_wins_over_that_of_the_weights(pictures):
    for normalize, expected in (
        ("auto", [0.1, 0.2, 0.3]),
        ("[[0.5, 0.5, 0.4], 0.25]", [0.5, 0.5, 0.4]),
        ("none", None),
    ):
        spec = with_settings(fine_tuning("Backbone('resnet18')"), [f"data.normalize={normalize}"])
        data = prepare(
            spec.data, seed=0, device="cpu", place=Place(pictures), trained_with=((0.1, 0.2, 0.3), (0.2, 0.2, 0.2))
        )
        assert data.mean is None if expected is None else data.mean.tolist() == pytest.approx(expected)


def test_inputs_stay_as_they_are_where_the_weights_were_trained_on_such_inputs(tmp_path, pictures):
    store = tmp_path / "runs"
    first = train(fine_tuning("Backbone('squeezenet1_1', weights=None)", **{"data.normalize": "none"}), store, pictures)
    assert reader_of(first).view.started["normalisation"] is None
    spec = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{first.name}')", epochs=2)
    told = "trained on inputs that were not normalised, so they are not here either"
    assert [told in text for text in check(spec, Place(pictures), store).warnings] == [True]
    assert not check(with_settings(spec, ["data.normalize=[0.5, 0.5]"]), Place(pictures), store).warnings
    path = train(spec, store, pictures, looks=6)
    shutil.rmtree(first)
    train(spec, store, pictures, path=path, resume=True)
    view = reader_of(path).view
    assert view.started["normalisation"] is None
    assert any(told in message.text for message in view.messages)
    # What goes on from this run knows it in turn.
    third = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{path.name}')")
    found = preprocessing(check(third, Place(pictures), store).propagations["model"], store)
    assert found == Preprocessing("none", 48, 48)


def test_what_a_run_made_of_its_inputs_before_the_backbone_leaves_their_normalisation_unknown(tmp_path, pictures):
    store = tmp_path / "runs"
    first = train(fine_tuning("Conv2d(3, 1)", "Backbone('squeezenet1_1', weights=None)"), store, pictures)
    spec = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{first.name}')")
    assert any("is not known" in text for text in check(spec, Place(pictures), store).warnings)
    assert preprocessing(check(spec, Place(pictures), store).propagations["model"], store).normalisation is None
    again = fine_tuning("Identity()", "Backbone('squeezenet1_1', weights=None)")
    spec = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{train(again, store, pictures).name}')")
    assert not check(spec, Place(pictures), store).warnings
