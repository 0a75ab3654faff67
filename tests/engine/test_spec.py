"""Experiments: both ways between TOML and values, what is refused and how, settings from the command line."""

from __future__ import annotations

import os
import pickle
import string
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.calls import Call
from engine.errors import RequestError, SpecError
from engine.spec import (
    Data,
    Experiment,
    Network,
    Origin,
    flatten,
    load_experiment,
    parse_experiment,
    with_settings,
)
from engine.toml_text import lines_of, parse_toml

TEXT = """\
name = "batchnorm"
task = "Classification()"
epochs = 20
seed = 0
loss = "CrossEntropyLoss()"
optimizer = "SGD(lr=0.01)"
scheduler = "StepLR(step_size=7, gamma=0.1)"

[data]
source = "MNIST()"
batch_size = 64
normalize = [0.5, 0.5]
augment = ["RandomCrop(28, padding=2)"]
validation = "holdout(0.1)"

[network]
layers = [
    "Flatten()",
    "Linear(300)", "BatchNorm1d()", "ReLU()",
    "Linear(classes)",
]
"""

CALL_TEXTS = st.sampled_from(
    [
        "ReLU()",
        "Linear(classes)",
        "nn.Conv2d(1, 32, 3)",
        "a.b:C('é', x=(1, 2.5))",
        "A('\"\\n', b=None)",
        "SGD(lr=0.001)",
    ]
)
OPTIONAL_POSITIVE = st.none() | st.floats(1e-300, 1e300)
NUMBERS = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
NETWORK = st.fixed_dictionaries(
    {"layers": st.lists(CALL_TEXTS, min_size=1, max_size=4)}, optional={"init": st.none() | CALL_TEXTS}
)
EXPERIMENTS = st.fixed_dictionaries(
    {
        "optimizer": CALL_TEXTS,
        "networks": NETWORK.map(lambda network: {"model": network})
        | st.dictionaries(st.sampled_from(["generator", "discriminator", "model", "_x1"]), NETWORK, min_size=1),
    },
    optional={
        "name": NAMES,
        "loss": CALL_TEXTS,
        "scheduler": st.none() | CALL_TEXTS,
        "epochs": st.integers(1, 10**6),
        "seed": st.integers(0, 2**63 - 1),
        "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:1", "mps"]),
        "precision": st.sampled_from(["fp32", "bf16", "fp16"]),
        "accumulate": st.integers(1, 100),
        "clip_norm": OPTIONAL_POSITIVE,
        "clip_value": OPTIONAL_POSITIVE,
        "early_stopping": st.none() | st.integers(1, 100),
        "ema": st.none() | st.floats(0.001, 0.999),
        "monitor": st.none() | st.sampled_from(["val/loss", "train/accuracy"]),
        "checkpoint_minutes": POSITIVE,
        "checkpoint_epochs": st.none() | st.integers(1, 100),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "source": CALL_TEXTS,
                "batch_size": st.integers(1, 10**6),
                "normalize": st.sampled_from(["auto", "none"])
                | st.tuples(NUMBERS, POSITIVE)
                | st.integers(1, 4).flatmap(
                    lambda n: st.tuples(
                        st.lists(NUMBERS, min_size=n, max_size=n), st.lists(POSITIVE, min_size=n, max_size=n)
                    )
                ),
                "augment": st.lists(CALL_TEXTS, max_size=3),
                "validation": st.sampled_from(["holdout(0.1)", "test", "none", "a.b:C"]),
            },
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(EXPERIMENTS)
def test_the_canonical_text_reads_back_as_an_equal_experiment(values: dict[str, Any]) -> None:
    experiment = Experiment(**values)
    text = experiment.to_toml()
    again = parse_experiment(text, "again.toml")
    assert again == experiment
    assert hash(again) == hash(experiment)
    assert again.to_toml() == text
    assert again.digest() == experiment.digest()
    assert flatten(again) == flatten(experiment)
    assert list(again.networks) == list(experiment.networks)


def test_the_example_is_read_with_its_values() -> None:
    experiment = parse_experiment(TEXT)
    assert experiment.network.layers[1] == Call("Linear", (300,))
    assert experiment.data.normalize == (0.5, 0.5)
    assert experiment.scheduler == Call("StepLR", kwargs=(("step_size", 7), ("gamma", 0.1)))
    assert tomllib.loads(experiment.to_toml()) == tomllib.loads(TEXT)


def test_what_is_left_out_is_as_usual() -> None:
    text = 'optimizer = "SGD(lr=0.1)"\nnetwork = { layers = ["Linear(1)"] }\n'
    experiment = parse_experiment(text)
    assert str(experiment.data.source) == "Digits()"
    assert str(experiment.data.validation) == "holdout(0.2)"
    assert str(experiment.loss) == "CrossEntropyLoss()"
    assert str(parse_experiment('task = "Regression()"\n' + text).loss) == "MSELoss()"
    with pytest.raises(SpecError, match=r"loss: is missing.*VAE\(\)"):
        parse_experiment('task = "VAE()"\n' + text)


