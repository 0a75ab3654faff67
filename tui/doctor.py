"""What `layerlab doctor` looks at: each finding says what is there, whether it will do, and what to do about it."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tui.logout import look_here
from tui.output import size

WORKS, CARE, FAILS = "✓", "!", "✗"
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs")
_LOW_SPACE = 1 << 30
_SETS = ("MNIST", "FashionMNIST", "KMNIST", "cifar-10-batches-py", "cifar-100-python")


@dataclass(frozen=True)
class Finding:
    """One line: `state` is ✓ (works), ! (works, with care) or ✗ (does not work); `advice` says what to do."""

    topic: str
    state: str
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        words = {WORKS: "ok", CARE: "warning", FAILS: "failed"}
        return asdict(self) | {"state": words[self.state]}


def examine(store: Path, data: Path) -> list[Finding]:
    """Everything, in the order in which it is shown; nothing that fails keeps the rest from being looked at."""
    findings: list[Finding] = []
    for topic, look in (
        ("python", python),
        ("packages", packages),
        ("torch", torch_findings),
        ("memory", memory),
        ("terminal", terminal),
        ("settings", settings),
        ("store", lambda: store_findings(store)),
        ("data", lambda: data_findings(data)),
        ("logout", logout),
    ):
        try:
            findings += look()
        except Exception as error:
            # A broken driver or a strange file system is what this command is there to tell of.
            findings.append(Finding(topic, CARE, f"could not be looked at: {type(error).__name__}: {error}"))
    return findings


def python() -> list[Finding]:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})"
    return [Finding("python", WORKS, found)]


def packages() -> list[Finding]:
    versions: list[str] = []
    missing: list[str] = []
    for name in ("layerlab", "torch", "torchvision", "textual", "rich", "typer", "scikit-learn", "safetensors"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = f"not installed: {', '.join(missing)}; install layerlab again"
        return [Finding("packages", FAILS, ", ".join(versions), advice)]
    return [Finding("packages", WORKS, ", ".join(versions))]


def torch_findings() -> list[Finding]:
    """The devices, and that each of them really computes."""
    try:
        import torch
    except Exception as error:
        # Not only ImportError: a wheel for another processor or a missing library raises OSError.
        return [Finding("torch", FAILS, f"torch cannot be imported: {error}", "install torch for this machine again")]
    found = [Finding("torch", WORKS, f"{torch.get_num_threads()} threads of {os.cpu_count()} processors")]
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        devices.append("mps")
    for device in devices:
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "Apple GPU"
        try:
            total = float((torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum())
            if total != 512:
                raise ArithmeticError(f"a product came to {total:g} and not to 512")
        except Exception as error:
            advice = 'use device = "cpu", or look at the driver'
            found.append(Finding("device", CARE, f"{device} ({name}) does not compute: {error}", advice))
            continue
        room = ""
        if device.startswith("cuda"):
            free, total_memory = torch.cuda.mem_get_info(device)
            room = f", {size(free)} free of {size(total_memory)}"
        found.append(Finding("device", WORKS, f"{device} ({name}){room}"))
    if not devices:
        advice = ""
        if shutil.which("nvidia-smi"):
            advice = "there is an NVIDIA driver, but this torch cannot use it: install a CUDA build of torch"
        found.append(Finding("device", CARE if advice else WORKS, "cpu only", advice))
    return found


def memory() -> list[Finding]:
    import psutil

    state = psutil.virtual_memory()
    found = f"{size(state.available)} free of {size(state.total)}"
    if state.available < _LOW_SPACE:
        return [Finding("memory", CARE, found, "large data sets will not fit; end other programs")]
    return [Finding("memory", WORKS, found)]


def terminal() -> list[Finding]:
    """What the full-screen application would meet."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return [Finding("terminal", CARE, "none here", "the application needs one; the commands do not")]
    kind = os.environ.get("TERM", "")
    columns, lines = shutil.get_terminal_size()
    colours = "no colours (NO_COLOR)" if os.environ.get("NO_COLOR") else _colours(kind)
    inside = [
        name for name, key in (("tmux", "TMUX"), ("screen", "STY"), ("SSH", "SSH_CONNECTION")) if key in os.environ
    ]
    found = f"{kind or 'TERM is not set'}, {columns} × {lines}, {colours}" + (
        f", in {', '.join(inside)}" if inside else ""
    )
    findings = [Finding("terminal", WORKS, found)]
    if kind in ("", "dumb"):
        findings = [Finding("terminal", FAILS, found, "set TERM, such as TERM=xterm-256color")]
    elif columns < 80 or lines < 24:
        findings = [Finding("terminal", CARE, found, "80 × 24 or more shows everything")]
    if "SSH" in inside and not {"tmux", "screen"} & set(inside):
        advice = "the run goes on when the line drops; inside tmux the application does so as well"
        findings.append(Finding("terminal", WORKS, "over SSH without tmux or screen", advice))
    encoding = (locale.getpreferredencoding(False) or "").lower().replace("-", "")
    if encoding != "utf8":
        advice = "curves and frames need UTF-8: set LANG=C.UTF-8"
        findings.append(Finding("terminal", CARE, f"the locale's encoding is {encoding or 'unknown'}", advice))
    return findings


