"""The application's event loop: news is taken while it is busy, and it waits where it is not."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from typing import Any

import pytest

from tui import event_loop
from tui.event_loop import SparingSelector, all_is_imported


@pytest.fixture
def runner() -> Any:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SparingSelector())) as runner:
        yield runner


def test_what_comes_from_outside_is_taken_while_there_is_always_something_to_do(runner: asyncio.Runner) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        came: asyncio.Future[float] = loop.create_future()
        loop.add_reader(reading, lambda: came.done() or came.set_result(time.monotonic()))
        sent = time.monotonic()
        os.write(writing, b"x")
        while not came.done() and time.monotonic() - sent < 5:
            await asyncio.sleep(0)  # each is a turn of the loop that does not wait
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)
        return (await came) - sent

    assert runner.run(main()) < 1.0


def test_other_threads_wake_it(runner: asyncio.Runner) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        threading.Timer(0.05, loop.call_soon_threadsafe, (told.set,)).start()
        assert await asyncio.wait_for(told.wait(), timeout=10)

    runner.run(main())


def test_it_sleeps_where_there_is_nothing_to_do(runner: asyncio.Runner) -> None:
    began = time.process_time()
    runner.run(asyncio.sleep(0.5))
    assert time.process_time() - began < 0.25


def test_it_does_not_look_between_any_two_turns(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    ordinary = SparingSelector.__mro__[1].select

    def counted(self: SparingSelector, timeout: float | None = None) -> Any:
        nonlocal looks
        looks += 1
        return ordinary(self, timeout)

    monkeypatch.setattr(SparingSelector.__mro__[1], "select", counted)

    async def main() -> float:
        began = time.monotonic()
        for _ in range(2_000):
            await asyncio.sleep(0)
        return time.monotonic() - began

    seconds = runner.run(main())
    assert looks <= 20 + seconds / event_loop.BETWEEN_LOOKS


def test_the_interpreter_is_handed_over_as_before_once_the_application_has_ended() -> None:
    before = sys.getswitchinterval()

    class Asked:
        async def run_async(self) -> float:
            return sys.getswitchinterval()

    assert event_loop.run(Asked()) == pytest.approx(event_loop.SWITCH_INTERVAL)  # type: ignore[arg-type]
    assert sys.getswitchinterval() == before


def test_what_was_imported_is_not_looked_through_for_garbage_again_and_collection_goes_on_afterwards() -> None:
    before = gc.get_threshold()
    gc.disable()
    try:
        all_is_imported()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < gc.get_freeze_count()
        frozen = gc.get_freeze_count()
        all_is_imported()  # once more changes nothing
        assert gc.get_freeze_count() <= frozen
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        gc.enable()
