"""Filters say what they are read to say, half-typed ones say what is missing, and sorting leaves the rest last."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.spec import flatten, parse_experiment
from engine.store.listing import Summary
from engine.store.notes import Notes
from tui.filter_values import parse_duration, parse_number, parse_span
from tui.filtering import FilterError, column_value, known_names, parse_filter, sort_runs

TOML = """
name = "{name}"
optimizer = "{optimizer}"
seed = {seed}
epochs = {epochs}
[data]
source = "{source}"
batch_size = {batch}
[network]
layers = ["Flatten()", {layers} "Linear(classes)"]
"""


def run(
    name: str,
    number: int,
    status: str = "finished",
    best: dict[str, float] | None = None,
    last: dict[str, float] | None = None,
    optimizer: str = "SGD(lr=0.1)",
    seed: int = 0,
    batch: int = 64,
    epochs: int = 10,
    source: str = "Digits()",
    layers: str = "",
    **others: object,
) -> Summary:
    toml = TOML.format(
        name=name, optimizer=optimizer, seed=seed, epochs=epochs, source=source, batch=batch, layers=layers
    )
    identity = f"2026011{number}T120000Z-{name}-aaa{number}"
    return Summary(
        run=identity,
        path=Path("store") / identity,
        name=name,
        status=status,
        started=f"2026-01-1{number}T12:00:00Z",
        epochs=epochs,
        best=None if best is None else {"epoch": 3, "metrics": best},
        last=None if last is None else {"epoch": 9, "metrics": last},
        source=source,
        fields=flatten(parse_experiment(toml)),
        **others,
    )


RUNS = [
    run(
        "mlp", 1, best={"val/accuracy": 0.972, "val/loss": 0.1, "lr": 0.1},
        last={"val/accuracy": 0.95, "val/loss": 0.2}, seconds=95.0, parameters=22_510, epoch=10, device="cpu",
    ),
    run(
        "batchnorm", 2, best={"val/accuracy": 0.99, "val/loss": 0.05}, last={"val/accuracy": 0.99, "val/loss": 0.05},
        optimizer="AdamW(lr=0.001)", seed=1, batch=128, seconds=7300.0, parameters=1_200_000, epoch=10, device="cuda:0",
        layers='"BatchNorm1d()", "Dropout(0.5)",',
        notes=Notes("base line", "first with momentum", ("good", "old"), pinned=True),
    ),
    run(
        "cnn", 3, status="failed", optimizer="Adam(lr=0.01)", seed=10, source="MNIST()",
        layers='"Unflatten(1, (8, 8))",', notes=Notes(tags=("older",), starred=True), reason="NaN",
    ),
    run("live", 4, status="running", best={"val/accuracy": math.nan, "val/loss": 3.0}, epoch=2, epochs=20),
]  # fmt: skip
NAMES = {"m": "mlp", "b": "batchnorm", "c": "cnn", "l": "live"}


def found(text: str) -> str:
    """The first letters of the runs that match."""
    wanted = parse_filter(text)
    chosen = wanted.select(RUNS)
    assert chosen == [one for one in RUNS if wanted.matches(one)]
    return "".join(one.name[0] for one in chosen)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("", "mbcl"),
        ("  ", "mbcl"),
        ("MLP", "m"),
        ("base", "b"),
        ("batchnorm", "b"),
        ("momentum", "b"),
        ("old", "bc"),
        ("digits finished", "mb"),
        ("20260113", "c"),
        ('"first with"', "b"),
        ("first with", "b"),
        ("nothing", ""),
        # texts
        ("name:base", "b"),
        ("name:batch", "b"),
        ("tag:old", "bc"),
        ("tag=old", "b"),
        ("tag!=old", "mcl"),
        ("status:f", "mbc"),
        ("status=FAILED", "c"),
        ("data:mnist", "c"),
        ("device:cuda:0", "b"),
        ("note:momentum", "b"),
        ('note:"with momentum"', "b"),
        ("reason:nan", "c"),
        ("id:aaa4", "l"),
        # fields
        ("optimizer:adam", "bc"),
        ("optimizer=adam", "c"),
        ("optimizer:AdamW(lr=0.001)", "b"),
        ("optimizer!=adamw", "mcl"),
        ("layers:BatchNorm", "b"),
        ("network:batchnorm", "b"),
        ("network.layers:Dropout(0.5)", "b"),
        ("layers:Unflatten(1, (8, 8))", "c"),
        ("seed:1", "b"),
        ("seed:0", "ml"),
        ("data.batch_size:128", "b"),
        ("batch_size>64", "b"),
        ("batch_size>=64", "mbcl"),
        ("seed<=1", "mbl"),
        ("epochs:20", "l"),
        ("epoch<5", "cl"),
        # arguments of calls
        ("optimizer.lr<0.01", "b"),
        ("lr<=0.01", "bc"),
        ("lr=0.1", "ml"),
        ("lr:0.01", "c"),
        ("dropout>0.3", "b"),
        ("layers.Dropout=0.5", "b"),
        # metrics
        ("val/accuracy>0.97", "mb"),
        ("val/accuracy > 97%", "mb"),
        ("val/accuracy>=99", "b"),
        ("val/accuracy=97.2%", "m"),
        ("val/accuracy=97%", "m"),
        ("accuracy>0.98", "b"),
        ("accuracy>98", "b"),
        ("last.val/accuracy<0.96", "m"),
        ("best.val/accuracy<0.98", "m"),
        ("loss<0.2", "mb"),
        ("loss:cross", "mbcl"),
        ("val/loss>1", "l"),
        ("val/loss!=3", "mb"),
        ("not val/accuracy>0", "cl"),
        # facts
        ("seconds>2m", "b"),
        ("duration>1h30m", "b"),
        ("seconds=95", "m"),
        ("parameters<50K", "m"),
        ("params>1M", "b"),
        ("parameters:22510", "m"),
        ("started>2026-01-12", "cl"),
        ("started>=2026-01-12", "bcl"),
        ("started<2026-01-12", "m"),
        ("started<=2026-01-12", "mb"),
        ("started:2026-01-12", "b"),
        ("started=2026", "mbcl"),
        ("age>1000000w", ""),
        # flags
        ("is:pinned", "b"),
        ("is:starred", "c"),
        ("is:live", "l"),
        ("is:tagged", "bc"),
        ("is:failed", "c"),
        # together
        ("optimizer:adam val/accuracy>0.97 not tag:older", "b"),
        ("mlp or cnn", "mc"),
        ("mlp or cnn failed", "mc"),
        ("(mlp or cnn) failed", "c"),
        ("-tag:old", "ml"),
        ("not not mlp", "m"),
        ("not (mlp or cnn) and is:live", "l"),
        ("(optimizer:SGD(lr=0.1) or tag:older) not mlp", "cl"),
        ("tag: old mlp", ""),
        ("MLP OR CNN", "mc"),
    ],
)  # fmt: skip
def test_a_filter_finds_what_it_says(text, letters):
    assert found(text) == letters


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("val/accuracy>", 13, "`val/accuracy>` wants a value; such as val/accuracy>97%"),
        ("mlp tag:", 8, "`tag:` wants a value"),
        ("(mlp", 0, "this bracket is not closed"),
        ("mlp)", 3, "this bracket was never opened"),
        ("()", 0, "nothing in these brackets"),
        ("mlp or", 6, "something is missing behind `or`"),
        ("or mlp", 2, "`or` stands between"),
        ("not", 3, "something is missing behind `not`"),
        ("mlp -", 5, "something is missing behind `not`"),
        ('name:"two', 5, "this quotation is not closed"),
        ("val/accuracy>high", 13, "`high` is no number here"),
        ("optimizer>adam", 10, "optimizer:adam looks for text"),
        ("status>x", 7, "status:x looks for text"),
        ("started>soon", 8, "`soon` is no date; such as 2026-01-15"),
        ("started>2026-13", 8, "is no date"),
        ("age<long", 4, "is no number here"),
        ("is:pined", 3, "there is no is:pined; did you mean `pinned`?"),
        ("x" * 3000, 2000, "at most 2,000 characters"),
        ("(" * 500, 0, "nested too deep"),
    ],
)
def test_a_filter_that_cannot_be_read_says_where_and_what_would_be_right(text, position, words):
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert words in str(caught.value)
    assert caught.value.position == position or words == "nested too deep"


def test_every_beginning_of_a_filter_is_read_or_refused_with_a_position():
    text = '(optimizer:adam or layers:"Batch Norm") val/accuracy >= 97% -tag:old started>2026-01-01 age<2h is:pinned'
    refused = {}
    for end in range(len(text) + 1):
        try:
            parse_filter(text[:end]).select(RUNS)
        except FilterError as error:
            refused[end] = error
    assert 20 < len(refused) < len(text)
    assert all(0 <= error.position <= end and str(error) for end, error in refused.items())


@given(st.one_of(st.text(max_size=60), st.text(st.sampled_from('ab:>=<!-() "./%lr0or not1'), max_size=60)))
def test_whatever_is_typed_is_read_or_refused_and_never_fails_on_a_run(text):
    runs = [*RUNS, Summary("x", Path("x"), "x", "damaged")]
    with contextlib.suppress(FilterError):
        found = parse_filter(text).select(runs)
        assert found == [run for run in runs if run in found]


ATOMS = ["mlp", "cnn", "tag:old", "val/accuracy>0.97", "is:live", "optimizer:adam", "seed:0", '"base line"']
TREES = st.recursive(
    st.sampled_from(ATOMS),
    lambda tree: st.one_of(
        st.tuples(st.just("not"), tree), st.tuples(st.just("or"), tree, tree), st.tuples(st.just("and"), tree, tree)
    ),
    max_leaves=8,
)


def written(tree) -> str:
    if isinstance(tree, str):
        return tree
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    return f"({written(tree[1])}{' or ' if tree[0] == 'or' else ' '}{written(tree[2])})"


def holds(tree, letters: dict[str, str], letter: str) -> bool:
    if isinstance(tree, str):
        return letter in letters[tree]
    if tree[0] == "not":
        return not holds(tree[1], letters, letter)
    both = [holds(part, letters, letter) for part in tree[1:]]
    return any(both) if tree[0] == "or" else all(both)


@given(TREES)
def test_not_and_or_and_brackets_are_those_of_logic(tree):
    letters = {atom: found(atom) for atom in ATOMS}
    assert found(written(tree)) == "".join(letter for letter in "mbcl" if holds(tree, letters, letter))


def test_names_that_no_run_has_are_told_with_the_nearest():
    known = known_names(RUNS)
    told = parse_filter("optimzer:adam val/acuracy>0.9 zzz:1").unknown(known)
    assert told[0] == "no run has `optimzer`; did you mean `optimizer`?"
    assert told[1].startswith("no run has `val/acuracy`; did you mean `val/accuracy`?")
    assert told[2].startswith("no run has `zzz`")
    for text in ("last.val/loss<1", "optimizer.lr>0", "layers.Dropout>0", "accuracy>0", "age<1h", "data.batch_size:1"):
        assert parse_filter(text).unknown(known) == ()


def test_ages_count_from_now():
    now = datetime.now(UTC)
    runs = [
        Summary(f"r{hours}", Path("x"), "x", "finished", started=f"{now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}")
        for hours in (1, 3, 30)
    ]
    assert [one.run for one in parse_filter("age<2h").select(runs)] == ["r1"]
    assert [one.run for one in parse_filter("age>1d").select(runs)] == ["r30"]
    assert [one.run for one in parse_filter("started>2000 age<4h").select(runs)] == ["r1", "r3"]


def test_a_run_that_changed_is_looked_at_anew():
    before = Summary("same", Path("same"), "before", "running")
    after = Summary("same", Path("same"), "after", "finished")
    wanted = parse_filter("before")
    assert wanted.matches(before)
    assert not wanted.matches(after)
    assert wanted.matches(before)


def names(runs: list[Summary]) -> str:
    return "".join(one.name[0] for one in runs)


@pytest.mark.parametrize(
    ("column", "descending", "letters"),
    [
        # b is pinned, so it is always the first
        ("val/accuracy", None, "bmcl"),
        ("val/accuracy", False, "bmcl"),
        ("val/loss", None, "bmlc"),
        ("val/loss", True, "blmc"),
        ("last.val/loss", None, "bmcl"),
        ("started", None, "blcm"),
        ("started", False, "bmcl"),
        ("name", None, "bclm"),
        ("name", True, "bmlc"),
        ("seconds", None, "bmcl"),
        ("seconds", False, "bmcl"),
        ("parameters", None, "bmcl"),
        ("status", None, "bcml"),
        ("optimizer", None, "bcml"),
        ("lr", None, "bcml"),
        ("seed", True, "bcml"),
        ("tag", None, "bcml"),
        ("no such thing", None, "bmcl"),
    ],
)
def test_runs_are_sorted_with_pinned_ones_first_and_missing_values_last(column, descending, letters):
    assert names(sort_runs(RUNS, column, descending)) == letters


def test_values_of_columns_are_those_that_a_person_sees():
    batchnorm = RUNS[1]
    assert column_value(batchnorm, "name") == "base line"
    assert column_value(batchnorm, "accuracy") == 0.99
    assert column_value(batchnorm, "data") == "Digits()"
    assert column_value(batchnorm, "optimizer.lr") == 0.001
    assert column_value(batchnorm, "scheduler") is None
    assert column_value(batchnorm, "started") == datetime(2026, 1, 12, 12, tzinfo=UTC).timestamp()
    assert column_value(RUNS[2], "val/accuracy") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("97%", 0.97), ("50K", 50_000), ("1.2m", 1.2e6), ("1e-3", 0.001), (".5", 0.5), ("-2", -2), ("", None),
     ("1e999", None), ("nan", None), ("1 0", None)],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(text, value):
    assert parse_number(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("2m", 120),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("300ms", 0.3),
        ("2x", None),
        ("m", None),
    ],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_dates_mean_spans_of_local_time():
    begin, end = parse_span("2026-03-05")
    assert (begin, end) == (datetime(2026, 3, 5).timestamp(), datetime(2026, 3, 6).timestamp())
    assert parse_span("2026-12") == (datetime(2026, 12, 1).timestamp(), datetime(2027, 1, 1).timestamp())
    assert parse_span("2026") == (datetime(2026, 1, 1).timestamp(), datetime(2027, 1, 1).timestamp())
    begin, end = parse_span("2026-03-05T12:30")
    assert end - begin == 60
    assert parse_span("today")[0] <= datetime.now().timestamp() < parse_span("today")[1]
    for text in ("2026-02-30", "0000", "9999", "12", "2026-1-1T25"):
        assert parse_span(text) is None
