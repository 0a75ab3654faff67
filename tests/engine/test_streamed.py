"""What does not fit the memory given: the same bits as resident batches, within that memory, no thread left over."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls import parse_call
from engine.data import cache_folder, decoded_live, decoding
from engine.data.augment import RandomHorizontalFlip
from engine.data.decoded_live import DecodedLive
from engine.data.info import Part, Place
from engine.data.normalise import Normalise
from engine.data.resident import Resident
from engine.data.sources import build_source
from engine.data.stored_rows import StoredRows
from engine.data.streamed import Streamed
from engine.errors import RunError
from tests.engine.pictures import image_folder, prepared
from tests.engine.training import epochs_of, experiment, train

CPU = torch.device("cpu")
AUGMENT = ("RandomCrop(16, padding=2)", "RandomHorizontalFlip()", "RandomRotation(15)")
NORMALISE = Normalise(torch.tensor(255.0), torch.full((1, 1, 1), 0.4), torch.full((1, 1, 1), 0.3))


@pytest.fixture
def place(tmp_path):
    image_folder(tmp_path / "pets", {"cat": 21, "dog": 20})
    image_folder(tmp_path / "sorted", {"cat": 9, "dog": 8}, part="train")
    image_folder(tmp_path / "sorted", {"cat": 5, "dog": 4}, part="val")
    image_folder(tmp_path / "sorted", {"cat": 3, "dog": 4}, part="test")
    return Place(tmp_path)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.number == b.number
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)


def same_parts(one, other):
    for name in ("train", "val", "test"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert len(a) == len(b)
            same(a.shuffled(5, 2, 4, join_single=True), b.shuffled(5, 2, 4, join_single=True))
            same(a.shuffled(5, 3, 6, start=1), b.shuffled(5, 3, 6, start=1))
            same(a.ordered(5), b.ordered(5))
            assert list(b.shuffled(5, 3, 6, start=b.batches(6))) == []


@pytest.mark.parametrize("source", ['ImageFolder("pets", size=16)', 'ImageFolder("sorted", size=16, colour=False)'])
@pytest.mark.parametrize("augment", [(), AUGMENT])
@pytest.mark.parametrize("normalize", ["auto", "none"])
def test_streamed_batches_equal_resident_ones_to_the_bit(place, source, augment, normalize):
    options = {"augment": tuple(map(parse_call, augment)), "normalize": normalize}
    held = prepared(source, place, **options)
    read = prepared(source, place, memory="0.001 MiB", **options)
    assert type(held.train) is Resident
    assert isinstance(read.train, Streamed)
    assert isinstance(read.val, Streamed)
    assert "read from the cache" in read.notes[-1]
    same_parts(held, read)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_start_any_size_any_choice_of_rows(n, batch_size, start, join_single, chosen, flip):
    inputs = torch.arange(2 * n * 12, dtype=torch.int64).remainder(251).to(torch.uint8).view(2 * n, 1, 3, 4)
    index = torch.arange(0, 2 * n, 2) if chosen else torch.arange(2 * n)
    augment = (RandomHorizontalFlip(),) if flip else ()
    targets = torch.arange(2 * n)[index]
    held = Resident(inputs[index], targets, NORMALISE, augment)
    part = Part(inputs, torch.arange(2 * n), 255.0)
    read = Streamed(part, index if chosen else None, targets, NORMALISE, augment, device=CPU)
    same(
        held.shuffled(1, 2, batch_size, start, join_single=join_single),
        read.shuffled(1, 2, batch_size, start, join_single=join_single),
    )
    same(held.ordered(batch_size), read.ordered(batch_size))


def test_values_that_need_no_preparation_are_streamed_as_they_are():
    inputs = torch.randn(50, 7)
    nothing = Normalise(None, None, None)
    held = Resident(inputs, torch.arange(50), nothing)
    read = Streamed(Part(inputs, torch.arange(50)), None, torch.arange(50), nothing, device=CPU)
    same(held.shuffled(0, 0, 8), read.shuffled(0, 0, 8))
    for batch in read.shuffled(0, 0, 8):
        batch.inputs.zero_()
    for batch in read.ordered(8):
        batch.inputs.zero_()
    same(held.ordered(8), read.ordered(8))


def gatherers():
    return [thread for thread in threading.enumerate() if thread.name == "layerlab-gather"]


def test_an_epoch_that_is_left_leaves_no_thread_behind(monkeypatch):
    monkeypatch.setattr("engine.data.streamed.AHEAD_BYTES", 0)
    part = Streamed(Part(torch.zeros(500, 3), torch.zeros(500)), None, torch.zeros(500), NORMALISE, device=CPU)
    batches = part.shuffled(0, 0, 2)
    next(batches)
    assert len(gatherers()) == 1
    batches.close()
    assert gatherers() == []
    for _ in part.shuffled(0, 0, 50):
        pass
    assert gatherers() == []


def test_what_cannot_be_gathered_ends_the_run_in_words(monkeypatch):
    part = Streamed(Part(torch.zeros(50, 3), torch.zeros(50)), None, torch.zeros(50), NORMALISE, device=CPU)

    def read(self, rows):
        raise MemoryError

    monkeypatch.setattr(StoredRows, "read", read)
    with pytest.raises(RunError, match="samples cannot be read: MemoryError"):
        list(part.shuffled(0, 0, 5))
    assert gatherers() == []


def test_a_file_that_becomes_shorter_ends_the_run_in_words(place):
    read = prepared('ImageFolder("pets", size=16)', place, memory="0.001 MiB")
    (path,) = cache_folder.cache_folder().glob("photographs/*/pictures")
    os.truncate(path, 1000)
    with pytest.raises(RunError, match="has become shorter"):
        list(read.train.shuffled(0, 0, 5))


def test_what_was_read_is_not_kept(tmp_path):
    """160 MB go through a process that keeps no more than what a few batches take."""
    n, shape = 2000, (3, 166, 161)
    size = n * 3 * 166 * 161
    with open(tmp_path / "pictures", "wb") as file:
        for _ in range(20):
            file.write(os.urandom(size // 20))
    with open(tmp_path / "pictures", "rb") as file:
        memory = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    inputs = torch.from_numpy(np.frombuffer(memory, dtype=np.uint8).reshape(n, *shape))
    targets = torch.zeros(n)
    process = psutil.Process()

    def growth(file):
        part = Part(inputs, targets, 255.0, stored=True, file=file)
        part = Streamed(part, None, targets, Normalise(None, None, None), device=CPU)
        before = process.memory_info().rss
        most = 0
        for _ in part.shuffled(0, 0, 20):
            most = max(most, process.memory_info().rss - before)
        return most

    assert growth((tmp_path / "pictures", 0)) < 60 * 2**20
    # Through its mapping, so that it is seen that this would be seen.
    assert growth(None) > 120 * 2**20


def test_a_streamed_training_gives_the_same_bits(place):
    settings = (
        'data.source=ImageFolder("sorted", size=16)', "data.batch_size=4", "data.augment=[RandomHorizontalFlip()]",
    )  # fmt: skip
    held = epochs_of(train(experiment("batchnorm", *settings), place.folder)[1])
    read = epochs_of(train(experiment("batchnorm", *settings, "data.memory=0.001 MiB"), place.folder)[1])
    assert [epoch.metrics for epoch in held] == [epoch.metrics for epoch in read]


@pytest.mark.soak
def test_photographs_that_the_cache_cannot_hold_come_from_workers_with_the_same_bits(place, monkeypatch):
    source = 'ImageFolder("sorted", size=16)'
    options = {"augment": tuple(map(parse_call, AUGMENT)), "validation": parse_call("none()")}
    held = prepared(source, place, **options)
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0.000001")
    monkeypatch.setenv("LAYERLAB_CACHE", str(place.folder / "another"))
    live = prepared(source, place, **options)
    assert isinstance(live.train, DecodedLive)
    torch.testing.assert_close(held.mean, live.mean, rtol=0, atol=0)
    state = torch.get_rng_state()
    same(held.train.shuffled(5, 2, 4, join_single=True), live.train.shuffled(5, 2, 4, join_single=True))
    # An epoch that is left in the midst, and the next one with the same workers.
    left = live.train.shuffled(5, 3, 4)
    next(left)
    left.close()
    same(held.train.shuffled(5, 4, 4, start=1), live.train.shuffled(5, 4, 4, start=1))
    same(held.train.ordered(5), live.train.ordered(5))
    assert torch.equal(torch.get_rng_state(), state)

    workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert workers
    for worker in workers:  # as where the terminal goes
        worker.send_signal(signal.SIGHUP)
        worker.send_signal(signal.SIGINT)
    same(held.train.ordered(5), live.train.ordered(5))

    (place.folder / "sorted" / "train" / "cat" / "001.jpg").unlink()
    with pytest.raises(RunError, match=r"001\.jpg: the file is not there any more"):
        list(live.train.ordered(5))
    del live, left
    ended = time.monotonic() + 20
    while any(worker.is_running() and worker.status() != "zombie" for worker in workers) and time.monotonic() < ended:
        time.sleep(0.05)
    assert not any(worker.is_running() and worker.status() != "zombie" for worker in workers)


def workers_of_this_process() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_one_set_of_workers_decodes_all_parts_and_one_that_is_killed_ends_the_run_in_words(place, monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0")
    monkeypatch.setattr(decoded_live, "MOST_WORKERS", 1)
    live = prepared('ImageFolder("sorted", size=24)', place)
    for part in (live.train, live.val, live.test, live.train):
        assert sum(len(batch.inputs) for batch in part.ordered(4)) == len(part)
        (worker,) = workers_of_this_process()
    worker.kill()
    with pytest.raises(RunError, match="was ended, probably because memory was short"):
        list(live.val.ordered(4))
    assert sum(len(batch.inputs) for batch in live.val.ordered(4)) == len(live.val)


@pytest.mark.parametrize("thread", [pytest.param(False, marks=pytest.mark.soak), True])
def test_a_worker_that_is_killed_as_it_hands_over_ends_the_run_in_words(place, monkeypatch, thread):
    """It takes the lock of the pipe with it, and half a batch is in there."""
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0")
    monkeypatch.setattr(decoded_live, "MOST_WORKERS", 2)
    live = prepared('ImageFolder("pets", size=224)', place)

    def ended() -> None:
        batches = live.train.ordered(2)
        next(batches)
        time.sleep(1.5)  # until what is decoded ahead waits to be taken
        for worker in workers_of_this_process()[:1]:
            worker.kill()
        with pytest.raises(RunError, match="was ended, probably because memory was short"):
            list(batches)

    if thread:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ended).result(timeout=60)
    else:
        ended()


def gone(pids: list[int], seconds: float) -> bool:
    """Whether all of these processes end within so many seconds; one that nobody has waited for yet has ended."""

    def left(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    ended = time.monotonic() + seconds
    while any(map(left, pids)) and time.monotonic() < ended:
        time.sleep(0.05)
    return not any(map(left, pids))


def begin_as_worker(pids) -> None:
    decoded_live.begin_worker(0)
    pids.put(os.getpid())
    threading.Event().wait()


def begin_a_worker(pids) -> None:
    context = multiprocessing.get_context("fork")
    context.Process(target=begin_as_worker, args=(pids,)).start()
    threading.Event().wait()


def test_a_worker_ends_where_the_training_is_killed():
    context = multiprocessing.get_context("fork")
    pids = context.SimpleQueue()
    training = context.Process(target=begin_a_worker, args=(pids,))
    training.start()
    worker = pids.get()
    try:
        assert not gone([worker], 1.5)
        training.kill()
        assert gone([worker], 5)
    finally:
        training.kill()
        training.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


KILLED = """
import multiprocessing, sys, time
import torch
from engine.calls import parse_call
from engine.data import decoded_live
from engine.data.info import Place
from engine.data.sources import build_source
from engine.data.normalise import Normalise
decoded_live.MOST_WORKERS = 2
part = build_source(parse_call('ImageFolder("pets", size=224)')).load(Place(sys.argv[1])).train
assert isinstance(part, decoded_live.LivePart)
live = decoded_live.DecodedLive(part, None, part.targets, Normalise(None, None, None), device=torch.device("cpu"))
batches = live.ordered(4)
next(batches)
time.sleep(2)  # until what is decoded ahead waits to be taken
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
time.sleep(100)
"""


@pytest.mark.soak
def test_workers_that_wait_to_hand_over_end_where_the_training_is_killed(place, monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0")
    command = [sys.executable, "-c", KILLED, str(place.folder)]
    training = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert training.stdout is not None
    workers = []
    try:
        workers = [int(pid) for pid in training.stdout.readline().split()]
        assert len(workers) == 2
        training.kill()
        assert gone(workers, 20)
    finally:
        training.kill()
        training.wait()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        training.stdout.close()


def test_live_photographs_are_not_decoded_before_they_are_wanted(place, monkeypatch):
    monkeypatch.setenv("LAYERLAB_CACHE_GIB", "0.0001")
    source = build_source(parse_call('ImageFolder("pets", size=64)'))
    before = decoding.count
    first = source.load(place)
    assert decoding.count - before == 41
    again = source.load(place)
    assert decoding.count - before == 41  # what cannot be read, and the mean, are known
    assert torch.equal(first.train.sums, again.train.sums)
