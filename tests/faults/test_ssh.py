"""Through a real OpenSSH server on this machine: the connection goes, the training does not."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.faults.sittings import Desk, Sitting, closing
from tests.watching import until

pytestmark = pytest.mark.soak


@dataclass(frozen=True)
class Server:
    """An OpenSSH server with keys and settings of its own, listening on loopback alone."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    desk: Desk

    def log_in(self) -> Sitting:
        """A terminal with a shell on the other side."""
        command = [
            "ssh", "-tt", "-F", "none", "-p", str(self.port), "-i", str(self.folder / "client"),
            "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
            "-o", "IdentitiesOnly=yes", f"{getpass.getuser()}@127.0.0.1", "/bin/sh",
        ]  # fmt: skip
        sitting = Sitting(command, self.desk.environment, self.desk.folder, (120, 40))
        settings = " ".join(f"{name}='{value}'" for name, value in self.desk.environment.items() if _plain(name))
        sitting.press(f"cd '{self.desk.folder}'; export {settings}; echo logged''in<enter>")
        sitting.until("loggedin")
        return sitting

    def open(self, sitting: Sitting, *arguments: object) -> None:
        """What a person types there."""
        words = " ".join(f"'{word}'" for word in arguments)
        sitting.press(f"'{sys.executable}' -m tui.cli {words}<enter>")
        sitting.until("1 Compose")

    def connections(self) -> list[psutil.Process]:
        """The server's processes that hold connections."""
        return psutil.Process(self.process.pid).children(recursive=False)

    def applications(self) -> list[psutil.Process]:
        """The applications that were opened over a connection which still stands."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in below if "tui.cli" in _command(each)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _plain(name: str) -> bool:
    return name.startswith(("LAYERLAB", "XDG", "PYTHON", "OMP", "LANG", "COLORTERM", "TERM"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server and client here: apt-get install openssh-server openssh-client")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "client"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    shutil.copy(folder / "client.pub", folder / "authorized")
    if os.geteuid() == 0:
        # Where a server of the superuser's lets connections wait until they are let in; it is nowhere else to be had.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "sshd_config"
    settings.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nPidFile {folder / 'pid'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n"
    )
    log = (folder / "log").open("wb")
    process = subprocess.Popen([program, "-D", "-e", "-f", str(settings)], stderr=log, stdin=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    until(listens, 20)
    desk = Desk(tmp_path / "home")
    desk.folder.mkdir()
    try:
        yield Server(process, port, folder, desk)
    finally:
        # What the server began, and what that began: also where a test has failed.
        begun = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(20)
        for each in begun:
            if each.is_running():
                each.kill()
        desk.end_all()
        psutil.wait_procs(begun, 10)
        log.close()


def client_is_killed(server: Server, sitting: Sitting) -> None:
    """As when a laptop's lid is shut on a shell: the client dies, and its kernel says so."""
    os.kill(sitting.pid, signal.SIGKILL)
    sitting.reaped()


def connection_is_dropped(server: Server, sitting: Sitting) -> None:
    """The server's own processes of the connection die, without a word to anybody: what holds the terminal's other
    end is gone, and the kernel says so."""
    for connection in server.connections():
        for each in [connection, *connection.children(recursive=True)]:
            if each.name().startswith("sshd"):
                each.kill()
    sitting.reaped()


@pytest.mark.parametrize("drop", [client_is_killed, connection_is_dropped])
def test_a_run_outlives_its_connection_and_is_watched_and_stopped_from_the_next(
    server: Server, drop: Callable[[Server, Sitting], None]
) -> None:
    """Fault 18 as people meet it."""
    desk = server.desk
    first = server.log_in()
    with closing(first):
        server.open(first, "open", desk.experiment(100_000))
        run = first.begin_training(desk)
        trainer = psutil.Process(run.view.owner["pid"])
        drop(server, first)
    run.poll()
    reached = run.view.done
    time.sleep(1)
    until(lambda: run.poll() and run.view.done > reached + 20)
    assert run.view.status == "running"
    assert trainer.is_running()
    until(lambda: not server.connections())

    second = server.log_in()
    with closing(second):
        server.open(second)
        second.until("is being trained")
        second.press("2")
        second.until(lambda: re.search(r"● +running", second.text) and re.search(r"[⠀-⣿]{3}", second.text))
        second.press("l")
        second.until("Learning rate")
        second.press("0.0125<enter>")
        second.until(lambda: run.poll() and run.view.lr == 0.0125)
        second.press("S")
        second.until("How shall the run end?")
        second.press("n")
        second.until(lambda: re.search(r"■ +stopped", second.text))
        second.press("q")
        second.until(lambda: not server.applications())
        second.press("exit<enter>")
        assert second.ended() == 0
    run.poll()
    assert run.view.status == "stopped"
    assert list(run.path.glob("checkpoints/step-*"))
    psutil.wait_procs([trainer], 30)
    assert not trainer.is_running()
