"""Downloading, with the real code, from a server on this machine's loopback."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import pickle
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from torchvision import datasets

from engine.data.info import Place
from engine.data.vision import CIFAR10, MNIST
from engine.errors import RunError
from tests.engine.test_sources import idx


@pytest.fixture
def server():
    """A server whose `files` are {path: bytes, or a status}; `short` paths break off in the middle."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.server.files.get(self.path, 404)
            self.server.asked.append(self.path)
            if isinstance(found, int):
                self.send_error(found)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found[: len(found) // 2] if self.path in self.server.short else found)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.asked, running.short = {}, [], set()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def mnist(server, monkeypatch):
    """A small MNIST on the server, and torchvision's addresses and checksums turned to it."""
    random = np.random.default_rng(0)
    resources = []
    for prefix, n in (("train", 30), ("t10k", 20)):
        arrays = {
            f"{prefix}-images-idx3-ubyte.gz": random.integers(0, 256, (n, 28, 28), dtype=np.uint8),
            f"{prefix}-labels-idx1-ubyte.gz": (np.arange(n) % 10).astype(np.uint8),
        }
        for name, array in arrays.items():
            packed = gzip.compress(idx(array))
            server.files[f"/mnist/{name}"] = packed
            resources.append((name, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/mnist/"])
    return server


def failure(place):
    with pytest.raises(RunError) as caught:
        MNIST().load(place)
    return str(caught.value)


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and ".part" in path.name]


def test_download_reports_checks_unpacks_and_is_not_repeated(mnist, tmp_path):
    told = []
    place = Place(tmp_path, download=True, progress=lambda *what: told.append(what))
    loaded = MNIST().load(place)
    assert (loaded.info.train, loaded.info.test) == (30, 20)
    raw = tmp_path / "MNIST" / "raw"
    assert sorted(path.name for path in raw.iterdir() if path.suffix != ".gz") == [
        f"{prefix}-{rest}" for prefix in ("t10k", "train") for rest in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    size = len(mnist.files["/mnist/train-images-idx3-ubyte.gz"])
    assert ("downloading train-images-idx3-ubyte.gz", size, size) in told
    assert any("checksum" in text for text, _, _ in told)
    assert torch.equal(loaded.train.inputs[:, 0], datasets.MNIST(tmp_path, train=True).data)
    asked = len(mnist.asked)
    MNIST().load(place)
    assert len(mnist.asked) == asked == 4


def test_nothing_is_fetched_unless_asked(mnist, tmp_path):
    from engine.errors import RequestError

    with pytest.raises(RequestError, match="--download"):
        MNIST().load(Place(tmp_path))
    assert mnist.asked == []
    assert not list(tmp_path.iterdir())


def test_a_wrong_checksum_is_refused_and_leaves_nothing(mnist, tmp_path):
    packed = mnist.files["/mnist/train-labels-idx1-ubyte.gz"]
    mnist.files["/mnist/train-labels-idx1-ubyte.gz"] = packed[:-1] + b"x"
    message = failure(Place(tmp_path, download=True))
    assert "wrong checksum" in message
    assert "train-labels-idx1-ubyte.gz" in message
    assert not (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").exists()
    assert leftovers(tmp_path) == []
    # Once the server is right again, the download goes on from what is there.
    mnist.files["/mnist/train-labels-idx1-ubyte.gz"] = packed
    asked = len(mnist.asked)
    assert MNIST().load(Place(tmp_path, download=True)).info.train == 30
    assert len(mnist.asked) == asked + 3


def test_a_connection_that_breaks_off_is_told_with_the_bytes(mnist, tmp_path):
    mnist.short.add("/mnist/train-images-idx3-ubyte.gz")
    message = failure(Place(tmp_path, download=True))
    assert "the connection ended after" in message
    assert leftovers(tmp_path) == []


def test_an_answer_of_404_names_address_and_folder(mnist, tmp_path):
    mnist.files["/mnist/train-images-idx3-ubyte.gz"] = 404
    message = failure(Place(tmp_path, download=True))
    assert f"http://127.0.0.1:{mnist.server_port}/mnist/train-images-idx3-ubyte.gz" in message
    assert "404" in message
    assert str(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz") in message


def test_no_network_names_address_and_folder(tmp_path, monkeypatch):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{port}/"])
    message = failure(Place(tmp_path, download=True))
    assert "no connection, Connection refused" in message
    assert str(tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz") in message


def test_the_second_mirror_serves_where_the_first_does_not(mnist, tmp_path, monkeypatch):
    base = f"http://127.0.0.1:{mnist.server_port}/"
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{base}gone/", f"{base}mnist/"])
    assert MNIST().load(Place(tmp_path, download=True)).info.train == 30


def test_a_folder_that_cannot_be_written_is_told(mnist, tmp_path):
    (tmp_path / "MNIST").write_text("a file, not a folder")
    assert "cannot be made" in failure(Place(tmp_path, download=True))


def test_cifar_is_fetched_unpacked_and_equal_to_torchvision(server, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    known, members, sums = datasets.CIFAR10, {}, {}
    for name, _ in [*known.train_list, *known.test_list]:
        entry = {"data": random.integers(0, 256, (4, 3072), dtype=np.uint8), "labels": [0, 3, 9, 1]}
        members[name] = pickle.dumps(entry)
    members[known.meta["filename"]] = pickle.dumps({"label_names": ["a"] * 10})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in members.items():
            sums[name] = hashlib.md5(data).hexdigest()
            member = tarfile.TarInfo(f"{known.base_folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    server.files["/cifar.tar.gz"] = buffer.getvalue()
    monkeypatch.setattr(known, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(known, "train_list", [[name, sums[name]] for name, _ in known.train_list])
    monkeypatch.setattr(known, "test_list", [[name, sums[name]] for name, _ in known.test_list])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": sums[known.meta["filename"]]})

    loaded = CIFAR10().load(Place(tmp_path, download=True))
    assert loaded.train.inputs.shape == (20, 3, 32, 32)
    own = datasets.CIFAR10(tmp_path, train=True)
    assert np.array_equal(loaded.train.inputs.permute(0, 2, 3, 1).numpy(), own.data)
    assert loaded.train.targets.tolist() == own.targets
    assert loaded.test.inputs.shape == (4, 3, 32, 32)
