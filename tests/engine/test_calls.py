"""The grammar of calls: what it reads, what it refuses, and that nothing but CallError ever comes out of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.calls import MAX_LENGTH, PREFIXES, SYMBOLS, Call, CallError, Symbol, Table, Value, parse_call, parse_value

NAMES = st.from_regex(r"\A[A-Z][A-Za-z0-9_]{0,8}\Z").filter(lambda name: name not in ("True", "False", "None"))
OWN = st.builds("{}.{}:{}".format, st.sampled_from(["mine", "a_b"]), st.sampled_from(["blocks", "x1"]), NAMES)
KEYWORDS = st.sampled_from(["padding", "lr", "bias", "shortcut", "n", "init", "merge"])
LEAVES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from([Symbol(name) for name in SYMBOLS]),
)


def calls_of(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Call]:
    kwargs = st.dictionaries(KEYWORDS, values, max_size=3).map(lambda found: tuple(found.items()))
    args = st.lists(values, max_size=3).map(tuple)
    prefixed = st.builds(Call, NAMES, args, kwargs, st.sampled_from(["", *sorted(PREFIXES)]))
    return prefixed | st.builds(Call, OWN, args, kwargs)


KEYS = st.integers(-(2**63) + 1, 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def tables_of(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Table]:
    return st.dictionaries(KEYS, values, max_size=3).map(lambda found: Table(tuple(found.items())))


VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3).map(tuple) | calls_of(v) | tables_of(v), max_leaves=8)
CALLS = calls_of(VALUES)


@given(CALLS)
def test_canonical_text_reads_back_as_the_same_call(call: Call) -> None:
    again = parse_call(str(call))
    assert again == call
    assert str(again) == str(call)
    assert hash(again) == hash(call)
    assert str(call).isprintable()


@settings(max_examples=400)
@given(
    st.text(max_size=60)
    | st.text(st.sampled_from("ab1.:()[]{},='\"\\+-*e_ \n#lambdfor"), max_size=60)
    | st.tuples(CALLS.map(str), st.text(max_size=3), st.integers(0, 60)).map(
        lambda t: t[0][: t[2]] + t[1] + t[0][t[2] :]
    )
)
@example("f'{x}'")
@example("A(\\\n1)")
@example("__debug__.x(1)")
@example("A(__debug__=1)")
@example("a.b:C(\u00e9)")
def test_any_text_is_a_call_or_a_call_error(text: str) -> None:
    refusal = None
    try:
        call = parse_call(text)
    except CallError as error:
        refusal = error
    if refusal is None:
        assert parse_call(str(call)) == call
    else:
        assert 0 <= refusal.position <= len(text) + 1
        assert str(refusal).isprintable()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ReLU", "ReLU()"),
        ("Conv2d(32,3,padding=1)", "Conv2d(32, 3, padding=1)"),
        ("Conv2d(32, [3, 3], stride=(2,))", "Conv2d(32, (3, 3), stride=(2,))"),
        ("Adam(lr=1e-3, betas=(.9, 0.999))", "Adam(lr=0.001, betas=(0.9, 0.999))"),
        ('Conv2d(8, 3, padding="same")', "Conv2d(8, 3, padding='same')"),
        ("Flatten(-1, +2)", "Flatten(-1, 2)"),
        ("nn.Conv2d(1, 32, 3)", "nn.Conv2d(1, 32, 3)"),
        (
            "Residual(ReLU, nn.ReLU(), shortcut=Linear(classes))",
            "Residual(ReLU(), nn.ReLU(), shortcut=Linear(classes))",
        ),
        ("Residual(\n  ReLU(),\n  Tanh(),\n)", "Residual(ReLU(), Tanh())"),
        ("CSV('é ü', mypackage.blocks:Squeeze(8), x=a:B)", "CSV('é ü', mypackage.blocks:Squeeze(8), x=a:B())"),
        ("CSV('a.b:c', 'x\\ty')", "CSV('a.b:c', 'x\\ty')"),
    ],
)
def test_forms_that_people_type(text: str, canonical: str) -> None:
    assert str(parse_call(text)) == canonical


def test_a_prefix_is_recorded_and_the_name_stands_alone() -> None:
    call = parse_call("torch.optim.lr_scheduler.StepLR(7)")
    assert (call.name, call.prefix) == ("StepLR", "torch.optim.lr_scheduler")
    own = parse_call("mypackage.blocks:Squeeze(8)")
    assert (own.name, own.prefix, own.args) == ("mypackage.blocks:Squeeze", "", (8,))


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("Linear(300", 7, "'(' was never closed"),
        ("Linear(300))", 12, "unmatched"),
        ("Linear(3 4)", 10, "comma"),
        ("Linear(2*3)", 9, "star"),
        ("Linear(2+3)", 9, "operator `+`"),
        ("Linear(-classes)", 8, "no number behind it"),
        ("Linear(x[0])", 9, "index"),
        ("A(lambda x: x)", 3, "lambda"),
        ("A([x for x in y])", 6, "comprehension"),
        ("A(1 if x else 2)", 5, "condition"),
        ("A(f'{x}')", 3, "prefix `f`"),
        ("A(b'x')", 3, "prefix `b`"),
        ("A({1, 2})", 3, "only"),
        ("A({1.5: 2})", 9, "keys of a table"),
        ("A({True: 2})", 10, "keys of a table"),
        ("A({5: 1, 5: 2})", 13, "twice"),
        ("A(x: 1)", 4, "colon"),
        ("A(*b)", 3, "star"),
        ("A(**b)", 3, "star"),
        ("A(x=1, x=2)", 8, "given twice"),
        ("A(x=1, 2)", 0, "positional argument follows keyword argument"),
        ("os.system('x')", 1, "package.module:Name"),
        ("A('é', foo.Bar())", 8, "package.module:Name"),
        ("A().b", 4, "dot"),
        ("A()()", 4, "cannot be called"),
        ("A(a.b=1)", 3, "name=value"),
        ("A(true)", 3, "`True`"),
        ("A(inf)", 3, "finite"),
        ("A(1e999)", 3, "finite"),
        ("A(1j)", 3, "not a number"),
        ("A(99999999999999999999)", 3, "64 bits"),
        ("Ａ(1)", 1, "U+FF21"),
        ("A(1)\0", 5, "NUL"),
        ("A('\\d')", 3, "backslash"),
        ("A('x)", 3, "never closed"),
        ("A('a' 'b')", 7, "comma"),
        ("A('\\ud800')", 3, "surrogate"),
        ("A(), B()", 0, "one call"),
        ("3", 0, "the number 3"),
        ("classes", 0, "the symbol `classes`"),
        ("", 0, "empty"),
    ],
)
def test_what_is_no_call_is_refused_by_name_and_column(text: str, position: int, words: str) -> None:
    with pytest.raises(CallError) as caught:
        parse_call(text)
    assert words in str(caught.value)
    if position:
        assert caught.value.position == position
        assert f"(column {position})" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "A(" * 40 + ")" * 40,
        "(" * 5000,
        "-" * 5000 + "1",
        "a" + "()" * 4000,
        "a" + ".a" * 4000,
        "A(" + "9" * 5000 + ")",
        "A(0x" + "f" * 5000 + ")",
        "A(" + "1," * 20_000 + ")",
        "'" * 9999,
        "\\" * 9999,
        "A(" + "[" * 31 + "]" * 31 + ")" * 9000,
        "'" + "x" * 9000 + "'",
        "A(" + "x" * 4000 + "=1, " + "x" * 4000 + "=1)",
    ],
    ids=range(13),
)
def test_hostile_texts_are_refused_at_once(text: str) -> None:
    start = time.thread_time()
    with pytest.raises(CallError) as caught:
        parse_call(text)
    assert time.thread_time() - start < 2
    assert len(str(caught.value)) < 500


def test_long_calls_within_the_bounds_are_read() -> None:
    call = parse_call("A(" + "1, " * ((MAX_LENGTH - 10) // 3) + "1)")
    assert len(call.args) == (MAX_LENGTH - 10) // 3 + 1
    assert parse_value("[1, (2, 'x')]") == (1, (2, "x"))


def test_keywords_can_be_read_set_and_removed() -> None:
    call = parse_call("Conv2d(32, 3, padding=1, bias=False)")
    assert call.get("padding") == 1
    assert call.get("stride", 7) == 7
    assert str(call.replace(padding=2, stride=3)) == "Conv2d(32, 3, padding=2, bias=False, stride=3)"
    assert str(call.without("bias", "nothing")) == "Conv2d(32, 3, padding=1)"
    assert str(call) == "Conv2d(32, 3, padding=1, bias=False)"
