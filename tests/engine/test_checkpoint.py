"""A checkpoint gives back exactly what was saved, or says that it is damaged; an older one is never lost to a newer."""

from __future__ import annotations

import errno
import itertools
import json
import math
import pickle
import shutil
from collections import Counter, OrderedDict, deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load
from torch import Tensor, nn

from engine.checkpoint import CheckpointError, newest, read_checkpoint, write_checkpoint
from engine.packing import DTYPES, pack, safetensors_parts, unpack
from engine.store import files
from tests.engine.run_folders import Died, Faulty, checkpoint


def same(first: object, second: object) -> bool:
    """Equal to the bit, in type and order too."""
    if isinstance(first, Tensor):
        return (
            isinstance(second, Tensor)
            and first.dtype == second.dtype
            and first.shape == second.shape
            and first.reshape(-1).contiguous().view(torch.uint8).tolist()
            == second.reshape(-1).contiguous().view(torch.uint8).tolist()
        )
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(map(repr, first)) == list(map(repr, second)) and all(
            same(a, b) for a, b in zip(first.values(), second.values(), strict=True)
        )
    if isinstance(first, list | tuple | deque):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return repr(first) == repr(second)


def through_json(value: object) -> object:
    packed, tensors = pack(value)
    text = json.dumps(packed, allow_nan=False)
    read = load(b"".join(map(bytes, safetensors_parts(tensors)))) if tensors else {}
    return unpack(json.loads(text), read)


KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.booleans() | st.none()
TENSORS = st.builds(
    lambda dtype, shape, seed: torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
    st.sampled_from([*DTYPES, torch.complex64, torch.complex128]),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 9),
)
STATES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | TENSORS
    | st.sampled_from([torch.float32, torch.bfloat16, torch.device("cpu"), torch.device("cuda:1"), 10**3000]),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(KEYS, inner, max_size=3)
    | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
    | st.dictionaries(KEYS, st.integers(), max_size=3).map(Counter)
    | st.builds(deque, st.lists(inner, max_size=3), st.sampled_from([None, 5])),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(STATES)
def test_any_state_comes_back_to_the_bit(state):
    assert same(through_json(state), state)


def test_views_shared_and_transposed_tensors_come_back():
    base = torch.arange(24.0).reshape(4, 6)
    state = {"all": base, "row": base[1], "turned": base.t(), "strided": base[:, ::2], "again": base, "one": base[2, 3]}
    assert same(through_json(state), state)


def test_deque_keeps_its_bound_and_names_that_collide_stay_apart():
    state = {"a": deque([1], maxlen=4), 1: torch.zeros(1), "1": torch.ones(1), None: 3}
    read = through_json(state)
    assert read["a"].maxlen == 4
    assert same(read, state)


@pytest.mark.parametrize("value", [object(), {1, 2}, math.sin, torch.zeros(2, device="meta"), 1j])
def test_what_cannot_be_saved_is_named_with_its_path(value):
    with pytest.raises(TypeError, match=r"optimizer\.groups\.0\.x"):
        pack({"groups": [{"x": value}]}, "optimizer")


OPTIMIZERS = sorted(
    name for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer
)  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_every_optimizer_comes_back(name):
    torch.manual_seed(0)
    sparse = name == "SparseAdam"
    network = nn.Embedding(5, 3, sparse=True) if sparse else nn.Linear(4, 3, bias=name != "Muon")
    optimizer = getattr(torch.optim, name)(network.parameters(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = network(torch.tensor([0, 3]) if sparse else torch.randn(5, 4)).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    state = optimizer.state_dict()
    read = through_json(state)
    assert same(read, state)
    optimizer.load_state_dict(read)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("StepLR", {"step_size": 2}),
        ("MultiStepLR", {"milestones": [1, 2, 2]}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2}),
        ("ReduceLROnPlateau", {}),
        ("PolynomialLR", {}),
    ],
)
def test_state_of_schedulers_comes_back(name, arguments):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments)
    for _ in range(3):
        optimizer.step()
        scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    plain = {key: value for key, value in scheduler.state_dict().items() if not callable(value)}
    assert same(through_json(plain), plain)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_saved_checkpoint_is_read_back_whole(folder):
    given_ = checkpoint(12, best=10)
    written = write_checkpoint(folder, given_)
    saved = read_checkpoint(written.path)
    assert (saved.kind, saved.step, saved.epoch, saved.batch) == ("step", 12, 1, 2)
    assert same(saved.networks, given_.networks)
    assert same(saved.optimizer, given_.optimizer)
    assert same(saved.state, given_.state)
    assert names(folder) == ["step-000000012"]
    assert names(written.path) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json", "state.safetensors",
    ]  # fmt: skip
    assert written.bytes == sum(f.stat().st_size for f in written.path.iterdir() if f.name != "manifest.json")