def _colours(kind: str) -> str:
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "16 million colours"
    return "256 colours" if "256" in kind else "16 colours"


def settings() -> list[Finding]:
    """The person's settings file, and what in it is wrong."""
    from tui.settings import load_settings, settings_path

    path = settings_path()
    if path is None:
        return [Finding("settings", WORKS, "no settings file: there is no home folder to hold one")]
    read, problems = load_settings(path)
    if problems:
        *others, last = (Finding("settings", CARE, problem) for problem in problems)
        return [*others, replace(last, advice="what is wrong has its default value; layerlab starts all the same")]
    if not path.exists():
        return [Finding("settings", WORKS, f"no settings file; {path} would be read")]
    said = [f"theme {read.theme}", f"{len(read.keys)} key{'' if len(read.keys) == 1 else 's'} changed"]
    said += [f"allows {', '.join(read.allow)}"] if read.allow else []
    return [Finding("settings", WORKS, f"{path}: {', '.join(said)}")]


def store_findings(store: Path) -> list[Finding]:
    """Whether runs can be written, where to, and how much room there is."""
    folder = store.absolute()
    if not folder.exists():
        parent = next(path for path in folder.parents if path.exists())
        if not os.access(parent, os.W_OK):
            advice = "name another store with --runs or LAYERLAB_RUNS"
            return [Finding("store", FAILS, f"{folder} does not exist and cannot be made", advice)]
        return [Finding("store", WORKS, f"{folder} will be made by the first run"), *_space("store", parent)]
    if not folder.is_dir():
        return [Finding("store", FAILS, f"{folder} is not a folder", "name another store with --runs or LAYERLAB_RUNS")]
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "runs can be shown but not trained; name another store with --runs or LAYERLAB_RUNS"
        return [Finding("store", FAILS, f"{folder} cannot be written: {error.strerror}", advice)]
    runs = sum(1 for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False) and entry.name[0] not in ".")
    return [Finding("store", WORKS, f"{folder}, {runs} run{'' if runs == 1 else 's'}"), *_space("store", folder)]


def _space(topic: str, folder: Path) -> list[Finding]:
    free = shutil.disk_usage(folder).free
    kind = file_system(folder)
    found = f"{size(free)} free" + (f", {kind}" if kind else "")
    findings = [Finding(topic, WORKS, found)]
    if free < _LOW_SPACE:
        findings = [Finding(topic, CARE, found, "training goes on when the disk is full, but nothing is recorded")]
    if kind.startswith(_NETWORK_FILE_SYSTEMS):
        advice = "fine for runs; whether a run on another machine is alive takes a minute to tell"
        findings.append(Finding(topic, CARE, "this is a network file system", advice))
    return findings


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system that holds `folder`, such as ext4 or nfs4; "" where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        wanted = folder.resolve()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        # Spaces and the like stand as octal escapes in this file.
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # The last of two mounts on the same folder is the one that is seen.
        if (point == wanted or point in wanted.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def data_findings(data: Path) -> list[Finding]:
    """Which data sets lie in the data folder."""
    there = [name for name in _SETS if (data / name).exists()]
    if there:
        return [Finding("data", WORKS, f"{data}: {', '.join(there)}; Digits and the toy sets need no files")]
    advice = "train --download fetches MNIST and others; Digits and the toy sets need no files"
    return [Finding("data", WORKS, f"{data}: no data sets yet", advice)]


def logout() -> list[Finding]:
    """What a logout does to runs, and what to do about it."""
    survives, found, advice = look_here()
    return [Finding("logout", WORKS if survives else CARE, found, advice)]
