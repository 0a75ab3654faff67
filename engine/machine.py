"""What this process may take of the machine: a container or a batch system often gives it less than there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil


def processors() -> int:
    """How many processors this process may run on (taskset, a container's cpuset)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may still take: of the machine's, and of what each of its control groups has
    left (containers, systemd, Slurm). `root` is where `proc` and `sys` are; there are no groups where these are not."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups(root)])


def _left_in_groups(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = f"{line}::".split(":", 2)
        # From within a container the path may lead beyond its root.
        path = os.path.normpath("/" + path.rstrip(":")).lstrip("/")
        if not controllers:
            yield from _left(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(mount / "memory", path, *names)


def _left(top: Path, path: str, limit: str, usage: str, inactive: str) -> Iterator[int]:
    """What is left of the limit of a group and of those above it. Files that were read and are not in use count as
    usage, and give way."""
    folder = top / path
    for group in (folder, *folder.parents[: len(Path(path).parts)]):
        try:
            most, taken = int((group / limit).read_text()), int((group / usage).read_text())
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield max(most - taken + int(stat.get(inactive, 0)), 0)
        except (OSError, ValueError):  # no such group here, or no limit: "max"
            continue
