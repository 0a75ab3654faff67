"""The check before a run: misuse is flagged, what cannot work is refused with a fix that works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from engine import catalogue
from engine.build import build_network
from engine.calls import parse_call
from engine.check import Report, check
from engine.data.info import Place
from engine.data.sources import build_source
from engine.errors import RequestError
from engine.freezing import thaw
from engine.shapes import apply_fix
from engine.spec import Experiment, parse_experiment
from engine.stepping import set_training
from tests.engine.pictures import labelled_files
from tests.engine.training import experiment


def report(*settings: str, preset: str = "activation") -> Report:
    return check(experiment(preset, *settings), Place(Path("nowhere")))


def ending_in(*last: str) -> str:
    layers = ", ".join(f'"{layer}"' for layer in ("Flatten()", "Linear(20)", "ReLU()", *last))
    return f"network.layers=[{layers}]"


def test_a_network_without_layers_is_told_with_its_line_and_what_is_known_of_the_data() -> None:
    text = 'optimizer = "SGD(lr=0.1)"\n[data]\nsource = "Digits()"\n[network]\nlayers = []\n'
    found = check(parse_experiment(text, "mine.toml"), Place(Path("nowhere")))
    assert not found.ok
    assert found.refusal is not None
    assert str(found.refusal).startswith("mine.toml:5: network.layers: the network has no layers")
    assert found.rows == ()
    assert found.info.input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("last", "loss", "words"),
    [
        (("Linear(10)", "Softmax(dim=1)"), "CrossEntropyLoss()", "Softmax.* before CrossEntropyLoss"),
        (("Linear(10)", "LogSoftmax(dim=1)"), "CrossEntropyLoss()", "LogSoftmax.* before CrossEntropyLoss"),
        (("Sequential(Linear(10), Softmax(dim=1))",), "CrossEntropyLoss()", "Softmax.* before CrossEntropyLoss"),
        (("Linear(10)", "Softmax(dim=1)", "Identity()"), "CrossEntropyLoss()", "Softmax.* before CrossEntropyLoss"),
        (("Linear(10)", "Sigmoid()"), "BCEWithLogitsLoss()", "applies the sigmoid itself; use BCELoss"),
        (("Linear(10)",), "NLLLoss()", "NLLLoss wants log-probabilities"),
        (("Linear(10)", "ReLU()"), "CrossEntropyLoss()", "cuts off every negative score"),
    ],
)
def test_what_people_do_not_mean_is_flagged_and_may_run(last, loss, words):
    found = report(ending_in(*last), f"loss={loss}")
    assert found.ok
    assert len(found.warnings) == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.warnings[0])


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        (("Linear(10)",), "CrossEntropyLoss()"),
        (("Linear(10)", "LogSoftmax(dim=1)"), "NLLLoss()"),
        (("Linear(10)", "Sigmoid()"), "BCELoss()"),
        (("Linear(10)",), "MSELoss()"),
        (("Linear(10)", "Softmax(dim=1)"), "MSELoss()"),
    ],
)
def test_what_belongs_together_is_not_flagged(last, loss):
    found = report(ending_in(*last), f"loss={loss}")
    assert found.ok
    assert not found.warnings


def test_probabilities_are_required_where_the_loss_would_crash():
    found = report(ending_in("Linear(10)"), "loss=BCELoss()")
    assert not found.ok
    assert "end with Sigmoid()" in found.error.message


@pytest.mark.parametrize(
    ("last", "fixed"),
    [
        (("Linear(7)",), "Linear(classes)"),
        (("Linear(20)", "ReLU()"), "Linear(classes)"),
        (("Reshape(4, 5)",), "Linear(classes)"),
    ],
)
def test_a_network_that_does_not_end_in_the_classes_is_refused_with_a_fix_that_works(last, fixed):
    spec = experiment("activation", ending_in(*last))
    found = check(spec, Place(Path("nowhere")))
    assert "the data has 10 classes" in found.error.message
    for _ in range(2):  # Flatten() first, then the last layer
        if found.ok:
            break
        layers = apply_fix(spec.network.layers, found.error.fix)
        spec = spec.with_(networks={"model": {"layers": [str(layer) for layer in layers]}})
        found = check(spec, Place(Path("nowhere")))
    assert found.ok
    assert str(spec.network.layers[-1]) == fixed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("optimizer=SGD(lr=-1.0)",), "SGD"),
        (("scheduler=SequentialLR([StepLR(1), StepLR(1)], milestones=[1, 2])",), "SequentialLR"),
        (("device=cuda:7",), "GPU"),
        (("precision=fp16",), "fp16"),
        (("monitor=val/acuracy",), "did you mean `val/accuracy`"),
        (("monitor=val/loss", "data.validation=none"), "nothing is held out"),
        (("task=Regression()", "loss=MSELoss()"), r"task = Classification\(\)"),
        (("loss=GaussianNLLLoss()",), "cannot serve Classification"),
        ((ending_in("Linear(10)"), "network.layers.0=Linear(3)"), r"put Flatten\(\) before it"),
        (("optimizer=SGD(lr=0.1, differentiable=True)",), "SGD.*in-place"),
        (("optimizer=AdamW(capturable=True)",), "AdamW.*capturable"),
        (("scheduler=StepLR(0)",), r"StepLR\(0\).*zero"),
        (("epochs=20", "scheduler=SequentialLR([StepLR(1), StepLR(0)], milestones=[10])"), "SequentialLR.*zero"),
        (("loss=CrossEntropyLoss(weight=[1, 2])",), "2 numbers, but the network has 10 outputs"),
        (("loss=CrossEntropyLoss(label_smoothing=3.0)",), "label_smoothing"),
        (("network.layers=['Flatten()', 'Linear(10, frozen=True)']",), "nothing to train"),
    ],
)
def test_what_would_fail_while_training_is_found_before(settings, words):
    if torch.cuda.is_available() and "fp16" in words:
        pytest.skip("a GPU has fp16")
    found = report(*settings)
    assert not found.ok
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.error.message)


@pytest.mark.parametrize(
    ("settings", "path", "words"),
    [
        (("loss=CrossEntropyLoss(weight=[1, 2])",), "loss", "weight holds 2 numbers, but the network has 10 outputs"),
        (("loss=CrossEntropyLoss(label_smoothing=3.0)",), "loss", "between 0.0 and 1.0"),
        (("task=Regression()", "loss=MSELoss()"), "task", "targets that are classes"),
        (("data.validation=holdout(2.0)",), "data.validation", "between 0 and 1"),
        (("data.validation=test",), "data.validation", "no official test split"),
        (("data.augment=[RandomCrop(20)]",), "data.augment", "does not fit into images of 8x8"),
        (("data.augment=[RandomCrop(6)]",), "data.augment", "keep the size"),
        (("data.normalize=[[0.5, 0.1], 0.5]",), "data.normalize", "a sample has 1 channel"),
        (("network.init=dirac_()",), "1", "`dirac_()` cannot fill the weights (300 × 64)"),
        (("network.layers.3=Linear(5, init=dirac_())",), "3", "`dirac_()` cannot fill"),
    ],
)
def test_every_field_that_does_not_suit_is_named_before_the_run(settings, path, words):
    found = report(*settings)
    assert found.error.path == path
    assert words in found.error.message
    assert found.refusal.field.removeprefix("layer ") == path
    if "init" not in settings[0]:
        assert found.refusal.file.startswith(f"--set {path}=")


@pytest.mark.parametrize("name", sorted(catalogue.entries("initialisers")))
def test_an_initialiser_is_refused_in_the_check_where_it_fails_for_real(name):
    init = name + {"constant_": "(0.3)", "sparse_": "(0.1)"}.get(name, "()")
    for preset in ("mlp", "cnn"):
        found = report(f"network.init={init}", preset=preset)
        with pytest.raises(RequestError) if found.error else nullcontext() as caught:
            build_network(found.propagations["model"], found.experiment.network.init)
        assert found.error is None or found.error.message == str(caught.value)


def test_a_refusal_says_file_line_layer_and_fix():
    text = experiment("activation").to_toml().replace('"Linear(100)"', '"Residual(Linear(3))"')
    line = 1 + text[: text.index("Residual")].count("\n")
    found = check(parse_experiment(text, "mine.toml"), Place(Path("nowhere")))
    assert str(found.refusal).startswith(f"mine.toml:{line}: layer 3: Residual(Linear(3)) after ReLU(): ")
    assert str(found.refusal).endswith("; add shortcut=Linear(3)")
    assert (found.to_json()["error"]["file"], found.to_json()["error"]["line"]) == ("mine.toml", line)


def test_numbers_that_may_be_labels_are_told_how_to_become_classes(tmp_path):
    # 1, 2, 3: `auto` takes them for values.
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{1 + i % 3}\n" for i in range(30)))
    source = f"data.source=CSV({str(tmp_path / 't.csv')!r}, target='y')"
    assert "kind='classes'" in report(source).error.message
    with pytest.raises(RequestError, match=r"t.csv: column y: the smallest label is 1 \(line 2\)"):
        report(source.replace("'y')", "'y', kind='classes')"))


def test_a_forgotten_flatten_is_named_also_where_the_size_that_was_given_is_wrong():
    for text in ("Linear(10)", "nn.Linear(576, 10)", "nn.Linear(784, 10)"):
        spec = experiment("mlp", f'network.layers=["Conv2d(16, 3)", "{text}"]')
        found = check(spec, Place(Path("nowhere")))
        assert "put Flatten() before it" in found.error.message, text
        layers = [str(layer) for layer in apply_fix(spec.network.layers, found.error.fix)]
        assert check(spec.with_(networks={"model": {"layers": layers}}), Place(Path("nowhere"))).ok, text


def test_a_wrong_name_is_refused_with_the_nearest():
    with pytest.raises(RequestError, match="did you mean `BatchNorm1d`"):
        report("network.layers.1=BatchNorm1()")


def test_networks_must_be_those_of_the_task():
    spec = experiment("activation")
    layers = [str(layer) for layer in spec.network.layers]
    spec = spec.with_(networks={"generator": {"layers": layers}, "discriminator": {"layers": layers}})
    with pytest.raises(RequestError, match=r"trains \[network\]; the experiment has generator, discriminator"):
        check(spec, Place(Path("nowhere")))


def test_parameters_macs_and_memory_equal_a_real_network():
    found = report(preset="batchnorm")
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 100), nn.BatchNorm1d(100),
        nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    parameters = sum(p.numel() for p in model.parameters())
    assert found.parameters == parameters
    assert found.macs == 64 * 300 + 300 * 100 + 100 * 10
    assert found.memory["weights"] == found.memory["gradients"] == 4 * parameters
    assert found.memory["activations"] == 4 * 64 * (64 + 3 * 300 + 3 * 100 + 10)
    assert found.memory["total"] < found.memory["available"]


@pytest.mark.parametrize(
    ("optimizer", "copies"), [("SGD(lr=0.1)", 0), ("SGD(lr=0.1, momentum=0.9)", 1), ("Adam()", 2), ("RMSprop()", 1)]
)
def test_the_optimizers_state_is_in_the_forecast(optimizer, copies):
    found = report(f"optimizer={optimizer}")
    assert found.memory["optimizer"] == copies * found.memory["weights"]


def test_what_a_container_holds_is_counted_once():
    flat = report(ending_in("Linear(20)", "Linear(20)", "Linear(10)"))
    for held in ("Sequential(Linear(20), Linear(20))", "Repeat(2, Linear(20))"):
        assert report(ending_in(held, "Linear(10)")).memory["activations"] == flat.memory["activations"]
    # The sum is a tensor of its own.
    residual = report(ending_in("Residual(Linear(20), Linear(20))", "Linear(10)"))
    assert residual.memory["activations"] - flat.memory["activations"] in (0, 4 * 64 * 20)


def test_layers_that_can_train_on_one_sample_are_not_warned_of():
    layers = "network.layers=['InstanceNorm2d()', 'Flatten()', 'Linear(10)']"
    assert not report(layers, "data.batch_size=4").warnings


def test_a_last_batch_of_one_is_told_before_the_run():
    # 1437 are left of the digits: 1437 % 4 == 1
    found = report("data.batch_size=4", preset="batchnorm")
    assert found.ok
    assert "joins the batch before it (5 samples)" in found.warnings[0]
    assert not report("data.batch_size=4").warnings


def test_a_frozen_layer_has_parameters_and_trains_none():
    found = report("network.layers.1=Linear(300, frozen=True)")
    assert found.rows[1].parameters == 64 * 300 + 300
    assert found.rows[1].trainable == 0


def test_the_document_has_what_scripts_rely_on():
    document = report().to_json()
    assert set(document) >= {"ok", "rows", "parameters", "macs", "memory", "error"}
    assert set(document["rows"][0]) >= {"path", "call", "output_shape", "parameters", "macs", "trainable"}
    assert document["rows"][-1]["output_shape"] == [10]
    failing = report(ending_in("Conv2d(3, 3)")).to_json()
    assert not failing["ok"]
    assert set(failing["error"]) >= {"path", "call", "message", "fix"}
    assert failing["error"]["path"] == "3"


def test_a_pasted_form_is_checked_and_stored_short():
    from engine import catalogue

    spec: Experiment = experiment("activation", "network.layers.1=nn.Linear(64, 300)")
    assert check(spec, Place(Path("nowhere"))).ok
    assert str(catalogue.canonical(spec).network.layers[1]) == "Linear(300)"
    wrong = report("network.layers.1=nn.Linear(784, 300)")
    assert not wrong.ok
    assert "784" in wrong.error.message
    assert "64" in wrong.error.message


def test_batches_of_one_are_refused_where_batchnorm_sees_a_single_value():
    found = report("data.batch_size=1", preset="batchnorm")
    assert not found.ok
    assert found.error.path == "2"
    assert "take batch_size = 2" in found.error.message
    pictures = report("data.batch_size=1", 'network.layers=["BatchNorm2d()", "Flatten()", "Linear(classes)"]')
    assert pictures.ok


def test_a_network_that_no_memory_holds_is_refused_and_a_large_batch_is_told():
    huge = report(ending_in("Linear(10000000)", "Linear(1000000)", "Linear(classes)"))
    assert not huge.ok
    assert "GiB are free; take smaller layers" in huge.error.message
    batch = report("data.batch_size=1000000000")
    assert batch.ok
    assert "a smaller batch_size takes less" in batch.warnings[-1]


COUNT_THREADS = """
import os, sys, time
import os
import subprocess
import sys
from pathlib import Path
from engine.check import check
from engine.data.info import Place
from engine.presets import preset

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
check(preset("batchnorm"), Place(Path("nowhere")))
until = time.monotonic() + 10
while threads() > before and time.monotonic() < until:
    time.sleep(0.05)