def test_bare_validations_print_bare() -> None:
    for text in ("test", "none", "holdout(0.1)"):
        experiment = with_settings(parse_experiment(TEXT), [f"data.validation={text}"])
        assert f'validation = "{text}"' in experiment.to_toml()


def test_several_networks_keep_their_names_and_order() -> None:
    text = TEXT.replace("[network]", '[network.generator]\nlayers = ["Linear(9)"]\n[network.discriminator]')
    experiment = parse_experiment(text)
    assert list(experiment.networks) == ["generator", "discriminator"]
    assert parse_experiment(experiment.to_toml()) == experiment
    with pytest.raises(RequestError, match="generator, discriminator"):
        _ = experiment.network
    assert flatten(experiment)["network.generator.layers"] == "Linear(9)"
    assert flatten(experiment)["data.cache_features"] == "false"
    assert experiment.where("network.discriminator.layers.4") == Origin("", 22)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        ("epochs = 20", "epochs = 0", 3, "epochs", "found 0; a whole number from 1 to 1,000,000"),
        ("epochs = 20", "epochs = true", 3, "epochs", "found true"),
        ("epochs = 20", "epochs = 2.5", 3, "epochs", "found 2.5"),
        ("epochs = 20", 'epochs = "20"', 3, "epochs", 'found "20"'),
        ("epochs = 20", "epoch = 20", 3, "epoch", "did you mean `epochs`?"),
        ("epochs = 20", "epochs = 20\nepochs = 21", 4, "", "overwrite"),
        ("epochs = 20", "epochs == 20", 3, "", "not TOML"),
        ("seed = 0", "lr = 0.1", 4, "lr", "argument of the optimizer"),
        ("seed = 0", "batch_size = 3", 4, "batch_size", "[data]"),
        ("seed = 0", "seed = -1", 4, "seed", "found -1"),
        ("seed = 0", "seed = 9223372036854775808", 4, "seed", "2**63 - 1"),
        ("seed = 0", "device = 'gpu'", 4, "device", "cuda:1"),
        ("seed = 0", "device = 'cuda:1\\n'", 4, "device", "found"),
        ("seed = 0", "precision = 'fp8'", 4, "precision", "fp32, bf16 or fp16"),
        ("seed = 0", "ema = 1.0", 4, "ema", "between 0 and 1"),
        ("seed = 0", "clip_norm = 0", 4, "clip_norm", "greater than 0"),
        ("seed = 0", "clip_value = nan", 4, "clip_value", "found nan"),
        ("seed = 0", "checkpoint_minutes = inf", 4, "checkpoint_minutes", "found inf"),
        ("seed = 0", "checkpoint_epochs = 0", 4, "checkpoint_epochs", "found 0; a whole number of at least 1"),
        ("seed = 0", "early_stopping = 0", 4, "early_stopping", "at least 1"),
        ("seed = 0", "monitor = 'loss'", 4, "monitor", "val/loss"),
        ("seed = 0", "self = 1", 4, "self", "no such field"),
        ("seed = 0", "_origins = 1", 4, "_origins", "no such field"),
        ("seed = 0", "networks = 1", 4, "networks", "did you mean `network`?"),
        ('"batchnorm"', '""', 1, "name", "1 to 200 characters"),
        ('"batchnorm"', '"' + "x" * 201 + '"', 1, "name", "1 to 200 characters"),
        ('"batchnorm"', '"a\\u001bb"', 1, "name", "control character \\x1b"),
        ('optimizer = "SGD(lr=0.01)"', "", None, "optimizer", "is missing"),
        ('"SGD(lr=0.01)"', "SGD(lr=0.01)", 6, "", "stands in quotes"),
        ('"SGD(lr=0.01)"', '"SGD(lr=0.01"', 6, "optimizer", "'(' was never closed (column 4)"),
        ('"SGD(lr=0.01)"', "{ lr = 1 }", 6, "optimizer", "found a table"),
        ("batch_size = 64", "batchsize = 64", 11, "data.batchsize", "did you mean `batch_size`?"),
        ("batch_size = 64", "epochs = 64", 11, "data.epochs", "top of the file"),
        ("[0.5, 0.5]", "0.5", 12, "data.normalize", "[mean, std]"),
        ("[0.5, 0.5]", "[0.5, 0]", 12, "data.normalize", "greater than 0"),
        ("[0.5, 0.5]", "[[1, 2], [1, 2, 3]]", 12, "data.normalize", "2 means and 3 standard deviations"),
        ("[0.5, 0.5]", "[0.5, inf]", 12, "data.normalize", "found inf"),
        ('["RandomCrop(28, padding=2)"]', '"RandomCrop(28)"', 13, "data.augment", "a list of calls"),
        ('"RandomCrop(28, padding=2)"', '"RandomCrop(28)",\n 3', 14, "data.augment.1", "found 3"),
        ('"ReLU()"', '"ReLU("', 19, "network.layers.3", "'(' was never closed"),
        ('"Linear(classes)"', '"f.Linear()"', 20, "network.layers.4", "package.module:Name"),
        ("[network]", "[net]", 16, "net", "did you mean `network`?"),
        ("[network]", "[network.a]\nlayers = ['A']\n[network]", 19, "network.layers", "beside named networks"),
        ("[network]", "['network'.'a b']", 16, "network.a b", "letters, digits and _"),
        ("[data]", "[data]\nself = 3", 10, "data.self", "no such field"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_field(
    old: str, new: str, line: int | None, field: str, words: str
) -> None:
    assert old in TEXT
    with pytest.raises(SpecError) as caught:
        parse_experiment(TEXT.replace(old, new), "mine.toml")
    error = caught.value
    assert (error.file, error.line, error.field) == ("mine.toml", line, field)
    assert words in str(error)
    assert str(error).startswith("mine.toml:")
    assert str(error).isprintable()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(st.sampled_from("[]{}\"=.,#\n\\1aé'-_ \0"), max_size=6))
