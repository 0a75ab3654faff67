"""What goes wrong in a training is told in words, costs nothing that was saved, and the next run starts."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from engine import catalogue, checkpoint, device_errors, launch
from engine.control import Request
from engine.errors import RequestError
from engine.launch import thread
from engine.launch.local import execute
from engine.store import crash, retention
from engine.store.writer import RunWriter
from tests.engine.run_folders import trained_run
from tests.engine.training import Interrupter, experiment
from tests.faults.own_modules import layer_that
from tests.watching import until, view_of

NOWHERE = Path("nowhere")
STEPS = 23  # of an epoch of the preset "activation"


# ---------------------------------------------------------------------------------------- 22: out of memory

OUT_OF_MEMORY = """
import gc, json, re, resource, sys
from pathlib import Path
import psutil, torch
from torch import nn
from engine import launch
from engine.store.reader import RunReader
from tests.engine.training import experiment

store = Path(sys.argv[1])
layers = "network.layers=['Conv2d(256, 3, padding=1)', " + "'ReLU()', " * 10 + "'Flatten()', 'Linear(10)']"
told = []

def run(*settings):
    path = launch.prepare_run(experiment("cnn", layers, "epochs=1", *settings), store, store)
    launch.start(path, data_folder=store).join()
    reader = RunReader(path)
    reader.poll()
    # Looked for before anything collects garbage: what is left is what the training left.
    left = sum(o.numel() for o in gc.get_objects() if isinstance(o, nn.Parameter))
    told.append({"status": reader.view.status, "reason": reader.view.reason, "left": left})
    return reader.view.reason