sys.exit(threads() > before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc, which Linux has")
def test_a_check_leaves_no_threads_behind_that_would_slow_a_training_down():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", COUNT_THREADS], env=environment, timeout=120, check=False)
    assert done.returncode == 0


UNSCALED = "BatchNorm1d(affine=False)"
RESNET = "Backbone('resnet18', weights=None)"


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (f"Upsample(32), Conv2d(3, 1), Sequential({RESNET}, frozen=True)", ""),
        (f"Upsample(32), Conv2d(3, 1), Sequential(Sequential({RESNET}), frozen=True)", ""),
        (f"Upsample(32), Conv2d(3, 1), Sequential({RESNET}, frozen=True, thaw=2)", "2.0.layer4.0.bn1 cannot train on"),
        ("Flatten(), Linear(4), BatchNorm1d()", "layer 2: BatchNorm1d() cannot train on batches of one sample"),
        ("Flatten(), Linear(4), BatchNorm1d(frozen=True)", ""),
        (f"Flatten(), Linear(4), Sequential({UNSCALED}, frozen=True)", ""),
        ("Flatten(), Linear(4), BatchNorm1d(affine=False, frozen=True)", ""),
        (f"Flatten(), Linear(4), Sequential({UNSCALED}, thaw=2)", f"layer 2.0: {UNSCALED} cannot train on"),
        (f"Flatten(), Linear(4), Sequential({UNSCALED})", f"layer 2.0: {UNSCALED} cannot train on"),
        (f"Flatten(), Sequential(Linear(4), {UNSCALED}, frozen=True)", ""),
    ],
)
def test_a_norm_layer_takes_batches_of_one_where_it_is_frozen_with_all_that_trains_around_it(layers, words):
    found = report(f"network.layers=[{layers}, Linear(classes)]", "data.batch_size=1")
    refused = str(found.refusal or "")
    assert words in refused
    assert bool(words) == bool(refused)
    # As PyTorch has it, in the modes that training has.
    network = build_network(found.propagations["model"])
    thaw(network, found.propagations["model"], 2)
    set_training(network)
    with pytest.raises(ValueError, match="more than 1 value per channel") if words else nullcontext():
        network(torch.rand(1, 1, 8, 8))


