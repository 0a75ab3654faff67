"""In place of a run's files: links, FIFOs, sockets, devices, huge sparse files, pickles, other users' requests."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engine import checkpoint
from engine.control import Mailbox, Request
from engine.errors import LayerlabError
from engine.store import files, segments
from engine.store.inbox import Inbox
from engine.store.listing import list_runs
from engine.store.notes import change_notes
from engine.store.requests import send
from engine.store.trash import TRASH, delete_run, list_trash, restore
from engine.store.writer import RunWriter
from tests.engine.run_folders import new_run
from tests.faults.reading import contents, read_all
from tests.faults.test_bytes import full_run
from tui.settings import load_settings
from tui.state import State

ROOT = hasattr(os, "getuid") and os.getuid() == 0
SECRET = "the secret of somebody else"
SPARSE = 1 << 40
NOBODY = 65534


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Whatever blocks is interrupted, and the test fails."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"it blocked for {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def _link_to_nothing(path: Path, secret: Path) -> None:
    path.symlink_to(secret.with_name("nothing"))


def _link_to_itself(path: Path, secret: Path) -> None:
    path.symlink_to(path)


def _fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, secret: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def _zeros(path: Path, secret: Path) -> None:
    path.symlink_to("/dev/zero")


def _device(path: Path, secret: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("devices cannot be made here")


def _folder(path: Path, secret: Path) -> None:
    path.mkdir()


def _sparse(path: Path, secret: Path) -> None:
    with path.open("wb") as file:
        try:
            file.truncate(SPARSE)
        except OSError:
            pytest.skip("this file system makes no file of 1 TiB")


STRANGE: dict[str, Callable[[Path, Path], None]] = {
    "link": _link, "link to nothing": _link_to_nothing, "link to itself": _link_to_itself, "fifo": _fifo,
    "socket": _socket, "link to /dev/zero": _zeros, "device": _device, "folder": _folder, "sparse": _sparse,
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_in_place_of_any_file_it_is_neither_followed_nor_waited_for(
    tmp_path: Path, kind: str, figure: Callable[[str, int], None]
) -> None:
    """Fault 33: each file of a run in turn is something else; the run is read, annotated and claimed all the same, or
    that is refused in words."""
    store = tmp_path / "store"
    store.mkdir()
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"version": 1, "status": "finished", "name": SECRET, "text": SECRET}) + "\n" + SECRET)
    path, other = full_run(store), new_run(store, "unhurt")
    names = [*contents(path), "owner.json", "notes.lock", "control/1.json", "checkpoints/step-000000099"]
    for name in dict.fromkeys(names):
        place = path / name
        aside = tmp_path / "aside"
        if place.exists():
            place.rename(aside)
        STRANGE[kind](place, secret)
        with at_most(20):
            found = read_all(path)
            assert SECRET not in found.told(), name
            assert {run.run for run in list_runs(store)} == {path.name, other.name}
            # Reading left it where it is, but for a request, which is taken.
            assert name.startswith("control/") or os.path.lexists(place), name
            if name in ("notes.json", "experiment.toml", "events.001.jsonl", "console.log"):
                changed_and_claimed(path, secret)
        assert secret.read_text().endswith(SECRET)
        put_back(place, aside)
        figure("strange things in place of files", 1)


def changed_and_claimed(path: Path, secret: Path) -> None:
    """Writers meet it as well."""
    with contextlib.suppress(LayerlabError):
        change_notes(path, text="changed")
    numbers = segments.segments(path)
    with contextlib.suppress(LayerlabError):
        claim = segments.claim(path, resume=True, resumed_step=20, patience=0.0)
        claim.file.close()
        files.remove(segments.segment_path(path, claim.number))
    assert segments.segments(path) == numbers


def put_back(place: Path, aside: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()
    if aside.exists():
        aside.rename(place)


@pytest.mark.parametrize("kind", [kind for kind in STRANGE if kind not in ("folder",)])
def test_in_place_of_any_folder_it_is_not_entered(tmp_path: Path, kind: str) -> None:
    """Fault 33: the run itself, its folders, the trash."""
    store = tmp_path / "store"
    store.mkdir()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(full_run(tmp_path / "other"), elsewhere)
    before = contents(elsewhere)
    path = full_run(store)
    for name in ("control", "checkpoints", "artifacts"):
        aside = tmp_path / "aside"
        (path / name).rename(aside)
        STRANGE[kind](path / name, elsewhere)
        with at_most(20):
            found = read_all(path)
            assert len(found.view.history) == 3
            if name == "checkpoints":
                assert not found.saved
            with pytest.raises(LayerlabError):
                send(path, Request("stop"))
        put_back(path / name, aside)
    STRANGE[kind](store / TRASH, elsewhere)
    STRANGE[kind](store / "20260101T000000Z-strange-aaaa", elsewhere)
    with at_most(20):
        assert [run.run for run in list_runs(store)] == [path.name]
        assert not list_trash(store)
        with pytest.raises(LayerlabError):
            restore(store, "latest")
        with pytest.raises(LayerlabError):
            delete_run(store, path.name)
        assert path.is_dir()
    assert contents(elsewhere) == before


def test_deleting_for_good_follows_no_link(tmp_path: Path) -> None:
    """Fault 33: what is removed (old checkpoints, what a crash left) may hold links to what is dear to somebody."""
    path = full_run(tmp_path / "store")
    dear = tmp_path / "dear"
    dear.mkdir()
    (dear / "file").write_text("kept")
    folder = path / "checkpoints"
    (folder / f"{files.TEMPORARY}old").mkdir()
    (folder / f"{files.TEMPORARY}old" / "link").symlink_to(dear)
    (folder / f"{files.TEMPORARY}link").symlink_to(dear)
    files.remove_temporaries(folder)
    assert (dear / "file").read_text() == "kept"
    assert not [name for name in os.listdir(folder) if name.startswith(files.TEMPORARY)]


@pytest.mark.parametrize("kind", STRANGE)
def test_settings_and_state_of_any_kind_are_as_good_as_none(tmp_path: Path, kind: str) -> None:
    """Fault 33, outside of the store. (A link to settings is followed: people keep theirs elsewhere.)"""
    secret = tmp_path / "secret"
    secret.write_text("theme = 3")
    for name in ("settings.toml", "state.json"):
        STRANGE[kind](tmp_path / name, secret)
    with at_most(10):
        settings, _ = load_settings(tmp_path / "settings.toml")
        assert settings.theme == "auto"
        state = State(tmp_path / "state.json", delay=60)
        assert state.get("theme") is None
        state.put("theme", "dark")
        state.flush()
    assert secret.read_text() == "theme = 3"


# ---------------------------------------------------------------------- fault 31


class Harm:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("form", ["pickle", "torch", "old torch"])
@pytest.mark.parametrize("manifest", ["as it was", "fits", "is a pickle"])
def test_a_pickle_in_place_of_weights_is_never_unpickled(tmp_path: Path, name: str, form: str, manifest: str) -> None:
    """Fault 31: refused with words that name the checkpoint, and the one before is taken; also where somebody wrote a
    manifest that suits it."""
    path = full_run(tmp_path)
    harm = tmp_path / "harm"
    folder = path / "checkpoints" / "step-000000020"
    if form == "pickle":
        (folder / name).write_bytes(pickle.dumps(Harm(harm)))
    else:
        torch.save({"weights": Harm(harm)}, folder / name, _use_new_zipfile_serialization=form == "torch")
    if manifest == "fits":
        told = json.loads((folder / "manifest.json").read_text())
        size, digest = checkpoint._measure(folder / name, (folder / name).stat().st_size)
        told["files"][name] = {"size": size, "sha256": digest}
        (folder / "manifest.json").write_text(json.dumps(told))
    elif manifest == "is a pickle":
        (folder / "manifest.json").write_bytes(pickle.dumps(Harm(harm)))
    found = read_all(path)
    assert found.saved["step"].step == 10
    assert any("step-000000020" in problem for problem in found.problems)
    assert not harm.exists()


def test_the_harm_would_have_been_done(tmp_path: Path) -> None:
    """What the test above relies on."""
    pickle.loads(pickle.dumps(Harm(tmp_path / "harm"))).close()
    assert (tmp_path / "harm").exists()


# ---------------------------------------------------------------------- fault 34


def as_nobody(act: Callable[[], None]) -> str:
    """What `act` told when done by another user, in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                act()
                told = "done"
            except BaseException as error:
                told = f"{type(error).__name__}: {error}"
            os.write(writing, told.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_another_user_cannot_ask_anything_of_a_run(tmp_path: Path) -> None:
    """Fault 34, with a real change of the user: by `send`, and by hand where the folder lets everybody write."""
    store = Path("/tmp") / f"layerlab-{os.getpid()}-{os.urandom(4).hex()}"
    store.mkdir(mode=0o755)
    try:
        path = new_run(store)
        mailbox = Mailbox()
        with RunWriter(path, mailbox, telemetry=False) as writer:
            writer.status("running")
            assert "another user" in as_nobody(lambda: send(path, Request("stop")))
            (path / "control").chmod(0o777)
            assert "another user" in as_nobody(lambda: send(path, Request("stop")))
            request = path / "control" / "0.json"
            assert as_nobody(lambda: request.write_text(Request("stop").to_json()) and None) == "done"
            _wait(lambda: not request.exists())
            assert not mailbox.take()
            # One's own is obeyed: the folder as such is not to blame.
            send(path, Request("pause"))
            _wait(lambda: mailbox.pending)
            assert [asked.name for asked in mailbox.take()] == ["pause"]
            writer.close("stopped")
        assert any("another user" in message.text for message in read_all(path).view.messages)
    finally:
        shutil.rmtree(store)


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_a_request_that_changes_hands_while_it_is_read_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 34: whose file it is and what stands in it are asked of the same open file."""
    (tmp_path / "control").mkdir()
    mine, other = tmp_path / "control" / "1.json", tmp_path / "other"
    mine.write_text(Request("pause").to_json())
    other.write_text(Request("discard").to_json())
    os.chown(other, NOBODY, NOBODY)
    opened = files.system.open
    calls: list[object] = []

    class Swapping(files.FileLayer):
        def open(self, path: str | Path, flags: int, mode: int = 0o644) -> int:
            calls.append(path)
            if len(calls) == 2 and other.exists():
                other.replace(mine)
            return opened(path, flags, mode)

    monkeypatch.setattr(files, "system", Swapping())
    requests, _ = Inbox(tmp_path / "control").take()
    assert [request.name for request in requests] == ["pause"]


def _wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.01)
