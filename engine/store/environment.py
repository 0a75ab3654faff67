"""What a run was made with: versions, machine, command line. No secrets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
import sys
from typing import Any

PACKAGES = ("layerlab", "torch", "torchvision", "numpy", "safetensors", "scikit-learn")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
SECRET = re.compile(r"token|secret|passw|pwd|credential|auth|api.?key|access.?key|private.?key|^-*key$", re.IGNORECASE)
URL_LOGIN = re.compile(r"(\w+://)[^/@\s]+@")
MASK = "***"
MAX_ARGUMENTS = 200


def environment() -> dict[str, Any]:
    """Versions, platform, processors, threads, git commit and command line of this process; torch is not imported."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "threads": _threads(),
        "variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "git_commit": _git_commit(),
        "command": masked(sys.argv),
    }


def masked(arguments: list[str]) -> list[str]:
    """A command line with every value hidden whose name sounds like a secret, and logins in addresses."""
    shown = []
    hide_next = False
    for argument in arguments[:MAX_ARGUMENTS]:
        name, equals, _ = argument.partition("=")
        if hide_next and not argument.startswith("-"):
            shown.append(MASK)
        elif equals and SECRET.search(name):
            shown.append(f"{name}={MASK}")
        else:
            shown.append(URL_LOGIN.sub(rf"\g<1>{MASK}@", argument)[:1000])
        hide_next = not equals and argument.startswith("-") and bool(SECRET.search(argument))
    return shown


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else None


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=2,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()[:64] or None