run("data.batch_size=16", "network.layers=['Flatten()', 'Linear(10)']")
limit = psutil.Process().memory_info().vms + (600 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
size = int(re.search(r"batch_size = (\\d+) would fit", run("data.batch_size=1437"))[1])
run(f"data.batch_size={size}", "data.validation=none")
print(json.dumps({"told": told, "size": size}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's memory is Linux's")
def test_out_of_memory_names_a_batch_size_that_fits_and_the_next_run_in_the_process_starts(tmp_path):
    """fault 22, on the CPU: a real allocation that the system refuses (RLIMIT_AS), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    first, failed, fitting = found["told"]
    assert first["status"] == "finished"
    assert failed["status"] == "failed"
    assert re.match(
        r"out of memory on cpu: [\d.]+ MiB more were wanted and [\d.]+ [KMG]iB were free; ", failed["reason"]
    )
    assert 1 <= found["size"] < 1437
    assert failed["left"] == fitting["left"] == 0
    assert fitting["status"] == "finished", fitting["reason"]


def test_memory_that_no_batch_size_saves_asks_for_a_smaller_network():
    """fault 22: the words, where the network alone does not fit, where one sample does and where nothing is known."""
    memory = {"weights": 6 << 30, "gradients": 6 << 30, "optimizer": 0, "activations": 64 << 30, "available": 8 << 30}
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")
    text = device_errors.out_of_memory(error, memory=memory, batch_size=64)
    assert ": 2.0 GiB more were wanted and " in text
    assert text.endswith("take 12.0 GiB of the 8.0 GiB that there were: no batch_size fits, take a smaller network")
    text = device_errors.out_of_memory(error, memory=memory | {"available": 22 << 30}, batch_size=64)
    assert text.endswith(
        "and a sample 1.0 GiB: batch_size = 8 would fit (it was 64)"
    )  # 10 would, a power of two is told
    # A forecast that was too low: what was asked for at once counts, and it is never as large as what failed.
    low = memory | {"activations": 64, "available": 1 << 40}
    assert "batch_size = 32 would fit" in device_errors.out_of_memory(error, memory=low, batch_size=64)
    assert "a smaller batch_size or network" in device_errors.out_of_memory(MemoryError())


def test_nothing_of_a_network_is_left_after_a_run_that_failed(tmp_path, monkeypatch):
    """fault 22: no frame, traceback or cycle holds it; looked for before garbage is collected."""
    layer = layer_that("raises", tmp_path, monkeypatch)
    catalogue.allow(layer.partition(":")[0])
    spec = experiment("activation", f"network.layers=['Flatten()', '{layer}()', 'Linear(321)', 'Linear(10)']")
    path = launch.prepare_run(spec, tmp_path, NOWHERE)
    handle = launch.start(path, data_folder=NOWHERE)
    handle.join(60)
    assert view_of(path).reason == "ZeroDivisionError: in a module of my own"
    assert not [p for p in gc.get_objects() if isinstance(p, nn.Parameter) and 321 in p.shape]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_a_gpu_out_of_memory_is_told_freed_and_trains_again(tmp_path):
    """fault 22, on a GPU."""
    before = torch.cuda.memory_reserved()
    huge = "network.layers=['Conv2d(65536, 3, padding=1)', " + "'ReLU()', " * 20 + "'Flatten()', 'Linear(10)']"
    paths = []
    for settings in ((huge, "data.batch_size=1437"), ()):
        path = launch.prepare_run(experiment("cnn", "device=cuda", *settings), tmp_path, NOWHERE)
        launch.start(path, data_folder=NOWHERE).join(120)
        paths.append(view_of(path))
    assert paths[0].reason.startswith("out of memory on cuda:0: ")
    assert "would fit" in paths[0].reason
    assert paths[1].status == "finished"
    assert torch.cuda.memory_reserved() <= before + (64 << 20)


STICKY = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from engine import catalogue, launch
from engine.errors import RequestError
from engine.store.reader import RunReader
from tests.engine.training import experiment

class Layer(nn.Module):
    def forward(self, values):
        if values.device.type == "cuda":
            values[torch.full((1,), 10**6, device=values.device)]
        return values

store = Path(sys.argv[1])
catalogue.allow("__main__")
spec = experiment("mlp", "device=cuda", "network.layers=['Flatten()', '__main__:Layer()', 'Linear(10)']")
paths = [launch.prepare_run(spec, store, store) for _ in range(2)]
launch.start(paths[0], data_folder=store).join()
reader = RunReader(paths[0]); reader.poll()
try:
    launch.start(paths[1], data_folder=store)
    refused = ""
except RequestError as error:
    refused = str(error)
print(json.dumps([reader.view.reason, refused]))
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_a_process_that_its_gpu_refuses_has_to_be_restarted(tmp_path):
    """fault 22, an error that stays: an assertion within a kernel, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", STICKY, str(tmp_path)], capture_output=True, text=True, check=False)
    reason, refused = json.loads(done.stdout.splitlines()[-1])
    assert "device-side assert" in reason
    assert "has to be restarted" in reason
    assert refused == reason


def test_a_device_that_is_lost_refuses_the_next_run_of_this_process_in_words(tmp_path, monkeypatch):
    """fault 22: without a GPU, what CUDA would say is put into its mouth."""
    said = "CUDA error: device-side assert triggered"
    monkeypatch.setattr(device_errors, "lost_device", lambda device: said)
    monkeypatch.setattr(device_errors, "lost", "")
    monkeypatch.setattr(thread, "_current", None)

    def broken(self: object) -> list[object]:
        raise torch.AcceleratorError(f"{said}\nCUDA kernel errors might be reported later")

    monkeypatch.setattr("engine.session.Session.run", broken)
    first, second = (launch.prepare_run(experiment("mlp"), tmp_path, NOWHERE) for _ in range(2))
    launch.start(first, data_folder=NOWHERE).join(60)
    assert view_of(first).reason == f"{said}; {device_errors.RESTART}"
    with pytest.raises(RequestError, match="has to be restarted"):
        launch.start(second, data_folder=NOWHERE)
    assert view_of(second).recorded_status == "starting"  # nothing claimed it


# ------------------------------------------------------------------------------------------------- 23: NaN


def test_a_loss_that_is_nan_names_step_layer_and_rate_and_leaves_the_checkpoints(tmp_path):
    """fault 23"""
    spec = experiment("activation", "optimizer=SGD(lr=0.05)", "epochs=4", "checkpoint_epochs=1")
    path = launch.prepare_run(spec, tmp_path, NOWHERE)
    # A look before the first step, and after each of 23 steps, one batch of evaluation and each epoch.
    mailbox = Interrupter(1 + 2 * 25 + 3, Request("set_lr", 1e9))
    execute(launch.Arguments(path, NOWHERE), mailbox, RunWriter(path, mailbox))
    view = view_of(path)
    assert view.status == "failed"
    found = re.fullmatch(
        r"the loss is (NaN|infinite) at step (\d+) \(epoch 3\), learning rate 1e\+09: .*layer (\d+) .*", view.reason
    )
    assert found, view.reason
    assert 2 * STEPS + 3 < int(found[2]) <= 3 * STEPS
    best, problems = checkpoint.newest(path / "checkpoints", "best")
    step, _ = checkpoint.newest(path / "checkpoints")
    assert not problems
    assert all(torch.isfinite(t).all() for saved in (best, step) for t in saved.networks["model"].values())
    assert (best.epoch, step.step) == (2, 2 * STEPS)
    # It goes on from before the rate that broke it, which no checkpoint holds.
    execute(launch.Arguments(path, NOWHERE, resume=True), Interrupter(-1), RunWriter(path, resume=True))
    assert view_of(path).status == "finished"


# ------------------------------------------------------------- 24: the session raises, exits, segfaults


@pytest.mark.parametrize(
    ("kind", "reason"), [("raises", "ZeroDivisionError: in a module of my own"), ("exits", "SystemExit: 3")]
)
@pytest.mark.parametrize("launcher", ["thread", pytest.param("process", marks=pytest.mark.soak)])
def test_a_session_that_raises_or_exits_is_recorded_and_the_next_one_starts(
    launcher, kind, reason, tmp_path, monkeypatch
):
    """fault 24"""
    layer = layer_that(kind, tmp_path, monkeypatch)
    catalogue.allow(layer.partition(":")[0])
    spec = experiment("activation", f"network.layers=['Flatten()', '{layer}()', 'Linear(10)']")
    path = launch.prepare_run(spec, tmp_path, NOWHERE)
    handle = launch.start(path, launcher=launcher, data_folder=NOWHERE, allow=[layer.partition(":")[0]])
    handle.join(60)
    view = view_of(path)
    assert (view.status, view.reason) == ("failed", reason)
    assert [row.epoch for row in view.history] == [1]
    assert any("Traceback" in message.text for message in view.messages)
    assert not (path / "crash.log").exists()
    if launcher == "thread":
        after = launch.prepare_run(experiment("activation", "epochs=1"), tmp_path, NOWHERE)
        launch.start(after, data_folder=NOWHERE).join(60)
        assert view_of(after).status == "finished"


@pytest.mark.parametrize(("number", "name"), [(40, "SIG40"), (9, "SIGKILL")])
def test_any_signal_is_named_and_only_of_the_process_that_it_ended(number, name, tmp_path):
    path = trained_run(tmp_path)
    (path / "crash.log").write_text(f"process {os.getpid()}\n")
    crash.add_signal(path, os.getpid(), number)
    assert crash.signal_of(path, {"pid": os.getpid()}) == name
    # In another container the next process may well have the same pid.
    with RunWriter(path, resume=True, telemetry=False) as writer:
        assert crash.signal_of(path, {"pid": os.getpid()}) == ""
        writer.close("finished")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("segfaults", "SIGSEGV"),
        pytest.param("aborts", "SIGABRT", marks=pytest.mark.soak),
        pytest.param("killed", "SIGKILL", marks=pytest.mark.soak),
        pytest.param("leaves", "", marks=pytest.mark.soak),
    ],
)
def test_a_process_that_crashes_is_recorded_with_the_signal_and_goes_on_from_its_checkpoint(
    kind, name, tmp_path, monkeypatch
):
    """fault 24, in a process of its own: nothing of Python runs any more when it ends."""
    layer = layer_that(kind, tmp_path, monkeypatch, after=2 * STEPS + 5, go=False)
    module = layer.partition(":")[0]
    catalogue.allow(module)
    spec = experiment(
        "activation", f"network.layers=['Flatten()', '{layer}()', 'Linear(10)']", "epochs=3", "checkpoint_epochs=1"
    )
    path = launch.prepare_run(spec, tmp_path, NOWHERE)
    handle = launch.start(path, launcher="process", data_folder=NOWHERE, allow=[module])
    # It takes a moment to save what was handed over, and this one shall be there.
    until(lambda: ("step", 2 * STEPS) in [(kept.kind, kept.step) for kept in retention.kept(path / "checkpoints")])
    (tmp_path / "go").touch()
    handle.join(60)
    view = view_of(path)
    assert view.status == "interrupted"
    assert (f"was ended by {name}" in view.reason) if name else ("ended without saying how" in view.reason)
    if name == "SIGSEGV":
        assert "own_segfaults" in (path / "crash.log").read_text()  # where it stood
    # It broke five steps into the third epoch: what was saved before is whole, and training goes on from there.
    saved, problems = checkpoint.newest(path / "checkpoints")
    assert not problems
    assert saved is not None
    assert saved.step == 2 * STEPS
    monkeypatch.setattr(sys.modules[module].Layer, "steps", -1000)
    execute(launch.Arguments(path, NOWHERE, resume=True), Interrupter(-1), RunWriter(path, resume=True))
    assert [row.epoch for row in view_of(path).history] == [1, 2, 3]
    assert view_of(path).status == "finished"


# ------------------------------------------------------------------------------ data that is not there any more


def test_a_data_file_that_goes_while_a_run_trains_does_not_matter_and_is_missed_by_the_next(tmp_path):
    """a data file that vanishes or is cut off in mid-epoch: what is trained on was read before the first step"""
    table = tmp_path / "points.csv"
    lines = ["a,b,label", *(f"{i % 7},{i % 5},{i % 3}" for i in range(600))]
    table.write_text("\n".join(lines))
    layers = "network.layers=['Linear(8)', 'ReLU()', 'Linear(classes)']"
    spec = experiment("mlp", f"data.source=CSV('{table}', target='label')", layers, "epochs=3")
    path, cut, missing = (launch.prepare_run(spec, tmp_path, NOWHERE) for _ in range(3))

    class Cutting(Interrupter):
        def take(self):
            table.write_text("\n".join(lines)[:1001])
            return super().take()

    mailbox = Cutting(4, Request("checkpoint"))
    execute(launch.Arguments(path, NOWHERE), mailbox, RunWriter(path, mailbox))
    assert view_of(path).status == "finished"
    assert table.stat().st_size == 1001
    for later, told in ((cut, "points.csv: line 167: 1 values"), (missing, "no file")):
        execute(launch.Arguments(later, NOWHERE), Interrupter(-1), RunWriter(later))
        view = view_of(later)
        assert view.status == "failed"
        assert told in view.reason
        assert "points.csv" in view.reason
        table.unlink(missing_ok=True)


@pytest.mark.parametrize("cut", [0, 10, 20_000])
def test_a_data_file_that_is_cut_off_is_named(cut, tmp_path, data_folder):
    """a data file that is truncated, or vanishes, between the check and the reading"""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (data_folder / "MNIST" / "raw").iterdir():
        if file.is_file():
            (raw / file.name).symlink_to(file)
    spec = experiment("mlp", "data.source=MNIST()", "epochs=1")
    path = launch.prepare_run(spec, tmp_path, tmp_path / "data")
    images = raw / "train-images-idx3-ubyte"
    beginning = images.read_bytes()[:cut]
    for file in raw.glob("train-images*"):
        file.unlink()
    if cut:
        images.write_bytes(beginning)
    execute(launch.Arguments(path, tmp_path / "data"), Interrupter(-1), RunWriter(path))
    view = view_of(path)
    assert view.status == "failed"
    assert "train-images-idx3-ubyte" in view.reason
    assert "Traceback" not in view.reason


@pytest.mark.soak
def test_a_training_that_hangs_before_its_first_step_is_ended_by_a_second_sigterm_and_can_be_resumed(
    tmp_path, monkeypatch
):
    """a data source that hangs, as on a file server that is gone: it cannot be asked, but it can be ended"""
    name = f"hanging_{tmp_path.name.replace('-', '_')}"
    flag = tmp_path / "gone"
    (tmp_path / f"{name}.py").write_text(
        f"import os, time\nfrom torch import nn\nwhile os.path.exists({str(flag)!r}): time.sleep(0.05)\n"
        "class Layer(nn.Identity): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    catalogue.allow(name)
    spec = experiment("activation", f"network.layers=['Flatten()', '{name}:Layer()', 'Linear(10)']", "epochs=1")
    path = launch.prepare_run(spec, tmp_path, NOWHERE)
    flag.touch()
    handle = launch.start(path, launcher="process", data_folder=NOWHERE, allow=[name])
    until(lambda: view_of(path).owner)
    pid = view_of(path).owner["pid"]
    time.sleep(1.0)
    assert view_of(path).live
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    assert handle.alive
    os.kill(pid, signal.SIGTERM)
    handle.join(20)
    assert not handle.alive
    assert view_of(path).status == "interrupted"
    flag.unlink()
    launch.start(path, launcher="process", data_folder=NOWHERE, resume=True, allow=[name]).join(60)
    assert view_of(path).status == "finished"
