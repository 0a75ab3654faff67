"""What a store's reader left: kept across sittings, and never in the way."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.state import MAX_FILE, MAX_KEYS, MAX_VALUE, State, state_path

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values=st.dictionaries(st.text(max_size=20), plain, max_size=8))
def test_what_is_put_is_there_the_next_time(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("state") / "deep" / "state.json"
    state = State(path, delay=60)
    for key, value in values.items():
        state.put(key, value)
    state.flush()
    again = State(path)
    for key, value in values.items():
        assert state.get(key) == value
        assert again.get(key) == value


def test_it_is_written_a_moment_later_and_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State(path, delay=0.1)
    for number in range(100):
        state.put("n", number)
    assert not path.exists()
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert State(path).number("n") == 99


def test_values_of_another_type_give_the_default(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    values = {"a": 1, "b": "text", "c": True, "d": ["x", "y"], "e": [1], "f": {}, "g": 1e400}
    path.write_text(json.dumps({"format": 1, "values": values}))
    state = State(path)
    assert [state.text(key, "?") for key in "abcdefg"] == ["?", "text", "?", "?", "?", "?", "?"]
    assert [state.number(key, -1) for key in "abcdefg"] == [1, -1, -1, -1, -1, -1, -1]
    assert [state.flag(key) for key in "abcdefg"] == [False, False, True, False, False, False, False]
    assert [state.names(key, ["?"]) for key in "de"] == [["x", "y"], ["?"]]
    assert state.get("missing", 7) == 7


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"[]",
        b"{}",
        b'{"values": 3}',
        b"[" * 100_000,
        b'{"format": 1, "values": {"a": NaN}}',
        b'"' + b"x" * (MAX_FILE + 1),
        b"\xff\xfe",
    ],
)
def test_a_broken_file_is_as_good_as_none_and_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    state = State(path, delay=60)
    assert state.get("a") is None
    state.put("b", 1)
    state.flush()
    assert State(path).number("b") == 1


def test_two_applications_keep_what_the_other_put(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    one, two = State(path, delay=60), State(path, delay=60)
    one.put("mine", 1)
    one.put("both", "one")
    two.put("yours", 2)
    two.put("both", "two")
    one.flush()
    two.flush()
    last = State(path)
    assert (last.number("mine"), last.number("yours"), last.text("both")) == (1, 2, "two")


def test_what_cannot_be_kept_raises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State(path, delay=60)
    circle: list[object] = []
    circle.append(circle)
    for value in (float("nan"), object(), circle, "x" * MAX_VALUE, {1, 2}):
        state.put("bad", value)
    state.put("good", True)
    state.flush()
    assert State(path).get("bad") is None
    assert State(path).flag("good")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        state = State(tmp_path / "deep" / "state.json", delay=60)
        state.put("a", 1)
        state.flush()
        assert state.number("a") == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_folder_should_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "layerlab").write_text("")
    state = State(tmp_path / "layerlab" / "state.json", delay=60)
    state.put("a", 1)
    state.flush()
    assert state.number("a") == 1
    State(None).put("a", 1)
    State(None).flush()


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    text = json.dumps({"format": 2, "values": {"a": 1}})
    path.write_text(text)
    state = State(path, delay=60)
    state.put("a", 3)
    state.flush()
    assert path.read_text() == text
    assert state.number("a") == 3


def test_the_file_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State(path, delay=60)
    for number in range(MAX_KEYS + 50):
        state.put(f"k{number}", "x" * 10_000)
    state.flush()
    assert path.stat().st_size <= MAX_FILE
    assert State(path).text(f"k{MAX_KEYS + 49}")
    assert not State(path).text("k0")


def test_many_threads_put_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State(path, delay=0.001)
    workers = [
        threading.Thread(target=lambda name=name: [state.put(f"{name}-{n}", n) for n in range(20)]) for name in "abcd"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    state.flush()
    assert all(State(path).number(f"{name}-19") == 19 for name in "abcd")
    assert os.listdir(tmp_path) == ["state.json"]


def test_each_store_has_its_own_file(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": "/s"}
    (tmp_path / "a" / "runs").mkdir(parents=True)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    first = state_path(tmp_path / "a" / "runs", environment)
    assert first is not None
    assert first.parent == Path("/s/layerlab")
    assert first.name.startswith("runs-")
    assert state_path(tmp_path / "b" / "runs", environment) == first
    assert state_path(tmp_path / "c" / "runs", environment) != first
    assert state_path(tmp_path / "\u202e/../ x\n", environment) is not None


def test_a_value_that_has_grown_too_large_takes_the_one_before_with_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State(path, delay=60)
    state.put("queue", ["done by now"])
    state.put("queue", ["x" * MAX_VALUE])
    state.flush()
    assert state.get("queue") is None
    assert State(path).get("queue") is None
