"""Readings are what the system says, and what cannot be known is said in words."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from engine import telemetry
from engine.gpus import Card, TorchDevice, matches
from engine.telemetry import NO_NVML, Sampler, changed
from tests.engine.nvml_replay import RECORDINGS, Replay

MIB = 1 << 20
H200 = TorchDevice(
    0,
    name="NVIDIA H200",
    uuid="3f0a7c52-9d1e-4b6b-8a57-0c6f1d2e9b41",
    total=150_119_645_184,
    allocated=4_100 * MIB,
    reserved=4_800 * MIB,
    peak=4_700 * MIB,
)


@pytest.fixture
def torch_uses(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has torch use these GPUs in this process."""

    def use(*devices: TorchDevice) -> None:
        monkeypatch.setattr(telemetry, "torch_devices", lambda reset_peak=False: list(devices))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return use


def test_one_gpu_is_read_as_recorded_with_what_torch_has_of_it(torch_uses: Any) -> None:
    torch_uses(H200)
    values = Sampler("cuda:0", Replay("one_h200")).sample()
    assert values["gpus"] == [
        {
            "index": 0, "name": "NVIDIA H200", "uuid": "GPU-3f0a7c52-9d1e-4b6b-8a57-0c6f1d2e9b41",
            "used": 5378 * MIB, "total": 143771 * MIB, "utilisation": 93, "own": 5368 * MIB, "processes": 0,
            "device": "cuda:0", "training": True,
            "allocated": 4_100 * MIB, "reserved": 4_800 * MIB, "peak": 4_700 * MIB,
        }
    ]  # fmt: skip
    assert "notes" not in values


