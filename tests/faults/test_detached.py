"""`layerlab train --detach`: a process of its own from the first, that no terminal can end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.control import Request
from engine.store.requests import send
from tests.faults.sittings import Desk, closing, eventually


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for path in desk.store.glob("2*"):
        with contextlib.suppress(psutil.Error, OSError, KeyError, TypeError):
            owner = json.loads((path / "owner.json").read_text())
            psutil.Process(owner["pid"]).kill()


def layerlab(desk: Desk, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=desk.environment, cwd=desk.folder, capture_output=True, text=True, timeout=120)


def test_it_has_no_terminal_and_goes_on_when_that_is_taken_away(desk: Desk) -> None:
    """Fault 18, without the application."""
    sitting = desk.sit_down("train", desk.experiment(100_000), "--detach")
    with closing(sitting):
        assert sitting.ended(60) == 0
        told = sitting.text
    run = desk.run()
    assert run.view.status == "running"
    assert run.view.run in told
    assert f"layerlab watch {run.view.run}" in told.replace("\n", "")
    pid = run.view.owner["pid"]
    assert os.getsid(pid) == pid
    # The field tty_nr: 0 is none.
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0"
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {str(run.path / "console.log")}
    os.kill(pid, signal.SIGHUP)
    done = run.view.done
    eventually(lambda: run.poll() and run.view.done > done + 5)
    send(run.path, Request("stop"))
    eventually(lambda: run.poll() and run.view.status == "stopped")
    eventually(lambda: not psutil.pid_exists(pid))


def test_a_run_that_does_not_begin_is_told_with_its_reason_and_status_1(desk: Desk) -> None:
    """Where there is data to check with but none to train with, only the process itself can tell."""
    (desk.folder / "broken.py").write_text(
        "import os, torch\n"
        "class Broken(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        if 'engine.launch.process' in ' '.join(os.sys.orig_argv): raise OSError('the \\x1b[2Jkey is lost')\n"
        "    def forward(self, inputs):\n"
        "        return inputs\n"
    )
    file = desk.experiment(3)
    file.write_text(file.read_text().replace('"Flatten()"', '"Flatten()", "broken:Broken()"'))
    told = layerlab(desk, "train", file, "--detach", "--json", "--allow", "broken")
    assert told.returncode == 1, told.stderr
    message = json.loads(told.stdout)["error"]["message"]
    assert "failed before it trained" in message
    assert "key is lost" in message
    assert "Traceback" not in told.stderr
    assert "\x1b" not in told.stderr
    assert desk.run().view.status == "failed"


def test_several_train_side_by_side_and_are_told_as_one_document(desk: Desk) -> None:
    told = layerlab(desk, "train", desk.experiment(100_000), desk.experiment(200_000), "--detach", "--json")
    assert told.returncode == 0, told.stderr
    documents = json.loads(told.stdout)
    assert [document["status"] for document in documents] == ["running", "running"]
    for number, document in enumerate(documents):
        run = desk.run(number)
        assert document["run"] == run.view.run
        assert document["pid"] == run.view.owner["pid"]
        assert psutil.pid_exists(document["pid"])
        send(run.path, Request("discard"))
    for document in documents:
        eventually(lambda document=document: not psutil.pid_exists(document["pid"]))


def test_what_cannot_work_is_refused_before_anything_is_begun(desk: Desk) -> None:
    told = layerlab(desk, "train", "mlp", "no-such-file.toml", "--detach")
    assert told.returncode == 2
    assert "no-such-file.toml" in told.stderr
    assert not desk.store.exists()
