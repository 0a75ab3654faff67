"""Requests are checked when they are made, and the mailbox loses none."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.control import REQUESTS, VALUE_REQUESTS, Mailbox, Request
from engine.errors import RequestError


@given(st.floats(0, 1e6), st.integers(1, 1_000_000), st.text(max_size=50))
def test_requests_come_back_from_json(lr, epochs, by):
    requests = [Request(name, by=by) for name in REQUESTS if name not in VALUE_REQUESTS]
    requests += [Request("set_lr", lr, by), Request("add_epochs", epochs, by)]
    assert [Request.from_json(request.to_json()) for request in requests] == requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("set_lr", None),
        ("set_lr", float("nan")),
        ("set_lr", float("inf")),
        ("set_lr", -0.1),
        ("set_lr", True),
        ("set_lr", "0.1"),
        ("set_lr", 10**400),
        ("add_epochs", 0),
        ("add_epochs", 1.0),
        ("add_epochs", 10**9),
        ("add_epochs", True),
        ("stop", 1),
        ("stopp", None),
        (7, None),
        ([], None),
    ],
)
def test_wrong_requests_are_refused_in_words(name, value):
    with pytest.raises(RequestError):
        Request(name, value)


def test_misspelt_request_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean `pause`"):
        Request("puase")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"request": 3}', '{"request": "stop", "by": 3}', "[" * 100_000])
def test_garbage_is_no_request(text):
    with pytest.raises(RequestError):
        Request.from_json(text)


def test_mailbox_loses_nothing_under_many_threads():
    mailbox = Mailbox()
    taken: list[Request] = []

    def put() -> None:
        for number in range(200):
            mailbox.put(Request("add_epochs", number + 1))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(taken) < 1600 and time.monotonic() < deadline:
        if mailbox.pending:
            taken += mailbox.take()
    for thread in threads:
        thread.join()
    assert sorted(request.value for request in taken) == sorted([*range(1, 201)] * 8)
    assert not mailbox.pending


def test_waiting_ends_with_a_request_or_the_timeout():
    mailbox = Mailbox()
    assert not mailbox.wait(0.01)
    threading.Timer(0.05, mailbox.put, [Request("resume")]).start()
    assert mailbox.wait(10)
    assert mailbox.take() == [Request("resume")]