@pytest.mark.parametrize("how", ["uuid", "place", "named"])
def test_the_gpu_that_trains_comes_first_though_visible_devices_were_turned_around(
    torch_uses: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    second, first = "0c1d2e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5", "b2f8d6c4-1a4e-0f3d-6c7b-5e9a8d7c6b5a"
    uuids = (second, first) if how == "uuid" else (None, None)
    places = ((0, 0x0F, 0), (0, 0x07, 0)) if how == "place" else (None, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"GPU-{second[:8]},GPU-{first}" if how == "named" else "1,0")
    torch_uses(
        *(
            TorchDevice(index, uuid=uuids[index], pci=places[index], allocated=2 << 30, reserved=amount)
            for index, amount in enumerate((3 << 30, 0))
        )
    )
    gpus = Sampler("cuda:0", Replay("two_gpus_shared")).sample()["gpus"]
    assert [gpu["uuid"] for gpu in gpus] == [f"GPU-{second}", f"GPU-{first}"]
    assert gpus[0]["training"] is True
    assert gpus[0]["own"] == 4096 * MIB
    assert [gpu["processes"] for gpu in gpus] == [1, 2]
    assert "allocated" not in gpus[1]  # torch has nothing there


def test_a_slice_is_read_in_place_of_its_gpu_and_has_no_utilisation(torch_uses: Any) -> None:
    torch_uses(replace(H200, uuid="7d3c1f64-8a0b-5c2e-9f11-2b6d4e8a0c35", total=16 << 30))
    values = Sampler("cuda", Replay("mig")).sample()
    assert [(gpu["name"], gpu["total"], gpu["utilisation"]) for gpu in values["gpus"]] == [
        ("NVIDIA H200 MIG 1g.18gb", 16384 * MIB, None),
        ("NVIDIA H200 MIG 3g.71gb", 71424 * MIB, None),
    ]
    assert values["gpus"][0]["training"] is True
    assert values["gpus"][0]["own"] == 1190 * MIB
    assert values["notes"] == ["GPU 0 is partitioned: its slices (MIG) tell no utilisation"]


def test_a_slice_is_known_by_its_size_where_torch_tells_the_whole_gpu(torch_uses: Any) -> None:
    place = (0, 0x19, 0)
    torch_uses(replace(H200, pci=place, total=round(70.5 * (1 << 30))))
    gpus = Sampler("cuda:0", Replay("mig")).sample()["gpus"]
    assert gpus[0]["name"] == "NVIDIA H200 MIG 3g.71gb"
    assert gpus[0]["reserved"] == H200.reserved


@pytest.mark.parametrize(
    ("recording", "words"), [("container", "are hidden from here"), ("container_foreign_pids", "another number there")]
)
def test_a_container_that_hides_processes_is_said_and_gives_no_number(
    torch_uses: Any, recording: str, words: str
) -> None:
    torch_uses(H200)
    values = Sampler("cuda:0", Replay(recording)).sample()
    assert values["gpus"][0]["own"] is None
    assert values["gpus"][0]["processes"] is None
    assert values["gpus"][0]["used"] == 5378 * MIB
    assert len(values["notes"]) == 1
    assert words in values["notes"][0]


def test_an_old_driver_is_asked_in_its_own_way(torch_uses: Any) -> None:
    torch_uses(TorchDevice(0, reserved=1 << 30, allocated=1 << 29))
    values = Sampler("cuda:0", Replay("old_driver")).sample()
    gpu = values["gpus"][0]
    assert (gpu["used"], gpu["own"], gpu["processes"], gpu["training"]) == (1453 * MIB, 1449 * MIB, 0, True)
    assert values["notes"] == ["GPU 0: an old driver counts as used what it keeps for itself"]


def test_a_gpu_that_is_lost_midway_leaves_words_and_no_old_numbers(torch_uses: Any) -> None:
    torch_uses(H200)
    replay = Replay("lost_midway")
    sampler = Sampler("cuda:0", replay)
    for replay.turn in range(2):
        assert sampler.sample()["gpus"][0]["used"] == 5378 * MIB
    for replay.turn in (2, 3):
        values = sampler.sample()
        assert values["gpus"][0]["used"] is None
        assert values["gpus"][0]["utilisation"] is None
        assert values["gpus"][0]["allocated"] == H200.allocated
        assert any("GPU is lost" in note for note in values["notes"])


def test_what_is_not_supported_is_none_and_noted() -> None:
    values = Sampler("cuda", Replay("not_supported")).sample()
    assert values["gpus"][0]["utilisation"] is None
    assert values["gpus"][0]["own"] is None  # this process stands there without its memory
    assert values["gpus"][0]["processes"] == 1
    assert values["notes"] == ["GPU 0: utilisation is not known (Not Supported)"]


def test_no_driver_is_said_once_asked_and_not_tried_again() -> None:
    replay = Replay("no_driver")
    sampler = Sampler("cuda", replay)
    for _ in range(2):
        values = sampler.sample()
        assert values["notes"] == [f"{NO_NVML} (Driver Not Loaded)"]
        assert "gpus" not in values
    assert replay.calls == ["nvmlInit"]


def test_without_a_library_torch_tells_what_it_knows(torch_uses: Any) -> None:
    class Absent:
        def nvmlInit(self) -> None:
            raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    torch_uses(H200)
    values = Sampler("cuda:0", Absent()).sample()
    gpu = values["gpus"][0]
    assert (gpu["allocated"], gpu["reserved"], gpu["peak"]) == (H200.allocated, H200.reserved, H200.peak)
    assert (gpu["total"], gpu["used"], gpu["utilisation"]) == (H200.total, None, None)
    assert "libnvidia-ml" in values["notes"][0]


def test_a_gpu_of_apple_is_told_by_torch_and_nvml_is_not_asked(torch_uses: Any) -> None:
    torch_uses(TorchDevice(0, "mps", "Apple GPU", total=16 << 30, allocated=1 << 30, reserved=2 << 30))
    replay = Replay("one_h200")
    values = Sampler("mps", replay).sample()
    assert replay.calls == []
    assert values["gpus"][0]["device"] == "mps"
    assert values["gpus"][0]["training"] is True
    assert "peak" not in values["gpus"][0]
    assert "no NVML" in values["notes"][0]


def test_a_device_that_cannot_be_found_among_several_is_shown_beside_them(torch_uses: Any) -> None:
    torch_uses(TorchDevice(0, name="NVIDIA A100-SXM4-80GB", allocated=1 << 30, reserved=1 << 30))
    values = Sampler("cuda:0", Replay("two_gpus_shared")).sample()
    assert [gpu.get("training", False) for gpu in values["gpus"]] == [True, False, False]
    assert any(note.startswith("cuda:0 is none of the GPUs") for note in values["notes"])
    # It is one of the two: that this process uses nothing of them would be wrong to say.
    assert values["gpus"][1]["own"] is None


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.json")))
def test_every_recording_reads_without_raising_and_cheaply(name: str, torch_uses: Any) -> None:
    torch_uses(H200)
    replay = Replay(name)
    sampler = Sampler("cuda:0", replay)
    sampler.sample()
    first = len(replay.calls)
    for replay.turn in range(5):
        sampler.sample()
    # What does not change is asked once: from then on memory, load and processes.
    if name != "lost_midway":
        assert (len(replay.calls) - first) / 5 <= 6
        assert "nvmlDeviceGetName" not in replay.calls[first:]


def test_numbers_of_visible_devices_are_not_those_of_nvml() -> None:
    cards = [Card(None, index, "A100", f"GPU-{index}", (0, index, 0), False) for index in range(2)]
    assert matches(cards, [TorchDevice(0)], "1") == {}
    assert matches(cards, [TorchDevice(0, pci=(0, 0, 0))], "1") == {0: cards[0]}


def test_torch_is_asked_once_for_a_gpu_and_its_peak_begins_anew() -> None:
    reset: list[int] = []
    properties = SimpleNamespace(
        name="NVIDIA H200", uuid="3f0a", total_memory=5, pci_domain_id=0, pci_bus_id=25, pci_device_id=0
    )
    statistics = {"allocated_bytes.all.current": 3, "reserved_bytes.all.current": 4, "allocated_bytes.all.peak": 5}
    cuda = SimpleNamespace(
        memory_stats=lambda index: statistics,
        reset_peak_memory_stats=reset.append,
        get_device_properties=lambda index: properties,
    )
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(hip=None))
    assert telemetry._cuda_device(torch, 1, True) == TorchDevice(
        1, name="NVIDIA H200", uuid="3f0a", pci=(0, 25, 0), total=5, allocated=3, reserved=4, peak=5
    )
    assert reset == [1]