@example(0, 0, "\ud800")
def test_any_damage_to_a_file_is_read_or_told(at: int, removed: int, inserted: str) -> None:
    text = TEXT[:at] + inserted + TEXT[at + removed :]
    try:
        experiment = parse_experiment(text, "mine.toml")
    except SpecError:
        return
    assert parse_experiment(experiment.to_toml()) == experiment


@pytest.mark.parametrize(
    "text",
    [
        "a." * 20_000 + "a = 1",
        "[" + "a." * 20_000 + "a]",
        "x = {" + "a." * 20_000 + "a = 1}",
        '"a" . ' * 6_000 + "a = 1",
        "a" * 200_000 + " = 1",
        "x = " + "[" * 100_000,
        "x = " + "{a = " * 40_000,
        "x = " + "9" * 100_000,
        '"\\' * 130_000,
        '"""\\"' * 50_000 + "\\",
        "'" * 200_001,
        "." * 200_000,
        "a" * 300_000,
    ],
    ids=range(13),
)
def test_hostile_files_are_refused_at_once(text: str) -> None:
    start = time.thread_time()
    with pytest.raises(SpecError) as caught:
        parse_experiment(text, "mine.toml")
    assert time.thread_time() - start < 1.5
    assert len(str(caught.value)) < 400


def test_ten_thousand_layers_are_read_and_one_more_is_not() -> None:
    def text(count: int) -> str:
        return 'optimizer = "SGD()"\n[network]\nlayers = [' + '"ReLU()",' * count + "]"

    assert len(parse_experiment(text(10_000)).network.layers) == 10_000
    with pytest.raises(SpecError, match="at most 10,000 calls"):
        parse_experiment(text(10_001))


def test_only_regular_files_of_text_are_opened(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(TEXT)
    assert load_experiment(good) == parse_experiment(TEXT)
    assert load_experiment(str(good)).where("epochs") == Origin(str(good), 3)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "latin").write_bytes(b'name = "x"\ntask = "\xe9"\n')
    (tmp_path / "huge").write_bytes(b"#" * (256 * 1024 + 1))
    for name, words in {
        "missing": "no such file",
        ".": "a folder",
        "fifo": "not a regular file",
        "latin": "latin:2: it is not text in UTF-8",
        "huge": "larger than 256 KiB",
        "a\0b": "cannot be opened",
        "x" * 300: "cannot be opened",
    }.items():
        with pytest.raises(SpecError) as caught:
            load_experiment(f"{tmp_path}/{name}")
        assert words in str(caught.value)
        assert caught.value.exit_code == 2
    with pytest.raises(SpecError, match="not a regular file"):
        load_experiment("/dev/null")