def test_a_cache_that_is_too_small_is_told_by_check_and_run_in_the_same_words(tmp_path, monkeypatch):
    pets = labelled_files(tmp_path / "pets")
    call = parse_call(f"LabelledFiles('{pets}', size=48)")
    place = Place(tmp_path)

    def told() -> list[list[str]]:
        spec = experiment("mlp", f"data.source={call}")
        return [list(check(spec, place).warnings), list(build_source(call).load(place).notes)]

    for bound in ("0.00005", "0.00003"):
        # What was kept of the set under another bound tells of that no more.
        monkeypatch.setenv("LAYERLAB_CACHE_GIB", bound)
        before, reading = told()
        (words,) = [text for text in before if "decoded again in every epoch" in text]
        assert words in reading
        assert "LAYERLAB_CACHE_GIB" in words
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "1")
    assert not any("decoded again" in text for texts in told() for text in texts)


def test_a_holdout_that_cannot_be_is_refused_from_the_names_of_photographs(tmp_path):
    names = [f"c{number:02d}" for number in range(22)]
    for name in names:
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "pets" / name / f"{number}.jpg").touch()  # nobody opens them

    def checked(validation: str) -> Report:
        source = 'data.source=ImageFolder("pets", size=8)'
        return check(experiment("mlp", source, f"data.validation={validation}"), Place(tmp_path))

    refusal = checked("holdout(0.2)").refusal
    assert refusal is not None
    assert refusal.field == "data.validation"
    assert "holdout(0.2) puts 14 of 66 samples aside, but each part needs one of each of the 22 classes" in str(refusal)
    assert checked("holdout(0.5)").ok
    assert checked("holdout(0.2, stratify=False)").ok
    for number in range(1, 3):
        (tmp_path / "pets" / "c07" / f"{number}.jpg").unlink()
    assert "class 'c07' has one sample" in str(checked("holdout(0.5)").refusal)
    assert checked("none").ok
    for part in ("train", "val"):  # what the folder itself sets aside is validated on, whatever the share
        shutil.copytree(tmp_path / "pets", tmp_path / "parts" / part)
    (tmp_path / "parts").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "pets")
    (tmp_path / "moved").rename(tmp_path / "pets")
    assert checked("holdout(0.2)").ok
