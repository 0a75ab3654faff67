"""Numbers as people read them, and JSON that any parser takes."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui import output


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0681, "0.0681"),
        (0.06812, "0.0681"),
        (12.3456, "12.35"),
        (1.23456, "1.235"),
        (9.9996, "10.000"),
        (1234.56, "1235"),
        (0, "0"),
        (7.0, "7"),
        (1e-5, "1e-05"),
        (-0.5, "-0.5000"),
        (2.5e9, "2.5e+09"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (None, "–"),
    ],
)
def test_numbers_have_about_four_digits(value: float | None, shown: str) -> None:
    assert output.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (512, "512"), (266_610, "266.6 K"), (999_960, "1.0 M"), (11_689_512, "11.7 M"), (5e16, "50000.0 T")],
)
def test_counts(value: int, shown: str) -> None:
    assert output.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_288_490_189, "1.2 GiB"), (1024**3 - 1, "1.0 GiB")],
)
def test_sizes(value: int, shown: str) -> None:
    assert output.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0012, "1.2 ms"),
        (0.42, "0.42 s"),
        (12.34, "12.3 s"),
        (59.97, "1 m 00 s"),
        (192, "3 m 12 s"),
        (3599.7, "1 h 00 m"),
        (3725, "1 h 02 m"),
        (100_000, "1 d 03 h"),
        (math.inf, "inf"),
    ],
)
def test_durations(value: float, shown: str) -> None:
    assert output.duration(value) == shown


def test_shapes_and_shares() -> None:
    assert output.shape((32, 6, 6)) == "32 × 6 × 6"
    assert output.shape(()) == "scalar"
    assert output.metric("val/accuracy", 0.9812) == "98.12 %"
    assert output.metric("val/loss", 0.0681) == "0.0681"
    assert output.difference("val/accuracy", 0.0132) == "+1.32"
    assert output.difference("val/loss", -0.0123) == "-0.0123"
    assert output.difference("val/loss", 0.0) == "±0"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_json_is_strict_and_printable_ascii_whatever_it_holds(value: object) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        output.print_json(value)
    text = stream.getvalue()
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    json.loads(text, parse_constant=refuse)


def test_non_finite_numbers_are_strings_as_in_the_events_of_a_run() -> None:
    assert output.finite({"a": math.nan, "b": (math.inf, -math.inf)}) == {"a": "NaN", "b": ["Infinity", "-Infinity"]}


@pytest.mark.parametrize("text", ["[@click=app.bell]x[/]", "[/foo]", "[red]x", ":smile:", "\x1b]52;c;x\x07"])
def test_tables_and_lines_never_interpret_what_they_hold(text: str) -> None:
    stream = io.StringIO()
    drawn = output.table(text, "b", title=text, numbers=["b"])
    output.add_row(drawn, text, 1)
    console = output.console(stream)
    console.print(drawn)
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert shown.count(text.replace("\x1b", "␛").replace("\x07", "␇")) == 3


def test_a_table_is_never_cut_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    drawn = output.table("a", "b")
    output.add_row(drawn, "x" * 300, "y" * 300)
    output.console(stream).print(drawn)
    assert "x" * 300 in stream.getvalue()
    assert "y" * 300 in stream.getvalue()
