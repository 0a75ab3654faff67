"""What a process may take: the machine's, or what a container leaves of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
import torch

from engine import forecast, machine
from engine.data import prepare

MIB = 2**20


def group(folder: Path, limit: str, usage: str, values: tuple[object, object], stat: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit).write_text(f"{values[0]}\n")
    (folder / usage).write_text(f"{values[1]}\n")
    (folder / "memory.stat").write_text(stat)


def version_2(folder: Path, limit: object, usage: int, inactive: int = 0) -> None:
    stat = f"anon 1\ninactive_file {inactive}\nactive_file 7\n"
    group(folder, "memory.max", "memory.current", (limit, usage), stat)


def version_1(folder: Path, limit: int, usage: int, inactive: int = 0) -> None:
    stat = f"inactive_file 1\ntotal_inactive_file {inactive}\n"
    group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", (limit, usage), stat)


def root(tmp_path: Path, groups: str) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    return tmp_path / "sys/fs/cgroup"


@pytest.fixture(autouse=True)
def much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 10 GiB free."""
    memory = psutil.virtual_memory()._replace(available=10 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def test_a_group_of_version_2_limits_it(tmp_path: Path) -> None:
    version_2(root(tmp_path, "0::/\n"), 1024 * MIB, 300 * MIB, 100 * MIB)
    assert machine.free_memory(tmp_path) == 824 * MIB


def test_of_nested_groups_the_one_with_least_left_counts(tmp_path: Path) -> None:
    top = root(tmp_path, "0::/job/step\n")
    version_2(top / "job/step", "max", 300 * MIB)
    version_2(top / "job", 900 * MIB, 700 * MIB)
    version_2(top, 2048 * MIB, 1000 * MIB)
    assert machine.free_memory(tmp_path) == 200 * MIB


@pytest.mark.parametrize("path", ["/docker/0123", "/", "/../outside"])
def test_a_group_of_version_1_limits_it_wherever_its_path_leads(tmp_path: Path, path: str) -> None:
    """In a container the path is often that of the machine, and the group is what is mounted."""
    version_1(
        root(tmp_path, f"5:cpu,memory:{path}\n1:name=systemd:/\n0::/\n") / "memory", 512 * MIB, 500 * MIB, 50 * MIB
    )
    assert machine.free_memory(tmp_path) == 62 * MIB


def test_more_taken_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    version_2(root(tmp_path, "0::/\n"), 100, 200)
    assert machine.free_memory(tmp_path) == 0


@pytest.mark.parametrize("limit", ["max", 2**63, "no number", ""])
def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path, limit: object) -> None:
    version_2(root(tmp_path, "0::/\nstrange\n"), limit, 100)
    assert machine.free_memory(tmp_path) == 10 * 2**30


def test_without_groups_it_is_what_the_machine_has(tmp_path: Path) -> None:
    assert machine.free_memory(tmp_path) == 10 * 2**30


def test_the_forecast_and_what_data_may_take_go_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: 1000)
    assert prepare.free_memory(torch.device("cpu")) == 1000
    assert forecast.available_bytes("cpu") <= 1000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason=f"{sys.platform} binds no process to processors")
def test_processors_are_those_that_the_process_may_run_on() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.processors() == 1
    finally:
        os.sched_setaffinity(0, before)
