"""Anything at all, put where layerlab reads: it is taken, or refused in words; no other exception comes out."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import events
from engine.calls import parse_call
from engine.control import Request
from engine.errors import LayerlabError
from engine.presets import PRESETS
from engine.spec import parse_experiment
from engine.store import files
from engine.store.listing import summarize
from engine.store.notes import read_notes
from engine.store.view import RunView
from tests.faults.test_bytes import full_run
from tui.filtering import FilterError, parse_filter
from tui.safe import safe
from tui.settings import THEMES, load_settings
from tui.state import State

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -(2**63), 1e308, -0.0]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


_FOLDERS: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where `_run` lies: one for all examples of all tests, and pytest's to remove."""
    _FOLDERS.append(tmp_path_factory.mktemp("fuzz"))


@functools.cache
def _run() -> Path:
    return full_run(_FOLDERS[-1])


@functools.cache
def _lines() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in (_run() / "events.000.jsonl").read_text().splitlines())


def changed(template: dict[str, Any], keys: list[int], values: list[Any]) -> bytes:
    """The object with some of its values replaced; what JSON cannot hold stands there as Python writes it (NaN)."""
    names = list(template)
    told = template | {names[key % len(names)]: value for key, value in zip(keys, values, strict=False)}
    return json.dumps(told, skipkeys=True).encode()


KEYS, REPLACED = st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=4)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 99), KEYS, REPLACED), max_size=6))
def test_events_with_any_values(told: list[tuple[int, list[int], list[Any]]]) -> None:
    view = RunView(Path("nowhere"))
    for number, keys, values in told:
        line = changed(_lines()[number % len(_lines())], keys, values)
        with contextlib.suppress(events.EventError):
            event, when = events.from_line(line)
            view.apply(event, when)
    json.dumps(view.summary(), allow_nan=False)
    _ = view.seconds, view.seconds_left, view.seconds_per_epoch, view.done, view.curve


@QUICK
@given(st.binary(max_size=300))
def test_events_of_any_bytes(line: bytes) -> None:
    with contextlib.suppress(events.EventError):
        event, when = events.from_line(line)
        # A NaN is no other NaN's equal, but looks like it.
        assert repr(events.from_line(events.to_line(event, when))) == repr((event, when))


@QUICK
@given(KEYS, REPLACED)
def test_summaries_and_notes_with_any_values(keys: list[int], values: list[Any]) -> None:
    path = _run()
    for name in ("summary.json", "notes.json", "owner.json", "environment.json"):
        file = path / name
        whole = file.read_bytes() if file.exists() else b'{"version": 1, "owner": {}, "beat": 1, "time": 1.0}'
        try:
            file.write_bytes(changed(json.loads(whole), keys, values))
            found = summarize(path)
            assert isinstance(found.status, str)
            assert all(isinstance(tag, str) for tag in read_notes(path).tags)
            safe(found.label)
        finally:
            file.write_bytes(whole)


@QUICK
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 10_000), st.integers(0, 60), TEXT)
def test_experiments_with_a_piece_replaced(name: str, start: int, length: int, text: str) -> None:
    toml = PRESETS[name].toml
    start %= len(toml)
    with contextlib.suppress(LayerlabError):
        found = parse_experiment(toml[:start] + text + toml[start + length :], "file.toml")
        assert parse_experiment(found.to_toml()) == found


@QUICK
@given(st.one_of(TEXT, st.text(alphabet="()[]{},=.\"'0123456789eE+-_ :;nLinear\\\n#*", max_size=80)))
def test_calls_requests_and_filters_of_any_text(text: str) -> None:
    with contextlib.suppress(LayerlabError):
        call = parse_call(text)
        assert parse_call(str(call)) == call
    with contextlib.suppress(LayerlabError):
        Request.from_json(text)
    with contextlib.suppress(LayerlabError, FilterError):
        parse_filter(text).matches(summarize(_run(), fields=False))


@QUICK
@given(st.dictionaries(st.sampled_from(["version", "request", "value", "by", "x"]), VALUES, max_size=5))
def test_requests_with_any_values(told: dict[str, Any]) -> None:
    with contextlib.suppress(LayerlabError):
        request = Request.from_json(json.dumps(told))
        assert Request.from_json(request.to_json()) == request


@QUICK
@given(
    st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps({"format": 1, "values": value}).encode()))
)
def test_settings_and_state_of_any_bytes(content: bytes) -> None:
    file = _run().parent / "state.json"
    file.write_bytes(content)
    state = State(file, delay=60)
    for key in ("theme", "marks", "queue", "runs.columns"):
        assert isinstance(state.text(key), str)
        assert isinstance(state.names(key), list)
        state.number(key)
    state.put("theme", "dark")
    state.flush()
    file.write_bytes(content)
    found, problems = load_settings(file)
    assert found.theme == "auto"
    assert all(isinstance(problem, str) for problem in problems)


@QUICK
@given(st.one_of(TEXT, st.sampled_from(["[keys]", "theme", "allow", "store"])), VALUES)
def test_settings_with_any_values(key: str, value: Any) -> None:
    import tomli_w

    file = _run().parent / "settings.toml"
    try:
        text = tomli_w.dumps({key: value, "keys": {"compose.add": value}})
        file.write_bytes(text.encode())
    except (TypeError, ValueError, AttributeError):
        return
    found, problems = load_settings(file)
    assert found.theme in THEMES
    assert all(problem.startswith(str(file)) for problem in problems)


@QUICK
@given(st.binary(max_size=300))
def test_json_of_any_bytes(content: bytes) -> None:
    file = _run().parent / "any.json"
    file.write_bytes(content)
    with contextlib.suppress(OSError, ValueError):
        assert files.read_json(file) == json.loads(content)
