"""Events survive the trip through a line of JSON, and nothing that is no event does."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import events
from engine.events import EpochEnded, EventError, Message, Progress, Started, StatusChanged, Unknown, from_line, to_line

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
COUNTS = st.integers(0, 2**62)
NAMES = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def same(first: object, second: object) -> bool:
    """Equality under which NaN equals itself and 0.0 is not -0.0."""
    return repr(first) == repr(second)


@given(st.dictionaries(NAMES, NUMBERS, max_size=5), COUNTS, NUMBERS, st.booleans())
def test_epoch_with_any_numbers_and_names_comes_back(metrics, step, time, best):
    event = EpochEnded(3, step, metrics, {"train": 1.5}, best, 7)
    line = to_line(event, time)
    assert "\n" not in line
    assert same(from_line(line), (event, time))


@given(NUMBERS, NUMBERS)
def test_progress_keeps_every_bit_of_its_floats(loss, lr):
    event = Progress(1, 1, 1, 10, loss, lr, 100.0, 2.0)
    assert same(from_line(to_line(event, 0.1))[0], event)


@given(NAMES, NAMES)
def test_hostile_text_comes_back_and_stays_on_one_line(text, reason):
    for event in (Message("info", text + "\n\x1b[2J\ud800", 4), StatusChanged("running", reason)):
        line = to_line(event, 1.0)
        assert line.isascii()
        assert line.isprintable()
        assert from_line(line)[0] == event


def test_lines_are_json_without_nan():
    line = to_line(EpochEnded(1, 1, {"a": math.nan, "b": -math.inf}, {}, False), 1.0)
    data = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert data["metrics"] == {"a": "NaN", "b": "-Infinity"}


@given(JSON)
def test_any_json_is_read_as_an_event_or_refused(value):
    line = json.dumps(value)
    with pytest.raises(EventError):
        from_line(line)


@given(st.sampled_from(sorted(events._WRITTEN)), st.dictionaries(NAMES, JSON, max_size=4), st.data())
def test_fields_of_the_wrong_type_are_refused_and_never_crash(name, extra, data):
    fields = {item: data.draw(JSON) for item in events._WRITTEN[name].__dataclass_fields__}
    try:
        event, _ = from_line(json.dumps({**extra, **fields, "event": name, "time": 1.0}))
    except EventError:
        return
    assert type(event).__name__ == name
    assert same(from_line(to_line(event, 1.0))[0], event)


@pytest.mark.parametrize("digits", [20, 400, 5_000])
def test_whole_numbers_beyond_64_bits_are_refused_wherever_they_stand(digits):
    for line in (
        '{"event":"Tested","time":1,"epoch":1,"step":1,"metrics":{"a":%s}}',
        '{"event":"Telemetry","time":1,"values":{"gpus":[{"used":-%s}]}}',
        '{"event":"Opened","time":1,"version":1,"owner":{"pid":%s}}',
    ):
        with pytest.raises(EventError, match="more than 64 bits"):
            from_line(line % ("1" + "0" * digits))


def test_deep_nesting_is_refused():
    with pytest.raises(EventError):
        from_line('{"event":"Telemetry","time":1,"values":' + '{"a":' * 100_000)


def test_event_of_a_later_version_is_unknown_and_its_new_fields_are_left_out():
    assert from_line('{"event":"Dreamt","time":2,"of":"sheep"}') == (Unknown("Dreamt", {"time": 2, "of": "sheep"}), 2.0)
    event = Message("info", "hello")
    later = {**json.loads(to_line(event, 1.0)), "colour": "red"}
    assert from_line(json.dumps(later))[0] == event


def test_too_many_modules_and_too_long_texts_are_cut_to_fit_a_line():
    row = {"path": "0" * 50, "call": "Linear(3)" * 10, "output_shape": [3]}
    started = Started("cpu", "fp32", 1, 1, 1, 1, None, None, 1, 1, (1,), ("a",), (row,) * 50_000, {})
    read, _ = from_line(to_line(started, 1.0))
    assert isinstance(read, Started)
    assert len(read.modules) == events.MAX_MODULES
    message, _ = from_line(to_line(Message("error", "x" * 10_000_000), 1.0))
    assert isinstance(message, Message)
    assert message.text.endswith("(cut)")


def test_what_cannot_be_a_line_is_refused():
    with pytest.raises(EventError, match="cannot be written"):
        to_line(events.Telemetry({"a": object()}), 1.0)
    with pytest.raises(EventError, match="bytes"):
        to_line(events.Telemetry({str(i): "x" * 99_000 for i in range(20)}), 1.0)
    with pytest.raises(EventError, match="Checkpoint"):
        to_line(events.Checkpoint(1, 1, 1, "step", {}, {}, {}), 1.0)
