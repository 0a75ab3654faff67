"""`layerlab train --detach`: a process of its own from the first, that no terminal can end."""

from __future__ import annotations

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
from engine.errors import RunError
from engine.spec import load_experiment, with_settings
from engine.store.reader import RunReader
from engine.store.requests import send
from tests.faults.sittings import Desk, Sitting, closing
from tests.watching import until
from tui.cli.detach import train_detached


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.end_all()


def layerlab(desk: Desk, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=desk.environment, cwd=desk.folder, capture_output=True, text=True, timeout=120)


@pytest.mark.soak
def test_what_it_begins_has_no_terminal_and_goes_on_when_that_is_taken_away(desk: Desk) -> None:
    """Fault 18, without the application: two runs side by side, told as one document."""
    files = f"{desk.experiment(100_000)} {desk.experiment(200_000)}"
    command = f"{sys.executable} -m tui.cli train {files} --detach --json > told.json; exit $?"
    sitting = Sitting(["/bin/sh", "-c", command], desk.environment, desk.folder, (120, 40))
    with closing(sitting):
        assert sitting.ended(60) == 0
        told = sitting.text.replace("\n", "")
    documents = json.loads((desk.folder / "told.json").read_text())
    assert len(documents) == 2
    for document in documents:
        run, pid = RunReader(desk.store / document["run"]), document["pid"]
        run.poll()
        assert (document["run"], document["status"]) == (run.view.run, "running")
        assert run.view.owner["pid"] == pid
        assert f"layerlab watch {run.view.run}" in told
        assert os.getsid(pid) == pid
        # The field tty_nr: 0 is none.
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0"
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {str(run.path / "console.log")}
        os.kill(pid, signal.SIGHUP)
    for document in documents:
        run = RunReader(desk.store / document["run"])
        run.poll()
        done = run.view.done
        until(lambda run=run, done=done: run.poll() and run.view.done > done + 2)
        send(run.path, Request("stop"))
        until(lambda run=run: run.poll() and run.view.status == "stopped")
        until(lambda document=document: not psutil.pid_exists(document["pid"]))


@pytest.mark.soak
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


@pytest.mark.soak
def test_one_that_cannot_begin_is_told_beside_those_that_did(desk: Desk) -> None:
    good, bad = (load_experiment(desk.experiment(epochs)) for epochs in (100_000, 2))
    bad = with_settings(bad, ["data.source=MNIST()", "name=without data"])
    with pytest.raises(RunError) as refused:
        train_detached([good, bad], desk.store, desk.folder / "data", False, ())
    run = desk.run()
    assert "without data did not begin: MNIST is not in" in str(refused.value)
    assert f"{run.view.run} has begun all the same" in str(refused.value)
    send(run.path, Request("stop"))
    until(lambda: run.poll() and run.view.status == "stopped")


def test_what_cannot_work_is_refused_before_anything_is_begun(desk: Desk) -> None:
    told = layerlab(desk, "train", "mlp", "no-such-file.toml", "--detach")
    assert told.returncode == 2
    assert "no-such-file.toml" in told.stderr
    assert not desk.store.exists()