@pytest.mark.parametrize(
    ("setting", "field", "canonical"),
    [
        ("data.batch_size=128", "data.batch_size", "128"),
        ("optimizer=AdamW(lr=1e-3)", "optimizer", "AdamW(lr=0.001)"),
        ("scheduler=none", "scheduler", "none"),
        ("name=123", "name", "123"),
        ("name=2020-01-01", "name", "2020-01-01"),
        ("name=a = b", "name", "a = b"),
        ("data.normalize=auto", "data.normalize", "auto"),
        ("data.normalize=[[0.1, 0.2], [1, 2]]", "data.normalize", "[[0.1, 0.2], [1.0, 2.0]]"),
        ("data.augment=[]", "data.augment", "none"),
        ("data.augment=[RandomCrop(8), GaussianNoise(0.1)]", "data.augment", "RandomCrop(8), GaussianNoise(0.1)"),
        ('network.layers=["Flatten()", "Linear(2)"]', "network.layers", "Flatten(), Linear(2)"),
        ("network.init=xavier_uniform_", "network.init", "xavier_uniform_()"),
        ("clip_norm=1", "clip_norm", "1.0"),
        ("precision=bf16", "precision", "bf16"),
    ],
)
def test_a_setting_changes_its_field_alone(setting: str, field: str, canonical: str) -> None:
    before = parse_experiment(TEXT, "mine.toml")
    after = with_settings(before, [setting])
    assert flatten(after) == {**flatten(before), field: canonical}
    assert after.where(field) == Origin(f"--set {setting}")
    assert after.where("epochs") == Origin("mine.toml", 3)


def test_one_layer_can_be_set() -> None:
    after = with_settings(parse_experiment(TEXT, "mine.toml"), ["network.layers.1=Linear(64)", "epochs=3"])
    assert str(after.network.layers[1]) == "Linear(64)"
    assert after.where("network.layers.1") == Origin("--set network.layers.1=Linear(64)")
    assert after.where("network.layers.2") == Origin("mine.toml", 19)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.batch_size=abc", 'found "abc"; a whole number of at least 1 stands here'),
        ("dat.batch_size=3", "did you mean `data.batch_size`?"),
        ("epochs", "field=value"),
        ("optimizer.lr=0.1", "write optimizer="),
        ("network.layers.99=ReLU()", "it has 5, counted from 0"),
        ("network.layers." + "9" * 5000 + "=ReLU()", "as a whole"),
        ("network.layers.1=ReLU(", "'(' was never closed"),
        ("network.layers=[ReLU(", "'(' was never closed"),
        ("epochs=1\nseed=3", "epochs=1\\nseed=3"),
        ("=3", "no field"),
        ("network=3", "no field"),
        ("x" * 5000 + "=3", "no field"),
    ],
)
def test_a_wrong_setting_is_told_as_it_was_typed(setting: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_settings(parse_experiment(TEXT, "mine.toml"), [setting])
    assert str(caught.value).startswith(f"--set {setting[:5].splitlines()[0]}")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_name_and_the_file_do_not_count_in_the_digest() -> None:
    experiment = parse_experiment(TEXT, "mine.toml")
    assert len(experiment.digest()) == 16
    assert set(experiment.digest()) <= set(string.hexdigits)
    assert experiment.with_(name="other").digest() == experiment.digest()
    assert experiment.with_(seed=1).digest() != experiment.digest()
    assert experiment == parse_experiment(TEXT, "yours.toml")


def test_experiments_are_frozen_and_copies_are_checked() -> None:
    experiment = parse_experiment(TEXT, "mine.toml")
    with pytest.raises(ValueError, match="frozen"):
        experiment.epochs = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        experiment.networks["other"] = experiment.network  # type: ignore[index]
    changed = experiment.with_(epochs=3, data=experiment.data.with_(batch_size=8))
    assert (changed.epochs, changed.data.batch_size, experiment.epochs) == (3, 8, 20)
    with pytest.raises(SpecError, match="epochs: found 0"):
        experiment.with_(epochs=0)
    with pytest.raises(SpecError, match="batch_size"):
        Data(batch_size=0)
    built = Experiment(optimizer="SGD(lr=0.1)", networks={"model": Network(layers=["ReLU()"])})
    assert pickle.loads(pickle.dumps(built)) == built


def test_lines_are_found_in_every_form_of_toml() -> None:
    text = """\
a.b = 1 # [x]
[data]
augment = [ # ["
  "A()", '''x
y''',
  "B" ]
 z = {q = [1,
 2], r.s = "}"}
[[ many ]]
k = 1979-05-27T07:32:00Z
"last key" = 'x'"""
    parse_toml(text)
    assert lines_of(text) == {
        "a.b": 1, "data": 2, "data.augment": 3, "data.augment.0": 4, "data.augment.1": 4, "data.augment.2": 6,
        "data.z": 7, "data.z.q": 7, "data.z.q.0": 7, "data.z.q.1": 8, "data.z.r.s": 8,
        "many": 9, "many.k": 10, "many.last key": 11,
    }  # fmt: skip


def test_reading_experiments_needs_neither_torch_nor_pydantic_before() -> None:
    code = (
        "import sys, engine, engine.calls, engine.errors; assert 'pydantic' not in sys.modules;"
        "import engine.presets, engine.data.sorting; assert not {'torch', 'textual', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