def test_gpus_are_not_asked_for_a_run_on_the_cpu() -> None:
    replay = Replay("one_h200")
    assert "gpus" not in Sampler("cpu", replay).sample()
    assert replay.calls == []


def test_process_and_system_agree_with_psutil() -> None:
    values = Sampler("cpu").sample()
    assert values["rss"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert values["rss_peak"] >= values["rss"]
    assert values["system_total"] == psutil.virtual_memory().total
    assert 0 < values["system_used"] < values["system_total"]


def test_sampling_imports_no_torch() -> None:
    code = "import sys; from engine.telemetry import sample; sample(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert found.stdout == "False\n", found.stderr


def test_cuda_that_nobody_started_is_not_started() -> None:
    import torch

    if torch.cuda.is_initialized():
        pytest.skip("another test started CUDA")
    values = Sampler("cuda", Replay("one_h200")).sample()
    assert "allocated" not in values["gpus"][0]
    assert values["gpus"][0]["own"] == 5368 * MIB  # the recording has this process under its own number
    assert not torch.cuda.is_initialized()


def test_a_real_gpu_is_read_with_what_torch_holds_there() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    held = torch.zeros(64 << 20, dtype=torch.uint8, device="cuda:0")
    values = Sampler("cuda:0").sample()
    gpu = values["gpus"][0]
    assert gpu["training"] is True
    assert gpu["allocated"] >= held.numel()
    assert gpu["reserved"] >= gpu["allocated"]
    assert gpu["used"] is None or gpu["used"] >= gpu["reserved"]


def test_load_is_told_of_a_time_that_is_long_enough_to_know_it() -> None:
    sampler = Sampler("cpu")
    assert "cpu_percent" not in sampler.sample()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    assert 0.0 <= sampler.sample()["cpu_percent"] <= 110.0 * (os.cpu_count() or 1)
    assert "cpu_percent" not in sampler.sample()


def test_only_noticeable_changes_count() -> None:
    old = {"rss": 10**9, "cpu_percent": 90.0, "gpus": [{"used": 10**9, "utilisation": 50}]}
    assert not changed(old, {"rss": 10**9 + 10**6, "cpu_percent": 100.0, "gpus": [{"used": 10**9, "utilisation": 60}]})
    assert changed(old, {**old, "rss": 2 * 10**9})
    assert changed(old, {**old, "gpus": [{"used": 2 * 10**9, "utilisation": 50}]})
    assert changed(old, {"rss": 10**9})