def test_two_newest_steps_and_the_best_ones_they_refer_to_are_kept(folder):
    for step, best in ((10, 10), (20, 10), (30, 30), (40, 30)):
        if step == best:
            write_checkpoint(folder, checkpoint(step, "best"))
        write_checkpoint(folder, checkpoint(step, best=best))
    assert names(folder) == ["best-000000030", "step-000000030", "step-000000040"]
    write_checkpoint(folder, checkpoint(45, "best"))
    assert names(folder) == ["best-000000030", "best-000000045", "step-000000030", "step-000000040"]


def test_same_step_with_the_same_content_is_left_and_with_other_content_comes_after_it(folder):
    first = write_checkpoint(folder, checkpoint(10)).path
    inode = first.stat().st_ino
    assert write_checkpoint(folder, checkpoint(10)).path == first
    assert first.stat().st_ino == inode
    second = write_checkpoint(folder, checkpoint(10, value=2.0)).path
    assert second.name == "step-000000010-2"
    saved, problems = newest(folder)
    assert saved is not None
    assert saved.path == second
    assert not problems


def test_newest_that_verifies_wins_and_the_damaged_one_is_told(folder):
    write_checkpoint(folder, checkpoint(10))
    damaged = write_checkpoint(folder, checkpoint(20)).path / "model.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    saved, problems = newest(folder)
    assert saved is not None
    assert saved.step == 10
    assert len(problems) == 1
    assert "model.safetensors of the checkpoint step-000000020 is not what was written" in problems[0]
    # Training went on from 10: the damaged one of a past that no longer counts does not push it out.
    write_checkpoint(folder, checkpoint(15))
    assert names(folder) == ["step-000000010", "step-000000015"]


def test_every_single_byte_of_a_checkpoint_is_watched(folder):
    path = write_checkpoint(folder, checkpoint(10)).path
    for file in path.iterdir():
        whole = file.read_bytes()
        for position in range(0, len(whole), 7):
            changed = bytearray(whole)
            changed[position] ^= 0x20
            file.write_bytes(changed)
            try:
                saved = read_checkpoint(path)
            except CheckpointError:
                continue
            # White space and the case of a name are all that may go unseen, in the manifest alone.
            assert file.name == "manifest.json"
            assert same(saved.networks, checkpoint(10).networks)
        file.write_bytes(whole)


def test_pickle_link_and_missing_files_are_refused(folder, tmp_path):
    path = write_checkpoint(folder, checkpoint(10)).path
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    weights.unlink()
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    (tmp_path / "elsewhere").write_bytes(whole)
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert newest(folder)[0] is None


def test_missing_folder_has_no_checkpoint(tmp_path):
    assert newest(tmp_path / "nowhere") == (None, [])


@pytest.mark.parametrize("kind", ["dies", "eio once", "eio for good", "disk full"])
def test_at_every_operation_old_or_new_is_whole_and_nothing_stays_behind(folder, monkeypatch, kind):
    write_checkpoint(folder, checkpoint(10, "best"))
    write_checkpoint(folder, checkpoint(10, best=10))
    write_checkpoint(folder, checkpoint(20, best=10))
    before = folder.with_name("before")
    folder.rename(before)
    for fail_at in itertools.count(1):
        shutil.copytree(before, folder)
        layer = Faulty(fail_at, errno.ENOSPC if kind == "disk full" else errno.EIO, kind != "eio once", kind == "dies")
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", layer)
            try:
                write_checkpoint(folder, checkpoint(30, best=10))
                failed = False
            except (OSError, Died):
                failed = True
        saved, problems = newest(folder)
        assert saved is not None
        assert saved.step in (20, 30)
        assert not problems
        assert newest(folder, "best", 10)[0] is not None
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", Faulty())
            write_checkpoint(folder, checkpoint(40, best=10))
        assert len(names(folder)) == 3
        assert names(folder)[0] == "best-000000010"
        assert not [name for name in names(folder) if name.startswith(".")]
        if not failed:
            break
        shutil.rmtree(folder)
    assert fail_at > 20


class Corrupting(Faulty):
    """A disk that changes a byte of every large write and says nothing."""

    def write(self, descriptor, data):
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1 if len(data) > 200 else 0
        return super().write(descriptor, memoryview(changed))


def test_what_does_not_read_back_removes_no_older_checkpoint(folder, monkeypatch):
    write_checkpoint(folder, checkpoint(10))
    write_checkpoint(folder, checkpoint(20))
    with monkeypatch.context() as patch:
        patch.setattr(files, "system", Corrupting())
        with pytest.raises(CheckpointError):
            write_checkpoint(folder, checkpoint(30))
    assert names(folder) == ["step-000000010", "step-000000020"]
